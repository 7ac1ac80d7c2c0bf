"""Leaders: the outcome is that of going through pictures one by one, best first, however they are compared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.pipeline.duplicates.components import components
from tuwen.pipeline.duplicates.leader_pass import Compare, NearDuplicates, Neighbours, leader_pass

MAX_PICTURES = 14


@st.composite
def neighbourhoods(draw: st.DrawFn) -> tuple[Neighbours, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures with few codes, pairs of near codes, ranks with some protected in front, and a table of differences."""
    count = draw(st.integers(0, MAX_PICTURES))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    _, codes = np.unique(random.integers(0, max(1, draw(st.integers(1, MAX_PICTURES))), count), return_inverse=True)
    num_codes = int(codes.max(initial=-1)) + 1
    some = np.array([pair for pair in np.ndindex(num_codes, num_codes) if pair[0] < pair[1]], np.int64).reshape(-1, 2)
    near = some[random.random(len(some)) < draw(st.sampled_from([0.0, 0.2, 0.7]))]
    pairs = np.array([pair for pair in np.ndindex(count, count) if pair[0] < pair[1]], np.int64).reshape(-1, 2)
    certain = pairs[random.random(len(pairs)) < draw(st.sampled_from([0.0, 0.1]))]
    differences = random.choice([0.1, 0.5, 1.0, 1.5, np.inf], size=(count, count)).astype(np.float32)
    differences = np.minimum(differences, differences.T)
    rank = random.permutation(count)
    protected = rank < draw(st.integers(0, 3))
    return Neighbours(codes[:, None], near, certain), rank, protected, differences


def by_table(differences: np.ndarray) -> Compare:
    return lambda a, b, transpose: differences[a, b]


def ties_of(near: Neighbours, differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which two are duplicates: proposed and alike, or certain; and how much they differ."""
    codes = near.codes[:, 0]
    beside = np.eye(int(codes.max(initial=-1)) + 1, dtype=bool)
    beside[near.near[:, 0], near.near[:, 1]] = beside[near.near[:, 1], near.near[:, 0]] = True
    alike = beside[codes[:, None], codes[None, :]] & (differences <= 1)
    how = np.where(alike, differences, np.inf)
    duplicates = alike.copy()
    for a, b in near.certain.tolist():
        duplicates[a, b] = duplicates[b, a] = True
    np.fill_diagonal(duplicates, False)
    return duplicates, how


def one_by_one(near: Neighbours, rank: np.ndarray, protected: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """The plain definition, in as many steps as there are pictures."""
    duplicates, how = ties_of(near, differences)
    leader = np.arange(len(rank))
    for picture in np.argsort(rank).tolist():
        better = [
            other for other in np.flatnonzero(duplicates[picture]).tolist()
            if rank[other] < rank[picture] and leader[other] == other
        ]  # fmt: skip
        if better and not protected[picture]:
            leader[picture] = min(better, key=lambda o: (not protected[o], how[picture, o], rank[o]))
    return leader


@settings(max_examples=150, deadline=None)
@given(neighbourhoods())
def test_the_outcome_is_that_of_going_through_the_pictures_one_by_one(
    case: tuple[Neighbours, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    near, rank, protected, differences = case
    found = leader_pass(near, rank, protected, by_table(differences))
    assert found.leader.tolist() == one_by_one(near, rank, protected, differences).tolist()


@settings(max_examples=150, deadline=None)
@given(neighbourhoods())
def test_ties_connect_all_duplicates_and_nothing_else(
    case: tuple[Neighbours, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    near, rank, protected, differences = case
    found = leader_pass(near, rank, protected, by_table(differences))
    duplicates, _ = ties_of(near, differences)
    every_tie = np.argwhere(duplicates)
    assert components(len(rank), found.ties).tolist() == components(len(rank), every_tie).tolist()
    assert all(duplicates[a, b] for a, b in found.ties.tolist())


@settings(max_examples=100, deadline=None)
@given(neighbourhoods(), st.randoms(use_true_random=False))
def test_another_order_of_the_pictures_changes_nothing(
    case: tuple[Neighbours, np.ndarray, np.ndarray, np.ndarray], random: object
) -> None:
    near, rank, protected, differences = case
    found = leader_pass(near, rank, protected, by_table(differences))
    moved = np.array(random.sample(range(len(rank)), len(rank)), np.int64)  # type: ignore[attr-defined]
    back = np.argsort(moved)
    _, codes = np.unique(near.codes[moved], return_inverse=True)
    assert len(np.unique(near.codes)) == len(np.unique(codes))
    shuffled = Neighbours(near.codes[moved], near.near, back[near.certain])
    again = leader_pass(shuffled, rank[moved], protected[moved], by_table(differences[np.ix_(moved, moved)]))
    assert moved[again.leader][back].tolist() == found.leader.tolist()


def clique(count: int) -> Neighbours:
    nothing = np.empty((0, 2), np.int64)
    return Neighbours(np.zeros((count, 1), np.int64), nothing, nothing)


@pytest.mark.parametrize("count", [2, 1_000, 100_000])
def test_a_clique_of_copies_costs_a_comparison_each_not_one_a_pair(count: int) -> None:
    compared = 0

    def alike(a: np.ndarray, b: np.ndarray, transpose: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(a)
        return np.zeros(len(a), np.float32)

    found: NearDuplicates = leader_pass(clique(count), np.arange(count)[::-1], np.zeros(count, bool), alike)
    assert (found.leader == count - 1).all()
    assert compared == count - 1


def test_a_chain_does_not_swallow_its_ends() -> None:
    """a is near b, b near c, c near d; a and c are unlike: c is kept, and both dropped pictures are near a kept one."""
    rank = np.arange(4)
    chain = np.where(np.abs(rank[:, None] - rank[None, :]) <= 1, 0.5, np.inf).astype(np.float32)
    found = leader_pass(clique(4), rank, np.zeros(4, bool), by_table(chain))
    assert found.leader.tolist() == [0, 0, 2, 2]
    assert components(4, found.ties).tolist() == [0, 0, 0, 0]


def test_a_flipped_picture_is_found_by_the_code_of_its_flip() -> None:
    """Picture 1 has the code that picture 0 has when it is mirrored: they are compared so."""
    codes = np.array([[0, 2, 3, 4, 5, 6, 7, 8], [2, 0, 9, 10, 11, 12, 13, 14]])
    nothing = np.empty((0, 2), np.int64)
    compared = []

    def compare(a: np.ndarray, b: np.ndarray, transpose: np.ndarray) -> np.ndarray:
        compared.extend(zip(a.tolist(), b.tolist(), transpose.tolist(), strict=True))
        return np.full(len(a), 0.3, np.float32)

    found = leader_pass(Neighbours(codes, nothing, nothing), np.array([0, 1]), np.zeros(2, bool), compare)
    assert found.leader.tolist() == [0, 0]
    assert compared == [(0, 1, 0)]
