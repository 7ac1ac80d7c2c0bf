"""How much each target of a step weighs in the loss that is learned from.

    weights = TargetWeights.of(text=0.3, first_code=16.0, reversed_text=4.0, layout=layout)
    (batch_nats_BL * weights.of_batch(batch)).sum() / weights.total(counts)     # `counts` of the whole step

The first codes of a picture say which picture it is, and only the caption can tell them; the others follow from those
before them. They are few: alone they would be learned last (docs/log/transformer.md). So code j of the picture after a
caption weighs 1 + (first_code − 1) / (j + 1). Where the picture comes first, nothing can tell its first codes, and all
weigh 1; the caption after it has a weight of its own, since a caption has few pieces and few rows are reversed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...tokenize.finer_sequence import FinerLayout
from ...tokenize.sequence import SequenceLayout
from .micro_batch import MicroBatch


@dataclass(frozen=True)
class TargetWeights:
    text: float  # of text and commands before their picture
    reversed_text: float  # of a caption after its picture
    codes: NDArray[np.float64]  # of each code of a picture, in the order of the sequence

    @classmethod
    def of(cls, text: float, first_code: float, reversed_text: float, layout: SequenceLayout | FinerLayout) -> Self:
        return cls(text, reversed_text, 1 + (first_code - 1) / np.arange(1, layout.num_codes + 1))

    def of_batch(self, batch: MicroBatch) -> Tensor:
        """The weight of each target: (B, L). Padding has none."""
        targets_BL, layout = batch.targets_BL, batch.layout
        is_code = layout.is_code(targets_BL)
        code = (is_code.cumsum(dim=1) - 1).clamp(0, layout.num_codes - 1)
        codes = torch.tensor(self.codes, dtype=torch.float32).to(targets_BL.device)
        is_reversed_B1 = torch.from_numpy(batch.is_reversed_B)[:, None].to(targets_BL.device)
        weights_BL = torch.where(is_code, codes[code], self.text)
        reversed_BL = torch.where(is_code, 1.0, self.reversed_text)
        return torch.where(is_reversed_B1, reversed_BL, weights_BL).masked_fill(targets_BL == layout.pad, 0.0)

    def total(self, counts: Sequence[int]) -> float:
        """The summed weights of a step; `counts` has text, codes, and both of the reversed rows."""
        text, codes, reversed_text, reversed_codes = counts
        written = self.text * text + self.reversed_text * reversed_text
        return written + codes * float(self.codes.mean()) + reversed_codes
