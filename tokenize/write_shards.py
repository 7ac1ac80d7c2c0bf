"""`tuwen tokenize`: the kept pairs of a corpus → shards of VQ codes and caption ids, and their manifest.

    manifest = write_shards(recipe, corpus, text_model=Path("…/text.model"), out=Path("runs/emoji/shards"))

A shard is a part: one Ray task reads its rows, encodes them in fixed batches with one thread, and writes the tar.
So its bytes depend on the rows, the recipe and the tokenizers, not on how many workers there are. The manifest
comes last, after the check that train and validation share no twin.
"""

import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import Manifest, ShardEntry, drop_manifest, file_entry, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.shards.block_shard import Block, code_dtype, write_shard
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import leakage, split_rows
from ..pipeline.executor.part import Part
from ..pipeline.executor.stage import run_stage
from ..pipeline.open_source import picture_roots
from .caption_ids import CaptionIds
from .crops import PLAN_COLUMNS, cropped, plan_parts
from .image_codes import TOKENIZER_FILES, ImageCodes, find_image_tokenizer, open_image_codes

TEXT_MODEL = "text.model"
IMAGE_TOKENIZER_FOLDER = "image_tokenizer"

_ENCODE_ROWS = 64  # pictures in memory at a time; a multiple of the tokenizer's own batch


def write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, out: Path, workers: int | None = None) -> Manifest:
    """Raises BadInput when nothing is left to train on, CheckFailed when splits would share pictures."""
    with sole_writer(out):
        return _write_shards(recipe, corpus, text_model, out, workers)


def _write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, out: Path, workers: int | None) -> Manifest:
    image_codes = open_image_codes(find_image_tokenizer(recipe.tokenize.image.tokenizer, recipe.base))
    caption_ids = CaptionIds(text_model.read_bytes())
    splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
    if not len(splits["train"]):
        raise BadInput("no pair is left for training", cure="lower `split.validation`, or add sources")
    shared = leakage(splits)
    if shared["cluster_in_both"] or shared["pixels_hash_in_both"]:
        raise CheckFailed(f"train and validation share pictures ({shared})", cure="run `tuwen corpus` again")

    drop_manifest(out)
    tokenizers = _copy_tokenizers(recipe, text_model, out)
    parts = _plan(recipe, corpus, splits, out)
    entries = _encode(recipe, image_codes, parts, out, workers)
    names = {split: [entry.name for entry in entries if entry.name.startswith(f"{split}-")] for split in splits}
    document = new_manifest(
        "shards",
        schema=_schema(image_codes, caption_ids, text_width(recipe)),
        splits={split: {"samples": len(splits[split]), "shards": names[split]} for split in splits},
        split_rule={"by": "cluster", "hash": "blake2b-64, person tuwen/split", "validation": recipe.split.validation},
        leakage=shared,
        licenses=_licenses(corpus, pa.concat_tables(splits.values())),
        shards=[entry.model_dump() for entry in entries],
        files=tokenizers,
        totals={
            "samples": sum(entry.samples for entry in entries),
            "bytes": sum(entry.bytes for entry in entries),
            "text_tokens": sum(entry.stats["text_tokens"] for entry in entries),
            "captions_trimmed": sum(entry.stats["captions_trimmed"] for entry in entries),
        },
        lineage={
            "parents": [corpus.id],
            "recipe": recipe.document(),
            "steps": [*corpus.document["lineage"]["steps"], _step(splits)],
            "image_tokenizer": image_codes.identity.document(),
            "text_tokenizer": {
                "name": recipe.tokenize.text.tokenizer,
                "sha256": caption_ids.sha256,
                "vocab": caption_ids.vocab,
            },
        },
    )
    return save_manifest(out, document)


def _copy_tokenizers(recipe: Recipe, text_model: Path, out: Path) -> list[dict[str, Any]]:
    """Codes mean nothing without the tokenizer that reads them back, so it travels with the shards."""
    source = find_image_tokenizer(recipe.tokenize.image.tokenizer, recipe.base)
    copies = {f"{IMAGE_TOKENIZER_FOLDER}/{name}": source / name for name in TOKENIZER_FILES} | {TEXT_MODEL: text_model}
    for name, path in copies.items():
        with whole_file(out / name) as temporary:
            shutil.copyfile(path, temporary)
    return [file_entry(out, name) for name in sorted(copies)]


def _plan(recipe: Recipe, corpus: Manifest, splits: dict[str, pa.Table], out: Path) -> list[Part]:
    shard_rows = recipe.tokenize.block_rows * recipe.tokenize.shard_blocks
    roots = picture_roots(recipe, corpus.folder)
    return [
        part
        for name, rows in splits.items()
        for part in plan_parts(rows, roots, out / ".work" / "plan", name, shard_rows)
    ]


def _encode(
    recipe: Recipe, image_codes: ImageCodes, parts: list[Part], out: Path, workers: int | None
) -> list[ShardEntry]:
    # The copies, not the originals: other nodes see the run's folder, and none of this machine's packages.
    copies = {
        "image_tokenizer": str((out / IMAGE_TOKENIZER_FOLDER).resolve()),
        "text_model": str((out / TEXT_MODEL).resolve()),
    }
    parts = [Part(part.name, part.identity, {**part.place, **copies}) for part in parts]
    config = {
        "block_rows": recipe.tokenize.block_rows,
        "text_max_tokens": recipe.tokenize.text.max_tokens,
        "text_width": text_width(recipe),
        "image_tokenizer": image_codes.identity.document(),
        "text_tokenizer": CaptionIds((out / TEXT_MODEL).read_bytes()).sha256,
    }
    results = run_stage("tokenize", encode_shard, parts, config, out, workers=workers)
    return [ShardEntry.model_validate(result.summary) for result in results]


def encode_shard(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One shard from its slice of the decision table; returns its manifest entry."""
    torch.set_num_threads(1)  # sums in another order would be other codes now and then
    image_codes = open_image_codes(Path(part.place["image_tokenizer"]))
    if image_codes.identity.document() != config["image_tokenizer"]:
        raise CheckFailed(
            f"{part.place['image_tokenizer']}: another tokenizer than was asked for", cure="give the command again"
        )
    caption_ids = _caption_ids(part.place["text_model"], config["text_tokenizer"])
    rows = pq.read_table(part.place["rows"]).to_pylist()
    trimmed = [0]

    def block(start: int) -> Block:
        chosen = rows[start : start + config["block_rows"]]
        codes, boxes = _encode_rows(chosen, part.place["roots"], image_codes)
        text = [caption_ids.encode(row["caption"]) for row in chosen]
        trimmed[0] += sum(len(ids) > config["text_max_tokens"] for ids in text)
        meta = [
            {
                "key": row["key"],
                "caption": row["caption"],
                "source": row["source"],
                "license": row["license"],
                "crop": box,
                "pixels": row["pixels_hash"],
            }
            for row, box in zip(chosen, boxes, strict=True)
        ]
        return Block(codes, [ids[: config["text_max_tokens"]] for ids in text], meta)

    entry = write_shard(
        folder / f"{part.name}.tar",
        (block(start) for start in range(0, len(rows), config["block_rows"])),
        block_rows=config["block_rows"],
        codebook=image_codes.identity.codebook,
        vocab=caption_ids.vocab,
        text_width=config["text_width"],
        header={
            "format": "tuwen/shard",
            "version": 1,
            "schema": _schema(image_codes, caption_ids, config["text_width"]),
            "image_tokenizer": config["image_tokenizer"],
            "text_tokenizer": config["text_tokenizer"],
        },
    )
    document = entry.model_dump()
    document["stats"]["captions_trimmed"] = trimmed[0]
    return document


def _encode_rows(
    rows: list[dict[str, Any]], roots: dict[str, str], image_codes: ImageCodes
) -> tuple[np.ndarray[Any, Any], list[list[int]]]:
    """codes (len(rows), h·w) and the crop box of each."""
    codes: list[np.ndarray[Any, Any]] = []
    boxes: list[list[int]] = []
    for start in range(0, len(rows), _ENCODE_ROWS):
        pictures, found = zip(
            *cropped(rows[start : start + _ENCODE_ROWS], roots, image_codes.identity.side_px), strict=True
        )
        codes.append(image_codes.encode(np.stack(pictures)).reshape(len(pictures), -1))
        boxes += found
    return np.concatenate(codes), boxes


@functools.cache
def _caption_ids(path: str, sha256: str) -> CaptionIds:
    caption_ids = CaptionIds(Path(path).read_bytes())
    if caption_ids.sha256 != sha256:
        raise CheckFailed(f"{path}: changed while shards were written", cure="give the command again")
    return caption_ids


def text_width(recipe: Recipe) -> int | None:
    """Of padded captions; None when they are ragged."""
    text = recipe.tokenize.text
    return text.max_tokens if text.storage == "padded" else None


def _schema(image_codes: ImageCodes, caption_ids: CaptionIds, width: int | None) -> dict[str, Any]:
    identity = image_codes.identity
    text = {"dtype": code_dtype(caption_ids.vocab), "ragged": width is None, "vocab": caption_ids.vocab}
    return {
        "codes": {"dtype": code_dtype(identity.codebook), "shape": list(identity.grid), "codebook": identity.codebook},
        "text": text if width is None else {**text, "width": width},
        "meta": {"encoding": "jsonl", "fields": ["key", "caption", "source", "license", "crop", "pixels"]},
    }


def _step(splits: dict[str, pa.Table]) -> dict[str, Any]:
    samples = sum(len(rows) for rows in splits.values())
    return {"name": "tokenize", "in": samples, "out": samples, "dropped": {}}


def _licenses(corpus: Manifest, rows: pa.Table) -> list[dict[str, Any]]:
    sources = rows["source"].to_pylist()
    return [{**entry, "samples": sources.count(entry["source"])} for entry in corpus.document["licenses"]]
