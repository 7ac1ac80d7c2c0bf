"""What a restored picture may differ in: pixels, and by choice the features of a network and a critic's opinion.

    pixel_error(restored, target)                            # the root of the mean squared error, in pixels of 0..1
    PerceptualLoss(Path("features.pt"))(restored, target)    # a TorchScript network that the user gives
    critic = Critic(learning_rate=2e-3)
    critic.loss(restored)                                    # for the tokenizer
    critic.learn(restored, target)                           # and then for the critic

All take float (B, 3, side, side) in 0..1, restored pictures not clamped.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...manifests.errors import BadInput


def pixel_error(restored: Tensor, target: Tensor) -> Tensor:
    squared_error = (restored - target).square().mean((1, 2, 3))  # (B,)
    # The root weighs easy pictures, and fine detail, more than the square does: +0.2 dB in the mean PSNR.
    return (squared_error + 1e-4).sqrt().mean()


class PerceptualLoss(nn.Module):
    """Mean squared difference of the features, each of unit length along its channels, as LPIPS does.

    The file is a TorchScript network from (B, 3, side, side) in 0..1 to one (B, C, h, w), or to several.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            self.features = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (OSError, ValueError, RuntimeError) as error:
            raise BadInput(
                f"{path}: not a TorchScript network ({str(error).splitlines()[0]})",
                cure="name a file of `torch.jit.save` in `tokenize.image.training.perceptual`",
            ) from None
        self.requires_grad_(False)

    def forward(self, restored: Tensor, target: Tensor) -> Tensor:
        pairs = zip(_layers(self.features(restored)), _layers(self.features(target)), strict=True)
        return torch.stack([(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in pairs]).mean()


class Critic(nn.Module):
    """Tells patches of pictures from restored ones (PatchGAN, hinge loss); a patch is 22 px."""

    def __init__(self, learning_rate: float, width: int = 32) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 4, padding=1),  # (B, 1, side / 4 - 1, side / 4 - 1)
        )
        self.adam = torch.optim.AdamW(self.judge.parameters(), lr=learning_rate, betas=(0.5, 0.9))

    def loss(self, restored: Tensor) -> Tensor:
        """Small where the restored pictures pass for real ones. Leaves no gradient in the critic."""
        self.judge.requires_grad_(False)
        opinion: Tensor = self.judge(2 * restored - 1)
        self.judge.requires_grad_(True)
        return -opinion.mean()

    def learn(self, restored: Tensor, target: Tensor) -> None:
        real, made = self.judge(2 * target - 1), self.judge(2 * restored.detach() - 1)
        torch.autograd.backward(F.relu(1 - real).mean() + F.relu(1 + made).mean())
        self.adam.step()
        self.adam.zero_grad()


def _layers(features: Any) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features)


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=1)
