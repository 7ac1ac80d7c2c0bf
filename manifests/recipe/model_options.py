"""`train.model:` of a recipe: the choices of the transformer. None means: as the preset has it.

ModelOptions(positions="rotary2d", qk_norm=True)
"""

from typing import Annotated, Literal

from pydantic import Field

from .section import Section

Norms = Literal["sandwich", "pre"]  # of a branch: before and after it, or before it alone
NormKind = Literal["layer", "rms"]
Activation = Literal["gelu", "relu2", "swiglu"]  # of equal numbers of parameters
Positions = Literal["learned", "rotary2d"]  # rotary2d: by row and column of a code, by index in a caption

Count = Annotated[int, Field(ge=1)]


class ModelOptions(Section):
    width: Count | None = None
    depth: Count | None = None  # blocks
    heads: Count | None = None
    norms: Norms | None = None
    norm_kind: NormKind | None = None
    relaxed_norms: bool | None = None  # CogView's PB-LN
    activation: Activation | None = None
    positions: Positions | None = None
    qk_norm: bool | None = None  # queries and keys are normalised
    relaxed_attention: bool | None = None  # CogView's PB-relax
    tie_ids: bool | None = None  # the head is the embedding of the ids
    logit_cap: Annotated[float, Field(ge=0)] | None = None  # c·tanh(logits/c); 0: none
    embedding_gradient: Annotated[float, Field(gt=0, le=1)] | None = None  # share that embedded ids learn from
