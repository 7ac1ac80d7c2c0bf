"""Codes of a picture → captions: the model continues `[BOI1] codes [EOI1] [ROI1]`, one piece at a time, up to [BASE].

    likeliest = search_captions(model, layout, codes_N, beams=8, precision="float32")      # the best first
    drawn = draw_captions(model, layout, codes_N, count=4, seed=0, temperature=1.0, precision="float32")

The score of a caption is log p(caption | picture) a piece, end included: `caption_loss` with its sign turned.
Beam search keeps the `beams` likeliest beginnings, and stops when none of them can become better than the captions that
have ended. A drawn caption has a noise stream of its own, keyed by (seed, codes, number). Both depend on nothing else
that is described in the same call.

Shapes: R rows (beams or draws), L tokens so far, V vocabulary, A what may follow: the pieces of text, and the end.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...tokenize.precision import Precision, autocast, matmul_dtype
from ...tokenize.sequence import SequenceLayout
from ..painting.decoder import Decoder
from ..painting.noise import gumbel_noise, noise_stream
from ..transformer.model import Transformer

DRAWN_ROWS = 16  # of every batch: kernels for other numbers differ in the last bits


@dataclass(frozen=True)
class CaptionFound:
    pieces: list[int]
    score: float  # mean log-probability of its pieces and its end, in nats


@dataclass(frozen=True)
class _Rows:
    """Some equal beginnings of captions of one picture, to be continued each in its own way."""

    decoder: Decoder
    layout: SequenceLayout
    precision: Precision

    @classmethod
    def of(
        cls, model: Transformer, layout: SequenceLayout, codes_N: NDArray[np.int64], rows: int, precision: Precision
    ) -> "_Rows":
        device = next(model.parameters()).device
        ids_RL, positions_RL = (torch.tensor([each.tolist()] * rows, device=device) for each in layout.picture(codes_N))
        return cls(Decoder(model, ids_RL, positions_RL, layout.text_max + 1), layout, precision)

    def log_probabilities_RA(self, length: int) -> Tensor:
        """Of what may be number `length` of a caption; the last one is the end, which is never the first."""
        layout, device = self.layout, self.decoder.new_ids.device
        with autocast(device, matmul_dtype(self.precision, device)):
            log_p_RV = self.decoder.logits_RV().float().log_softmax(dim=-1)
        pieces_RA = log_p_RV[:, layout.text_offset : layout.text_offset + layout.text_vocab]
        log_p_RA = torch.cat((pieces_RA, log_p_RV[:, layout.command_ids["[BASE]"], None]), dim=1)
        if length == 1:
            log_p_RA[:, -1] = float("-inf")
        if length > layout.text_max:
            log_p_RA[:, :-1] = float("-inf")
        return log_p_RA

    def append(self, pieces_R: Tensor) -> None:
        # A row that has ended is continued with the piece 0, and no one looks at it any more.
        self.decoder.append(self.layout.text_offset + pieces_R % self.layout.text_vocab)


@torch.no_grad()
def search_captions(
    model: Transformer, layout: SequenceLayout, codes_N: NDArray[np.int64], beams: int, precision: Precision
) -> list[CaptionFound]:
    """At most `beams` captions of one picture (codes as `layout.sequences` takes them), the likeliest a piece first."""
    rows, end = _Rows.of(model, layout, codes_N, beams, precision), layout.text_vocab
    begun: list[list[int]] = [[] for _ in range(beams)]
    total_R = torch.full((beams,), float("-inf"))
    total_R[0] = 0.0  # all rows are equal: one of them counts
    ended: list[CaptionFound] = []
    for length in range(1, layout.text_max + 2):  # of the caption with its next piece, or with its end
        total_RA = total_R[:, None] + rows.log_probabilities_RA(length).cpu()
        ways = total_RA.flatten().topk(min(2 * beams, total_RA.numel()))  # of 2·beams at most `beams` are ends
        going: list[tuple[float, int, int]] = []
        for total, way in zip(ways.values.tolist(), ways.indices.tolist(), strict=True):
            row, piece = divmod(way, end + 1)
            if total == float("-inf"):
                continue
            if piece == end:
                ended.append(CaptionFound(begun[row], total / length))
            elif len(going) < beams:
                going.append((total, row, piece))
        ended = sorted(ended, key=lambda caption: -caption.score)[:beams]
        # More pieces can only make the sum smaller, and the longest caption divides it by the most.
        if not going or (len(ended) == beams and going[0][0] / (layout.text_max + 1) <= ended[-1].score):
            break
        going += [(float("-inf"), *going[-1][1:])] * (beams - len(going))
        total_R = torch.tensor([total for total, _, _ in going])
        begun = [[*begun[row], piece] for _, row, piece in going]
        rows.decoder.take_rows(torch.tensor([row for _, row, _ in going]))
        rows.append(torch.tensor([piece for _, _, piece in going]))
    return ended


@torch.no_grad()
def draw_captions(
    model: Transformer,
    layout: SequenceLayout,
    codes_N: NDArray[np.int64],
    count: int,
    seed: int,
    temperature: float,
    precision: Precision,
) -> list[CaptionFound]:
    """`count` captions of one picture, drawn piece by piece, in the order of their numbers."""
    drawn: list[CaptionFound] = []
    while len(drawn) < count:
        rows = _Rows.of(model, layout, codes_N, DRAWN_ROWS, precision)
        streams_R = [noise_stream(seed, codes_N.tolist(), len(drawn) + row) for row in range(DRAWN_ROWS)]
        drawn += _drawn_rows(rows, streams_R, temperature)
    return drawn[:count]


def _drawn_rows(rows: _Rows, streams_R: list[torch.Generator], temperature: float) -> list[CaptionFound]:
    layout, end = rows.layout, rows.layout.text_vocab
    pieces: list[list[int]] = [[] for _ in streams_R]
    found: dict[int, CaptionFound] = {}
    total_R = torch.zeros(DRAWN_ROWS)
    for length in range(1, layout.text_max + 2):
        log_p_RA = rows.log_probabilities_RA(length).cpu()
        chosen_R = (log_p_RA / temperature + gumbel_noise(streams_R, end + 1)).argmax(dim=-1)
        total_R += log_p_RA.gather(1, chosen_R[:, None])[:, 0]
        for row, piece in enumerate(chosen_R.tolist()):
            if row in found:
                continue
            if piece == end:
                found[row] = CaptionFound(pieces[row], float(total_R[row]) / length)
            else:
                pieces[row].append(piece)
        if len(found) == DRAWN_ROWS:
            break
        rows.append(chosen_R)
    return [found[row] for row in range(DRAWN_ROWS)]
