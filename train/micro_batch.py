"""Rows → one micro-batch of ids on the device, and its losses as sums.

    batch = MicroBatch.of(stream.next(), layout, device)
    batch.counts                                        # (targets of text and commands, targets of codes)
    nats = batch.nats(model, torch.bfloat16)            # (2,): summed nats of either kind

Sums, and not means: the loss of a step is one mean over all tokens of its global batch, however it is cut.
Shapes: B rows, L tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..manifests.shards.split_reader import Rows
from ..tokenize.precision import autocast
from ..tokenize.sequence import SequenceLayout
from .model import Transformer


@dataclass(frozen=True)
class MicroBatch:
    ids_BL: Tensor
    positions_BL: Tensor
    counts: tuple[int, int]  # targets of text and commands, targets of codes
    layout: SequenceLayout

    @classmethod
    def of(cls, rows: Rows, layout: SequenceLayout, device: torch.device) -> Self:
        ids, positions = layout.sequences(*rows)
        real = ids != layout.pad
        longest = int(real.sum(axis=1).max())  # padding is at the end: cut what all rows of this micro-batch have of it
        num_targets, num_codes = int(real[:, 1:].sum()), int((ids[:, 1:] < layout.text_offset).sum())
        return cls(
            torch.from_numpy(ids[:, :longest]).to(device),
            torch.from_numpy(positions[:, :longest]).to(device),
            (num_targets - num_codes, num_codes),
            layout,
        )

    def nats(self, model: Transformer, dtype: torch.dtype) -> Tensor:
        """Summed nats of text and commands, and of codes: (2,)."""
        with autocast(self.ids_BL.device, dtype):
            logits_BLV = model(self.ids_BL[:, :-1], self.positions_BL[:, :-1])
        return nats_by_kind(logits_BLV, self.ids_BL[:, 1:], self.layout)


def nats_by_kind(logits_BLV: Tensor, targets_BL: Tensor, layout: SequenceLayout) -> Tensor:
    """Summed nats of text and commands, and of codes: (2,). Padding does not count.

    The kind of a token is that of the target, the token that is predicted.
    """
    targets = targets_BL.flatten()
    nats = F.cross_entropy(logits_BLV.float().flatten(0, 1), targets, reduction="none")
    is_code = targets < layout.text_offset
    text = nats.masked_fill(is_code | (targets == layout.pad), 0.0)
    return torch.stack((text.sum(), nats.masked_fill(~is_code, 0.0).sum()))
