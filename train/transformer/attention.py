"""Causal softmax attention, plain and relaxed, and the keys and values of the tokens so far.

    cache = KeyValueCache(depth=4, most_tokens=90)      # or SlotCache(depth=4, slots=16, heads=4, most_tokens=90)
    k_GTE, v_GTE = cache.extend(0, k_GLE, v_GLE)
    attended_GLE = causal_attention(q_GLE, k_GTE, v_GTE, unseen_G1T=cache.unseen_G1T)

Relaxed is CogView's PB-relax (arXiv 2105.13290): softmax((q/(α√E)·k − max)·α). It equals the plain softmax, and its
largest intermediate number is α times smaller, which keeps float16 from overflowing. The maximum is that of a row of
scores: CogView's, over a whole head, would make a token depend on later ones.

Shapes: L queries, T tokens so far (cached and new), E width of a head, G heads of all rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

RELAXATION = 32.0  # CogView's α


class KeyValueCache:
    """The keys and values of the tokens so far, (G, T, E) each, of every block: one buffer a block, for all tokens."""

    unseen_G1T: Tensor | None = None  # all rows have as many tokens

    def __init__(self, depth: int, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        self.buffers: list[Tensor | None] = [None] * depth  # (2, G, most_tokens, E), of the type of the first keys
        self.num_tokens = [0] * depth

    def extend(self, block: int, k_GLE: Tensor, v_GLE: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new tokens of a block and return all of its keys and values, (G, T, E) each."""
        G, L, E = k_GLE.shape
        buffer = self.buffers[block]
        if buffer is None:
            buffer = self.buffers[block] = k_GLE.new_empty(2, G, self.most_tokens, E)
        start, end = self.num_tokens[block], self.num_tokens[block] + L
        buffer[0, :, start:end], buffer[1, :, start:end] = k_GLE, v_GLE
        self.num_tokens[block] = end
        k_GTE, v_GTE = buffer[:, :, :end]
        return k_GTE, v_GTE

    def take_rows(self, rows_B: Tensor) -> None:
        """Go on with the tokens of each of `rows_B`, some perhaps several times, in that order."""
        for buffer, end in zip(self.buffers, self.num_tokens, strict=True):
            if buffer is not None:
                _, groups, most_tokens, width = buffer.shape
                by_row = buffer.view(2, len(rows_B), groups // len(rows_B), most_tokens, width)
                rows = by_row[:, :, :, :end]  # (2, B, H, T, E)
                rows.copy_(rows[:, rows_B])


class SlotCache:
    """The keys and values of rows that have read different numbers of tokens: each reads one more at a time.

    A kernel always sees all slots and all tokens that may ever be, so that what a slot computes does not depend on what
    the others hold.
    """

    def __init__(self, depth: int, slots: int, heads: int, most_tokens: int) -> None:
        self.most_tokens = most_tokens
        self.buffers: list[Tensor | None] = [None] * depth  # (2, G, most_tokens, E)
        self.num_tokens_B = torch.zeros(slots, dtype=torch.int64)  # of each slot, before the new one
        self._heads = heads

    @property
    def unseen_G1T(self) -> Tensor:
        """True where a slot has no token yet."""
        unseen_BT = torch.arange(self.most_tokens) > self.num_tokens_B[:, None]
        return unseen_BT.repeat_interleave(self._heads, dim=0)[:, None]

    def extend(self, block: int, k_G1E: Tensor, v_G1E: Tensor) -> tuple[Tensor, Tensor]:
        G, _, E = k_G1E.shape
        buffer = self.buffers[block]
        if buffer is None:  # zeros: what is unseen is multiplied by 0, and must be a number
            buffer = self.buffers[block] = k_G1E.new_zeros(2, G, self.most_tokens, E)
        places_G = self.num_tokens_B.repeat_interleave(self._heads).to(buffer.device)
        rows_G = torch.arange(G, device=buffer.device)
        buffer[0, rows_G, places_G], buffer[1, rows_G, places_G] = k_G1E[:, 0], v_G1E[:, 0]
        return buffer[0], buffer[1]


def causal_attention(
    q_GLE: Tensor, k_GTE: Tensor, v_GTE: Tensor, relaxed: bool = False, unseen_G1T: Tensor | None = None
) -> Tensor:
    """Softmax attention (G, L, E), in which the L queries are those of the last L of the T tokens.

    With `unseen_G1T` there is one query of each row, which sees all of its keys but those.
    """
    L, T, E = q_GLE.shape[1], k_GTE.shape[1], q_GLE.shape[2]
    if q_GLE.is_cuda and L in (1, T) and not relaxed and unseen_G1T is None:
        return F.scaled_dot_product_attention(q_GLE, k_GTE, v_GTE, is_causal=L == T)
    # On a CPU the backward of SDPA's flash kernel takes five times as long as these lines
    # (57 against 12 ms for 32 rows of 74 tokens, 6 heads of 64, bfloat16, torch 2.13).
    hidden = torch.full((L, T), float("-inf"), dtype=q_GLE.dtype, device=q_GLE.device).triu(T - L + 1)  # later tokens
    if unseen_G1T is not None:
        hidden = torch.zeros_like(unseen_G1T, dtype=q_GLE.dtype, device=q_GLE.device)
        hidden = hidden.masked_fill(unseen_G1T.to(q_GLE.device), float("-inf"))
    if relaxed:  # queries are divided before the product: its sums are what overflows
        scores_GLT = torch.baddbmm(hidden, q_GLE * (E**-0.5 / RELAXATION), k_GTE.transpose(1, 2))
        scores_GLT = (scores_GLT - scores_GLT.detach().amax(dim=-1, keepdim=True)) * RELAXATION
    else:
        scores_GLT = torch.baddbmm(hidden, q_GLE, k_GTE.transpose(1, 2), alpha=E**-0.5)
    return scores_GLT.softmax(dim=-1).to(v_GTE.dtype) @ v_GTE
