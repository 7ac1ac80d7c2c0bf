"""The join finds exactly the pairs within the radius, whatever the codes; components are those of union-find."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tuwen.pipeline.duplicates import hamming_join
from tuwen.pipeline.duplicates.components import components
from tuwen.pipeline.duplicates.hamming_join import hamming_pairs, plan_tables

U64 = NDArray[np.uint64]
Pairs = NDArray[np.int64]
ALL = np.uint64(2**64 - 1)


def by_comparing_all(codes: U64, radius: int) -> Pairs:
    near = np.bitwise_count(codes[:, None] ^ codes[None, :]) <= radius
    return np.column_stack(np.nonzero(np.triu(near, 1)))


def by_faiss(codes: U64, radius: int) -> Pairs:
    """Its range search takes what is nearer than the radius, not what is as near."""
    octets = codes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(octets)
    ends, _, other = index.range_search(octets, radius + 1)
    rows = np.repeat(np.arange(len(codes)), np.diff(ends.astype(np.int64)))
    pairs = np.column_stack([rows, other])[rows < other]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def flipped(codes: U64, bits: int, generator: np.random.Generator, among: range = range(64)) -> U64:
    """Each code with exactly so many of its bits flipped."""
    positions = np.argsort(generator.random((len(codes), len(among))), axis=1)[:, :bits] + among.start
    return codes ^ np.bitwise_or.reduce(np.uint64(1) << positions.astype(np.uint64), axis=1, initial=np.uint64(0))


def planted(radius: int, generator: np.random.Generator) -> dict[str, U64]:
    """Codes by what is awkward about them."""
    seeds = generator.integers(0, 2**64, 70, dtype=np.uint64)
    one, spread = seeds[:1], np.uint64(0x0101010101010101)
    small = np.arange(300, dtype=np.uint64)
    return {
        "random": seeds,
        "planted at the radius and one bit beyond": np.concatenate(
            [seeds, flipped(seeds, radius, generator), flipped(seeds, radius + 1, generator)]
        ),
        "all differences in eight bits": np.concatenate(
            [seeds, *(flipped(seeds, min(radius, 8), generator, range(at, at + 8)) for at in range(0, 57, 7))]
        ),
        "one difference in each byte": np.concatenate([seeds, *(seeds ^ (spread << small[at]) for at in range(8))]),
        "counting": small,
        "counting from the top": small << np.uint64(54),
        "counting in the middle, and inverted": np.concatenate([small << np.uint64(27), ~(small << np.uint64(27))]),
        "Gray code": (small ^ (small >> np.uint64(1))) << np.uint64(20),
        "all zeros, all ones": np.concatenate([np.array([0, ALL], np.uint64), flipped(np.full(99, ALL), 2, generator)]),
        "a ball": np.concatenate([flipped(np.repeat(one, 70), bits, generator) for bits in range(5)]),
        "most bits shared, with outliers": np.concatenate(
            [one ^ small, one ^ (np.uint64(1) << np.arange(10, 64, dtype=np.uint64)), seeds]
        ),
    }


@pytest.mark.parametrize(
    ("radius", "way"),
    [(radius, way) for radius in range(9) for way in ("as chosen", "keys even for few codes")]
    + [(radius, "every run joined again") for radius in (1, 2, 4)],
)
def test_the_join_finds_the_pairs_that_brute_force_and_faiss_find(
    radius: int, way: str, generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "as chosen":
        monkeypatch.setattr(hamming_join, "_TABLE_NS", 0.0)
        monkeypatch.setattr(hamming_join, "_COMPARE_NS", 100.0)
    if way == "every run joined again":
        monkeypatch.setattr(hamming_join, "_LONG_RUN", 2)
        monkeypatch.setattr(hamming_join, "_STRIP", 16)
    for name, codes in planted(radius, generator).items():
        distinct = generator.permutation(np.unique(codes))
        expected = by_comparing_all(distinct, radius) if radius else np.empty((0, 2), np.int64)
        assert np.array_equal(hamming_pairs(distinct, radius), expected), name
        if radius:
            assert np.array_equal(by_faiss(distinct, radius), expected), name


@settings(max_examples=60, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8),
    masks=st.lists(st.integers(0, 2**64 - 1), max_size=6),
    flips=st.lists(st.lists(st.integers(0, 63), max_size=9), max_size=12),
    radius=st.integers(1, 8),
)
def test_whatever_the_codes_every_pair_is_found_once(
    seeds: list[int], masks: list[int], flips: list[list[int]], radius: int
) -> None:
    codes = {*seeds, *(seed & mask for seed in seeds for mask in masks)}
    codes |= {code ^ sum(1 << bit for bit in set(bits)) for code in seeds for bits in flips}
    distinct = np.array(sorted(codes, key=lambda code: code * 0x9E3779B97F4A7C15 % 2**64), np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming_join, "_TABLE_NS", 0.0)
        patch.setattr(hamming_join, "_COMPARE_NS", 1e4)
        patch.setattr(hamming_join, "_LONG_RUN", 3)
        assert np.array_equal(hamming_pairs(distinct, radius), by_comparing_all(distinct, radius))


@pytest.mark.parametrize("radius", range(1, 9))
@pytest.mark.parametrize("num", [10**4, 10**6, 10**8, 10**10])
def test_no_choice_of_spoilt_bits_escapes_every_table(radius: int, num: int, generator: np.random.Generator) -> None:
    """The law that recall rests on, asked of the masks themselves, also for more codes than a test can hold."""
    masks = np.array(plan_tables(generator.integers(0, 2**64, 4096, dtype=np.uint64), radius, num).masks, np.uint64)
    spoilt = flipped(np.zeros(20_000, np.uint64), radius, generator)
    assert ((spoilt[:, None] & masks) == 0).any(axis=1).all()


def test_workers_and_slices_change_nothing(generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = generator.integers(0, 2**64, 40_000, dtype=np.uint64)
    codes = generator.permutation(np.unique(np.concatenate([seeds, flipped(seeds[:9_000], 4, generator)])))
    here = hamming_pairs(codes, 4)
    assert len(here) == 9_000
    monkeypatch.setattr(hamming_join, "_SMALL_NS", 0.0)
    monkeypatch.setattr(hamming_join, "_SLICE_CODES", 8_000)
    assert plan_tables(codes, 4).slices == 8
    assert np.array_equal(hamming_pairs(codes, 4), here)
    assert np.array_equal(here[np.lexsort((here[:, 1], here[:, 0]))], here)


def test_many_codes_that_share_most_bits_are_joined_by_the_others(generator: np.random.Generator) -> None:
    """They share 44 bits, so that many tables see a run of 60,000: it is joined again, by the bits that differ."""
    clump = np.unique(generator.integers(0, 2**20, 60_000, dtype=np.uint64)) << np.uint64(30)
    outliers = generator.integers(0, 2**64, 40_000, dtype=np.uint64)
    codes = np.unique(np.concatenate([clump, outliers]))
    pairs = hamming_pairs(codes, 1)
    beside = clump[:, None] ^ (np.uint64(1) << np.arange(30, 50, dtype=np.uint64))
    assert len(pairs) == np.isin(beside, clump).sum() // 2


@settings(max_examples=100, deadline=None)
@given(
    num=st.integers(1, 40),
    ties=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60),
)
def test_components_are_those_of_union_find(num: int, ties: list[tuple[int, int]]) -> None:
    inside = [(a, b) for a, b in ties if a < num and b < num]
    label = list(range(num))
    for a, b in inside:
        low, high = sorted((label[a], label[b]))
        label = [low if each == high else each for each in label]
    assert components(num, np.array(inside, np.int64).reshape(-1, 2)).tolist() == label


def test_a_chain_of_a_million_is_one_component(generator: np.random.Generator) -> None:
    chain = generator.permutation(10**6)
    labels = components(10**6 + 3, np.column_stack([chain[:-1], chain[1:]]))
    assert not labels[: 10**6].any() and labels[10**6 :].tolist() == [10**6, 10**6 + 1, 10**6 + 2]
