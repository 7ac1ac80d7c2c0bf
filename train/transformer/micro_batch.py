"""Rows → one micro-batch of ids on the device, and its losses as sums.

    batch = MicroBatch.of(stream.next(), layout, device)
    batch.counts_B2                                     # targets of each row: of text and commands, of codes
    nats_B2 = batch.nats_B2(model, torch.bfloat16)      # their summed nats

Sums, and not means: the loss of a step is one mean over all tokens of its global batch, however it is cut.

Of a window of finer codes these and their end are the targets; all before them is given.

A reversed row has its picture first. Of its text only the caption's pieces and its end are targets, so that these nats
are −log p(caption | picture); the commands between picture and caption are always given.
Shapes: B rows, L tokens, V vocabulary; 2 kinds of targets.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...manifests.shards.split_reader import Rows
from ...tokenize.finer_sequence import FinerLayout
from ...tokenize.precision import autocast
from ...tokenize.sequence import Ids, SequenceLayout
from .code_noise import CodeNoise
from .largest import Largest
from .model import Transformer


@dataclass(frozen=True)
class MicroBatch:
    read_BL: Tensor  # what is read: all tokens but the last, of which code noise may change some
    positions_BL: Tensor
    targets_BL: Tensor  # the token after each; padding does not count
    counts_B2: NDArray[np.int64]  # targets of text and commands, targets of codes
    is_reversed_B: NDArray[np.bool_]
    layout: SequenceLayout | FinerLayout
    under_BL: Tensor | None = None  # what is read together with each token, of windows

    @classmethod
    def of(
        cls,
        rows: Rows,
        layout: SequenceLayout,
        device: torch.device,
        noise: CodeNoise | None = None,
        is_reversed: NDArray[np.bool_] | bool = False,
    ) -> Self:
        """`is_reversed` is true of the rows (B,), or of all, that have their picture first."""
        is_reversed = np.array(np.broadcast_to(is_reversed, len(rows[0])))
        ids, positions = layout.sequences(*rows, is_reversed)
        given = np.zeros((len(ids), layout.length - 1), np.bool_)
        given[is_reversed, layout.num_codes : layout.num_codes + 2] = True  # [EOI1] [ROI1]
        read = ids if noise is None else noise.applied(ids, layout)
        return cls._of(ids, read, positions, given, is_reversed, layout, device)

    @classmethod
    def of_windows(
        cls,
        rows: Rows,
        origins_B2: NDArray[np.int64],
        layout: FinerLayout,
        device: torch.device,
        noise: CodeNoise | None = None,
    ) -> Self:
        """A window of each row, whose codes are those of both grids."""
        ids, positions = layout.sequences(*rows, origins_B2)
        begins_B1 = (ids == layout.command_ids["[BOI2]"]).argmax(axis=1)[:, None]
        given = np.arange(1, layout.length) <= begins_B1
        read = ids if noise is None else noise.applied(ids, layout)
        under = layout.under(read, rows[2], origins_B2)
        return cls._of(ids, read, positions, given, np.zeros(len(ids), np.bool_), layout, device, under)

    @classmethod
    def _of(
        cls,
        ids: Ids,
        read: Ids,
        positions: Ids,
        given: NDArray[np.bool_],
        is_reversed: NDArray[np.bool_],
        layout: SequenceLayout | FinerLayout,
        device: torch.device,
        under: Ids | None = None,
    ) -> Self:
        """`given` (rows, length − 1) is true of the tokens after the first that are no targets."""
        longest = int((ids != layout.pad).sum(axis=1).max())  # padding is at the end: what all rows have of it is cut
        targets = np.where(given, layout.pad, ids[:, 1:])[:, : longest - 1]
        num_targets, num_codes = (targets != layout.pad).sum(axis=1), layout.is_code(targets).sum(axis=1)
        return cls(
            torch.from_numpy(read[:, : longest - 1]).to(device),
            torch.from_numpy(positions[:, : longest - 1]).to(device),
            torch.from_numpy(targets).to(device),
            np.stack((num_targets - num_codes, num_codes), axis=1),
            is_reversed,
            layout,
            None if under is None else torch.from_numpy(under[:, : longest - 1]).to(device),
        )

    @property
    def counts_22(self) -> NDArray[np.int64]:
        """`counts_B2` by direction: of the rows with their caption first, and of the reversed ones."""
        return np.stack([self.counts_B2[rows].sum(axis=0) for rows in (~self.is_reversed_B, self.is_reversed_B)])

    def nats_BL(self, model: Transformer, dtype: torch.dtype, largest: Largest | None = None) -> Tensor:
        """The nats of each target; those of padding do not count."""
        with autocast(self.read_BL.device, dtype):
            logits_BLV = model(self.read_BL, self.positions_BL, largest=largest, under_BL=self.under_BL)
        return target_nats(logits_BLV, self.targets_BL)

    def nats_B2(self, model: Transformer, dtype: torch.dtype, largest: Largest | None = None) -> Tensor:
        """Summed nats of each row: of text and commands, and of codes."""
        return summed_nats(self.nats_BL(model, dtype, largest), self.targets_BL, self.layout)

    def by_direction(self, values_B2: Tensor) -> Tensor:
        """The sums of what rows have of each kind: of those with the caption first, of the reversed ones (2, 2)."""
        is_reversed_B1 = torch.from_numpy(self.is_reversed_B)[:, None].to(values_B2.device)
        return torch.stack(
            [values_B2.masked_fill(others, 0).sum(dim=0) for others in (is_reversed_B1, ~is_reversed_B1)]
        )


def target_nats(logits_BLV: Tensor, targets_BL: Tensor) -> Tensor:
    nats = F.cross_entropy(logits_BLV.float().flatten(0, 1), targets_BL.flatten(), reduction="none")
    return nats.view(targets_BL.shape)


def summed_nats(nats_BL: Tensor, targets_BL: Tensor, layout: SequenceLayout | FinerLayout) -> Tensor:
    """Summed nats of each row, of text and commands, and of codes: (B, 2). Padding does not count.

    The kind of a token is that of the target, the token that is predicted.
    """
    is_code = layout.is_code(targets_BL)
    text_BL = nats_BL.masked_fill(is_code | (targets_BL == layout.pad), 0.0)
    return torch.stack((text_BL.sum(dim=1), nats_BL.masked_fill(~is_code, 0.0).sum(dim=1)), dim=1)
