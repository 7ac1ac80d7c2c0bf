"""Tokenizers of a recipe's own: a training that repeats itself, and is not repeated when nothing has changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.tokenizing import CompactVQTraining
from tuwen.tokenize.compact import train_on_corpus
from tuwen.tokenize.compact.compact_vq import CompactVQ
from tuwen.tokenize.compact.crop_batches import CropBatches
from tuwen.tokenize.compact.train_compact_vq import train_compact_vq
from tuwen.tokenize.open_image_codes import find_image_tokenizer, open_image_codes

from ..stages import train_tokenizers

SHORT = CompactVQTraining(steps=3, batch=4)


def short_training(
    recipe: Recipe, validation: float | None = None, training: CompactVQTraining = SHORT, **tokenize: object
) -> Recipe:
    """The recipe with a training of three steps."""
    image = recipe.tokenize.image.model_copy(update={"training": training})
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


def test_a_recipe_says_the_side_the_patch_and_the_codebook_of_its_tokenizer(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, run = shapes
    training = CompactVQTraining(side=96, patch=16, codebook=50, width=24, depth=1, steps=2, batch=4)
    train_tokenizers(short_training(recipe, training=training), load_manifest(run / "corpus"), tmp_path, ("image",))
    identity = open_image_codes(tmp_path / "image").identity
    assert (identity.side_px, identity.grid, identity.codebook) == (96, (6, 6), 50)
    assert set(json.loads((tmp_path / "image" / "quality.json").read_bytes())["quality"]) == {"train", "validation"}


def test_an_image_tokenizer_is_trained_again_only_when_its_pictures_or_its_training_are_others(
    shapes: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = shapes
    corpus = load_manifest(run / "corpus")
    trained: list[int] = []  # number of pictures of each training

    def counting(crops: CropBatches, *rest: Any, **options: Any) -> tuple[CompactVQ, list[float]]:
        trained.append(len(crops))
        return train_compact_vq(crops, *rest, **options)

    monkeypatch.setattr(train_on_corpus, "train_compact_vq", counting)
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


def test_a_feature_network_that_is_not_there_is_told_before_anything_is_cropped(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, run = shapes
    training = CompactVQTraining(steps=2, batch=4, perceptual="missing.pt")
    with pytest.raises(BadInput, match=r"feature network: .*missing\.pt does not exist"):
        train_tokenizers(short_training(recipe, training=training), load_manifest(run / "corpus"), tmp_path, ("image",))
    assert not list(tmp_path.rglob("*.npy"))
