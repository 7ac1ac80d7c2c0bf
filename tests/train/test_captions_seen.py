"""What a position sees of its caption: among random pieces or not at all, and why it is the same on any rank."""

from pathlib import Path

import numpy as np
import pytest

from tuwen.manifests.documents import CodesSchema
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.training import Train
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.run.preset import TrainSettings, resolve_settings
from tuwen.train.run.run import open_run
from tuwen.train.training.captions_seen import captions_seen

from .test_plans import trained

LAYOUT = compact_layout(codebook=10, num_codes=4, text_vocab=900, text_max=8)
ROWS = 4000


def settings(**shares: float) -> TrainSettings:
    codes = CodesSchema(dtype="<u2", shape=[2, 2], codebook=10)
    return resolve_settings(Train(preset="tiny", **shares), LAYOUT, codes)  # type: ignore[arg-type]


def rows(length: int, count: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Captions of the pieces 1000, 1001, …, which no noise has."""
    text = np.tile(1000 + np.arange(length), (count, 1)).astype(np.uint16)
    return np.zeros((count, 4), np.uint16), text, np.full(count, length)


def test_a_share_of_the_captions_stands_whole_among_one_to_four_random_pieces() -> None:
    (_, text, lengths), _ = captions_seen(rows(3), range(ROWS), settings(caption_noise=0.3), LAYOUT)
    assert (lengths > 3).mean() == pytest.approx(0.3, abs=0.03)
    before = (text == 1000).argmax(axis=1)
    assert set(zip((lengths - 3).tolist(), before.tolist(), strict=True)) == {
        (count, first) for count in range(5) for first in range(count + 1)
    }
    for row in np.flatnonzero(lengths > 3)[:200]:
        seen = text[row, : lengths[row]].tolist()
        assert seen[before[row] :][:3] == [1000, 1001, 1002]
        assert len([piece for piece in seen if piece < 900]) == lengths[row] - 3
    noise = text[text < 900]
    assert len(np.unique(noise[noise > 0])) > 800  # any piece of the vocabulary


def test_noise_never_makes_a_caption_longer_than_the_layout_nor_cuts_one() -> None:
    for length, most in ((5, 8), (7, 8), (8, 8), (10, 10)):
        (_, text, lengths), _ = captions_seen(rows(length), range(ROWS), settings(caption_noise=1.0), LAYOUT)
        assert lengths.max() == most
        assert [(text[row] >= 1000).sum() for row in range(ROWS)] == [length] * ROWS


def test_what_a_position_sees_depends_on_the_seed_and_the_position_alone() -> None:
    asked = settings(caption_noise=0.5, drop_captions=0.2, reverse=0.3)
    (_, text, lengths), is_reversed = captions_seen(rows(3), range(ROWS), asked, LAYOUT)
    for start in (0, 64, 3996):
        (_, own, own_lengths), own_reversed = captions_seen(rows(3, 4), range(start, start + 4), asked, LAYOUT)
        np.testing.assert_array_equal(own, text[start : start + 4])
        np.testing.assert_array_equal(own_lengths, lengths[start : start + 4])
        np.testing.assert_array_equal(own_reversed, is_reversed[start : start + 4])
    (_, _, others), _ = captions_seen(rows(3), range(ROWS), asked.model_copy(update={"seed": 1}), LAYOUT)
    assert (others != lengths).mean() > 0.3


def test_reversed_positions_see_their_caption_as_it_is_and_dropped_ones_have_no_noise() -> None:
    asked = settings(caption_noise=0.5, drop_captions=0.2, reverse=0.3)
    (_, text, lengths), is_reversed = captions_seen(rows(3), range(ROWS), asked, LAYOUT)
    assert is_reversed.mean() == pytest.approx(0.3, abs=0.03)
    assert set(lengths[is_reversed].tolist()) == {3}
    assert (text[is_reversed, :3] == [1000, 1001, 1002]).all()
    assert (lengths == 0).sum() / (~is_reversed).sum() == pytest.approx(0.2, abs=0.03)
    assert (lengths > 3).sum() / (~is_reversed).sum() == pytest.approx(0.8 * 0.5, abs=0.03)


def test_without_any_share_the_rows_are_those_that_were_read() -> None:
    given = rows(3)
    seen, is_reversed = captions_seen(given, range(ROWS), settings(), LAYOUT)
    assert all(np.array_equal(a, b) for a, b in zip(seen, given, strict=True))
    assert not is_reversed.any()


def test_captions_among_noise_are_trained_on(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    plain, noisy = (
        open_run(trained(shapes, tmp_path / str(share), steps=2, caption_noise=share)) for share in (0.0, 1.0)
    )
    for a, b in zip(plain.losses, noisy.losses, strict=True):
        assert 16 <= b["tokens"] - a["tokens"] <= 4 * 16
        assert b["tokens"] <= 16 * (plain.layout.length - 1)
