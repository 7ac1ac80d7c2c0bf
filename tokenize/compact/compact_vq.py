"""A compact VQ autoencoder: a 64 px picture <-> 8 x 8 codes out of 1,024.

In:  pictures, float (B, 3, 64, 64), RGB in 0..1.      Out: codes, int64 (B, 8, 8), each in 0..codebook_size-1.
Back: `decode` turns codes into pictures. One code is 10 bits for a patch of 8 x 8 px.

    model = CompactVQ(CompactVQConfig())
    codes = model.encode(pictures)          # (B, 8, 8)
    pictures = model.decode(codes)          # (B, 3, 64, 64)

No layer has batch statistics, so a picture's codes depend neither on its neighbours in the batch nor on their number.
The codebook is a buffer that `train_compact_vq` fills.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

PATCH_PX = 8  # one code per 8 x 8 px
CHUNK = 16  # oneDNN's kernels for 1 picture and for 16 differ in the last bits: always give it 16


class CompactVQConfig(BaseModel):
    """The shape of the network. The defaults hold 2.5M parameters; encoding a picture costs 81M multiply-adds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codebook_size: int = Field(default=1024, ge=2, le=65536, description="codes are stored as uint16")
    codebook_dim: int = Field(default=8, ge=1, description="few dimensions keep all the codes in use")
    fine_width: int = Field(default=64, ge=1, description="channels at 1/4 of the picture's size")
    width: int = Field(default=192, ge=1, description="channels at 1/8, where most of the work is done")
    encoder_depth: int = Field(default=1, ge=1, description="residual blocks at each of the two sizes")
    decoder_depth: int = Field(default=2, ge=1)


class CompactVQ(nn.Module):
    """Fully convolutional: it takes any size that 8 divides, and is trained for one. Shapes below are for 64 px."""

    codebook: Tensor

    def __init__(self, config: CompactVQConfig) -> None:
        super().__init__()
        self.config = config
        fine, width = config.fine_width, config.width
        self.encoder = nn.Sequential(  # (B, 3, 64, 64)
            nn.PixelUnshuffle(4),  # (B, 48, 16, 16): convolutions at 64 px would cost most and see least
            nn.Conv2d(48, fine, 3, padding=1),
            *(ResidualBlock(fine) for _ in range(config.encoder_depth)),
            nn.Conv2d(fine, width, 4, stride=2, padding=1),  # (B, width, 8, 8)
            *(ResidualBlock(width) for _ in range(config.encoder_depth)),
            ChannelNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, config.codebook_dim, 1),  # (B, D, 8, 8)
        )
        self.decoder = nn.Sequential(  # (B, D, 8, 8)
            nn.Conv2d(config.codebook_dim, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(config.decoder_depth)),
            nn.Conv2d(width, 4 * fine, 1),
            nn.PixelShuffle(2),  # (B, fine, 16, 16)
            *(ResidualBlock(fine) for _ in range(config.decoder_depth)),
            ChannelNorm(fine),
            nn.SiLU(),
            nn.Conv2d(fine, 48, 3, padding=1),
            nn.PixelShuffle(4),  # (B, 3, 64, 64)
        )
        self.register_buffer("codebook", torch.randn(config.codebook_size, config.codebook_dim))

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, H/8, W/8) int64."""
        height, width = pictures.shape[-2:]
        if height % PATCH_PX or width % PATCH_PX:
            raise ValueError(
                f"{height} x {width} px do not divide in patches of {PATCH_PX} px; resize the pictures first"
            )
        return _in_chunks(pictures, self._encode)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """(B, H/8, W/8) integers -> (B, 3, H, W) in 0..1."""
        return _in_chunks(codes.long(), lambda chunk: self.pictures(self.codebook[chunk]).clamp(0, 1))

    def _encode(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2] // PATCH_PX, pictures.shape[-1] // PATCH_PX
        return self.nearest_codes(self.latents(pictures)).view(-1, height, width)

    def latents(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B * H/8 * W/8, D), one row a patch."""
        centred = (2 * pictures - 1).contiguous(memory_format=torch.channels_last)
        latents: Tensor = self.encoder(centred)  # (B, D, 8, 8)
        return latents.float().permute(0, 2, 3, 1).flatten(0, 2)

    def pictures(self, quantized: Tensor) -> Tensor:
        """(B, H/8, W/8, D) -> (B, 3, H, W), not clamped."""
        decoded: Tensor = self.decoder(quantized.permute(0, 3, 1, 2))
        return decoded.float() / 2 + 0.5

    @torch.no_grad()
    def nearest_codes(self, latents: Tensor) -> Tensor:
        """(N, D) -> (N) int64. |latent - code|² without |latent|², which is the same for all the codes."""
        with torch.autocast(latents.device.type, enabled=False):  # bf16 would confuse neighbouring codes
            distances: Tensor = torch.addmm(self.codebook.square().sum(1), latents, self.codebook.T, alpha=-2)  # (N, K)
            return distances.argmin(1)


def _in_chunks(rows: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `function` to 16 rows at a time, the last ones padded with zeros: a row's result depends on it alone."""
    results = []
    for chunk in torch.split(rows, CHUNK):
        filled = torch.cat([chunk, chunk.new_zeros(CHUNK - len(chunk), *chunk.shape[1:])])
        results.append(function(filled)[: len(chunk)])
    return torch.cat(results)


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(norm(x))))); starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        hidden = self.first(F.silu(self.norm(x_BCHW)))
        change: Tensor = self.second(F.silu(hidden))
        return x_BCHW + change


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel; in channels_last memory the permutes move nothing."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        normed: Tensor = super().forward(x_BCHW.permute(0, 2, 3, 1))  # (B, H, W, C)
        return normed.permute(0, 3, 1, 2)
