"""Tokenizers of a recipe's own: a training that repeats itself, and is not repeated when nothing has changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.tokenizing import CompactVQTraining
from tuwen.tokenize import train_tokenizers as train_tokenizers_module
from tuwen.tokenize.compact.compact_vq import CompactVQ, CompactVQConfig
from tuwen.tokenize.compact.train_compact_vq import train_compact_vq
from tuwen.tokenize.image_codes import Pictures
from tuwen.tokenize.open_image_codes import find_image_tokenizer, open_image_codes

from ..stages import train_tokenizers
from .small_pictures import some_pictures


def test_a_short_training_learns_uses_its_codes_and_repeats_itself() -> None:
    config = CompactVQConfig(codebook_size=16, width=16, fine_width=8, encoder_depth=1, decoder_depth=1)
    training = CompactVQTraining(steps=60, batch=8, precision="float32")
    pictures = some_pictures()
    model, history = train_compact_vq(pictures, config, training)
    again, repeated = train_compact_vq(pictures, config, training)
    assert history == repeated
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert np.mean(history[-5:]) < 0.85 * np.mean(history[:5])
    codes = model.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    assert len(codes.unique()) >= 5


def short_training(recipe: Recipe, validation: float | None = None, **tokenize: object) -> Recipe:
    """The recipe with a training of three steps."""
    image = recipe.tokenize.image.model_copy(update={"training": CompactVQTraining(steps=3, batch=4)})
    changed = recipe.tokenize.model_copy(update={"image": image, **tokenize})
    split = recipe.split.model_copy(update={"validation": validation or recipe.split.validation})
    return recipe.model_copy(update={"tokenize": changed, "split": split})


def test_a_recipe_trains_a_tokenizer_of_its_own_and_can_use_it(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = shapes
    corpus = load_manifest(run / "corpus")
    result = train_tokenizers(short_training(recipe), corpus, tmp_path)
    assert {entry.name for entry in result.files} >= {
        "text.model",
        "image/weights.safetensors",
        "image/quality.json",
    }
    assert load_manifest(tmp_path / "image").lineage.parents == [corpus.id]
    assert open_image_codes(find_image_tokenizer(str(tmp_path / "image"), Path())).identity.codebook == 1024


def test_an_image_tokenizer_is_trained_again_only_when_its_pictures_or_its_training_are_others(
    shapes: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = shapes
    corpus = load_manifest(run / "corpus")
    trained: list[int] = []  # number of pictures of each training

    def counting(pictures: Pictures, *rest: Any, **options: Any) -> tuple[CompactVQ, list[float]]:
        trained.append(len(pictures))
        return train_compact_vq(pictures, *rest, **options)

    monkeypatch.setattr(train_tokenizers_module, "train_compact_vq", counting)
    short = short_training(recipe)
    train_tokenizers(short, corpus, tmp_path, ("image",))
    train_tokenizers(short, corpus, tmp_path, ("image",))
    train_tokenizers(short_training(recipe, block_rows=8), corpus, tmp_path, ("image",))  # does not concern it
    assert len(trained) == 1
    train_tokenizers(short_training(recipe, validation=0.5), corpus, tmp_path, ("image",))
    assert len(trained) == 2
    assert trained[1] < trained[0]  # what is held out now was trained on before
    (tmp_path / "image" / "manifest.json").write_text("{}", encoding="utf-8")
    train_tokenizers(short_training(recipe, validation=0.5), corpus, tmp_path, ("image",))
    assert len(trained) == 3
