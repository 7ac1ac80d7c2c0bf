"""The order of the rows of one source: a bijection, and windows of blocks."""

import hashlib
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tuwen.manifests.errors import BadInput
from tuwen.manifests.order import shuffle as shuffle_module
from tuwen.manifests.order.order import open_order
from tuwen.manifests.order.permutation import Permutation
from tuwen.manifests.order.shuffle import Shuffle, Shuffled, parse_shuffle
from tuwen.manifests.recipe.training import Train

from .synthetic import make_shards

# --- the permutation --------------------------------------------------------------------------------


def test_the_permutation_is_a_bijection_for_every_small_n_and_its_inverse_undoes_it() -> None:
    for n in range(2051):
        permutation = Permutation(n, seed=n % 7, source="s", epoch=n % 3)
        indices = np.arange(n, dtype=np.uint64)
        rows = permutation.forward(indices)
        assert np.array_equal(np.sort(rows), indices), n
        assert np.array_equal(permutation.inverse(rows), indices), n


@pytest.mark.parametrize("k", range(1, 23))
def test_no_record_is_lost_around_powers_of_two(k: int) -> None:
    for n in (2**k - 1, 2**k, 2**k + 1):
        permutation = Permutation(n, 1, "s", 0)
        seen = np.zeros(n, dtype=bool)
        for start in range(0, n, 1 << 16):
            indices = np.arange(start, min(start + (1 << 16), n), dtype=np.uint64)
            rows = permutation.forward(indices)
            assert np.array_equal(permutation.inverse(rows), indices)
            seen[rows] = True
        assert seen.all()


@given(n=st.integers(2**22, 2**63 - 1), seed=st.integers(0, 2**64), epoch=st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_the_inverse_undoes_the_permutation_of_any_size(n: int, seed: int, epoch: int) -> None:
    permutation = Permutation(n, seed, "s", epoch)
    indices = np.unique(np.random.default_rng(seed).integers(0, n, 200).astype(np.uint64))
    rows = permutation.forward(indices)
    assert np.array_equal(permutation.inverse(rows), indices)
    assert len(np.unique(rows)) == len(indices)


def encrypted(value: int, n: int, seed: int, source: str, epoch: int) -> int:
    """The permutation written down once more, a value at a time and in Python's own integers."""
    hasher = hashlib.blake2b(digest_size=64)
    for field in ("tuwen/permutation/1", str(seed), source, str(epoch)):
        hasher.update(len(field.encode()).to_bytes(8, "little") + field.encode())
    keys = [int.from_bytes(hasher.digest()[at : at + 8], "little") for at in range(0, 64, 8)]
    bits, full = (n - 1).bit_length(), 2**64 - 1
    left_bits, right_bits = bits // 2, bits - bits // 2
    while True:
        left, right = value >> right_bits, value % 2**right_bits
        widths = [left_bits, right_bits]
        for key in keys:
            mixed = (right + key) & full
            mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & full
            mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & full
            left, right = right, left ^ ((mixed ^ (mixed >> 31)) % 2 ** widths[0])
            widths.reverse()
        value = (left << right_bits) | right
        if value < n:
            return value


@given(n=st.integers(2, 2**63 - 1), seed=st.integers(0, 2**64), source=st.text(max_size=9), epoch=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_permutation_is_what_its_definition_says(n: int, seed: int, source: str, epoch: int) -> None:
    """By tables (many values, few bits) and without (few values, or many bits)."""
    indices = np.unique(np.random.default_rng(seed).integers(0, n, 9).astype(np.uint64))
    expected = [encrypted(int(index), n, seed, source, epoch) for index in indices]
    permutation = Permutation(n, seed, source, epoch)
    assert permutation.forward(indices).tolist() == expected
    assert permutation.forward(np.tile(indices, 3000))[: len(indices)].tolist() == expected


def chi_squared(counts: np.ndarray) -> float:
    """In standard deviations above what chance gives."""
    expected = counts.sum() / counts.size
    freedom = counts.size - counts.shape[0] - (counts.shape[1] if counts.ndim > 1 else 0) + 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


@pytest.mark.parametrize("n", [3, 7, 10, 16, 33])
def test_every_row_is_equally_likely_at_every_position(n: int) -> None:
    counts = np.zeros((n, n))
    for seed in range(4000):
        counts[np.arange(n), Permutation(n, seed, "s", 0).forward(np.arange(n, dtype=np.uint64)).astype(int)] += 1
    assert chi_squared(counts) < 4.5


@pytest.mark.parametrize("n", [4096, 5000, 65_537])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_low_bits_of_the_place_say_nothing_of_low_bits_of_the_row(n: int, bits: int) -> None:
    """A weak round function keeps parity: even ranks would then see odd rows only."""
    indices = np.arange(n, dtype=np.uint64)
    low = 1 << bits
    counts = np.zeros((low, low))
    for seed in range(12):
        rows = Permutation(n, seed, "s", 0).forward(indices)
        np.add.at(counts, (indices % low, rows % low), 1)
    assert chi_squared(counts) < 4.5


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 8}, {"source": "t"}])
def test_epochs_seeds_and_sources_are_ordered_independently(other: dict[str, object]) -> None:
    """A permutation of seed + epoch would read epoch 1 of seed 7 as epoch 0 of seed 8."""
    n, cells = 20_000, 12
    indices = np.arange(n, dtype=np.uint64)
    one = {"seed": 7, "source": "s", "epoch": 0}
    a = Permutation(n, **one).forward(indices)  # type: ignore[arg-type]
    b = Permutation(n, **{**one, **other}).forward(indices)  # type: ignore[arg-type]
    counts = np.zeros((cells, cells))
    np.add.at(counts, (a.astype(int) * cells // n, b.astype(int) * cells // n), 1)
    assert chi_squared(counts) < 4.5
    assert (a == b).sum() < 12  # of two independent orders one row in n stands at the same place


def test_neighbours_do_not_stay_neighbours() -> None:
    rows = Permutation(50_000, 3, "s", 0).forward(np.arange(50_000, dtype=np.uint64)).astype(int)
    steps = np.abs(np.diff(rows))
    assert abs(steps.mean() / 50_000 - 1 / 3) < 0.01
    assert (steps == 1).sum() < 12


def test_the_permutation_never_changes_between_versions() -> None:
    rows = Permutation(1000, 42, "sha256:abc/train", 3).forward(np.arange(8, dtype=np.uint64))
    assert rows.tolist() == [281, 546, 47, 838, 485, 115, 725, 968]
    large = Permutation(10**12 + 39, 2**63, "图", 10**6).forward(np.array([0, 1, 10**12], dtype=np.uint64))
    assert large.tolist() == [851476838388, 931023562070, 620847753260]


def test_what_lies_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Permutation(10, 0, "s", 0).forward(np.array([10], dtype=np.uint64))
    with pytest.raises(ValueError, match="2\\*\\*63"):
        Permutation(2**63, 0, "s", 0)


# --- windows ----------------------------------------------------------------------------------------

windows = st.tuples(st.integers(1, 400), st.integers(1, 20), st.integers(1, 4), st.integers(1, 6))


@given(shape=windows, seed=st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_a_window_shuffle_reads_every_row_once_an_epoch_and_has_an_inverse(
    shape: tuple[int, int, int, int], seed: int
) -> None:
    num_rows, block_rows, run, runs = shape
    shuffled = Shuffled("s", num_rows, seed, Shuffle(kind="window", blocks=run * runs, run=run), block_rows)
    draws = np.arange(3 * num_rows)
    rows = shuffled.rows(draws)
    for epoch in range(3):
        assert sorted(rows[epoch * num_rows : (epoch + 1) * num_rows]) == list(range(num_rows))
    one = seed % num_rows
    assert shuffled.draws(one, 3) == np.flatnonzero(rows == one).tolist()


def test_a_window_touches_no_more_than_its_blocks_and_mixes_their_rows() -> None:
    shuffled = Shuffled("s", 1000, 0, Shuffle(kind="window", blocks=4), block_rows=10)
    rows = shuffled.rows(np.arange(1000)).reshape(25, 40)
    assert all(len(set((window // 10).tolist())) == 4 for window in rows)
    assert len({tuple(sorted(set((window // 10).tolist()))) for window in rows}) == 25
    assert (np.abs(np.diff(rows[0])) == 1).sum() < 10
    assert not np.array_equal(rows, shuffled.rows(np.arange(1000, 2000)).reshape(25, 40))


def test_blocks_of_a_run_stay_side_by_side_so_that_a_shard_is_fetched_once_an_epoch() -> None:
    shuffled = Shuffled("s", 960, 0, Shuffle(kind="window", blocks=8, run=4), block_rows=10)
    windows = shuffled.rows(np.arange(960)).reshape(12, 80)
    shards = [set((window // 40).tolist()) for window in windows]
    assert all(len(found) == 2 for found in shards)
    assert sorted(itertools.chain(*shards)) == list(range(24))


def test_none_is_the_order_of_the_shards() -> None:
    assert Shuffled("s", 7, 3, Shuffle(kind="none"), 4).rows(np.arange(9)).tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_shuffles_are_read_from_words() -> None:
    assert parse_shuffle("window:64:16") == Shuffle(kind="window", blocks=64, run=16)
    assert parse_shuffle("global") == Shuffle()
    for wrong in ("windows", "window:x", "window:10:3", "window:0", "window:64:16:2", "global:3"):
        with pytest.raises(BadInput, match=wrong):
            parse_shuffle(wrong)


class OddRowsFirst:
    """A shuffle that a reader of the README adds: one class."""

    settings = ()

    def __init__(self, shuffled: Shuffled, epoch: int) -> None:
        self._order = [*range(1, shuffled.num_rows, 2), *range(0, shuffled.num_rows, 2)]

    def rows(self, indices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.array(self._order)[indices]

    def index(self, row: int) -> int:
        return self._order.index(row)


def test_a_shuffle_is_added_by_one_row_of_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="use one of global, window, none"):
        Shuffle(kind="odd")
    monkeypatch.setitem(shuffle_module.SHUFFLES, "odd", OddRowsFirst)
    order = open_order(make_shards(tmp_path, {"train": 5}), "train", 0, parse_shuffle("odd"))
    assert order.rows(np.arange(10)).tolist() == [1, 3, 0, 2, 4] * 2
    assert order.positions(3, num_epochs=2) == [1, 6]
    assert Train.model_validate({"shuffle": {"kind": "odd"}}).shuffle.document() == {"kind": "odd"}
