"""Captions and codes as one sequence of ids: CogView's layout, and the compact one."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tuwen.manifests.documents import ArraySchema
from tuwen.manifests.errors import BadInput
from tuwen.tokenize.sequence import COGVIEW_COMMANDS, SequenceLayout, cogview_layout, compact_layout, layout_for


def test_the_cogview_layout_is_cogviews() -> None:
    layout = cogview_layout()
    assert layout.command_ids["[PAD]"] == 58_192
    assert layout.command_ids["[ROI1]"] == 58_199
    assert layout.command_ids["[BASE]"] == 58_208
    assert layout.command_ids["[POS8]"] == 58_218
    assert len(COGVIEW_COMMANDS) == 27
    assert layout.vocab == 58_240
    assert layout.length == 1089
    ids, positions = layout.sequences(np.array([[8191] * 1024]), np.array([[0, 49_999]]), np.array([2]))
    assert ids[0, :6].tolist() == [58_199, 8192, 58_191, 58_208, 58_193, 8191]
    assert ids[0, 5 + 1024] == layout.command_ids["[EOI1]"]
    assert positions[0, : 6 + 1024].tolist() == list(range(1030))


def test_text_is_trimmed_and_codes_never_are() -> None:
    layout = compact_layout(codebook=100, num_codes=4, text_vocab=50, text_max=3)
    text = np.tile(np.arange(5), (6, 1))
    codes = np.arange(24).reshape(6, 4)
    ids, positions = layout.sequences(codes, text, np.array([0, 1, 2, 3, 4, 5]))
    for row in range(6):
        sequence = [token for token in ids[row].tolist() if token != layout.pad]
        assert sequence[-5:-1] == codes[row].tolist()
        assert sequence[-1] == layout.command_ids["[EOI1]"]
        assert sequence[0] == layout.command_ids["[ROI1]"]
        assert len(sequence) == 4 + 4 + min(row, 3)
        first = ids[row].tolist().index(codes[row, 0])
        assert positions[row, first : first + 5].tolist() == [6, 7, 8, 9, 10]  # the same for every caption's length


def test_a_prompt_is_the_beginning_of_a_sequence() -> None:
    layout = compact_layout(codebook=100, num_codes=4, text_vocab=50, text_max=3)
    for text in ([], [7], [7, 8, 9], [7, 8, 9, 10]):
        ids, positions = layout.prompt(text)
        row, places = layout.sequences(np.zeros((1, 4), int), np.array([text or [0]]), np.array([len(text)]))
        assert row[0, : len(ids)].tolist() == ids.tolist()
        assert places[0, : len(ids)].tolist() == positions.tolist()


def test_a_reversed_sequence_has_the_same_tokens_and_the_picture_first() -> None:
    """In an aligned layout each token keeps its position; CogView's positions are those of the order."""
    compact = compact_layout(codebook=10, num_codes=2, text_vocab=5, text_max=3)
    codes, text, lengths = np.array([[7, 8]] * 2), np.array([[1, 2]] * 2), np.array([2, 2])
    pad, roi, base, boi, eoi = 15, 16, 17, 18, 19
    ids, positions = compact.sequences(codes, text, lengths, np.array([False, True]))
    assert ids.tolist() == [[roi, 11, 12, base, boi, 7, 8, eoi, pad], [boi, 7, 8, eoi, roi, 11, 12, base, pad]]
    assert positions[:, :-1].tolist() == [[0, 1, 2, 4, 5, 6, 7, 8], [5, 6, 7, 8, 0, 1, 2, 4]]
    cogview = cogview_layout()
    ids, positions = cogview.sequences(np.full((1, 1024), 5), np.array([[3]]), np.array([1]), np.array([True]))
    assert ids[0, :2].tolist() == [58_193, 5]
    assert ids[0, 1025:1030].tolist() == [58_196, 58_199, 8195, 58_208, 58_192]
    assert positions[0, :1029].tolist() == list(range(1029))


@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 70_000), st.data())
def test_the_codes_of_a_sequence_come_back_by_codebook_whatever_the_shape(
    codebooks: int, positions: int, codebook: int, data: st.DataObject
) -> None:
    layout = compact_layout(codebook, positions * codebooks, text_vocab=50, text_max=3, codebooks=codebooks)
    one_code = st.integers(0, codebook - 1)
    codes = np.array(data.draw(st.lists(one_code, min_size=layout.num_codes, max_size=layout.num_codes)), np.uint32)
    length = data.draw(st.integers(0, 5))
    ids, _ = layout.sequences(codes[None], np.full((1, 5), 49, np.uint16), np.array([length]))
    code_ids = ids[0][ids[0] < layout.text_offset]
    assert (code_ids % codebook).tolist() == codes.tolist()
    assert (code_ids // codebook).tolist() == [*range(codebooks)] * positions
    others = set(ids[0][ids[0] >= layout.text_offset].tolist())
    assert others <= {layout.text_offset + 49, *layout.command_ids.values()}
    assert max(layout.command_ids.values()) < layout.vocab


def test_codes_of_two_codebooks_are_interleaved_by_hand() -> None:
    layout = compact_layout(codebook=10, num_codes=4, text_vocab=7, text_max=2, codebooks=2)
    ids, positions = layout.sequences(np.array([[9, 0, 3, 9]], np.uint16), np.array([[6]]), np.array([1]))
    pad, roi, base, boi, eoi = 27, 28, 29, 30, 31
    assert ids.tolist() == [[roi, 26, base, boi, 9, 10, 3, 19, eoi, pad]]
    assert positions[0, 4:9].tolist() == [5, 6, 7, 8, 9]


def test_a_layout_that_was_recorded_without_codebooks_has_one() -> None:
    layout = compact_layout(codebook=10, num_codes=4, text_vocab=7, text_max=2)
    document = asdict(layout)
    del document["codebooks"]
    assert TypeAdapter(SequenceLayout).validate_python(document) == layout


def schema(shape: list[int], codebook: int, vocab: int, **codebooks: int) -> ArraySchema:
    codes = {"dtype": "<u2", "shape": shape, "codebook": codebook, **codebooks}
    return ArraySchema.model_validate({"codes": codes, "text": {"dtype": "<u2", "ragged": True, "vocab": vocab}})


def test_the_layout_of_shards_follows_their_shape() -> None:
    layout = layout_for("compact", schema([32], 4096, 200), text_max=8)
    assert (layout.num_codes, layout.codebooks, layout.text_offset) == (32, 1, 4096)
    layout = layout_for("compact", schema([4, 4, 2], 512, 200, codebooks=2), text_max=8)
    assert (layout.num_codes, layout.codebooks, layout.text_offset) == (32, 2, 1024)
    assert layout_for("cogview", schema([32, 32], 8192, 50_000), text_max=24) == cogview_layout()


@pytest.mark.parametrize(
    ("unfit", "refusal"),
    [
        (schema([8, 8], 8192, 50_000), "pictures are 64 codes of 1 × 8,192"),
        (schema([32, 16, 2], 8192, 50_000, codebooks=2), "pictures are 1,024 codes of 2 × 8,192"),
        (schema([32, 32], 8192, 50_001), "captions have 50,001 pieces.*tokenize.text.path"),
    ],
)
def test_shards_that_do_not_fit_into_cogviews_ids_are_refused(unfit: ArraySchema, refusal: str) -> None:
    with pytest.raises(BadInput, match=refusal):
        layout_for("cogview", unfit, text_max=24)
