"""Imported shards are shards: they are trained on, painted from, and asked what was read when."""

from pathlib import Path

import numpy as np
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.order.order import open_order
from tuwen.manifests.order.order_lookup import keys_at, reads_of_key
from tuwen.manifests.order.shuffle import Shuffle
from tuwen.manifests.run_folders import TrainFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.tokenize.import_codes.asked import parse_grid
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.train.painting.generate_pictures import sample_pictures
from tuwen.train.training.loop import train

from ...conftest import write_recipe
from ..toy_tokenizers import MODULE
from .others_files import CAPTIONS, imported, random_codes, save_npy


def compact_codes(folder: Path) -> Path:
    """64 codes a picture, as compact-64 gives them, beside their captions."""
    for number, row in enumerate(random_codes(24, 64, 1024)):
        save_npy(folder / "npy" / f"{number}.npy", row.reshape(8, 8))
        (folder / "npy" / f"{number}.txt").write_text(CAPTIONS[number % 4], encoding="utf-8")
    return folder / "npy"


TRAINING = "{preset: tiny, steps: 2, batch: 4, precision: float32}"


def test_imported_codes_are_trained_on_and_pictures_need_their_tokenizer(tmp_path: Path, text_model: Path) -> None:
    path, recipe = compact_codes(tmp_path), load_recipe(str(write_recipe(tmp_path, train=TRAINING)))
    facts = {"codebook": 1024, "grid": parse_grid("8x8")}
    without = imported(path, tmp_path / "without", text_model, tokenizer="ours", **facts)
    run = train(recipe, without, TrainFolder(tmp_path / "run"))
    assert run.losses[-1]["samples"] == 8
    assert list(verify_manifest(load_manifest(tmp_path / "run"))) == []
    with pytest.raises(BadInput, match=r"imported without their image tokenizer; .*--tokenizer FOLDER"):
        sample_pictures(run, ["红圆"], count=1, seed=0)
    given = imported(path, tmp_path / "given", text_model, tokenizer="compact-64")
    assert (given.sample_schema.codes.codebook, given.sample_schema.codes.shape) == (1024, [8, 8])
    pictures, _ = sample_pictures(train(recipe, given, TrainFolder(tmp_path / "run2")), ["红圆"], count=1, seed=0)
    assert pictures.shape == (1, 1, 64, 64, 3)


def test_a_tokenizer_of_others_is_given_as_in_a_recipe(tmp_path: Path, text_model: Path) -> None:
    for number, row in enumerate(random_codes(8, 64, 256)):
        save_npy(tmp_path / "npy" / f"{number}.npy", row[None])
        (tmp_path / "npy" / f"{number}.txt").write_text("红圆", encoding="utf-8")
    said = f"{{kind: python, python: '{MODULE}:MeanColours', size: 64}}"
    manifest = imported(tmp_path / "npy", tmp_path / "out", text_model, tokenizer=said)
    assert (manifest.sample_schema.codes.codebook, manifest.sample_schema.codes.shape) == (256, [8, 8])
    codes = SplitReader(manifest, "train").rows(np.arange(8))[0].astype(np.int64).reshape(-1, 8, 8)
    image_codes = open_image_codes(tmp_path / "out" / "image_tokenizer")
    assert np.array_equal(image_codes.encode(image_codes.decode(codes)), codes)


def test_what_and_when_answer_for_imported_pairs(tmp_path: Path, text_model: Path) -> None:
    manifest = imported(compact_codes(tmp_path), tmp_path / "out", text_model, tokenizer="compact-64")
    order = open_order(manifest, "train", 3, Shuffle())
    (key,) = keys_at(manifest, order, 5, 1, "train")
    assert [read["position"] for read in reads_of_key(manifest, order, key, 4, 1, "train")] == [5]
