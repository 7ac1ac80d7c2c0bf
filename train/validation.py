"""The loss on held-out rows, by kind of token and by source: the same rows at fixed steps, summed in the same tree.

    validation = Validation.of(document, shards, ranks, device)       # None when nothing is held out
    entry = validation.losses(model, steps_done=200)                  # the same on every rank

The rows are runs of a micro-batch each, spread evenly over the split, so that a huge one is read in few places.
Shapes: B rows, S sources.
"""

from dataclasses import dataclass
from typing import Self, TypedDict

import numpy as np
import torch
from torch import Tensor

from ..manifests.manifest import Manifest
from ..manifests.shards.split_reader import SplitReader
from ..tokenize.precision import matmul_dtype
from .micro_batch import MicroBatch
from .model import Transformer
from .ranks import Ranks
from .reduction import GradientTree
from .run import RunDocument

SPLIT = "validation"


class ValidationEntry(TypedDict):
    """A line of validation.jsonl."""

    step: int  # steps done
    loss: float  # mean nats per token
    text: float  # mean nats per token of text and commands
    codes: float  # mean nats per code
    sources: dict[str, float]  # mean nats per code, of the pairs of each source


@dataclass(frozen=True)
class Validation:
    document: RunDocument
    ranks: Ranks
    sources: list[str]
    batches: list[tuple[MicroBatch, Tensor] | None]  # this rank's, with (S, B) ones where a row is of a source
    counts_S2: Tensor  # targets of all ranks

    @classmethod
    def of(cls, document: RunDocument, shards: Manifest, ranks: Ranks, device: torch.device) -> Self | None:
        settings = document.settings
        held_out = shards.splits.get(SPLIT)
        if not settings.validate_every or held_out is None or not held_out.samples:
            return None
        reader = SplitReader(shards, SPLIT)
        runs = spread_runs(len(reader), settings.validation_rows, settings.batch // settings.micro_batches)
        of_run = [[meta["source"] for meta in reader.metas(run)] for run in runs]
        sources = sorted({source for names in of_run for source in names})
        own = settings.micro_batches // ranks.world_size
        rounds = -(-len(runs) // settings.micro_batches)
        numbers = [n for n in range(rounds * settings.micro_batches) if n // own % ranks.world_size == ranks.rank]
        batches: list[tuple[MicroBatch, Tensor] | None] = []
        counts = np.zeros((len(sources), 2), np.int64)
        for number in numbers:
            if number >= len(runs):
                batches.append(None)
                continue
            batch = MicroBatch.of(reader.rows(runs[number]), document.layout, device)
            is_of_SB = np.array([[name == source for name in of_run[number]] for source in sources])
            counts += is_of_SB.astype(np.int64) @ batch.counts_B2
            batches.append((batch, torch.from_numpy(is_of_SB.astype(np.float32)).to(device)))
        totals = ranks.total(counts.flatten().tolist())
        return cls(document, ranks, sources, batches, torch.tensor(totals, dtype=torch.float64).view(-1, 2))

    @torch.no_grad()
    def losses(self, model: Transformer, steps_done: int) -> ValidationEntry:
        settings, device = self.document.settings, next(model.parameters()).device
        shape = torch.Size((len(self.sources), 2))
        tree = GradientTree([shape], num_metrics=0, micro_batches=settings.micro_batches, device=device)
        own, nothing = settings.micro_batches // self.ranks.world_size, torch.empty(0, device=device)
        nats_S2 = torch.zeros(shape, dtype=torch.float64)
        model.eval()
        for start in range(0, len(self.batches), own):
            for each in self.batches[start : start + own]:
                tree.add([self._nats(model, each, shape)], nothing)
            nats_S2 += tree.total(self.ranks, settings.reduction).gradients[0].double().cpu()
        model.train()
        text, codes = (nats_S2.sum(dim=0) / self.counts_S2.sum(dim=0)).tolist()
        by_source = (nats_S2[:, 1] / self.counts_S2[:, 1]).tolist()
        return {
            "step": steps_done,
            "loss": float(nats_S2.sum() / self.counts_S2.sum()),
            "text": text,
            "codes": codes,
            "sources": dict(zip(self.sources, by_source, strict=True)),
        }

    def _nats(self, model: Transformer, each: tuple[MicroBatch, Tensor] | None, shape: torch.Size) -> Tensor:
        if each is None:  # fewer micro-batches than the tree has leaves
            return torch.zeros(shape, device=next(model.parameters()).device)
        batch, is_of_SB = each
        return is_of_SB @ batch.nats_B2(model, matmul_dtype(self.document.precision, is_of_SB.device))


def spread_runs(num_rows: int, most_rows: int, length: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """All rows in runs of `length`, the last of them shorter; of more than `most_rows` some runs, spread evenly."""
    if num_rows <= most_rows:
        return [np.arange(start, min(start + length, num_rows)) for start in range(0, num_rows, length)]
    count = max(1, most_rows // length)
    return [np.arange(length) + number * (num_rows // count) for number in range(count)]
