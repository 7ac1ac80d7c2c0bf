"""All that a step of the training changes, and its checkpoint.

    state = TrainingState.new(config, training, device)
    state.save(path, identity, steps=5000)       # weights, optimizers, codebook, average, critic, random state, step
    state.load(path, identity, steps=5000)       # False if there is none, or it is of another training

A training that was killed goes on from there with the same weights as an unbroken one.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from vector_quantize_pytorch import VectorQuantize

from ...manifests.atomic import whole_file
from ...manifests.recipe.tokenizing import CompactVQTraining
from .compact_vq import CompactVQ, CompactVQConfig
from .losses import Critic
from .optimizers import Optimizers, cooldown_begins

CODEBOOK_DECAY = 0.99  # a code remembers about 100 batches
DEAD_SHARE = 0.1  # a code chosen less than 0.1 x the even share is moved to a latent of the batch


@dataclass
class TrainingState:
    model: CompactVQ
    quantizer: VectorQuantize
    optimizers: Optimizers
    average: list[Tensor]  # of the weights over the last steps; empty without `ema`
    critic: Critic | None
    device: torch.device
    step: int = 0  # steps done
    history: list[float] = field(default_factory=list)  # the error of each step

    @classmethod
    def new(cls, config: CompactVQConfig, training: CompactVQTraining, device: torch.device) -> "TrainingState":
        """Draws from torch's global generator."""
        model = CompactVQ(config).to(device).train()
        return cls(
            model,
            _new_quantizer(config, training).to(device).train(),
            Optimizers(model, training),
            [weight.detach().clone() for weight in model.parameters()] if training.ema else [],
            Critic(training.adam_lr).to(device) if training.adversarial else None,
            device,
        )

    def save(self, path: Path, identity: str, steps: int) -> None:
        """Replace the file at `path` by rename, so that a kill leaves the old one or the new one."""
        document = {"identity": identity, "steps": steps, "step": self.step}
        document |= {"history": torch.tensor(self.history, dtype=torch.float64)}
        document |= {name: part.state_dict() for name, part in self._parts().items()}
        document |= {"average": self.average, "random": _random_state(self.device)}
        with whole_file(path) as temporary:
            torch.save(document, temporary)

    def load(self, path: Path, identity: str, steps: int) -> bool:
        """Go on from `path`. Returns False, and changes nothing, when it holds no state of this training."""
        document = _saved(path, identity, steps, self.device)
        if document is None:
            return False
        self.step, self.history = document["step"], document["history"].tolist()
        for name, part in self._parts().items():
            part.load_state_dict(document[name])
        self.average = document["average"]
        _set_random_state(document["random"], self.device)
        return True

    def update_average(self, decay: float) -> None:
        """Young averages forget faster, so that the weights of the first steps are not in them for long."""
        share = 1 - min(decay, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(self.average, [weight.detach() for weight in self.model.parameters()], share)

    @torch.no_grad()
    def trained_model(self) -> CompactVQ:
        """The model with its codebook and, where there is one, the average of its weights. Training ends with this."""
        for weight, average in zip(self.model.parameters(), self.average, strict=bool(self.average)):
            weight.copy_(average)
        self.model.codebook.copy_(self.quantizer.codebook)
        return self.model.cpu().half().float().eval()  # weights that float16 holds exactly: half the bytes to ship

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.model, "quantizer": self.quantizer, "optimizers": self.optimizers}
        if self.critic is not None:
            parts |= {"critic": self.critic, "critic_adam": self.critic.adam}
        return parts


def steps_done(path: Path, identity: str, steps: int) -> int:
    """Return the step from which a training would go on; 0 when there is no state of it at `path`."""
    document = _saved(path, identity, steps, torch.device("cpu"))
    return document["step"] if document else 0


def _saved(path: Path, identity: str, steps: int, device: torch.device) -> dict[str, Any] | None:
    """Return the state at `path` if a training of this identity, and of so many steps, has been in it."""
    try:
        document: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        before: int = document["steps"]
        is_on_the_way = steps == before or document["step"] <= cooldown_begins(min(steps, before))
        return document if document["identity"] == identity and is_on_the_way else None
    except Exception:  # whatever torch raises on a file that is not there, is cut or of another release
        return None


def _new_quantizer(config: CompactVQConfig, training: CompactVQTraining) -> VectorQuantize:
    codes = (training.side // config.patch_px) ** 2  # of a picture
    return VectorQuantize(
        dim=config.codebook_dim,
        codebook_size=config.codebook_size,
        decay=CODEBOOK_DECAY,
        commitment_weight=1.0,
        kmeans_init=True,
        threshold_ema_dead_code=DEAD_SHARE * training.batch * codes / config.codebook_size,
        rotation_trick=False,  # the library's default; costs 1.6 dB after 5,000 steps
    )


def _random_state(device: torch.device) -> list[Tensor]:
    """The quantizer draws from torch's global generator, on the device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _set_random_state(state: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1].cpu(), device)
