"""The largest absolute values of forward passes: what tells that a model is about to leave the range of float16.

    largest = Largest(depth=4, device=device)
    model(ids_BL, positions_BL, largest=largest)
    write_largest(entry, largest.numbers(), with_layers=True)       # of run/loss_log: into a line of losses.jsonl

Scores are counted as plain attention has them, q·k/√E, also where they are relaxed.
"""

import torch
from torch import Tensor

_HEADS_AT_ONCE = 64  # whose scores are computed anew in float32: 300 MB for 1,088 tokens


class Largest:
    def __init__(self, depth: int, device: torch.device) -> None:
        self.residuals, self.scores = torch.zeros(2, depth, device=device)  # of what each block hands on; of its scores
        self.logits = torch.zeros(1, device=device)  # before they are capped

    @torch.no_grad()
    def see_residual(self, block: int, x_BLD: Tensor) -> None:
        self.residuals[block] = torch.maximum(self.residuals[block], x_BLD.abs().amax())

    @torch.no_grad()
    def see_logits(self, logits_BLV: Tensor) -> None:
        self.logits[0] = torch.maximum(self.logits[0], logits_BLV.abs().amax())

    @torch.no_grad()
    def see_scores(self, block: int, q_GLE: Tensor, k_GTE: Tensor) -> None:
        """Computed beside the attention, so that looking changes no result, whatever kernel attends."""
        is_past = k_GTE.shape[1] - q_GLE.shape[1]
        with torch.autocast(q_GLE.device.type, enabled=False):
            for q, k in zip(torch.split(q_GLE, _HEADS_AT_ONCE), torch.split(k_GTE, _HEADS_AT_ONCE), strict=True):
                scores = (q.float() @ k.float().transpose(1, 2)).tril(is_past) * q.shape[-1] ** -0.5
                self.scores[block] = torch.maximum(self.scores[block], scores.abs().amax())

    def numbers(self) -> list[float]:
        """All of them in one list, which ranks can take the largest of."""
        return torch.cat((self.residuals, self.scores, self.logits)).tolist()
