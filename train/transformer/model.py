"""A decoder-only transformer that reads a caption and continues it with picture codes.

In: token ids (B, L) and their positions (B, L); out: logits (B, L, V). The logits at token l depend on the tokens 0..l.
The layout gives the positions: picture code j has the same one after a short caption and after a long one. Padding is
only at the end, where causal attention does not look, so it needs no mask.

    model = Transformer(ModelConfig(vocab_size=2688, num_positions=92))
    logits_BLV = model(ids_BL, positions_BL)

Sandwich-LN is CogView's (arXiv 2105.13290): each branch has a norm before it and one after it. The defaults of the
other choices are what docs/log/transformer.md measured.

Shapes: B rows, L tokens, V vocabulary, D width, H heads, E width of a head, G = B·H, T tokens so far (cached and new).
"""

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from ...manifests.recipe.model_options import Activation, NormKind, Norms, Positions
from .attention import KeyValueCache, SlotCache, causal_attention
from .largest import Largest
from .norms import RMSNorm, new_norm
from .rotary import CodeGrid, Turns, turned, turns_of

MATRIX_STD, EMBEDDING_STD, BRANCH_GAIN = 0.02, 0.5, 0.2
TIED_GAIN = EMBEDDING_STD / MATRIX_STD  # of tied embeddings, which begin as a head does
Cache = KeyValueCache | SlotCache


class ModelConfig(BaseModel):
    """The shape of the model. The defaults are the `demo` preset: few wide blocks, which AMX computes fastest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: int = Field(gt=0)  # V
    num_positions: int = Field(gt=0)  # tokens of the longest sequence
    width: int = Field(default=512, gt=0)  # D
    depth: int = Field(default=4, gt=0)  # blocks
    heads: int = Field(default=4, gt=0)  # H
    norms: Norms = "sandwich"
    norm_kind: NormKind = "layer"
    relaxed_norms: bool = False  # PB-LN
    activation: Activation = "swiglu"
    positions: Positions = "learned"
    grid: CodeGrid | None = None  # of the codes; for rotary2d
    qk_norm: bool = False  # RMSNorm of queries and keys
    relaxed_attention: bool = False  # PB-relax
    tie_ids: bool = False  # one matrix embeds ids and predicts them
    logit_cap: float = Field(default=0.0, ge=0)  # c·tanh(logits/c); 0: none
    embedding_gradient: float = Field(default=1.0, gt=0, le=1)  # share of its gradient that an embedded id learns from

    @model_validator(mode="after")
    def heads_fit(self) -> "ModelConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads: change one of them")
        if self.positions == "rotary2d" and (self.grid is None or self.head_width % 4):
            raise ValueError(f"rotary2d needs a grid of codes and heads of a multiple of 4, not {self.head_width}")
        return self

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def mlp_width(self) -> int:
        """Four times the width; the three matrices of swiglu have as many numbers as the two of the others."""
        return round(self.width / 3) * 8 if self.activation == "swiglu" else 4 * self.width


class Block(nn.Module):
    """Attention, then an MLP, each between two norms: x + LN(f(LN(x))). `pre` leaves the outer norms away."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        width, is_sandwich = config.width, config.norms == "sandwich"
        kind, relaxed = config.norm_kind, config.relaxed_norms
        self.config, self.index = config, index
        self.before_attention = new_norm(kind, width, relaxed)
        self.after_attention = new_norm(kind, width, relaxed) if is_sandwich else nn.Identity()
        self.before_mlp = new_norm(kind, width, relaxed)
        self.after_mlp = new_norm(kind, width, relaxed) if is_sandwich else nn.Identity()
        self.query_norm, self.key_norm = (
            RMSNorm(config.head_width, eps=1e-5) if config.qk_norm else None for _ in range(2)
        )
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)
        self.up_proj = nn.Linear(width, config.mlp_width * (2 if config.activation == "swiglu" else 1), bias=False)
        self.down_proj = nn.Linear(config.mlp_width, width, bias=False)

    @property
    def outer_norms(self) -> list[nn.LayerNorm | nn.RMSNorm]:
        return [norm for norm in (self.after_attention, self.after_mlp) if not isinstance(norm, nn.Identity)]

    def queries_keys_values(self, x_BLD: Tensor, turns: Turns | None) -> tuple[Tensor, Tensor, Tensor]:
        """(G, L, E) each."""
        B, L, _ = x_BLD.shape
        H, E = self.config.heads, self.config.head_width
        qkv_BL3HE = self.qkv_proj(x_BLD).view(B, L, 3, H, E)
        if self.query_norm is not None and self.key_norm is not None:
            q_BLHE, k_BLHE, v_BLHE = qkv_BL3HE.unbind(dim=2)
            qkv_BL3HE = torch.stack((self.query_norm(q_BLHE), self.key_norm(k_BLHE), v_BLHE), dim=2)
        if turns is not None:
            q_BLHE, k_BLHE, v_BLHE = qkv_BL3HE.unbind(dim=2)
            turned_qk = (turned(each, turns).to(v_BLHE.dtype) for each in (q_BLHE, k_BLHE))
            qkv_BL3HE = torch.stack((*turned_qk, v_BLHE), dim=2)
        q_GLE, k_GLE, v_GLE = qkv_BL3HE.permute(2, 0, 3, 1, 4).reshape(3, B * H, L, E).unbind()
        return q_GLE, k_GLE, v_GLE

    def attend(self, x_BLD: Tensor, turns: Turns | None, cache: Cache | None, largest: Largest | None) -> Tensor:
        B, L, D = x_BLD.shape
        q_GLE, k_GLE, v_GLE = self.queries_keys_values(x_BLD, turns)
        k_GTE, v_GTE = (k_GLE, v_GLE) if cache is None else cache.extend(self.index, k_GLE, v_GLE)
        if largest is not None:
            largest.see_scores(self.index, q_GLE, k_GTE)
        unseen_G1T = None if cache is None else cache.unseen_G1T
        attended_GLE = causal_attention(q_GLE, k_GTE, v_GTE, self.config.relaxed_attention, unseen_G1T)
        attended_BLD = attended_GLE.view(B, self.config.heads, L, -1).transpose(1, 2).reshape(B, L, D)
        out_BLD: Tensor = self.out_proj(attended_BLD)
        return out_BLD

    def mlp(self, x_BLD: Tensor) -> Tensor:
        hidden_BLM = self.up_proj(x_BLD)
        match self.config.activation:
            case "gelu":
                hidden_BLM = F.gelu(hidden_BLM)
            case "relu2":
                hidden_BLM = F.relu(hidden_BLM).square()
            case "swiglu":
                gate_BLM, hidden_BLM = hidden_BLM.chunk(2, dim=-1)
                hidden_BLM = F.silu(gate_BLM) * hidden_BLM
        out_BLD: Tensor = self.down_proj(hidden_BLM)
        return out_BLD

    def forward(self, x_BLD: Tensor, turns: Turns | None, cache: Cache | None, largest: Largest | None) -> Tensor:
        attended_BLD = self.attend(self.before_attention(x_BLD), turns, cache, largest)
        x_BLD = x_BLD + self.after_attention(attended_BLD)
        out_BLD: Tensor = x_BLD + self.after_mlp(self.mlp(self.before_mlp(x_BLD)))
        if largest is not None:
            largest.see_residual(self.index, out_BLD)
        return out_BLD


class Transformer(nn.Module):
    """Caption and picture as one sequence of tokens; each token is predicted from those before it.

    Built on the meta device it has shapes alone: `to_empty`, then `initialise`, give it the weights of its seed.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.num_positions, config.width) if config.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.final_norm = new_norm(config.norm_kind, config.width, config.relaxed_norms)
        self.head = None if config.tie_ids else nn.Linear(config.width, config.vocab_size, bias=False)
        self.initialise(torch.Generator().manual_seed(seed))

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices from N(0, 0.02²), embeddings from N(0, 0.5²); norms after a branch start at 0.2, the others at 1.

        The norm after a branch sets the size of its output, whatever the size of its matrices, so this norm must start
        small. With 1 there and 0.02 for the embeddings, the branches outweigh the tokens: the loss is 0.3 nats per code
        higher after 1,400 samples.
        """
        tied = self.token if self.head is None else None
        for module in self.modules():
            if isinstance(module, nn.LayerNorm | nn.RMSNorm):
                module.reset_parameters()
            if isinstance(module, nn.Linear | nn.Embedding):
                std = EMBEDDING_STD if isinstance(module, nn.Embedding) and module is not tied else MATRIX_STD
                nn.init.normal_(module.weight, std=std, generator=generator)
        outer = (norm for block in self.modules() if isinstance(block, Block) for norm in block.outer_norms)
        for norm in outer:
            nn.init.constant_(norm.weight, BRANCH_GAIN)

    def new_cache(self, most_tokens: int) -> KeyValueCache:
        return KeyValueCache(self.config.depth, most_tokens)

    def forward(
        self,
        ids_BL: Tensor,
        positions_BL: Tensor,
        cache: Cache | None = None,
        largest: Largest | None = None,
        under_BL: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, L, V). With a cache the ids continue those of the last call with that cache.

        `under_BL` has a second id that is read together with each token; −1: none.
        """
        grid, turns = self.config.grid, None
        x_BLD = self.embedded(ids_BL)
        if under_BL is not None:
            x_BLD = x_BLD + self.embedded(under_BL.clamp(min=0)) * (under_BL >= 0)[..., None]
        if self.position is not None:
            x_BLD = x_BLD + self.position(positions_BL)
        elif grid is not None:
            turns = turns_of(positions_BL, grid, self.config.head_width)
        for block in self.blocks:
            x_BLD = block(x_BLD, turns, cache, largest)
        return self.logits(x_BLD, largest)

    def embedded(self, ids_BL: Tensor) -> Tensor:
        """(B, L, D), before positions."""
        x_BLD: Tensor = self.token(ids_BL)
        if self.config.embedding_gradient < 1:  # x·s + x.detach()·(1 − s), and exactly x
            x_BLD = torch.lerp(x_BLD.detach(), x_BLD, self.config.embedding_gradient)
        return x_BLD if self.head is not None else x_BLD * TIED_GAIN

    def logits(self, x_BLD: Tensor, largest: Largest | None = None) -> Tensor:
        x_BLD = self.final_norm(x_BLD)
        logits_BLV: Tensor = F.linear(x_BLD, self.token.weight) if self.head is None else self.head(x_BLD)
        if largest is not None:
            largest.see_logits(logits_BLV)
        cap = self.config.logit_cap
        return (logits_BLV.float() / cap).tanh() * cap if cap else logits_BLV
