"""Trains a CompactVQ on batches of crops that are read as they are needed.

In:  crops, uint8 (B, side, side, 3) RGB a step.      Out: a CompactVQ in eval mode, and the error of every step.

    crops = CropBatches(files, training.batch, training.seed)
    model, history = train_compact_vq(crops, training, checkpoint=path, identity="sha256:…")

The same seed, number of threads and kind of machine give the same weights, killed on the way or not.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from ...manifests.recipe.tokenizing import CompactVQTraining
from ..image_codes import Pictures
from ..precision import autocast, matmul_dtype
from .compact_vq import CompactVQ, CompactVQConfig
from .crop_batches import CropBatches
from .losses import PerceptualLoss, pixel_error
from .optimizers import learning_rate_factor
from .training_state import TrainingState

OnStep = Callable[[int, int, float], None]  # step from 1, number of steps, error

COMMITMENT = 0.05  # weight of |latent - code|² beside the root mean squared error of pixels in 0..1
CRITIC_AFTER = 20  # warm-ups: a critic of the first, grey pictures would only disturb


def train_compact_vq(
    crops: CropBatches,
    training: CompactVQTraining,
    *,
    config: CompactVQConfig | None = None,
    perceptual: Path | None = None,
    checkpoint: Path | None = None,
    identity: str = "",
    on_step: OnStep | None = None,
    device: str = "cpu",
) -> tuple[CompactVQ, list[float]]:
    """Return the model and, for each step, the root mean squared error of its pictures (pixels in 0..1).

    A state at `checkpoint` that has this `identity` is gone on from.
    """
    torch_device = torch.device(device)
    with torch.random.fork_rng(devices=[torch_device] if torch_device.type == "cuda" else []):
        torch.manual_seed(training.seed)
        state = TrainingState.new(config or network(training), training, torch_device)
        features = None if perceptual is None else PerceptualLoss(perceptual).to(torch_device)
        if checkpoint is not None:
            state.load(checkpoint, identity, training.steps)
        for pictures in crops.ahead(state.step, training.steps):
            _take_step(state, pictures, training, features)
            if on_step is not None:
                on_step(state.step, training.steps, state.history[-1])
            if checkpoint is not None and state.step % training.checkpoint_every == 0:
                state.save(checkpoint, identity, training.steps)
    return state.trained_model(), state.history


def network(training: CompactVQTraining) -> CompactVQConfig:
    """Return the shape of the network that a recipe asks for."""
    return CompactVQConfig(
        patch_px=training.patch,
        codebook_size=training.codebook,
        width=training.width,
        fine_width=max(1, training.width // 3),
        decoder_depth=training.depth,
        attention=training.attention,
    )


def _take_step(
    state: TrainingState, pictures: Pictures, training: CompactVQTraining, features: PerceptualLoss | None
) -> None:
    dtype = matmul_dtype(training.precision, state.device)
    target = torch.from_numpy(pictures).to(state.device).permute(0, 3, 1, 2).float() / 255  # (B, 3, side, side)
    with autocast(state.device, dtype):
        latents = state.model.latents(target)  # (B, h, w, D)
        with autocast(state.device, torch.float32):  # bf16 would confuse neighbouring codes
            quantized, _, commitment = state.quantizer(latents.flatten(0, 2)[None])
        restored = state.model.pictures(quantized.view(latents.shape))  # (B, 3, side, side)
    error = pixel_error(restored, target)
    loss = error + COMMITMENT * commitment.sum()
    if features is not None:
        loss = loss + training.perceptual_weight * features(restored, target)
    judged = state.critic is not None and state.step >= CRITIC_AFTER * training.warmup_steps
    if state.critic is not None and judged:
        loss = loss + training.adversarial * state.critic.loss(restored)
    torch.autograd.backward(loss)
    state.optimizers.step(learning_rate_factor(state.step, training))
    if state.critic is not None and judged:
        state.critic.learn(restored, target)
    if training.ema:
        state.update_average(training.ema)
    state.step += 1
    state.history.append(error.item())
