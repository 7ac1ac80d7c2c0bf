"""A compact VQ autoencoder: pictures <-> a grid of codes, one for each patch of 8 x 8 or 16 x 16 px.

In:  pictures, float (B, 3, H, W), RGB in 0..1.      Out: codes, int64 (B, H/patch, W/patch), in 0..codebook_size-1.
Back: `decode` turns codes into pictures.

    model = CompactVQ(CompactVQConfig())
    codes = model.encode(pictures)          # (B, 8, 8) of pictures of 64 px
    pictures = model.decode(codes)          # (B, 3, 64, 64)

No layer has batch statistics, so a picture's codes depend neither on its neighbours in the batch nor on their number.
The codebook is a buffer that `train_compact_vq` fills.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from .blocks import Attention, ChannelNorm, ResidualBlock

CHUNK = 16  # oneDNN's kernels for 1 picture and for 16 differ in the last bits: always give it 16


class CompactVQConfig(BaseModel):
    """The shape of the network. What a config.json does not name is as in the first tokenizer that was shipped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_px: Literal[8, 16] = 8
    codebook_size: int = Field(default=1024, ge=2, le=65536, description="codes are stored as uint16")
    codebook_dim: int = Field(default=8, ge=1, description="few dimensions keep all the codes in use")
    fine_width: int = Field(default=64, ge=1, description="channels at 1/4 of the picture's size")
    width: int = Field(default=192, ge=1, description="channels at 1/8 and 1/16, where most of the work is done")
    encoder_depth: int = Field(default=1, ge=1, description="residual blocks at each size")
    decoder_depth: int = Field(default=2, ge=1)
    attention: bool = Field(default=False, description="attention after each of the decoder's blocks on the grid")


class CompactVQ(nn.Module):
    """It takes any size that the patch divides, and is trained for one. Shapes below are for 64 px and patches of 8."""

    codebook: Tensor

    def __init__(self, config: CompactVQConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(*_encoder_layers(config))
        self.decoder = nn.Sequential(*_decoder_layers(config))
        self.register_buffer("codebook", torch.randn(config.codebook_size, config.codebook_dim))

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, H/patch, W/patch) int64."""
        height, width = pictures.shape[-2:]
        patch = self.config.patch_px
        if height % patch or width % patch:
            raise ValueError(f"{height} x {width} px do not divide in patches of {patch} px; resize the pictures first")
        return _in_chunks(pictures, lambda chunk: self.nearest_codes(self.latents(chunk)))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """(B, h, w) integers -> (B, 3, H, W) in 0..1."""
        return _in_chunks(codes.long(), lambda chunk: self.pictures(self.codebook[chunk]).clamp(0, 1))

    def latents(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, h, w, D)."""
        centred = (2 * pictures - 1).contiguous(memory_format=torch.channels_last)
        latents: Tensor = self.encoder(centred)  # (B, D, 8, 8)
        return latents.float().permute(0, 2, 3, 1)

    def pictures(self, quantized: Tensor) -> Tensor:
        """(B, h, w, D) -> (B, 3, H, W), not clamped."""
        decoded: Tensor = self.decoder(quantized.permute(0, 3, 1, 2))
        return decoded.float() / 2 + 0.5

    @torch.no_grad()
    def nearest_codes(self, latents: Tensor) -> Tensor:
        """(B, h, w, D) -> (B, h, w) int64. |latent - code|² without |latent|², which is the same for all the codes."""
        with torch.autocast(latents.device.type, enabled=False):  # bf16 would confuse neighbouring codes
            lengths = self.codebook.square().sum(1)
            distances = torch.addmm(lengths, latents.flatten(0, 2), self.codebook.T, alpha=-2)  # (B * h * w, K)
            return distances.argmin(1).view(latents.shape[:3])


def _encoder_layers(config: CompactVQConfig) -> Iterator[nn.Module]:
    fine, width = config.fine_width, config.width
    yield nn.PixelUnshuffle(4)  # (B, 48, 16, 16): convolutions at 64 px would cost most and see least
    yield nn.Conv2d(48, fine, 3, padding=1)
    yield from (ResidualBlock(fine) for _ in range(config.encoder_depth))
    for channels in (fine,) if config.patch_px == 8 else (fine, width):
        yield nn.Conv2d(channels, width, 4, stride=2, padding=1)  # (B, width, 8, 8)
        yield from (ResidualBlock(width) for _ in range(config.encoder_depth))
    yield ChannelNorm(width)
    yield nn.SiLU()
    yield nn.Conv2d(width, config.codebook_dim, 1)  # (B, D, 8, 8)


def _decoder_layers(config: CompactVQConfig) -> Iterator[nn.Module]:
    fine, width = config.fine_width, config.width
    yield nn.Conv2d(config.codebook_dim, width, 3, padding=1)  # (B, width, 8, 8)
    for _ in range(config.decoder_depth):
        yield ResidualBlock(width)
        if config.attention:
            yield Attention(width)
    for channels in (fine,) if config.patch_px == 8 else (width, fine):
        yield nn.Conv2d(width, 4 * channels, 1)
        yield nn.PixelShuffle(2)  # (B, fine, 16, 16)
        yield from (ResidualBlock(channels) for _ in range(config.decoder_depth))
    yield ChannelNorm(fine)
    yield nn.SiLU()
    yield nn.Conv2d(fine, 48, 3, padding=1)
    yield nn.PixelShuffle(4)  # (B, 3, 64, 64)


def _in_chunks(rows: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `function` to 16 rows at a time, the last ones padded with zeros: a row's result depends on it alone."""
    results = []
    for chunk in torch.split(rows, CHUNK):
        filled = torch.cat([chunk, chunk.new_zeros(CHUNK - len(chunk), *chunk.shape[1:])])
        results.append(function(filled)[: len(chunk)])
    return torch.cat(results)
