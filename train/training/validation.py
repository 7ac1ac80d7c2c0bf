"""The loss on held-out rows, by kind of token and by source: the same rows at fixed steps, summed in the same tree.

    validation = Validation.of(document, shards, ranks, device)       # None when nothing is held out
    entry = validation.losses(model, steps_done=200)                  # the same on every rank

The rows are runs of a micro-batch each, spread evenly over the split, so that a huge one is read in few places.
Shapes: B rows, S sources.
"""

from dataclasses import dataclass
from typing import NotRequired, Self, TypedDict

import numpy as np
import torch
from torch import Tensor

from ...manifests.manifest import Manifest
from ...tokenize.precision import matmul_dtype
from ..ranks.ranks import Ranks
from ..ranks.reduction import in_pairs
from ..reading import coin
from ..reading.two_grids import open_reader
from ..run.run import RunDocument
from ..transformer.micro_batch import MicroBatch
from ..transformer.model import Transformer

SPLIT = "validation"


class ValidationEntry(TypedDict):
    """A line of validation.jsonl."""

    step: int  # steps done
    loss: float  # mean nats per token
    text: float  # mean nats per token of text and commands
    codes: float  # mean nats per code
    sources: dict[str, float]  # mean nats per code, of the pairs of each source
    reverse: NotRequired[float]  # mean nats per piece of captions after their picture, of a run that learns them


@dataclass(frozen=True)
class HeldOut:
    """The rows of one micro-batch."""

    batch: MicroBatch
    is_of_SB: Tensor  # 1 where a row is of a source
    reversed: MicroBatch | None  # the same rows, where the run learns captions from pictures


@dataclass(frozen=True)
class Validation:
    document: RunDocument
    ranks: Ranks
    sources: list[str]
    batches: list[HeldOut]  # this rank's
    counts_S2: Tensor  # targets of all ranks
    captions: int  # targets of the reversed rows' captions, of all ranks

    @classmethod
    def of(cls, document: RunDocument, shards: Manifest, ranks: Ranks, device: torch.device) -> Self | None:
        settings = document.settings
        held_out = shards.splits.get(SPLIT)
        if not settings.validate_every or held_out is None or not held_out.samples:
            return None
        finer = document.finer
        reader = open_reader(shards, SPLIT, finer=finer.array if finer else None)
        runs = spread_runs(len(reader), settings.validation_rows, settings.batch // settings.micro_batches)
        of_run = [[meta["source"] for meta in reader.metas(run)] for run in runs]
        sources = sorted({source for names in of_run for source in names})
        own = settings.micro_batches // ranks.world_size
        rounds = -(-len(runs) // settings.micro_batches)
        numbers = [n for n in range(rounds * settings.micro_batches) if n // own % ranks.world_size == ranks.rank]
        batches: list[HeldOut] = []
        counts, captions = np.zeros((len(sources), 2), np.int64), 0
        for number in numbers:
            is_extra = number >= len(runs)  # all ranks call the model equally often; such rows are of no source
            run = 0 if is_extra else number
            rows, layout = reader.rows(runs[run]), document.layout
            if finer is None:
                batch = MicroBatch.of(rows, layout, device)
            else:
                origins = finer.origins_of(coin.numbers("held-out window", 0, runs[run].tolist(), 2))
                batch = MicroBatch.of_windows(rows, origins, finer, device)
            backwards = MicroBatch.of(rows, layout, device, is_reversed=True) if settings.reverse else None
            captions += int(backwards.counts_B2[:, 0].sum()) if backwards and not is_extra else 0
            is_of_SB = np.array([[name == source and not is_extra for name in of_run[run]] for source in sources])
            counts += is_of_SB.astype(np.int64) @ batch.counts_B2
            batches.append(HeldOut(batch, torch.from_numpy(is_of_SB.astype(np.float32)).to(device), backwards))
        *totals, captions = ranks.total([*counts.flatten().tolist(), captions])
        return cls(document, ranks, sources, batches, torch.tensor(totals, dtype=torch.float64).view(-1, 2), captions)

    @torch.no_grad()
    def losses(self, model: Transformer, steps_done: int) -> ValidationEntry:
        dtype = matmul_dtype(self.document.precision, next(model.parameters()).device)
        own = self.document.settings.micro_batches // self.ranks.world_size
        sums = torch.zeros(2 * len(self.sources) + 1, dtype=torch.float64)
        model.eval()
        for start in range(0, len(self.batches), own):
            of_own = [_nats(model, each, dtype) for each in self.batches[start : start + own]]
            sums += in_pairs(self.ranks.collected(torch.stack(of_own))).double().cpu()
        model.train()
        nats_S2, of_captions = sums[:-1].view(-1, 2), sums[-1].item()
        text, codes = (nats_S2.sum(dim=0) / self.counts_S2.sum(dim=0)).tolist()
        by_source = (nats_S2[:, 1] / self.counts_S2[:, 1]).tolist()
        entry: ValidationEntry = {
            "step": steps_done,
            "loss": float(nats_S2.sum() / self.counts_S2.sum()),
            "text": text,
            "codes": codes,
            "sources": dict(zip(self.sources, by_source, strict=True)),
        }
        if self.captions:
            entry["reverse"] = of_captions / self.captions
        return entry


def _nats(model: Transformer, each: HeldOut, dtype: torch.dtype) -> Tensor:
    """The nats of each source, of text and of codes, and those of captions after their pictures: (2 · S + 1,)."""
    of_sources_S2 = each.is_of_SB @ each.batch.nats_B2(model, dtype)
    of_captions = of_sources_S2.new_zeros(())
    if each.reversed is not None:
        of_captions = each.is_of_SB.sum(dim=0) @ each.reversed.nats_B2(model, dtype)[:, 0]
    return torch.cat((of_sources_S2.flatten(), of_captions[None]))


def spread_runs(num_rows: int, most_rows: int, length: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """All rows in runs of `length`, the last of them shorter; of more than `most_rows` some runs, spread evenly."""
    if num_rows <= most_rows:
        return [np.arange(start, min(start + length, num_rows)) for start in range(0, num_rows, length)]
    count = max(1, most_rows // length)
    return [np.arange(length) + number * (num_rows // count) for number in range(count)]
