"""Codes that are continued with finer ones: the sequences of windows, in both layouts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.manifests.documents import ArraySchema
from tuwen.manifests.errors import BadInput
from tuwen.tokenize.finer_sequence import FinerLayout, finer_layout_for
from tuwen.tokenize.sequence import cogview_layout, compact_layout

COMPACT = FinerLayout(
    compact_layout(codebook=10, num_codes=4, text_vocab=5, text_max=2), "codes_large", (2, 2), (4, 4), 30, window=1
)
COGVIEW = FinerLayout(cogview_layout(), "codes_large", (32, 32), (64, 64), 8192, window=16)


def schema(grid: list[int], finer: list[int], codebook: int = 8192) -> ArraySchema:
    codes = {"dtype": "<u2", "shape": grid, "codebook": 8192}
    return ArraySchema.model_validate(
        {
            "codes": codes,
            "text": {"dtype": "<u2", "ragged": True, "vocab": 50},
            "also": {"codes_large": {**codes, "shape": finer, "codebook": codebook}},
        }
    )


def test_a_compact_sequence_is_the_whole_picture_and_then_a_window_of_finer_codes() -> None:
    codes = np.array([[1, 2, 3, 4, *range(16)]])
    ids, positions = COMPACT.sequences(codes, np.array([[3, 4]]), np.array([2]), np.array([[0, 1]]))
    pad, roi1, base, boi1, eoi1 = range(15, 20)
    roi2, boi2, eoi2, first = 64, 65, 66, 67  # behind the coarse ids, which were padded to 64
    assert ids[0].tolist() == [
        roi1, 13, 14, base, boi1, 1, 2, 3, 4, eoi1,
        roi2, base, boi2, first + 2, first + 3, first + 6, first + 7, eoi2,
    ]  # fmt: skip
    # Each token has the position of the place that comes next: 2, 3, 6 and 7 of the finer grid.
    assert positions[0].tolist() == [*range(10), 10, 11, 12 + 2, 12 + 3, 12 + 6, 12 + 7, 12 + 16, 12 + 17]
    assert (COMPACT.num_positions, COMPACT.vocab, COMPACT.length) == (30, 128, 18)
    shorter, _ = COMPACT.sequences(codes, np.array([[3]]), np.array([1]), np.array([[0, 1]]))
    assert shorter[0].tolist() == [roi1, 13, *ids[0, 3:].tolist(), pad]


def test_a_cogview_sequence_is_that_of_the_paper() -> None:
    """The window's coarse codes, then [ROI2] [BASE] [BOI2] with positions from 0, then 32 × 32 finer codes."""
    coarse, finer = np.arange(1024), np.arange(4096)
    codes = np.concatenate((coarse, finer))[None]
    ids, positions = COGVIEW.sequences(codes, np.array([[0, 49_999]]), np.array([2]), np.array([[0, 8]]))
    used = 2 + 256 + 4 + 1024 + 4
    assert ids[0, :6].tolist() == [58_199, 8192, 58_191, 58_208, 58_193, 8]
    assert ids[0, 5 : 5 + 256].reshape(16, 16)[1].tolist() == list(range(40, 56))  # the second row begins at 32 + 8
    assert ids[0, 261:265].tolist() == [58_196, 58_200, 58_208, 58_194]  # [EOI1] [ROI2] [BASE] [BOI2]
    window = ids[0, 265 : 265 + 1024].reshape(32, 32)
    assert window[0].tolist() == list(range(16, 48))
    assert window[1].tolist() == list(range(80, 112))
    assert ids[0, used - 1] == 58_197  # [EOI2]
    assert positions[0, :262].tolist() == list(range(262))
    assert positions[0, 262:used].tolist() == list(range(1028))
    assert (COGVIEW.vocab, COGVIEW.num_positions) == (58_240, 1089)
    assert [len(wave) for wave in COGVIEW.waves()] == [1, 2, 3, 2, 1]  # nine windows, as in the paper


@pytest.mark.parametrize("layout", [COMPACT, COGVIEW], ids=["compact", "cogview"])
@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_prompt_is_all_that_precedes_the_first_finer_code(layout: FinerLayout, length: int) -> None:
    coarse = np.arange(layout.coarse.num_codes) % layout.coarse.codebook
    codes = np.concatenate((coarse, np.zeros(layout.num_places, np.int64)))[None]
    origin = (1, 0)
    ids, positions = layout.prompt([3, 4][:length], coarse, origin)
    row, places = layout.sequences(codes, np.array([[3, 4]]), np.array([length]), np.array([origin]))
    assert row[0, : len(ids)].tolist() == ids.tolist()
    assert places[0, : len(ids)].tolist() == positions.tolist()
    assert row[0, len(ids)] == layout.code_offset
    assert ids[-1] == layout.command_ids["[BOI2]"]


def test_noise_finds_the_codes_of_both_grids_each_in_its_codebook() -> None:
    first, size = COMPACT.codebooks_of(np.array([0, 9, 10, 19, 66, 67, 96, 97]))
    assert first.tolist() == [0, 0, 0, 0, 0, 67, 67, 0]
    assert size.tolist() == [10, 10, 0, 0, 0, 30, 30, 0]
    assert COMPACT.is_code(np.array([9, 66, 67, 96, 97])).tolist() == [False, False, True, True, False]


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), scale=st.integers(2, 3), data=st.data())
def test_waves_of_windows_paint_every_code_once_and_share_only_what_is_painted(
    rows: int, columns: int, scale: int, data: st.DataObject
) -> None:
    window = data.draw(st.integers(1, min(rows, columns)))
    coarse = compact_layout(codebook=4, num_codes=rows * columns, text_vocab=5, text_max=2)
    layout = FinerLayout(coarse, "codes_x", (rows, columns), (rows * scale, columns * scale), 4, window)
    painted = np.zeros(layout.num_places, bool)
    for wave in layout.waves():
        new = [set(layout.places(origin)[~painted[layout.places(origin)]].tolist()) for origin in wave]
        assert all(new)  # no window is idle
        assert sum(map(len, new)) == len(set().union(*new))  # no code is painted by two windows of a wave
        for origin in wave:
            painted[layout.places(origin)] = True
    assert painted.all()
    origins = layout.origins_of(np.arange(200).reshape(100, 2))
    assert (origins >= 0).all()
    assert (origins.max(axis=0) <= np.array([rows, columns]) - window).all()


def test_a_window_is_half_of_the_grid_if_not_said() -> None:
    layout = finer_layout_for(compact_layout(8192, 64, 50, 4), schema([8, 8], [16, 16]), "codes_large", None)
    assert (layout.window, layout.side, layout.num_codes, layout.scale) == (4, 8, 64, 2)


def test_grids_that_cannot_be_refined_are_refused_with_the_cure() -> None:
    compact = compact_layout(8192, 64, 50, 4)
    with pytest.raises(BadInput, match=r"no codes `fine`, but large; .*also: \{fine:"):
        finer_layout_for(compact, schema([8, 8], [16, 16]), "codes_fine", None)
    with pytest.raises(BadInput, match=r"a grid of 12 × 12 is no multiple of 8 × 8"):
        finer_layout_for(compact, schema([8, 8], [12, 12]), "codes_large", None)
    with pytest.raises(BadInput, match=r"a grid of 8 × 8 is no multiple of 8 × 8"):
        finer_layout_for(compact, schema([8, 8], [8, 8]), "codes_large", None)
    with pytest.raises(BadInput, match=r"9 is more than 8 × 8 codes; give 8"):
        finer_layout_for(compact, schema([8, 8], [16, 16]), "codes_large", 9)
    with pytest.raises(BadInput, match=r"no two grids"):
        finer_layout_for(compact, schema([64], [16, 16]), "codes_large", None)
    with pytest.raises(BadInput, match=r"1,156 finer codes are more than the positions of `layout: cogview`, 1,089"):
        finer_layout_for(cogview_layout(), schema([32, 32], [64, 64]), "codes_large", 17)
    with pytest.raises(BadInput, match=r"8,192 codes for both grids, and `large` has 1,024"):
        finer_layout_for(cogview_layout(), schema([32, 32], [64, 64], codebook=1024), "codes_large", 16)


def test_the_coarse_code_that_a_finer_one_lies_in_is_read_with_the_token_before_it() -> None:
    codes = np.array([[1, 2, 3, 4, *range(16)]])
    lengths, origins = np.array([2]), np.array([[1, 0]])
    ids, _ = COMPACT.sequences(codes, np.array([[3, 4]]), lengths, origins)
    under = COMPACT.under(ids, lengths, origins)
    assert under is not None
    assert under[0].tolist() == [-1] * 12 + [3] * 4 + [-1] * 2  # from [BOI2] on: all four lie in the third code
    assert COMPACT.under_codes(codes[0, :4], (1, 0)).tolist() == [3] * 4
    whole = FinerLayout(COMPACT.coarse, "codes_large", (2, 2), (4, 4), 30, window=2)
    assert whole.coarse_under((0, 0)).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
    assert COGVIEW.under(ids, lengths, origins) is None
