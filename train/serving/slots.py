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

from contextlib import AbstractContextManager
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

    def open(self) -> AbstractContextManager[None]:
        """Within it the weights are cast once, and not at every step: 30% of its time (two cores, bfloat16)."""
        return autocast(self._device, self._dtype)

    def closed(self) -> AbstractContextManager[None]:
        """For what has a precision of its own."""
        return torch.autocast(self._device.type, enabled=False)

    @torch.no_grad()
    def step(self) -> list[Painting]:
        """Read one token in every slot, and return the paintings that have a code more. Those that are done leave."""
        tokens = [self._next_token(slot) for slot in range(len(self._slots))]
        ids_R1, positions_R1 = torch.tensor(tokens, device=self._device).T[..., None]
        self._cache.num_tokens_B = torch.tensor(self._read)
        with self.open():
            logits_RV = self._model(ids_R1, positions_R1, self._cache)[:, -1].float()
        drawn: dict[int, Painting] = {}
        for slot, painting in enumerate(self._slots):
            if painting is not None:
                self._read[slot] += 1
                if self._read[slot] >= len(painting.ids):
                    drawn[slot] = painting
        if drawn:
            self._draw(drawn, logits_RV)
        for painting in drawn.values():
            if painting.is_done:
                self.leave(painting)
        return list(drawn.values())

    def _next_token(self, slot: int) -> tuple[int, int]:
        """Its id and its position; an empty slot reads padding, which nothing looks at."""
        painting, read = self._slots[slot], self._read[slot]
        if painting is None:
            return self._layout.pad, 0
        if read < len(painting.ids):
            return painting.ids[read], painting.positions[read]
        last = read - len(painting.ids)
        return int(painting.codes[last] + self._layout.code_offsets[last]), painting.positions[-1] + 1 + last

    def _draw(self, drawn: dict[int, Painting], logits_RV: Tensor) -> None:
        """A code more for each of these slots; all slots are computed, so that the shapes stay the same."""
        size = self._layout.codebook
        first_R, noise_RK = torch.zeros(len(self._slots), dtype=torch.int64), torch.zeros(len(self._slots), size)
        noise_RK[list(drawn)] = gumbel_noise([painting.stream for painting in drawn.values()], size)
        for slot, painting in drawn.items():
            first_R[slot] = int(self._layout.code_offsets[len(painting.codes)])
        logits_RK = logits_RV.gather(1, (first_R[:, None] + torch.arange(size)).to(self._device))
        log_p_RK, noise_RK = logits_RK.log_softmax(dim=-1), noise_RK.to(self._device)
        for config in {painting.order.config for painting in drawn.values()}:
            codes_R = choose_codes(logits_RK, noise_RK, config)
            log_p_R = log_p_RK.gather(1, codes_R[:, None])[:, 0].tolist()
            for slot, code in enumerate(codes_R.tolist()):
                if slot in drawn and drawn[slot].order.config == config:
                    drawn[slot].codes.append(code)
                    drawn[slot].log_p += log_p_R[slot]
