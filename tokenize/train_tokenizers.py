"""`tuwen tokenizer`: train a recipe's own tokenizers on the train split of its corpus.

    manifest = train_tokenizers(recipe, corpus, out=Path("runs/emoji/tokenizer"), what=("image", "text"))

Leaves `text.model` (SentencePiece) and `image/`, a folder that is a tokenizer on its own: weights, config,
the recipe, and `quality.json` with what it makes of pictures that it never saw.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.canonical import canonical_json, exact
from ..manifests.errors import BadInput
from ..manifests.manifest import (
    FILE_NAME,
    Manifest,
    drop_manifest,
    file_entry,
    load_manifest,
    new_manifest,
    save_manifest,
)
from ..manifests.recipe.recipe import Recipe
from ..manifests.verify import verify_manifest
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import SPLITS, split_rows
from ..pipeline.executor.progress import progress
from ..pipeline.executor.stage import run_stage
from ..pipeline.open_source import picture_roots
from .caption_ids import train_sentencepiece
from .compact_codes import SIDE_PX, open_compact_vq, save_compact_vq
from .compact_vq import CompactVQConfig
from .crops import PLAN_COLUMNS, crop, load_crops, plan_parts
from .image_codes import TOKENIZER_FILES, ImageCodes, Pictures
from .quality import psnr
from .train_compact_vq import train_compact_vq
from .write_shards import TEXT_MODEL

IMAGE_FOLDER = "image"
IMAGE_FILES = (*TOKENIZER_FILES, "quality.json", "recipe.yaml")

_PART_PICTURES = 512


def train_tokenizers(
    recipe: Recipe, corpus: Manifest, out: Path, what: tuple[str, ...] = ("image", "text"), workers: int | None = None
) -> Manifest:
    with sole_writer(out):
        splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
        if "image" in what and not len(splits["validation"]):
            raise BadInput(
                "no picture is held out, so the tokenizer could not be judged", cure="raise `split.validation`"
            )
        drop_manifest(out)
        if "text" in what:
            with progress("SentencePiece", 1, "model") as advance:
                model = train_sentencepiece(splits["train"]["caption"].to_pylist(), recipe.tokenize.text.vocab)
                advance()
            with whole_file(out / TEXT_MODEL) as temporary:
                temporary.write_bytes(model)
        if "image" in what and not _finished(recipe, corpus, out / IMAGE_FOLDER):
            pictures = {name: _crops(recipe, corpus, rows, out, name, workers) for name, rows in splits.items()}
            _train_image(recipe, corpus, pictures, out / IMAGE_FOLDER)
        names = [TEXT_MODEL, *(f"{IMAGE_FOLDER}/{name}" for name in (*IMAGE_FILES, FILE_NAME))]
        document = new_manifest(
            "tokenizer",
            files=[file_entry(out, name) for name in names if (out / name).is_file()],
            lineage={"recipe": recipe.document(), "parents": [corpus.id]},
        )
        return save_manifest(out, document)


def _finished(recipe: Recipe, corpus: Manifest, folder: Path) -> bool:
    """Is the tokenizer in `folder` of this corpus and this training? A quarter of an hour is not spent twice."""
    if not (folder / FILE_NAME).is_file():
        return False
    manifest = load_manifest(folder)
    lineage = manifest.document["lineage"]
    same = lineage["parents"] == [corpus.id] and lineage["recipe"]["tokenize"] == recipe.document()["tokenize"]
    return same and not list(verify_manifest(manifest))


def _crops(recipe: Recipe, corpus: Manifest, rows: Any, out: Path, name: str, workers: int | None) -> Pictures:
    parts = plan_parts(rows, picture_roots(recipe, corpus.folder), out / ".work" / "plan", name, _PART_PICTURES)
    folder = out / ".work" / f"crops-{name}"
    return load_crops(run_stage(f"crop {name}", crop, parts, {"side_px": SIDE_PX}, folder, workers=workers), folder)


def _train_image(recipe: Recipe, corpus: Manifest, pictures: dict[str, Pictures], folder: Path) -> None:
    training = recipe.tokenize.image.training
    drop_manifest(folder)
    with progress("train VQ", training.steps, "step") as advance:
        model, history = train_compact_vq(
            pictures["train"],
            CompactVQConfig(),
            training,
            on_step=lambda step, steps, loss: advance(1, note=f"rms error {loss:.4f}"),
        )
    save_compact_vq(folder, model)
    image_codes = open_compact_vq(folder)
    quality = {name: _quality(image_codes, pictures[name]) for name in SPLITS}
    quality["corpus"] = _quality(image_codes, np.concatenate([pictures[name] for name in SPLITS]))
    document = {
        "pictures": {name: len(pictures[name]) for name in SPLITS},
        "quality": quality,  # in dB; codebook_used is a share
        "loss": [round(float(np.mean(history[start : start + 100])), 5) for start in range(0, len(history), 100)],
        "threads": torch.get_num_threads(),
    }
    with whole_file(folder / "quality.json") as temporary:
        temporary.write_bytes(canonical_json(exact(document)) + b"\n")
    with whole_file(folder / "recipe.yaml") as temporary:
        temporary.write_text(
            yaml.safe_dump(json.loads(recipe.model_dump_json()), allow_unicode=True, sort_keys=False), encoding="utf-8"
        )
    lineage = {"recipe": recipe.document(), "parents": [corpus.id]}
    save_manifest(
        folder, new_manifest("tokenizer", files=[file_entry(folder, name) for name in IMAGE_FILES], lineage=lineage)
    )


def _quality(image_codes: ImageCodes, pictures: Pictures) -> dict[str, float]:
    """PSNR in dB, and the share of the codebook that these pictures use."""
    chunks = [pictures[start : start + 64] for start in range(0, len(pictures), 64)]
    codes = [image_codes.encode(chunk) for chunk in chunks]
    restored = np.concatenate([image_codes.decode(chunk) for chunk in codes])
    used = len(np.unique(np.concatenate(codes))) / image_codes.identity.codebook
    return {**psnr(pictures, restored), "codebook_used": round(used, 4)}
