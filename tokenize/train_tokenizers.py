"""`tuwen tokenizer`: train a recipe's own tokenizers on the train split of its corpus.

    manifest = train_tokenizers(recipe, corpus, TokenizerFolder(…), StageRun(), kinds=("image", "text"))

Writes `text.model` (SentencePiece) and `image/`, a folder that is a tokenizer on its own: weights, config, the recipe,
and `quality.json` with its PSNR on pictures that it has not seen.
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
from ..manifests.errors import BadInput, TuwenError
from ..manifests.manifest import Manifest, drop_manifest, file_entry, load_manifest, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import CorpusFolder, ImageTokenizerFolder, TokenizerFolder
from ..manifests.verify import verify_manifest
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import SPLITS, split_rows
from ..pipeline.executor.progress import progress
from ..pipeline.executor.stage import Stage, StageRun, run_stage
from ..pipeline.open_source import picture_roots
from .caption_ids import character_table, open_caption_ids
from .compact.compact_codes import SIDE_PX, open_compact_vq, save_compact_vq
from .compact.compact_vq import CompactVQConfig
from .compact.train_compact_vq import train_compact_vq
from .crops.cropped import CropConfig, crop
from .image_codes import Pictures
from .plan_parts import PLAN_COLUMNS, plan_parts
from .quality import measure_quality
from .train_sentencepiece import train_sentencepiece

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
    """Return the manifest of the tokenizers. Raises BadInput when there is no caption, or no held-out picture."""
    with sole_writer(folder.path):
        splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
        if "image" in kinds and not len(splits["validation"]):
            raise BadInput(
                "no picture is held out, so the tokenizer could not be judged", cure="raise `split.validation`"
            )
        drop_manifest(folder.path)
        if "text" in kinds:
            _train_text(recipe, splits["train"], folder)
        image = ImageTokenizerFolder(folder.image)
        if "image" in kinds and not _is_trained(recipe, corpus, image):
            run = replace(run, roots=picture_roots(recipe, CorpusFolder(corpus.folder)))
            pictures = {split: _crops(rows, folder, split, run) for split, rows in splits.items()}
            _train_image(recipe, corpus, pictures, image)
        files = [path for path in (folder.text_model, *_listed(image), image.manifest) if path.is_file()]
        return _save(folder.path, files, recipe, corpus)


def _train_text(recipe: Recipe, rows: pa.Table, folder: TokenizerFolder) -> None:
    asked = recipe.tokenize.text
    if asked.path:
        model = given_model(recipe)
    elif asked.tokenizer == "characters":
        model = character_table(rows["caption"].to_pylist(), asked.vocab)
    else:
        with progress("SentencePiece", 1, "model") as advance:
            model = train_sentencepiece(rows["caption"].to_pylist(), asked.vocab)
            advance()
    with whole_file(folder.text_model) as temporary:
        temporary.write_bytes(model)


def given_model(recipe: Recipe) -> bytes:
    """The bytes of the text tokenizer that the recipe names by `path`. Raises BadInput when it is of another kind."""
    asked = recipe.tokenize.text
    path = recipe.base / (asked.path or "")
    if not path.is_file():
        raise BadInput(f"text tokenizer: {path} does not exist", cure="correct `tokenize.text.path`")
    data = path.read_bytes()
    try:
        kind = open_caption_ids(data).kind
    except BadInput as error:
        raise BadInput(f"{path}: {error.problem}", error.cure) from None
    if kind != asked.tokenizer:
        raise BadInput(f"{path}: is of kind {kind}, not {asked.tokenizer}", cure=f"write `tokenizer: {kind}`")
    return data


def _is_trained(recipe: Recipe, corpus: Manifest, image: ImageTokenizerFolder) -> bool:
    """Whether the tokenizer there is of this corpus, split and training: a quarter of an hour is not spent twice."""
    try:
        manifest = load_manifest(image.path)
    except TuwenError:  # there is none, or it was altered
        return False
    before, now = manifest.document["lineage"]["recipe"], recipe.document()
    training = before["tokenize"]["image"]["training"]
    is_same = before["split"] == now["split"] and training == now["tokenize"]["image"]["training"]
    return is_same and manifest.lineage.parents == [corpus.id] and not list(verify_manifest(manifest))


def _crops(rows: pa.Table, folder: TokenizerFolder, split: str, run: StageRun) -> Pictures:
    parts = plan_parts(rows, run.roots, folder.plan, split, _PART_PICTURES)
    out = folder.crops(split)
    results = run_stage(CROP, parts, CropConfig(side_px=SIDE_PX), out, run, label=f"crop {split}")
    return np.concatenate([np.load(result.file(out).path) for result in results])


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
    save_compact_vq(model, image.weights, image.config)
    image_codes = open_compact_vq(image.weights, image.config)
    quality = {split: measure_quality(image_codes, pictures[split]) for split in SPLITS}
    quality["corpus"] = measure_quality(image_codes, np.concatenate([pictures[split] for split in SPLITS]))
    document = {
        "pictures": {split: len(pictures[split]) for split in SPLITS},
        "quality": quality,
        "loss": [round(float(np.mean(history[start : start + 100])), 5) for start in range(0, len(history), 100)],
        "threads": torch.get_num_threads(),
    }
    with whole_file(image.quality) as temporary:
        temporary.write_bytes(canonical_json(exact(document)) + b"\n")
    with whole_file(image.recipe) as temporary:
        temporary.write_text(
            yaml.safe_dump(json.loads(recipe.model_dump_json()), allow_unicode=True, sort_keys=False), encoding="utf-8"
        )
    _save(image.path, _listed(image), recipe, corpus)


def _listed(image: ImageTokenizerFolder) -> list[Path]:
    """The files that the manifest of an image tokenizer lists."""
    return [image.weights, image.config, image.quality, image.recipe]


def _save(folder: Path, files: list[Path], recipe: Recipe, corpus: Manifest) -> Manifest:
    document = new_manifest(
        "tokenizer",
        files=[file_entry(folder, path.relative_to(folder).as_posix()) for path in files],
        lineage={"recipe": recipe.document(), "parents": [corpus.id]},
    )
    return save_manifest(folder, document)
