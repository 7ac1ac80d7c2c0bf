"""A corpus to shards: the same bytes for any number of workers, no duplicate in both splits, a whole lineage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.tokenizing import ImageTokenizer, Quality, Tokenize
from tuwen.manifests.run_folders import TEXT_MODEL, ImageTokenizerFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.corpus_files.split import split_of
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe
from tuwen.pipeline.reasons import STAGES
from tuwen.tokenize.caption_ids import open_caption_ids
from tuwen.tokenize.compact.compact_codes import save_compact_vq
from tuwen.tokenize.compact.compact_vq import CompactVQ, CompactVQConfig
from tuwen.tokenize.open_image_codes import open_image_codes
from tuwen.tokenize.pretrained.cogview_vq import CogViewVQ

from ..conftest import encoded, files_of, png, write_recipe
from ..stages import build_corpus, train_tokenizers, write_shards


def test_shards_are_byte_identical_for_one_two_and_four_workers(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, run = shapes
    expected = load_manifest(run / "shards")
    corpus, text_model = load_manifest(run / "corpus"), run / "tokenizer" / TEXT_MODEL
    for workers in (1, 2, 4):
        manifest = write_shards(recipe, corpus, text_model, tmp_path / str(workers), workers)
        assert manifest.id == expected.id
        assert files_of(manifest) == files_of(expected)


def test_every_kept_pair_is_in_one_split_with_its_caption_and_codes(shapes: tuple[Recipe, Path]) -> None:
    recipe, run = shapes
    shards, corpus = load_manifest(run / "shards"), load_manifest(run / "corpus")
    kept = {row["key"]: row for row in read_verdicts(corpus).to_pylist() if row["kept"]}
    captions = open_caption_ids((run / "tokenizer" / TEXT_MODEL).read_bytes())
    seen = {}
    for split in ("train", "validation"):
        reader = SplitReader(shards, split)
        _, text, lengths = reader.rows(np.arange(len(reader)))
        for row in range(len(reader)):
            meta = reader.meta(row)
            seen[meta["key"]] = split
            assert meta["caption"] == kept[meta["key"]]["caption"]
            assert text[row, : lengths[row]].tolist() == captions.encode(meta["caption"])[:16]
            assert split == split_of(kept[meta["key"]]["cluster"], recipe.split.validation)
    assert set(seen) == set(kept)
    assert set(seen.values()) == {"train", "validation"}


@pytest.mark.parametrize("images", ["none", "exact", "near"])
def test_duplicates_never_straddle_splits_whatever_the_policy_of_duplicates(tmp_path: Path, images: str) -> None:
    """One duplicate of every picture as JPEG and one at half the size, under names and captions of their own.

    The pictures are textured, as photographs are: of flat, symmetric drawings the hash misses one duplicate in ten.
    """
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator, lines = np.random.default_rng(0), []
    for number in range(60):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        picture = coarse.resize((96, 96), Image.Resampling.BICUBIC)
        half = picture.resize((48, 48), Image.Resampling.LANCZOS)
        smaller = encoded(half, "WEBP", lossless=True)
        files = {"png": png(picture), "jpg": encoded(picture, "JPEG", quality=80), "webp": smaller}
        for kind, data in files.items():
            (folder / f"{number}.{kind}").write_bytes(data)
            lines.append(f"{number}.{kind}\t第{number}张的{kind}")
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = load_recipe(
        str(write_recipe(tmp_path, split="{validation: 0.5}", duplicates=f"{{images: {images}}}")),
        ["tokenize.text.vocab=80"],
    )
    corpus = build_corpus(recipe, tmp_path / "corpus")
    train_tokenizers(recipe, corpus, tmp_path / "tokenizer", ("text",))
    shards = write_shards(recipe, corpus, tmp_path / "tokenizer" / TEXT_MODEL, tmp_path / "shards")
    origins = {row["key"]: row["origin"] for row in read_verdicts(corpus, ["key", "origin"]).to_pylist()}
    splits: dict[str, set[str]] = {}
    for split in ("train", "validation"):
        for meta in SplitReader(shards, split).all_meta():
            splits.setdefault(Path(origins[meta["key"]]).stem, set()).add(split)
    assert len(splits) == 60
    assert {name for name, found in splits.items() if len(found) > 1} == set()
    assert {split for found in splits.values() for split in found} == {"train", "validation"}
    assert shards.document["totals"]["samples"] == (60 if images == "near" else 180)
    assert shards.document["leakage"]["cluster_in_both"] == 0


def test_the_manifest_of_shards_tells_their_whole_descent(shapes: tuple[Recipe, Path]) -> None:
    corpus, shards = (load_manifest(shapes[1] / stage).document for stage in ("corpus", "shards"))
    lineage = shards["lineage"]
    assert lineage["parents"] == [corpus["id"]]
    assert [step["name"] for step in lineage["steps"]] == [*STAGES, "tokenize"]
    assert lineage["recipe"]["tokenize"]["block_rows"] == 16
    assert lineage["image_tokenizer"]["codebook"] == 1024
    assert shards["leakage"]["cluster_in_both"] == shards["leakage"]["pixels_hash_in_both"] == 0
    assert shards["licenses"][0]["license"] == "CC0-1.0"
    assert sum(entry["samples"] for entry in shards["licenses"]) == shards["totals"]["samples"]


def test_shards_can_be_written_again_in_one_process_with_a_tokenizer_that_was_trained_anew(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, run = shapes
    files = ImageTokenizerFolder(tmp_path / "own")
    image = recipe.tokenize.image.model_copy(update={"tokenizer": str(files.path)})
    own = recipe.model_copy(update={"tokenize": recipe.tokenize.model_copy(update={"image": image})})
    corpus, text_model = load_manifest(run / "corpus"), run / "tokenizer" / TEXT_MODEL

    def shards_with_a_codebook_of(size: int) -> Manifest:
        torch.manual_seed(0)  # of some first weights all codes are the same, and the job is stopped
        save_compact_vq(
            CompactVQ(CompactVQConfig(width=16, fine_width=8, codebook_size=size)), 64, files.weights, files.config
        )
        return write_shards(own, corpus, text_model, tmp_path / "shards", workers=1)

    assert [shards_with_a_codebook_of(size).sample_schema.codes.codebook for size in (32, 48)] == [32, 48]
    reader = SplitReader(load_manifest(tmp_path / "shards"), "train")
    assert reader.rows(np.arange(len(reader)))[0].max() < 48


def test_captions_are_trimmed_counted_and_padded_as_the_recipe_says(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, run = shapes
    text = recipe.tokenize.text.model_copy(update={"max_tokens": 3, "storage": "padded"})
    padded = recipe.model_copy(update={"tokenize": recipe.tokenize.model_copy(update={"text": text})})
    text_model = run / "tokenizer" / TEXT_MODEL
    shards = write_shards(padded, load_manifest(run / "corpus"), text_model, tmp_path)
    assert shards.document["schema"]["text"] | {"vocab": 0} == {"dtype": "<u2", "ragged": False, "vocab": 0, "width": 3}
    reader, caption_ids, num_trimmed = SplitReader(shards, "train"), open_caption_ids(text_model.read_bytes()), 0
    _, ids, lengths = reader.rows(np.arange(len(reader)))
    for row, meta in enumerate(reader.all_meta()):
        whole = caption_ids.encode(meta["caption"])
        num_trimmed += len(whole) > 3
        assert ids[row, : lengths[row]].tolist() == whole[:3]
    assert 0 < num_trimmed <= shards.totals["captions_trimmed"]


def test_a_tokenizer_of_others_makes_shards_that_hold_all_that_reads_them(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    """CogView's network with random weights: the same bytes for one worker and two; pictures come back."""
    torch.manual_seed(0)
    network = CogViewVQ([16, 16, 16], 8, 256)
    torch.nn.init.normal_(network.quantize_t.embed)
    torch.save(network.state_dict(), tmp_path / "vq.pt")
    _, run = shapes
    model = {"kind": "cogview", "path": str(tmp_path / "vq.pt"), "size": 96, "license": "Apache-2.0"}
    recipe = recorded_recipe(load_manifest(run / "corpus").document["lineage"]["recipe"], [])
    recipe = recipe.model_copy(
        update={"tokenize": Tokenize(image=ImageTokenizer(**model), text=recipe.tokenize.text, quality=Quality(rows=0))}
    )
    recipe._base = shapes[0].base
    corpus, text_model = load_manifest(run / "corpus"), run / "tokenizer" / TEXT_MODEL
    manifests = [write_shards(recipe, corpus, text_model, tmp_path / str(n), n) for n in (1, 2)]
    assert files_of(manifests[0]) == files_of(manifests[1])
    tokenizer = manifests[0].lineage.image_tokenizer
    assert tokenizer is not None
    assert (tokenizer.name, tokenizer.codebook, tokenizer.grid) == ("cogview-vqvae", 256, [12, 12])
    assert manifests[0].id != load_manifest(run / "shards").id
    codes, _, _ = SplitReader(manifests[0], "train").rows(np.arange(4))
    opened = open_image_codes(manifests[0].folder / "image_tokenizer")
    assert opened.decode(codes.astype(np.int64).reshape(4, 12, 12)).shape == (4, 96, 96, 3)
