"""`tuwen tokenize`: the kept pairs of a corpus → shards of VQ codes and caption ids, and their manifest.

    manifest = write_shards(recipe, corpus, text_model=Path("…/text.model"), ShardsFolder(…), StageRun())

A shard is a part: one Ray task reads its rows, encodes them and writes the tar (`encode_shard`). The manifest comes
last, after the check that train and validation share no duplicate.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.documents import FileEntry, License, ShardEntry, Split, Step
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import Manifest, drop_manifest, file_entry, new_manifest, save_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import IMAGE_TOKENIZER, TEXT_MODEL, TOKENIZER_FILES, CorpusFolder, ShardsFolder
from ..pipeline.corpus_files.kept_pairs import read_kept_pairs
from ..pipeline.corpus_files.split import leakage, split_rows
from ..pipeline.executor.part import InputFile, Part
from ..pipeline.executor.stage import Stage, StageRun, run_stage
from ..pipeline.open_source import picture_roots
from .caption_ids import CaptionIds
from .crops import PLAN_COLUMNS, plan_parts
from .encode_shard import EncodeConfig, array_schema, encode_shard
from .image_codes import ImageCodes
from .open_image_codes import find_image_tokenizer, open_image_codes

TOKENIZE = Stage("tokenize", encode_shard, libraries=("torch", "sentencepiece", "pillow", "numpy"))


def write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, folder: ShardsFolder, run: StageRun) -> Manifest:
    """Raises BadInput when nothing is left to train on, CheckFailed when splits would share pictures."""
    with sole_writer(folder.path):
        return _write_shards(recipe, corpus, text_model, folder, run)


def _write_shards(recipe: Recipe, corpus: Manifest, text_model: Path, folder: ShardsFolder, run: StageRun) -> Manifest:
    image_codes = open_image_codes(find_image_tokenizer(recipe.tokenize.image.tokenizer, recipe.base))
    caption_ids = CaptionIds(text_model.read_bytes())
    splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
    if not len(splits["train"]):
        raise BadInput("no pair is left for training", cure="lower `split.validation`, or add sources")
    shared = leakage(splits)
    if shared["cluster_in_both"] or shared["pixels_hash_in_both"]:
        raise CheckFailed(f"train and validation share pictures ({shared})", cure="run `tuwen corpus` again")

    drop_manifest(folder.path)
    tokenizers = _copy_tokenizers(recipe, text_model, folder)
    run = replace(run, roots=picture_roots(recipe, CorpusFolder(corpus.folder)))
    entries = _encode(recipe, image_codes, _plan(recipe, splits, folder, run), folder, run)
    names = {split: [entry.name for entry in entries if entry.name.startswith(f"{split}-")] for split in splits}
    document = new_manifest(
        "shards",
        schema=array_schema(image_codes, caption_ids, text_width(recipe)),
        splits={split: Split(samples=len(splits[split]), shards=names[split]) for split in splits},
        split_rule={"by": "cluster", "hash": "blake2b-64, person tuwen/split", "validation": recipe.split.validation},
        leakage=shared,
        licenses=_licenses(corpus, pa.concat_tables(splits.values())),
        shards=entries,
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
            "steps": [*corpus.lineage.steps, _step(splits)],
            "image_tokenizer": image_codes.identity.document(),
            "text_tokenizer": {
                "name": recipe.tokenize.text.tokenizer,
                "sha256": caption_ids.sha256,
                "vocab": caption_ids.vocab,
            },
        },
    )
    return save_manifest(folder.path, document)


def _copy_tokenizers(recipe: Recipe, text_model: Path, folder: ShardsFolder) -> list[FileEntry]:
    """Codes mean nothing without the tokenizer that reads them back, so it travels with the shards."""
    source = find_image_tokenizer(recipe.tokenize.image.tokenizer, recipe.base)
    copies = {f"{IMAGE_TOKENIZER}/{name}": source / name for name in TOKENIZER_FILES} | {TEXT_MODEL: text_model}
    for name, path in copies.items():
        with whole_file(folder.path / name) as temporary:
            shutil.copyfile(path, temporary)
    return [file_entry(folder.path, name) for name in sorted(copies)]


def _plan(recipe: Recipe, splits: dict[str, pa.Table], folder: ShardsFolder, run: StageRun) -> list[Part[None]]:
    shard_rows = recipe.tokenize.block_rows * recipe.tokenize.shard_blocks
    return [
        part for name, rows in splits.items() for part in plan_parts(rows, run.roots, folder.plan, name, shard_rows)
    ]


def _encode(
    recipe: Recipe, image_codes: ImageCodes, parts: list[Part[None]], folder: ShardsFolder, run: StageRun
) -> list[ShardEntry]:
    caption_ids = CaptionIds(folder.text_model.read_bytes())
    # The copies, not the originals: other nodes see the run's folder, and none of this machine's packages.
    image = InputFile(str(folder.image_tokenizer.resolve()), image_codes.identity.sha256)
    text = InputFile(str(folder.text_model.resolve()), caption_ids.sha256)
    config = EncodeConfig(
        block_rows=recipe.tokenize.block_rows,
        text_max_tokens=recipe.tokenize.text.max_tokens,
        text_width=text_width(recipe),
        image_tokenizer=image_codes.identity.document(),
        text_tokenizer=caption_ids.sha256,
    )
    parts = [part.with_inputs(image_tokenizer=image, text_model=text) for part in parts]
    results = run_stage(TOKENIZE, parts, config, folder.path, run)
    return [ShardEntry.model_validate(result.summary) for result in results]


def text_width(recipe: Recipe) -> int | None:
    """Of padded captions; None when they are ragged."""
    text = recipe.tokenize.text
    return text.max_tokens if text.storage == "padded" else None


def _step(splits: dict[str, pa.Table]) -> Step:
    samples = sum(len(rows) for rows in splits.values())
    return Step.of("tokenize", samples, {})


def _licenses(corpus: Manifest, rows: pa.Table) -> list[License]:
    sources = rows["source"].to_pylist()
    return [entry.model_copy(update={"samples": sources.count(entry.source)}) for entry in corpus.licenses]
