"""The training of the compact VQ: it learns, repeats itself, and goes on after a kill as if there had been none."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from tuwen.manifests.errors import BadInput
from tuwen.manifests.recipe.tokenizing import CompactVQTraining
from tuwen.tokenize.compact.compact_vq import CompactVQ, CompactVQConfig
from tuwen.tokenize.compact.crop_batches import CropBatches
from tuwen.tokenize.compact.train_compact_vq import train_compact_vq
from tuwen.tokenize.compact.training_state import steps_done

from ..small_pictures import some_pictures

CONFIG = CompactVQConfig(codebook_size=16, width=16, fine_width=8, encoder_depth=1, decoder_depth=1, attention=True)
ALL_CHOICES = {"ema": 0.9, "adversarial": 0.1, "perceptual_weight": 0.1, "warmup_steps": 0}


class _FeatureNetwork(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Conv2d(3, 4, 5, stride=2)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        return [self.layers(pictures), pictures[:, :, ::4, ::4]]


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    path = tmp_path_factory.mktemp("crops") / "train.npy"
    np.save(path, some_pictures())
    return [path]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features.pt"
    torch.manual_seed(0)
    torch.jit.script(_FeatureNetwork()).save(path)
    return path


def train(crops: list[Path], training: CompactVQTraining, **options: Any) -> tuple[CompactVQ, list[float]]:
    return train_compact_vq(CropBatches(crops, training.batch, training.seed), training, config=CONFIG, **options)


def same_weights(one: CompactVQ, other: CompactVQ) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_short_training_learns_uses_its_codes_and_repeats_itself(crops: list[Path]) -> None:
    training = CompactVQTraining(steps=60, batch=8, precision="float32")
    model, history = train(crops, training)
    again, repeated = train(crops, training)
    assert history == repeated
    assert same_weights(model, again)
    assert np.mean(history[-5:]) < 0.85 * np.mean(history[:5])
    codes = model.encode(torch.from_numpy(some_pictures()).permute(0, 3, 1, 2) / 255)
    assert len(codes.unique()) >= 5


@pytest.mark.parametrize("choices", [{}, ALL_CHOICES])
def test_a_killed_training_goes_on_to_the_same_weights(
    crops: list[Path], features: Path, tmp_path: Path, choices: dict[str, float]
) -> None:
    training = CompactVQTraining(steps=24, batch=4, checkpoint_every=3, **choices)  # type: ignore[arg-type]
    options = {"perceptual": features if choices else None, "identity": "this one", "checkpoint": tmp_path / "state.pt"}
    unbroken, history = train(crops, training, **(options | {"checkpoint": None}))
    random, steps = Random(0), list[int]()
    for _ in range(3):
        last = random.randrange(5, 20)

        def kill(step: int, total: int, error: float, last: int = last) -> None:
            steps.append(step)
            if step == last:
                raise Killed

        with pytest.raises(Killed):
            train(crops, training, on_step=kill, **options)
            raise Killed  # it was behind `last` already
    assert steps_done(tmp_path / "state.pt", "this one", training.steps) >= 3
    model, again = train(crops, training, on_step=lambda step, *_: steps.append(step), **options)
    assert len(steps) < 3 * 24  # it did go on
    assert again == history
    assert same_weights(model, unbroken)


def test_a_training_may_be_made_longer_before_its_learning_rate_falls_and_not_after(
    crops: list[Path], tmp_path: Path
) -> None:
    def trained(steps: int, **options: Any) -> tuple[CompactVQ, list[int]]:
        taken: list[int] = []
        training = CompactVQTraining(steps=steps, batch=4, checkpoint_every=4)
        return train(crops, training, on_step=lambda step, *_: taken.append(step), **options)[0], taken

    def stop(step: int, *_: object) -> None:
        if step == 10:
            raise Killed

    options = {"checkpoint": tmp_path / "state.pt", "identity": "this one"}
    with pytest.raises(Killed):
        train(crops, CompactVQTraining(steps=12, batch=4, checkpoint_every=4), on_step=stop, **options)
    longer, taken = trained(20, **options)  # from step 8; the rate falls from 9 on in 12 steps
    assert taken[0] == 9
    assert same_weights(longer, trained(20)[0])
    shorter, taken = trained(12, **options)  # the state is that of step 20 now
    assert taken[0] == 1
    assert same_weights(shorter, trained(12)[0])


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_not_gone_on_from(
    crops: list[Path], tmp_path: Path
) -> None:
    checkpoint, training = tmp_path / "state.pt", CompactVQTraining(steps=4, batch=4, checkpoint_every=2)
    train(crops, training, checkpoint=checkpoint, identity="another")
    whole = checkpoint.read_bytes()
    steps: list[int] = []
    for data in (whole, whole[:999]):
        checkpoint.write_bytes(data)
        assert steps_done(checkpoint, "this", training.steps) == 0
        train(crops, training, checkpoint=checkpoint, identity="this", on_step=lambda step, *_: steps.append(step))
    assert steps == [1, 2, 3, 4, 1, 2, 3, 4]


def test_each_choice_changes_the_weights_and_none_keeps_it_from_learning(crops: list[Path], features: Path) -> None:
    plain = {"steps": 40, "batch": 8, "warmup_steps": 0, "precision": "float32"}
    models = []
    for choice, path in [({}, None), ({"ema": 0.9}, None), ({"adversarial": 0.02}, None), ({}, features)]:
        model, history = train(crops, CompactVQTraining.model_validate(plain | choice), perceptual=path)
        assert np.mean(history[-5:]) < 0.9 * np.mean(history[:5])
        assert not any(same_weights(model, other) for other in models)
        models.append(model)


def test_a_feature_network_that_is_none_is_refused(crops: list[Path], tmp_path: Path) -> None:
    (tmp_path / "features.pt").write_bytes(b"no network")
    with pytest.raises(BadInput, match=r"features\.pt: not a TorchScript network"):
        train(crops, CompactVQTraining(steps=1, batch=1), perceptual=tmp_path / "features.pt")
