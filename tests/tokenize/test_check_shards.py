"""`tuwen tokenize --check`: shards that are what they say pass; each thing that changed is named."""

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TEXT_MODEL
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.check_shards import check_shards

from ..conftest import write_pictures, write_recipe
from ..stages import build_corpus, train_tokenizers, write_shards


def test_shards_that_nobody_touched_agree_in_every_code(shapes: tuple[Recipe, Path]) -> None:
    _, run = shapes
    found = check_shards(load_manifest(run / "corpus"), load_manifest(run / "shards"), rows=8)
    assert found.faults == []
    assert (found.rows, found.codes, found.equal_codes) == (16, 16 * 64, 1.0)


def test_what_changed_since_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    recipe = load_recipe(str(write_recipe(tmp_path)), ["tokenize.text.vocab=80", "split.validation=0.3"])
    corpus = build_corpus(recipe, tmp_path / "corpus")
    train_tokenizers(recipe, corpus, tmp_path / "tokenizer", ("text",))
    shards = write_shards(recipe, corpus, tmp_path / "tokenizer" / TEXT_MODEL, tmp_path / "shards")
    assert check_shards(corpus, shards, rows=1000).faults == []
    picture = sorted((tmp_path / "pictures").rglob("*.png"))[0]
    with Image.open(picture) as image:
        ImageOps.invert(image.convert("RGB")).save(picture)
    faults = check_shards(corpus, shards, rows=1000).faults
    assert len(faults) >= 1
    assert all("since it was measured" in fault or "as long as" in fault for fault in faults)
    again = build_corpus(recipe, tmp_path / "again")
    faults = check_shards(again, shards, rows=1000).faults
    assert "was made of another corpus" in faults[0]
    assert any("codes are others" in fault or "is not kept" in fault for fault in faults[1:])


def test_another_tokenizer_beside_the_shards_is_counted(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    _, run = shapes
    shutil.copytree(run / "shards", tmp_path / "shards")
    weights = tmp_path / "shards" / "image_tokenizer" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    weights.write_bytes(data)
    found = check_shards(load_manifest(run / "corpus"), load_manifest(tmp_path / "shards"), rows=4)
    assert found.equal_codes < 0.9
    assert found.faults[0].endswith("codes are others")


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
