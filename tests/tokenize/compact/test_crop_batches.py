"""Batches of crops from mapped files: an order that is a function of seed and step, each picture once an epoch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.tokenize.compact.crop_batches import CropBatches
from tuwen.tokenize.image_codes import Pictures


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures 0 … 18 of 16 px in three files; picture n has n in its left half."""
    folder = tmp_path_factory.mktemp("crops")
    pictures = np.zeros((19, 16, 16, 3), np.uint8)
    pictures[:, :, :8] = np.arange(19)[:, None, None, None]
    parts = [pictures[:7], pictures[7:8], pictures[8:]]
    paths = [folder / f"{number}.npy" for number in range(3)]
    for path, part in zip(paths, parts, strict=True):
        np.save(path, part)
    return paths


def numbers(batch: Pictures) -> list[int]:
    """The number of each picture, mirrored or not."""
    return [int(picture.max()) for picture in batch]


@given(batch=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_every_epoch_has_each_picture_once(files: list[Path], batch: int, seed: int) -> None:
    crops = CropBatches(files, batch, seed)
    seen = [number for step in range(-(-3 * 19 // batch)) for number in numbers(crops.batch(step))]
    for epoch in range(3):
        assert sorted(seen[19 * epoch : 19 * (epoch + 1)]) == list(range(19))


@given(seed=st.integers(0, 2**40), first=st.integers(0, 1000), count=st.integers(0, 9))
def test_what_is_read_ahead_is_a_function_of_the_step_wherever_one_begins(
    files: list[Path], seed: int, first: int, count: int
) -> None:
    crops = CropBatches(files, 4, seed)
    ahead = list(crops.ahead(first, first + count))
    assert len(ahead) == count
    again = CropBatches(files, 4, seed)
    assert all(np.array_equal(ahead[i], again.batch(first + i)) for i in reversed(range(count)))


def test_other_seeds_give_other_orders_and_half_of_the_pictures_are_mirrored(files: list[Path]) -> None:
    orders = {tuple(CropBatches(files, 19, seed).rows(0)) for seed in range(10)}
    assert len(orders) == 10
    crops = CropBatches(files, 19, 0)
    mirrored = [picture[0, 0, 0] == 0 for step in range(50) for picture in crops.batch(step) if picture.max()]
    assert 0.45 < np.mean(mirrored) < 0.55
    assert {bool((p == p[:, ::-1]).all()) for p in crops.batch(0) if p.max()} == {False}


@given(step=st.integers(0, 1000), shift=st.integers(1, 8))
def test_a_shifted_picture_is_a_part_of_the_one_with_repeated_edges(files: list[Path], step: int, shift: int) -> None:
    still, moved = CropBatches(files, 4, seed=0), CropBatches(files, 4, seed=0, shift_px=shift)
    for picture, shifted in zip(still.batch(step), moved.batch(step), strict=True):
        wide = np.pad(picture, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
        places = [
            wide[top : top + 16, left : left + 16] for top in range(2 * shift + 1) for left in range(2 * shift + 1)
        ]
        assert any(np.array_equal(shifted, place) for place in places)


def test_shifts_differ_from_picture_to_picture(files: list[Path]) -> None:
    batches = [CropBatches(files, 19, 0, shift_px=4).batch(step) for step in range(10)]
    edges = {int((picture[0, :, 0] > 0).argmin()) for batch in batches for picture in batch if picture.max()}
    assert len(edges) >= 5
