"""How much each target of a step weighs in the loss that is learned from.

    weights = TargetWeights.of(text=0.3, first_code=16.0, layout=layout)
    (batch_nats_BL * weights.of_batch(batch)).sum() / weights.total(counts)     # `counts` of the whole step

The first codes of a picture say which picture it is, and only the caption can tell them; the others follow from those
before them. They are few: alone they would be learned last (docs/log/transformer.md). So code j of the picture after a
caption weighs 1 + (first_code − 1) / (j + 1). Where the picture comes first, nothing can tell its first codes, and all
weigh 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...tokenize.sequence import SequenceLayout
from .micro_batch import MicroBatch


@dataclass(frozen=True)
class TargetWeights:
    text: float  # of text and commands before their picture; those of a reversed row weigh 1
    codes: NDArray[np.float64]  # of each code of a picture, in the order of the sequence

    @classmethod
    def of(cls, text: float, first_code: float, layout: SequenceLayout) -> Self:
        return cls(text, 1 + (first_code - 1) / np.arange(1, layout.num_codes + 1))

    def of_batch(self, batch: MicroBatch) -> Tensor:
        """The weight of each target: (B, L). Padding has none."""
        is_code = (batch.targets_BL < batch.layout.text_offset).cpu().numpy()
        code = np.minimum(np.maximum(is_code.cumsum(axis=1) - 1, 0), len(self.codes) - 1)
        weights = np.where(is_code, self.codes[code], self.text)
        weights[batch.is_reversed_B] = 1
        weights[(batch.targets_BL == batch.layout.pad).cpu().numpy()] = 0
        return torch.from_numpy(weights.astype(np.float32)).to(batch.targets_BL.device)

    def total(self, counts: Sequence[int]) -> float:
        """The summed weights of a step; `counts` has text, codes, and both of the reversed rows."""
        text, codes, *reversed_ = counts
        return self.text * text + codes * float(self.codes.mean()) + sum(reversed_)
