"""The whole model on each rank: the optimizer's state may be shared out, and no bit knows of it.

Ranks are threads; gradients are drawn by chance, and no model is run.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tuwen.manifests.order.shuffle import Shuffle
from tuwen.manifests.recipe.training import Lora
from tuwen.tokenize.sequence import compact_layout
from tuwen.train.ranks.ranks import Ranks
from tuwen.train.ranks.reduction import Reduction
from tuwen.train.run.preset import TrainSettings
from tuwen.train.run.run import RunDocument
from tuwen.train.run.schedule import OptimizerConfig
from tuwen.train.training.replica import Replica
from tuwen.train.transformer.model import ModelConfig

from .thread_ranks import on_ranks

MICRO_BATCHES, STEPS = 8, 4
CPU = torch.device("cpu")
# Sizes that 16 does not divide, so that tensors end within a vector and slices begin within tensors.
MODEL = ModelConfig(vocab_size=37, num_positions=11, width=18, depth=1, heads=2)


def document(reduction: Reduction = "exact", kind: Any = "adamw", lora: Lora | None = None) -> RunDocument:
    settings = TrainSettings(
        model=MODEL, lora=lora, batch=8, micro_batches=MICRO_BATCHES, reduction=reduction, lr=1e-2, seed=0,
        shuffle=Shuffle(), validate_every=0, validation_rows=1, telemetry=False,
    )  # fmt: skip
    optimizer = OptimizerConfig(
        kind=kind, num_steps=10, num_warmup_steps=2, max_gradient_norm=50.0, averaging=0.9, weight_decay=0.1
    )
    return RunDocument(
        shards="", image_tokenizer="", text_tokenizer="", layout=compact_layout(16, 4, 20, 4), settings=settings,
        optimizer=optimizer, precision="float32", threads=1,
    )  # fmt: skip


class After:
    """What a rank has after some steps."""

    def __init__(self, replica: Replica, norms: list[float]) -> None:
        assert replica.averaged is not None
        self.norms = norms
        self.weights = {**replica.weights(replica.model)}
        self.averaged = {**replica.weights(replica.averaged)}
        self.held = sum(field.numel() for fields in replica.optimizers[0].state.values() for field in fields.values())
        self.states = replica.optimizer_states()


def learn(
    steps: range, shares: bool, kind: Any = "adamw", before: After | None = None, lora: Lora | None = None
) -> Callable[[Ranks], After]:
    def work(ranks: Ranks) -> After:
        replica, norms = Replica(document(kind=kind, lora=lora), ranks, CPU, shares_optimizer=shares), []
        if before is not None:
            assert replica.averaged is not None
            replica.load_weights(replica.model, before.weights)
            replica.load_weights(replica.averaged, before.averaged)
            replica.load_optimizers(before.states)
        own = MICRO_BATCHES // ranks.world_size
        for step in steps:
            for number in range(ranks.rank * own, (ranks.rank + 1) * own):
                random = torch.Generator().manual_seed(MICRO_BATCHES * step + number)
                for parameter in replica.model.parameters():
                    parameter.grad = torch.randn(parameter.shape, generator=random)
                replica.add_gradient()
            norms.append(replica.gradient_norm(0.5))
            replica.learn(step, norms[-1])
        return After(replica, norms)

    return work


def flat(after: After) -> dict[str, Tensor]:
    """All tensors that a checkpoint has."""
    states = {
        f"{index}/{number}/{name}": field
        for index, optimizer in enumerate(after.states)
        for number, fields in optimizer["state"].items()
        for name, field in fields.items()
    }
    averaged = {f"averaged/{name}": tensor for name, tensor in after.averaged.items()}
    return {**after.weights, **averaged, **states}


def assert_equal(a: After, b: After) -> None:
    assert a.norms == b.norms
    left, right = flat(a), flat(b)
    assert left.keys() == right.keys()
    assert [name for name, tensor in left.items() if not torch.equal(tensor, right[name])] == []


@pytest.fixture(scope="module")
def alone() -> After:
    return learn(range(STEPS), shares=False)(Ranks())


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_ranks_that_share_the_optimizers_state_have_the_bits_of_one_and_hold_their_share_of_it(
    alone: After, world_size: int
) -> None:
    ranks = on_ranks(world_size, learn(range(STEPS), shares=True))
    assert_equal(alone, ranks[0])
    for rank in ranks:
        assert all(torch.equal(tensor, rank.weights[name]) for name, tensor in alone.weights.items())
        assert all(torch.equal(tensor, rank.averaged[name]) for name, tensor in alone.averaged.items())
        assert rank.norms == alone.norms
    num_weights = sum(tensor.numel() for tensor in alone.weights.values())
    assert alone.held == 2 * num_weights + len(alone.weights)  # two moments of each weight, and a step a tensor
    padded = num_weights + 16 * len(alone.weights) + 16 * MICRO_BATCHES
    assert all(rank.held <= 2 * padded / world_size + len(alone.weights) for rank in ranks)
    assert sum(rank.held for rank in ranks) == 2 * num_weights + world_size * len(alone.weights)


def test_ranks_that_do_not_share_it_have_the_bits_of_one_too(alone: After) -> None:
    assert_equal(alone, on_ranks(4, learn(range(STEPS), shares=False))[2])


def test_muon_has_the_bits_of_one_rank_on_four() -> None:
    both = [learn(range(2), shares=False, kind="muon")(Ranks()), on_ranks(4, learn(range(2), False, "muon"))[1]]
    assert_equal(*both)


def test_updates_of_low_rank_have_the_bits_of_one_rank_on_four_that_share_the_optimizers_state() -> None:
    one = learn(range(2), shares=False, lora=Lora(rank=3))(Ranks())
    assert_equal(one, on_ranks(4, learn(range(2), shares=True, lora=Lora(rank=3)))[0])


@pytest.mark.parametrize(
    ("earlier", "later"), [((4, True), (2, True)), ((1, False), (4, True)), ((8, True), (1, False))]
)
def test_a_checkpoint_of_any_number_of_ranks_goes_on_on_any_other(
    alone: After, earlier: tuple[int, bool], later: tuple[int, bool]
) -> None:
    before = on_ranks(earlier[0], learn(range(2), earlier[1]))[0]
    after = on_ranks(later[0], learn(range(2, STEPS), later[1], before=before))[0]
    after.norms[:0] = before.norms
    assert_equal(alone, after)


def test_nothing_is_collected_of_optimizers_that_have_done_no_step() -> None:
    assert on_ranks(2, learn(range(0), shares=True))[0].states[0]["state"] == {}
