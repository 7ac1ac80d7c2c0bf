"""A decoder-only transformer that reads a caption and continues it with picture codes.

In: token ids (B, L) and their positions (B, L); out: logits (B, L, V). The logits at token l depend on the tokens 0..l.
The layout gives the positions: picture code j has the same one after a short caption and after a long one. Padding is
only at the end, where causal attention does not look, so it needs no mask.

    model = Transformer(ModelConfig(vocab_size=2688, num_positions=92))
    logits_BLV = model(ids_BL, positions_BL)

Sandwich-LN is CogView's (arXiv 2105.13290): each branch has a norm before it and one after it. Each norm is over one
token alone. (The LN that CogView released divides by a maximum over batch and time, so later tokens leak into it.)

Shapes: B rows, L tokens, V vocabulary, D width, H heads, E width of a head, G = B·H, T tokens so far (cached and new).
"""

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

MATRIX_STD, EMBEDDING_STD, BRANCH_GAIN = 0.02, 0.5, 0.2


class ModelConfig(BaseModel):
    """The shape of the model. The defaults are the `demo` preset: few wide blocks, which AMX computes fastest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: int = Field(gt=0)  # V
    num_positions: int = Field(gt=0)  # tokens of the longest sequence
    width: int = Field(default=512, gt=0)  # D
    depth: int = Field(default=4, gt=0)  # blocks
    heads: int = Field(default=4, gt=0)  # H

    @model_validator(mode="after")
    def heads_divide_width(self) -> "ModelConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads: change one of them")
        return self


class KeyValueCache:
    """The keys and values of the tokens so far, (G, T, E) each, of every block: one buffer a block, for all tokens."""

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


class Largest:
    """The largest absolute values of forward passes: of what the blocks hand on, and of the logits."""

    def __init__(self, device: torch.device) -> None:
        self.residual = self.logit = torch.zeros((), device=device)

    def see(self, residual: Tensor | None = None, logit: Tensor | None = None) -> None:
        if residual is not None:
            self.residual = torch.maximum(self.residual, residual.detach().abs().amax().float())
        if logit is not None:
            self.logit = torch.maximum(self.logit, logit.detach().abs().amax().float())


def causal_attention(q_GLE: Tensor, k_GTE: Tensor, v_GTE: Tensor) -> Tensor:
    """Softmax attention (G, L, E), in which the L queries are those of the last L of the T tokens."""
    L, T, E = q_GLE.shape[1], k_GTE.shape[1], q_GLE.shape[2]
    if q_GLE.is_cuda and L in (1, T):
        return F.scaled_dot_product_attention(q_GLE, k_GTE, v_GTE, is_causal=L == T)
    # On a CPU the backward of SDPA's flash kernel takes five times as long as these lines
    # (57 against 12 ms for 32 rows of 74 tokens, 6 heads of 64, bfloat16, torch 2.13).
    future_LT = torch.full((L, T), float("-inf"), dtype=q_GLE.dtype, device=q_GLE.device).triu(T - L + 1)
    weights_GLT = torch.baddbmm(future_LT, q_GLE, k_GTE.transpose(1, 2), alpha=E**-0.5).softmax(dim=-1)
    return weights_GLT.to(v_GTE.dtype) @ v_GTE


class Block(nn.Module):
    """Attention, then an MLP of four times the width, each between two norms: x + LN(f(LN(x)))."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.index, self.heads = index, config.heads
        self.before_attention, self.after_attention = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before_mlp, self.after_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)
        self.up_proj = nn.Linear(width, 4 * width, bias=False)
        self.down_proj = nn.Linear(4 * width, width, bias=False)

    def attend(self, x_BLD: Tensor, cache: KeyValueCache | None) -> Tensor:
        B, L, D = x_BLD.shape
        H, E = self.heads, D // self.heads
        qkv_BL3HE = self.qkv_proj(x_BLD).view(B, L, 3, H, E)
        q_GLE, k_GLE, v_GLE = qkv_BL3HE.permute(2, 0, 3, 1, 4).reshape(3, B * H, L, E).unbind()
        k_GTE, v_GTE = (k_GLE, v_GLE) if cache is None else cache.extend(self.index, k_GLE, v_GLE)
        attended_GLE = causal_attention(q_GLE, k_GTE, v_GTE)
        attended_BLD = attended_GLE.view(B, H, L, E).transpose(1, 2).reshape(B, L, D)
        out_BLD: Tensor = self.out_proj(attended_BLD)
        return out_BLD

    def forward(self, x_BLD: Tensor, cache: KeyValueCache | None) -> Tensor:
        attended_BLD = self.attend(self.before_attention(x_BLD), cache)
        x_BLD = x_BLD + self.after_attention(attended_BLD)
        mlp_BLD = self.down_proj(F.gelu(self.up_proj(self.before_mlp(x_BLD))))
        out_BLD: Tensor = x_BLD + self.after_mlp(mlp_BLD)
        return out_BLD


class Transformer(nn.Module):
    """Caption and picture as one sequence of tokens; each token is predicted from those before it."""

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.num_positions, config.width)
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.final_norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.initialise(torch.Generator().manual_seed(seed))

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices from N(0, 0.02²), embeddings from N(0, 0.5²); norms after a branch start at 0.2, the others at 1.

        The norm after a branch sets the size of its output, whatever the size of its matrices, so this norm must start
        small. With 1 there and 0.02 for the embeddings, the branches outweigh the tokens: the loss is 0.3 nats per code
        higher after 1,400 samples.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                std = EMBEDDING_STD if isinstance(module, nn.Embedding) else MATRIX_STD
                nn.init.normal_(module.weight, std=std, generator=generator)
            if isinstance(module, Block):
                nn.init.constant_(module.after_attention.weight, BRANCH_GAIN)
                nn.init.constant_(module.after_mlp.weight, BRANCH_GAIN)

    def new_cache(self, most_tokens: int) -> KeyValueCache:
        return KeyValueCache(self.config.depth, most_tokens)

    def forward(
        self, ids_BL: Tensor, positions_BL: Tensor, cache: KeyValueCache | None = None, largest: Largest | None = None
    ) -> Tensor:
        """Logits (B, L, V). With a cache the ids continue those of the last call with that cache."""
        x_BLD = self.token(ids_BL) + self.position(positions_BL)
        for block in self.blocks:
            x_BLD = block(x_BLD, cache)
            if largest is not None:
                largest.see(residual=x_BLD)
        logits_BLV: Tensor = self.head(self.final_norm(x_BLD))
        if largest is not None:
            largest.see(logit=logits_BLV)
        return logits_BLV
