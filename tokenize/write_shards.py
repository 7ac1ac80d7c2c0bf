"""`tuwen tokenize`: the kept pairs of a corpus → shards of VQ codes and caption ids, and their manifest.

    manifest = write_shards(recipe, corpus, text_model=Path("…/text.model"), ShardsFolder(…), StageRun())

A shard is a part: one Ray task reads its rows, encodes them and writes the tar (`encode_shard`). The manifest is
written last, after the check that train and validation share no duplicate.
"""

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.documents import License, ShardEntry, Split, Step
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.license_counts import counted_licenses
from ..manifests.manifest import Manifest, drop_manifest, file_entry, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import (
    IMAGE_TOKENIZER,
    TEXT_MODEL,
    TOKENIZER_FILES,
    CorpusFolder,
    ImageTokenizerFolder,
    ShardsFolder,
)
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import leakage, split_rows
from ..pipeline.executor.part import InputFile, Part
from ..pipeline.executor.stage import Stage, StageRun, run_stage
from ..pipeline.open_source import picture_roots
from .caption_ids import CaptionIds, open_caption_ids
from .encode_shard import EncodeConfig, encode_shard
from .image_codes import ImageTokenizerIdentity
from .open_image_codes import find_image_tokenizer, open_image_codes
from .plan_parts import PLAN_COLUMNS, plan_parts
from .pretrained.convert import convert
from .pretrained.pretrained_codes import pretrained_modules
from .shard_header import SampleSchema, sample_schema, shard_header

TOKENIZE = Stage("tokenize", encode_shard, libraries=("torch", "sentencepiece", "pillow", "numpy"))


@dataclass(frozen=True)
class _Tokenizers:
    image: ImageTokenizerIdentity
    text: CaptionIds
    text_width: int | None  # of padded captions; None: they are ragged

    @property
    def schema(self) -> SampleSchema:
        return sample_schema(self.image, self.text.vocab, self.text_width)


def write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, folder: ShardsFolder, run: StageRun) -> Manifest:
    """Return the manifest of the shards.

    Raises BadInput when nothing is left to train on, CheckFailed when splits would share pictures.
    """
    with sole_writer(folder.path):
        return _write_shards(recipe, corpus, text_model, folder, run)


def _write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, folder: ShardsFolder, run: StageRun) -> Manifest:
    text = recipe.tokenize.text
    _put_image_tokenizer(recipe, ImageTokenizerFolder(folder.image_tokenizer))
    tokenizers = _Tokenizers(
        open_image_codes(folder.image_tokenizer).identity,
        open_caption_ids(text_model.read_bytes()),
        text.max_tokens if text.storage == "padded" else None,
    )
    splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
    shared = _check_splits(splits)
    drop_manifest(folder.path)
    with whole_file(folder.text_model) as temporary:
        shutil.copyfile(text_model, temporary)
    copies = [*(f"{IMAGE_TOKENIZER}/{name}" for name in TOKENIZER_FILES), TEXT_MODEL]
    files = [file_entry(folder.path, name) for name in sorted(copies)]
    run = replace(run, roots=picture_roots(recipe, CorpusFolder(corpus.folder)))
    shards = _encode(recipe, splits, tokenizers, folder, run)
    names = {split: [shard.name for shard in shards if shard.name.startswith(f"{split}-")] for split in splits}
    document = new_manifest(
        "shards",
        schema=tokenizers.schema,
        splits={split: Split(samples=len(rows), shards=names[split]) for split, rows in splits.items()},
        split_rule={"by": "cluster", "hash": "blake2b-64, person tuwen/split", "validation": recipe.split.validation},
        leakage=shared,
        licenses=_licenses(corpus, splits),
        shards=shards,
        files=files,
        totals=_totals(shards),
        lineage={
            "parents": [corpus.id],
            "recipe": recipe.document(),
            "steps": [*corpus.lineage.steps, Step.of("tokenize", sum(map(len, splits.values())), {})],
            "image_tokenizer": tokenizers.image.document(),
            "text_tokenizer": {
                "name": tokenizers.text.kind,
                "sha256": tokenizers.text.sha256,
                "vocab": tokenizers.text.vocab,
            },
        },
    )
    return save_manifest(folder.path, document)


def _check_splits(splits: dict[str, pa.Table]) -> dict[str, Any]:
    """Return what train and validation share, as the manifest records it."""
    if not len(splits["train"]):
        raise BadInput("no pair is left for training", cure="lower `split.validation`, or add sources")
    shared = leakage(splits)
    if shared["cluster_in_both"] or shared["pixels_hash_in_both"]:
        raise CheckFailed(f"train and validation share pictures ({shared})", cure="run `tuwen corpus` again")
    return shared


def _put_image_tokenizer(recipe: Recipe, folder: ImageTokenizerFolder) -> None:
    """Put the tokenizer next to the shards: without it nobody can read the codes."""
    asked = recipe.tokenize.image
    if asked.kind != "compact":
        convert(asked, recipe.base, folder)
        return
    source = find_image_tokenizer(asked.tokenizer, recipe.base)
    for name in TOKENIZER_FILES:
        with whole_file(folder.path / name) as temporary:
            shutil.copyfile(source / name, temporary)


def _encode(
    recipe: Recipe, splits: dict[str, pa.Table], tokenizers: _Tokenizers, folder: ShardsFolder, run: StageRun
) -> list[ShardEntry]:
    # The copies, not the originals: other nodes see the run's folder, and none of this machine's packages.
    image = ImageTokenizerFolder(folder.image_tokenizer.resolve())
    inputs = {
        "image_weights": InputFile(str(image.weights), tokenizers.image.sha256),
        "image_config": InputFile(str(image.config), tokenizers.image.config_sha256),
        "text_model": InputFile(str(folder.text_model.resolve()), tokenizers.text.sha256),
    }
    block_rows = recipe.tokenize.block_rows
    modules = pretrained_modules(tokenizers.image.kind)
    parts: list[Part[None]] = []
    for split, rows in splits.items():
        planned = plan_parts(rows, run.roots, folder.plan, split, block_rows * recipe.tokenize.shard_blocks)
        parts += [replace(part.with_inputs(**inputs), modules=modules) for part in planned]
    config = EncodeConfig(
        block_rows=block_rows,
        text_max_tokens=recipe.tokenize.text.max_tokens,
        header=shard_header(tokenizers.schema, tokenizers.image.document(), tokenizers.text.sha256),
    )
    results = run_stage(TOKENIZE, parts, config, folder.path, run)
    return [ShardEntry.model_validate(result.summary) for result in results]


def _totals(shards: list[ShardEntry]) -> dict[str, int]:
    return {
        "samples": sum(shard.samples for shard in shards),
        "bytes": sum(shard.bytes for shard in shards),
        "text_tokens": sum(shard.stats["text_tokens"] for shard in shards),
        "captions_trimmed": sum(shard.stats["captions_trimmed"] for shard in shards),
    }


def _licenses(corpus: Manifest, splits: dict[str, pa.Table]) -> list[License]:
    counts = {
        split: Counter(zip(rows["source"].to_pylist(), rows["license"].to_pylist(), strict=True))
        for split, rows in splits.items()
    }
    return counted_licenses(corpus.licenses, counts)
