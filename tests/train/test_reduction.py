"""The sum of gradients: one tree, whoever adds which part of it."""

import threading
from collections import defaultdict
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tuwen.train.ranks import Ranks
from tuwen.train.reduction import GradientTree

SHAPES = [torch.Size((3, 5)), torch.Size((7,)), torch.Size((2, 16))]

POST: dict[tuple[int, int], SimpleQueue[Tensor]] = defaultdict(SimpleQueue)  # (from, to) → tensors under way


class Threads(Ranks):
    """Ranks that are threads of one process, and post tensors to one another."""

    def exchange(self, partner: int, send: Tensor, receive: Tensor) -> None:
        POST[self.rank, partner].put(send.clone())
        receive.copy_(POST[partner, self.rank].get(timeout=10))


def leaves(count: int, seed: int) -> list[list[Tensor]]:
    """Gradients of many orders of magnitude: their sum shows in which order they were added."""
    random = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(s, generator=random) * 10 ** torch.randint(-6, 6, s, generator=random) for s in [*SHAPES, (2,)]]
        for _ in range(count)
    ]


def totals(count: int, world_size: int, seed: int) -> list[list[Tensor]]:
    """What each rank has at the end: gradients and metrics."""
    found: dict[int, list[Tensor]] = {}

    def work(ranks: Threads) -> None:
        tree = GradientTree(SHAPES, num_metrics=2, micro_batches=count, device=torch.device("cpu"))
        own = count // ranks.world_size
        for *gradients, metrics in leaves(count, seed)[ranks.rank * own : (ranks.rank + 1) * own]:
            tree.add(gradients, metrics)
        summed = tree.total(ranks)
        found[ranks.rank] = [*summed.gradients, summed.metrics]

    threads = [threading.Thread(target=work, args=(Threads(rank, world_size),)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(world_size)]


def in_pairs(values: list[np.ndarray]) -> np.ndarray:
    """The definition: the sum of both halves' sums."""
    half = len(values) // 2
    return values[0] if len(values) == 1 else in_pairs(values[:half]) + in_pairs(values[half:])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_any_number_of_ranks_has_the_sum_of_the_tree_on_every_rank(levels: int, cut: int, seed: int) -> None:
    count, world_size = 1 << levels, 1 << min(cut, levels)
    expected = [in_pairs([leaf[i].numpy() for leaf in leaves(count, seed)]) for i in range(len(SHAPES) + 1)]
    for of_rank in totals(count, world_size, seed):
        for summed, wanted in zip(of_rank, expected, strict=True):
            np.testing.assert_array_equal(summed.numpy(), wanted)


def test_the_order_of_the_sum_shows_in_these_gradients() -> None:
    """Else the test above would pass for any order."""
    one_by_one = sum(leaf[0] for leaf in leaves(8, seed=0))
    assert not torch.equal(one_by_one, totals(8, 1, seed=0)[0][0])  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 8, 64])
def test_a_rank_holds_one_buffer_more_than_its_tree_has_levels_at_most(count: int) -> None:
    tree = GradientTree(SHAPES, num_metrics=2, micro_batches=count, device=torch.device("cpu"))
    buffers = set[int]()
    for _ in range(2):
        for *gradients, metrics in leaves(count, seed=1):
            tree.add(gradients, metrics)
            buffers |= {id(summed) for summed in tree._sums}
        tree.total(Ranks())
    assert len(buffers) <= count.bit_length()
