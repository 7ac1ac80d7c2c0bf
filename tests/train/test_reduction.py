"""The sum of gradients: one tree, whoever adds which part of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tuwen.train.ranks.flat import FlatLayout
from tuwen.train.ranks.ranks import Ranks
from tuwen.train.ranks.reduction import GradientTree, Reduction, in_pairs, norm_in_pieces, spread

from .thread_ranks import on_ranks

SHAPES = [torch.Size((3, 5)), torch.Size((7,)), torch.Size((2, 16))]
CPU = torch.device("cpu")


def leaves(count: int, seed: int) -> list[list[Tensor]]:
    """Gradients of many orders of magnitude: their sum shows in which order they were added."""
    random = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(s, generator=random) * 10 ** torch.randint(-6, 6, s, generator=random) for s in SHAPES]
        for _ in range(count)
    ]


def totals(count: int, world_size: int, seed: int, reduction: Reduction = "exact") -> list[tuple[list[Tensor], float]]:
    """What each rank has at the end: gradients and their norm."""
    layout = FlatLayout.of(SHAPES, pieces=count)

    def work(ranks: Ranks) -> tuple[list[Tensor], float]:
        tree = GradientTree(layout, CPU)
        own = count // ranks.world_size
        for gradients in leaves(count, seed)[ranks.rank * own : (ranks.rank + 1) * own]:
            tree.add(gradients)
        summed = tree.total(ranks, reduction)
        norm = norm_in_pieces(summed, layout.pieces, ranks).item()
        spread(summed.data, ranks)
        return summed.gradients, norm

    return on_ranks(world_size, work)


def pairwise(values: list[np.ndarray]) -> np.ndarray:
    """The definition: the sum of both halves' sums."""
    half = len(values) // 2
    return values[0] if len(values) == 1 else pairwise(values[:half]) + pairwise(values[half:])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_any_number_of_ranks_has_the_sum_of_the_tree_and_its_norm_on_every_rank(
    levels: int, cut: int, seed: int
) -> None:
    count, world_size = 1 << levels, 1 << min(cut, levels)
    expected = [pairwise([leaf[i].numpy() for leaf in leaves(count, seed)]) for i in range(len(SHAPES))]
    ((_, alone),) = totals(count, 1, seed)
    assert alone == pytest.approx(np.sqrt(sum((each.astype(np.float64) ** 2).sum() for each in expected)), rel=1e-5)
    for gradients, norm in totals(count, world_size, seed):
        for summed, wanted in zip(gradients, expected, strict=True):
            np.testing.assert_array_equal(summed.numpy(), wanted)
        assert norm == alone


def test_the_order_of_the_sum_shows_in_these_gradients() -> None:
    """Else the test above would pass for any order."""
    one_by_one = sum(leaf[0] for leaf in leaves(8, seed=0))
    assert not torch.equal(one_by_one, totals(8, 1, seed=0)[0][0][0])  # type: ignore[arg-type]


def test_numbers_of_all_ranks_come_in_their_order_and_are_summed_in_the_same_tree() -> None:
    numbers = torch.randn(8, 2) * 10 ** torch.arange(-4, 4)[:, None]
    for world_size in (1, 2, 8):
        own = 8 // world_size
        for collected in on_ranks(
            world_size, lambda ranks, own=own: ranks.collected(numbers[ranks.rank * own : (ranks.rank + 1) * own])
        ):
            assert torch.equal(collected, numbers)
    np.testing.assert_array_equal(in_pairs(numbers).numpy(), pairwise(list(numbers.numpy())))


@pytest.mark.parametrize("count", [1, 8, 64])
def test_a_rank_holds_one_buffer_more_than_its_tree_has_levels_at_most(count: int) -> None:
    tree = GradientTree(FlatLayout.of(SHAPES, pieces=count), CPU)
    buffers = set[int]()
    for _ in range(2):
        for gradients in leaves(count, seed=1):
            tree.add(gradients)
            buffers |= {id(summed) for summed in tree._sums}
        tree.total(Ranks())
    assert len(buffers) <= count.bit_length()


@given(st.lists(st.integers(0, 70), min_size=1, max_size=6), st.integers(0, 4))
def test_slices_of_a_buffer_hold_each_float_of_each_tensor_once_and_begin_at_64_bytes(
    counts: list[int], level: int
) -> None:
    layout = FlatLayout.of([torch.Size((count,)) for count in counts], pieces=16)
    seen: list[list[int]] = [[] for _ in counts]
    for rank in range(1 << level):
        own = Ranks(rank, 1 << level).slice_of(layout.size)
        assert own.start % 16 == 0
        for numbers, within in zip(seen, layout.ranges(own), strict=True):
            numbers.extend(range(within.start, within.stop))
    assert [sorted(numbers) for numbers in seen] == [list(range(count)) for count in counts]
