"""Rows → one micro-batch of ids on the device, and its losses as sums.

    batch = MicroBatch.of(stream.next(), layout, device)
    batch.counts_B2                                     # targets of each row: of text and commands, of codes
    nats_B2 = batch.nats_B2(model, torch.bfloat16)      # their summed nats

Sums, and not means: the loss of a step is one mean over all tokens of its global batch, however it is cut.
Shapes: B rows, L tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..manifests.shards.split_reader import Rows
from ..tokenize.precision import autocast
from ..tokenize.sequence import SequenceLayout
from .code_noise import CodeNoise
from .largest import Largest
from .model import Transformer


@dataclass(frozen=True)
class MicroBatch:
    ids_BL: Tensor  # what is predicted, all but the first
    read_BL: Tensor  # what is read, all but the last: the same ids, unless there is noise
    positions_BL: Tensor
    counts_B2: NDArray[np.int64]  # targets of text and commands, targets of codes
    layout: SequenceLayout

    @classmethod
    def of(cls, rows: Rows, layout: SequenceLayout, device: torch.device, noise: CodeNoise | None = None) -> Self:
        ids, positions = layout.sequences(*rows)
        real = ids != layout.pad
        longest = int(real.sum(axis=1).max())  # padding is at the end: cut what all rows of this micro-batch have of it
        num_targets, num_codes = real[:, 1:].sum(axis=1), (ids[:, 1:] < layout.text_offset).sum(axis=1)
        read = ids if noise is None else noise.applied(ids, layout)
        return cls(
            torch.from_numpy(ids[:, :longest]).to(device),
            torch.from_numpy(read[:, :longest]).to(device),
            torch.from_numpy(positions[:, :longest]).to(device),
            np.stack((num_targets - num_codes, num_codes), axis=1),
            layout,
        )

    def nats_B2(self, model: Transformer, dtype: torch.dtype, largest: Largest | None = None) -> Tensor:
        """Summed nats of each row: of text and commands, and of codes."""
        with autocast(self.ids_BL.device, dtype):
            logits_BLV = model(self.read_BL[:, :-1], self.positions_BL[:, :-1], largest=largest)
        return summed_nats(logits_BLV, self.ids_BL[:, 1:], self.layout)


def summed_nats(logits_BLV: Tensor, targets_BL: Tensor, layout: SequenceLayout) -> Tensor:
    """Summed nats of each row, of text and commands, and of codes: (B, 2). Padding does not count.

    The kind of a token is that of the target, the token that is predicted.
    """
    nats = F.cross_entropy(logits_BLV.float().flatten(0, 1), targets_BL.flatten(), reduction="none")
    nats_BL = nats.view(targets_BL.shape)
    is_code = targets_BL < layout.text_offset
    text_BL = nats_BL.masked_fill(is_code | (targets_BL == layout.pad), 0.0)
    return torch.stack((text_BL.sum(dim=1), nats_BL.masked_fill(~is_code, 0.0).sum(dim=1)), dim=1)
