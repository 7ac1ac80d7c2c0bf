"""Which row is read when: bijections, windows, mixtures, and the same question asked both ways."""

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
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.merge import merge
from tuwen.manifests.order import shuffle as shuffle_module
from tuwen.manifests.order.mixture import Mixture, Phase, parse_phases
from tuwen.manifests.order.order import open_order
from tuwen.manifests.order.order_lookup import keys_at, reads_of_key
from tuwen.manifests.order.permutation import Permutation
from tuwen.manifests.order.shuffle import Shuffle, Shuffled, parse_shuffle
from tuwen.manifests.recipe.training import Train

from .synthetic import key_of, make_shards

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


# --- mixtures ---------------------------------------------------------------------------------------

weights = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


@given(first=weights, start=st.integers(1, 500), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_mixture_is_less_than_one_sample_away_from_its_shares_and_invertible(
    first: list[int], start: int, data: st.DataObject
) -> None:
    second = data.draw(st.lists(st.integers(0, 40), min_size=len(first), max_size=len(first)).filter(any))
    mixture = Mixture([Phase(0, tuple(first)), Phase(start, tuple(second))])
    sources, draws = mixture.at(np.arange(1500))
    for part, shares in ((sources[:start], first), (sources[start:], second)):
        counts = np.array([np.cumsum(part == source) for source in range(len(first))])
        exact = np.outer(shares, np.arange(1, len(part) + 1)) / sum(shares)
        assert np.abs(counts - exact).max() < 1
        cycle = sum(shares) // math.gcd(*shares)
        assert np.abs(counts[:, cycle - 1 :: cycle] - exact[:, cycle - 1 :: cycle]).max(initial=0) < 1e-6
    for source in range(len(first)):
        positions = np.flatnonzero(sources == source)
        assert draws[positions].tolist() == list(range(len(positions)))
        assert mixture.positions(source, draws[positions].tolist()) == positions.tolist()


@pytest.mark.parametrize(
    "phases",
    [
        [],
        [Phase(5, (1, 1))],
        [Phase(0, (1, 1)), Phase(0, (1, 2))],
        [Phase(0, (0, 0))],
        [Phase(0, (-1, 2))],
        [Phase(0, (1, 1)), Phase(9, (1,))],
        [Phase(0, (1, 1_000_000_007))],
    ],
)
def test_weights_that_cannot_be_are_refused(phases: list[Phase]) -> None:
    with pytest.raises(BadInput):
        Mixture(phases)


def test_phases_are_read_from_words() -> None:
    assert parse_phases("3,1", ["100:1,1"]) == [Phase(0, (3, 1)), Phase(100, (1, 1))]
    assert parse_phases(None, []) is None
    with pytest.raises(BadInput, match="--weights 3;1"):
        parse_phases("3;1", [])


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Manifest, Manifest, Manifest]:
    a = make_shards(tmp_path / "a", {"train": 90, "validation": 10}, name="a")
    b = make_shards(tmp_path / "b", {"train": 40, "validation": 10}, name="b")
    return merge([a, b], tmp_path / "mixed", [Phase(0, (3, 1)), Phase(200, (1, 1))]), a, b


def test_a_mixed_source_has_epochs_of_its_own_in_the_order_that_it_has_alone(
    mixed: tuple[Manifest, Manifest, Manifest],
) -> None:
    manifest, a, b = mixed
    keys = keys_at(manifest, open_order(manifest, "train", 0), 0, 400)
    names = np.array([bytes.fromhex(key[:2]).decode() for key in keys])
    assert (names[:200] == "a").sum() == 150
    assert (names[200:] == "a").sum() == 100
    for name, source in (("a", a), ("b", b)):
        own = [key for key in keys if bytes.fromhex(key[:2]).decode() == name]
        assert own == keys_at(source, open_order(source, "train", 0), 0, len(own))
        rows = source.document["splits"]["train"]["samples"]
        for epoch in range(len(own) // rows):
            assert len(set(own[epoch * rows : (epoch + 1) * rows])) == rows


def test_without_weights_a_merged_manifest_reads_every_sample_once_an_epoch(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 90}, name="a")
    b = make_shards(tmp_path / "b", {"train": 40}, name="b")
    merged = merge([a, b], tmp_path / "both")
    assert len(set(keys_at(merged, open_order(merged, "train", 0), 130, 130))) == 130


def test_a_source_with_weight_and_without_a_sample_is_refused_and_one_of_weight_0_is_not_read(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 90, "validation": 10}, name="a")
    b = make_shards(tmp_path / "b", {"train": 40, "validation": 0}, name="b")
    mixed = merge([a, b], tmp_path / "mixed", [Phase(0, (1, 1))])
    with pytest.raises(BadInput, match=r"source 1 .* has no sample in the split `validation`"):
        open_order(mixed, "validation", 0)
    only_a = merge([a, b], tmp_path / "only", [Phase(0, (1, 0))])
    keys = keys_at(only_a, open_order(only_a, "validation", 0), 0, 10, "validation")
    assert set(keys) == {key_of("a", "validation", row) for row in range(10)}


def test_a_mixed_source_of_other_blocks_is_windowed_by_its_own(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 90}, name="a", block_rows=16)
    b = make_shards(tmp_path / "b", {"train": 90}, name="b", block_rows=4)
    mixed = merge([a, b], tmp_path / "mixed", [Phase(0, (1, 1))])
    shuffle = parse_shuffle("window:2")
    keys = keys_at(mixed, open_order(mixed, "train", 0, shuffle), 0, 180)
    for name, source in (("a", a), ("b", b)):
        own = [key for key in keys if bytes.fromhex(key[:2]).decode() == name]
        assert own == keys_at(source, open_order(source, "train", 0, shuffle), 0, 90)


# --- what and when ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["global", "none", "window:4:2"])
def test_what_and_when_are_inverse(mixed: tuple[Manifest, Manifest, Manifest], words: str) -> None:
    for manifest in mixed:
        order = open_order(manifest, "train", 3, parse_shuffle(words))
        keys = keys_at(manifest, order, 20, 5)
        for number, key in enumerate(keys):
            readings = reads_of_key(manifest, order, key, batch=8, epochs=9)
            assert {"position": 20 + number, "step": (20 + number) // 8} in [
                {name: reading[name] for name in ("position", "step")} for reading in readings
            ]
            assert [keys_at(manifest, order, reading["position"], 1) for reading in readings] == [[key]] * 9
    with pytest.raises(BadInput, match="not in the split"):
        reads_of_key(manifest, order, key_of("c", "train", 0), batch=8, epochs=1)


def test_an_order_is_another_for_another_seed_shuffle_manifest_or_mixture(
    mixed: tuple[Manifest, Manifest, Manifest], tmp_path: Path
) -> None:
    manifest, a, b = mixed
    other = merge([a, b], tmp_path / "other", [Phase(0, (2, 1))])
    orders = [
        open_order(manifest, "train", 0), open_order(manifest, "train", 1), open_order(other, "train", 0),
        open_order(a, "train", 0), open_order(a, "validation", 0), open_order(a, "train", 0, parse_shuffle("none")),
        open_order(a, "train", 0, parse_shuffle("window:2")), open_order(a, "train", 0, parse_shuffle("window:4")),
    ]  # fmt: skip
    assert len({order.id for order in orders}) == len(orders)
    assert open_order(a, "train", 0).id == open_order(a, "train", 0).id
    with pytest.raises(BadInput, match="no split"):
        open_order(a, "test", 0)
