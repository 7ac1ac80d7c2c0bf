"""Pictures that are painted together, each begun and finished in its own time.

    slots = Slots(model, layout, precision="bfloat16")
    slots.begin(Painting.of(layout, Order(text, seed=0, number=0, config=SamplingConfig(…))))
    while slots.painted:
        for painting in slots.step():
            painting.codes                      # one more than before; all of them when it `is_done`

A step reads one token in every slot: of its prompt, or the code that was just drawn. So no picture waits for another to
end, and a kernel always has the same shape: a picture depends on its prompt, its seed and its number, and on nothing
that is painted beside it. Shapes: R slots, V vocabulary, K size of a codebook.
"""

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from ...tokenize.precision import Precision, autocast, matmul_dtype
from ...tokenize.sequence import SequenceLayout
from ..painting.noise import gumbel_noise, noise_stream
from ..painting.sampling import SamplingConfig, choose_codes
from ..transformer.attention import SlotCache
from ..transformer.model import Transformer

SLOTS = 16


@dataclass(frozen=True)
class Order:
    """All that a picture depends on, but the run."""

    text: tuple[int, ...]  # ids of the prompt
    seed: int
    number: int  # of the pictures of this prompt and seed
    config: SamplingConfig


@dataclass
class Painting:
    """One picture on its way."""

    order: Order
    ids: list[int]  # of the prompt, to be read
    positions: list[int]
    stream: torch.Generator  # of its noise
    codes: list[int] = field(default_factory=list)
    log_p: float = 0.0  # of the codes so far, at temperature 1, in nats

    @classmethod
    def of(cls, layout: SequenceLayout, order: Order) -> Self:
        ids, positions = (each.tolist() for each in layout.prompt(list(order.text)))
        return cls(order, ids, positions, noise_stream(order.seed, ids, order.number))

    @property
    def is_done(self) -> bool:
        return len(self.codes) == self.order.config.num_codes

    @property
    def likelihood(self) -> float:
        """Mean log-probability of a code, in nats."""
        return self.log_p / max(1, len(self.codes))


class Slots:
    def __init__(self, model: Transformer, layout: SequenceLayout, precision: Precision, count: int = SLOTS) -> None:
        self._model, self._layout = model, layout
        self._device = next(model.parameters()).device
        self._dtype = matmul_dtype(precision, self._device)
        config = model.config
        self._cache = SlotCache(config.depth, count, config.heads, layout.length)
        self._slots: list[Painting | None] = [None] * count
        self._read = [0] * count  # tokens of each slot

    @property
    def painted(self) -> list[Painting]:
        return [painting for painting in self._slots if painting is not None]

    @property
    def free(self) -> int:
        return self._slots.count(None)

    def begin(self, painting: Painting) -> None:
        """Raises ValueError when no slot is free."""
        slot = self._slots.index(None)
        self._slots[slot], self._read[slot] = painting, 0

    def leave(self, painting: Painting) -> None:
        """Free its slot, whether it is done or not."""
        self._slots = [None if each is painting else each for each in self._slots]

    @torch.no_grad()
    def step(self) -> list[Painting]:
        """Read one token in every slot, and return the paintings that have a code more. Those that are done leave."""
        tokens = [self._next_token(slot) for slot in range(len(self._slots))]
        ids_R1, positions_R1 = torch.tensor(tokens, device=self._device).T[..., None]
        self._cache.num_tokens_B = torch.tensor(self._read)
        with autocast(self._device, self._dtype):
            logits_RV = self._model(ids_R1, positions_R1, self._cache)[:, -1].float()
        grown = []
        for slot, painting in enumerate(self._slots):
            if painting is None:
                continue
            self._read[slot] += 1
            if self._read[slot] >= len(painting.ids):
                self._draw(painting, logits_RV[slot])
                grown.append(painting)
        for painting in grown:
            if painting.is_done:
                self.leave(painting)
        return grown

    def _next_token(self, slot: int) -> tuple[int, int]:
        """Its id and its position; an empty slot reads padding, which nothing looks at."""
        painting, read = self._slots[slot], self._read[slot]
        if painting is None:
            return self._layout.pad, 0
        if read < len(painting.ids):
            return painting.ids[read], painting.positions[read]
        last = read - len(painting.ids)
        return int(painting.codes[last] + self._layout.code_offsets[last]), painting.positions[-1] + 1 + last

    def _draw(self, painting: Painting, logits_V: Tensor) -> None:
        first, size = int(self._layout.code_offsets[len(painting.codes)]), self._layout.codebook
        logits_1K = logits_V[None, first : first + size]
        noise_1K = gumbel_noise([painting.stream], size).to(self._device)
        code = int(choose_codes(logits_1K, noise_1K, painting.order.config))
        painting.log_p += float(logits_1K[0].log_softmax(dim=-1)[code])
        painting.codes.append(code)
