"""`tuwen tokenizer`: train a recipe's own tokenizers on the train split of its corpus.

    manifest = train_tokenizers(recipe, corpus, TokenizerFolder(…), StageRun(), kinds=("image", "text"))

Leaves `text.model` (SentencePiece) and `image/`, a folder that is a tokenizer on its own: weights, config,
the recipe, and `quality.json` with what it makes of pictures that it never saw.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
import yaml

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.canonical import canonical_json, exact
from ..manifests.errors import BadInput
from ..manifests.manifest import (
    Manifest,
    drop_manifest,
    file_entry,
    load_manifest,
    new_manifest,
    save_manifest,
)
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder, ImageTokenizerFolder, TokenizerFolder
from ..manifests.verify import verify_manifest
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import SPLITS, split_rows
from ..pipeline.executor.progress import progress
from ..pipeline.executor.stage import Stage, StageRun, run_stage
from ..pipeline.open_source import picture_roots
from .caption_ids import train_sentencepiece
from .compact_codes import SIDE_PX, open_compact_vq, save_compact_vq
from .compact_vq import CompactVQConfig
from .crops import PLAN_COLUMNS, CropConfig, crop, load_crops, plan_parts
from .image_codes import ImageCodes, Pictures
from .quality import psnr
from .train_compact_vq import train_compact_vq

Kind = Literal["image", "text"]

CROP = Stage("crop", crop, libraries=("pillow", "numpy"))

_PART_PICTURES = 512


def train_tokenizers(
    recipe: Recipe,
    corpus: Manifest,
    folder: TokenizerFolder,
    run: StageRun,
    kinds: tuple[Kind, ...] = ("image", "text"),
) -> Manifest:
    """Raises BadInput when no caption, or no held-out picture, is there."""
    with sole_writer(folder.path):
        splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
        if "image" in kinds and not len(splits["validation"]):
            raise BadInput(
                "no picture is held out, so the tokenizer could not be judged", cure="raise `split.validation`"
            )
        drop_manifest(folder.path)
        if "text" in kinds:
            with progress("SentencePiece", 1, "model") as advance:
                model = train_sentencepiece(splits["train"]["caption"].to_pylist(), recipe.tokenize.text.vocab)
                advance()
            with whole_file(folder.text_model) as temporary:
                temporary.write_bytes(model)
        image = ImageTokenizerFolder(folder.image)
        if "image" in kinds and not _finished(recipe, corpus, image):
            run = replace(run, roots=picture_roots(recipe, CorpusFolder(corpus.folder)))
            pictures = {name: _crops(rows, folder, name, run) for name, rows in splits.items()}
            _train_image(recipe, corpus, pictures, image)
        paths = [folder.text_model, *_files(image), image.manifest]
        names = [path.relative_to(folder.path).as_posix() for path in paths if path.is_file()]
        document = new_manifest(
            "tokenizer",
            files=[file_entry(folder.path, name) for name in names],
            lineage={"recipe": recipe.document(), "parents": [corpus.id]},
        )
        return save_manifest(folder.path, document)


def _files(image: ImageTokenizerFolder) -> list[Path]:
    """What the manifest of an image tokenizer lists."""
    return [image.weights, image.config, image.quality, image.recipe]


def _finished(recipe: Recipe, corpus: Manifest, image: ImageTokenizerFolder) -> bool:
    """Whether the tokenizer there is of this corpus and this training: a quarter of an hour is not spent twice."""
    if not image.manifest.is_file():
        return False
    manifest = load_manifest(image.path)
    lineage = manifest.document["lineage"]
    same = lineage["parents"] == [corpus.id] and lineage["recipe"]["tokenize"] == recipe.document()["tokenize"]
    return same and not list(verify_manifest(manifest))


def _crops(rows: pa.Table, folder: TokenizerFolder, split: str, run: StageRun) -> Pictures:
    parts = plan_parts(rows, run.roots, folder.plan, split, _PART_PICTURES)
    out = folder.crops(split)
    return load_crops(run_stage(CROP, parts, CropConfig(side_px=SIDE_PX), out, run, label=f"crop {split}"), out)


def _train_image(recipe: Recipe, corpus: Manifest, pictures: dict[str, Pictures], image: ImageTokenizerFolder) -> None:
    training = recipe.tokenize.image.training
    drop_manifest(image.path)
    with progress("train VQ", training.steps, "step") as advance:
        model, history = train_compact_vq(
            pictures["train"],
            CompactVQConfig(),
            training,
            on_step=lambda step, steps, loss: advance(1, note=f"rms error {loss:.4f}"),
        )
    save_compact_vq(image.path, model)
    image_codes = open_compact_vq(image.path)
    quality = {name: _quality(image_codes, pictures[name]) for name in SPLITS}
    quality["corpus"] = _quality(image_codes, np.concatenate([pictures[name] for name in SPLITS]))
    document = {
        "pictures": {name: len(pictures[name]) for name in SPLITS},
        "quality": quality,  # in dB; codebook_used is a share
        "loss": [round(float(np.mean(history[start : start + 100])), 5) for start in range(0, len(history), 100)],
        "threads": torch.get_num_threads(),
    }
    with whole_file(image.quality) as temporary:
        temporary.write_bytes(canonical_json(exact(document)) + b"\n")
    with whole_file(image.recipe) as temporary:
        temporary.write_text(
            yaml.safe_dump(json.loads(recipe.model_dump_json()), allow_unicode=True, sort_keys=False), encoding="utf-8"
        )
    lineage = {"recipe": recipe.document(), "parents": [corpus.id]}
    files = [file_entry(image.path, path.name) for path in _files(image)]
    save_manifest(image.path, new_manifest("tokenizer", files=files, lineage=lineage))


def _quality(image_codes: ImageCodes, pictures: Pictures) -> dict[str, float]:
    """PSNR in dB, and the share of the codebook that these pictures use."""
    chunks = [pictures[start : start + 64] for start in range(0, len(pictures), 64)]
    codes = [image_codes.encode(chunk) for chunk in chunks]
    restored = np.concatenate([image_codes.decode(chunk) for chunk in codes])
    used = len(np.unique(np.concatenate(codes))) / image_codes.identity.codebook
    return {**psnr(pictures, restored), "codebook_used": round(used, 4)}
