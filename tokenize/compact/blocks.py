"""The layers of the compact VQ. None mixes pictures, and all keep the shape (B, C, H, W).

ResidualBlock(64)      # sees 5 x 5 pixels
Attention(192)         # sees the whole grid; on 8 x 8 codes it costs a fifth of a ResidualBlock
"""

import torch.nn.functional as F
from torch import Tensor, nn

_HEAD_WIDTH = 32


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(norm(x))))); starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _start_at_zero(self.second)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        hidden = self.first(F.silu(self.norm(x_BCHW)))
        change: Tensor = self.second(F.silu(hidden))
        return x_BCHW + change


class Attention(nn.Module):
    """x + self-attention over all positions; starts as the identity. The convolutions' padding tells positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // _HEAD_WIDTH)
        self.norm = ChannelNorm(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        _start_at_zero(self.out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        projected = self.query_key_value(self.norm(x_BCHW)).reshape(B, 3, self.heads, C // self.heads, H * W)
        query, key, value = projected.transpose(-1, -2).unbind(1)  # each (B, heads, H * W, C / heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        change: Tensor = self.out(mixed.transpose(-1, -2).reshape(B, C, H, W))
        return x_BCHW + change


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel; in channels_last memory the permutes move nothing."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        normed: Tensor = super().forward(x_BCHW.permute(0, 2, 3, 1))  # (B, H, W, C)
        return normed.permute(0, 3, 1, 2)


def _start_at_zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
