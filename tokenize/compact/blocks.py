"""The layers of the compact VQ. None mixes pictures, and all keep the shape (B, C, H, W).

ResidualBlock(64)      # sees 5 x 5 pixels
Attention(192)         # sees the whole grid; on 8 x 8 codes it has a fifth of a ResidualBlock's parameters
"""

import torch
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
        self.heads = 1 if channels % _HEAD_WIDTH else channels // _HEAD_WIDTH
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        _start_at_zero(self.out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        x_BLC = x_BCHW.permute(0, 2, 3, 1).reshape(B, H * W, C)  # moves nothing in channels_last memory
        projected = self.query_key_value(self.norm(x_BLC)).view(B, H * W, 3, self.heads, C // self.heads)
        with torch.autocast(x_BCHW.device.type, enabled=False):  # its backward in bfloat16 takes twice as long on CPUs
            query, key, value = projected.float().permute(2, 0, 3, 1, 4).unbind()  # each (B, heads, L, C / heads)
            mixed = F.scaled_dot_product_attention(query, key, value)
        change_BLC: Tensor = self.out(mixed.transpose(1, 2).reshape(B, H * W, C))
        return x_BCHW + change_BLC.view(B, H, W, C).permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel; in channels_last memory the permutes move nothing."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        normed: Tensor = super().forward(x_BCHW.permute(0, 2, 3, 1))  # (B, H, W, C)
        return normed.permute(0, 3, 1, 2)


def _start_at_zero(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
