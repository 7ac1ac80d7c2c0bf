"""An image tokenizer by its contract: codes of a picture alone, the same codes from a saved tokenizer, its quality."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import ImageTokenizerFolder, ShardsFolder
from tuwen.manifests.verify import verify_manifest
from tuwen.pipeline.report.codes import shards_section
from tuwen.tokenize.compact.compact_codes import CompactCodes, save_compact_vq
from tuwen.tokenize.compact.compact_vq import CompactVQ, CompactVQConfig
from tuwen.tokenize.crops.cropped import fit_square
from tuwen.tokenize.open_image_codes import SHIPPED, find_image_tokenizer, open_image_codes
from tuwen.tokenize.quality import psnr
from tuwen.tokenize.reconstruction import measure_reconstruction

from .small_pictures import some_pictures


@pytest.mark.parametrize(("name", "side", "grid"), [("compact-64", 64, (8, 8)), ("compact-128", 128, (16, 16))])
def test_a_shipped_tokenizer_is_what_its_name_and_its_manifest_say(name: str, side: int, grid: tuple[int, int]) -> None:
    image_codes = open_image_codes(find_image_tokenizer(name, Path()))
    identity = image_codes.identity
    assert (identity.name, identity.codebook, identity.grid, identity.side_px) == (name, 1024, grid, side)
    manifest = load_manifest(SHIPPED / name, "tokenizer")
    assert manifest.document["lineage"]["recipe"]["name"] == "emoji"
    listed = {entry["name"]: entry["sha256"] for entry in manifest.document["files"]}
    assert listed["weights.safetensors"] == identity.sha256
    assert not list(verify_manifest(manifest))


def test_the_shipped_tokenizers_are_small_and_use_all_their_codes() -> None:
    folders = [SHIPPED / name for name in ("compact-64", "compact-128")]
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) <= 14_000_000
    for folder in folders:
        measured = json.loads((folder / "quality.json").read_bytes())["quality"]["validation"]
        assert float(measured["codebook_used"]) >= 0.99


@pytest.mark.parametrize("name", ["compact-64", "compact-128"])
def test_a_shipped_tokenizer_rebuilds_pictures_that_it_never_saw(name: str) -> None:
    image_codes = open_image_codes(SHIPPED / name)
    pictures = some_pictures(image_codes.identity.side_px)
    codes = image_codes.encode(pictures)
    assert codes.shape == (len(pictures), *image_codes.identity.grid)
    assert 0 <= codes.min() <= codes.max() < 1024
    assert psnr(pictures, image_codes.decode(codes))["psnr_mean_db"] > 18


def test_the_codes_of_a_picture_do_not_depend_on_its_neighbours() -> None:
    image_codes = open_image_codes(SHIPPED / "compact-64")
    pictures = some_pictures()
    together = image_codes.encode(pictures)
    alone = np.concatenate([image_codes.encode(pictures[row : row + 1]) for row in range(len(pictures))])
    shuffled = image_codes.encode(pictures[::-1].copy())[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, shuffled)


def test_a_tokenizer_comes_back_as_it_was_saved_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    model = CompactVQ(CompactVQConfig(width=16, fine_width=8, codebook_size=32)).half().float()
    files = ImageTokenizerFolder(tmp_path)
    save_compact_vq(model, 64, files.weights, files.config)
    opened = open_image_codes(tmp_path)
    pictures = some_pictures()
    assert np.array_equal(opened.encode(pictures), CompactCodes(model, opened.identity).encode(pictures))
    files.weights.write_bytes(b"half")
    with pytest.raises(BadInput, match="not a compact tokenizer"):
        open_image_codes(tmp_path)
    with pytest.raises(BadInput, match="compact-64"):
        find_image_tokenizer("no-such-tokenizer", tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": None}, "config.json: `name` cannot be None)"),
        ({"side_px": 4}, "config.json: `side_px` cannot be 4)"),
        ({"model": {"codebook_size": 1}}, "config.json: `model.codebook_size` cannot be 1)"),
    ],
)
def test_a_config_that_is_not_of_this_tokenizer_is_refused_with_the_key(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    shipped, files = ImageTokenizerFolder(SHIPPED / "compact-64"), ImageTokenizerFolder(tmp_path)
    files.weights.write_bytes(shipped.weights.read_bytes())
    files.config.write_text(json.dumps(json.loads(shipped.config.read_bytes()) | change), encoding="utf-8")
    with pytest.raises(BadInput, match=re.escape(f"not a compact tokenizer ({problem}")):
        open_image_codes(tmp_path)


def test_a_wide_picture_is_cropped_in_the_middle_and_the_box_is_told() -> None:
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (100, 0, 200, 100))
    square, box = fit_square(picture, 64)
    assert box == [100, 0, 200, 100]
    assert square.shape == (64, 64, 3)
    assert (square == [255, 0, 0]).all()


def test_reconstruction_is_measured_on_pictures_of_the_validation_split(shapes: tuple[Recipe, Path]) -> None:
    recipe, run = shapes
    measured = measure_reconstruction(recipe, load_manifest(run / "corpus"), load_manifest(run / "shards"))["codes"]
    assert measured["split"] == "validation"
    assert measured["pictures"] == load_manifest(run / "shards").document["splits"]["validation"]["samples"]
    assert measured["psnr_mean_db"] > 15
    assert (run / "shards" / "reconstruction.png").is_file()


def test_the_report_shows_what_a_shipped_tokenizer_keeps_of_pictures_by_other_hands(
    shapes: tuple[Recipe, Path],
) -> None:
    section = shards_section(ShardsFolder(shapes[1] / "shards"))
    assert section is not None
    (codes,) = section.codes
    assert [hand["name"] for hand in codes.other_hands] == ["Fluent", "FxEmojis", "Noto"]
    assert all(20 < float(hand["psnr_mean_db"]) < 26 for hand in codes.other_hands)
    assert codes.other_hands_sheet.startswith("data:image/webp")
