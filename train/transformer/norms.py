"""Norms over one token: LayerNorm or RMSNorm, each also in CogView's relaxed form.

    norm = new_norm("layer", width=512, relaxed=True)
    y_BLD = norm(x_BLD)

Relaxed is CogView's PB-LN (arXiv 2105.13290): a norm of x / max|x|, whose squares cannot overflow in float16. A norm
does not depend on the size of its input, so the result is the same. The maximum is that of one token. The LN that
CogView released takes it over batch and time, so that later tokens leak into earlier ones.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ...manifests.recipe.model_options import NormKind

EPSILON = 1e-5  # added to the variance
RELAXED_EPSILON = 1e-8  # of x / max|x|, whose variance is at least about 1/width
FLOOR = 2.0**-14  # of max|x|: the smallest normal number of float16


class RMSNorm(nn.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        # The fused kernel wants weights of the input's type, and autocast does not cast them.
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class RelaxedLayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(over_largest(x))


class RelaxedRMSNorm(RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(over_largest(x))


def over_largest(x: Tensor) -> Tensor:
    """x / max|x|, of each token on its own. No gradient goes through the maximum: the norm's result is free of it."""
    return x / x.detach().abs().amax(dim=-1, keepdim=True).clamp_min(FLOOR)


def new_norm(kind: NormKind, width: int, relaxed: bool = False) -> nn.LayerNorm | nn.RMSNorm:
    epsilon = RELAXED_EPSILON if relaxed else EPSILON
    if kind == "layer":
        return (RelaxedLayerNorm if relaxed else nn.LayerNorm)(width, eps=epsilon)
    return (RelaxedRMSNorm if relaxed else RMSNorm)(width, eps=epsilon)
