"""`tuwen tokenize`: the kept pairs of a corpus → shards of VQ codes and caption ids, and their manifest.

    manifest = write_shards(recipe, corpus, text_model=Path("…/text.model"), ShardsFolder(…), StageRun())

A shard is a part: one Ray task reads its rows, encodes them and writes the tar (`encode_shard`). Pairs whose pictures
were lost since the corpus was made are in `lost.parquet`, not in the shards. The manifest is written last, after the
check that train and validation share no duplicate.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...manifests.atomic import sole_writer
from ...manifests.documents import License, ShardEntry, Split, Step
from ...manifests.errors import BadInput, CheckFailed
from ...manifests.license_counts import counted_licenses
from ...manifests.manifest import Manifest, drop_manifest, file_entry, new_manifest, save_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import CorpusFolder, ShardsFolder
from ...pipeline.corpus_files.kept_pairs import read_kept_pairs
from ...pipeline.corpus_files.split import leakage, split_rows
from ...pipeline.executor.done_marker import forget_where
from ...pipeline.executor.part import Part, PartResult
from ...pipeline.executor.stage import Stage, StageRun, run_stage, scratch_of
from ...pipeline.open_source import picture_roots
from ..crops.boxes import crop_rule
from ..plan_parts import PLAN_COLUMNS, plan_parts
from .crops_ahead import CropPlan
from .encode_rows import EncodePlan
from .encode_shard import EncodeConfig, ShardSummary, encode_shard
from .encoded_rows import forget_lost
from .job_tokenizers import JobTokenizers, device_of, put_tokenizers
from .job_watch import JobWatch, check_lost
from .lost_pairs import lost_pairs, without_lost, write_lost_pairs
from .stable_tokenizers import check_stability

SPLIT_HASH = "blake2b-64, person tuwen/split"

TOKENIZE = Stage(
    "tokenize",
    encode_shard,
    libraries=("torch", "sentencepiece", "pillow", "numpy"),
    unhashed=("max_fall_db", "decoders"),
    scratch=True,
)


def write_shards(
    recipe: Recipe, corpus: Manifest, text_model: Path, folder: ShardsFolder, run: StageRun, retry_lost: bool = False
) -> Manifest:
    """Return the manifest of the shards. `retry_lost` reads pictures again that were lost in an earlier run.

    Raises BadInput when nothing is left to train on. Raises CheckFailed when splits would share pictures, a tokenizer
    is unstable, or the quality gate stops the job.
    """
    with sole_writer(folder.path):
        tokenizers = put_tokenizers(recipe, text_model, folder)
        splits = split_rows(read_kept_pairs(corpus, PLAN_COLUMNS), recipe.split.validation)
        shared = _check_splits(splits)
        drop_manifest(folder.path)
        job = recipe.tokenize.job
        roots = picture_roots(recipe, CorpusFolder(corpus.folder))
        # Encoders that wait for decoders must leave them the CPUs: if they held all of them, none would ever go on.
        run = replace(run, roots=roots, cpus=0 if job.gpus or job.decoders else job.threads, gpus=job.gpus)
        crops = CropPlan(rule=crop_rule(recipe.tokenize.crops), targets=tokenizers.targets)
        unstable = check_stability(recipe, splits["train"], tokenizers, crops, folder, run)
        results = _encode(recipe, splits, tokenizers, crops, folder, run, retry_lost)
        lost = lost_pairs(splits, results)
        if len(lost.filter(pc.equal(lost["split"], "train"))) == len(splits["train"]):
            raise CheckFailed("every picture of the train split was lost", cure="run `tuwen corpus` again")
        shards = [ShardEntry.model_validate(result.summary["entry"]) for result in results if result.summary["entry"]]
        names = sorted([*tokenizers.file_names(folder), *write_lost_pairs(folder, lost)])
        document = new_manifest(
            "shards",
            schema=tokenizers.schema,
            splits=_splits(shards),
            split_rule={"by": "cluster", "hash": SPLIT_HASH, "validation": recipe.split.validation},
            leakage=shared,
            licenses=_licenses(corpus, splits, lost, recipe.tokenize.crops.views),
            shards=shards,
            files=[file_entry(folder.path, name) for name in names],
            totals=_totals(shards, lost),
            lineage={
                "parents": [corpus.id],
                "recipe": recipe.document(),
                "steps": [*corpus.lineage.steps, _step(splits, lost)],
                **_tokenizer_lineage(tokenizers, unstable),
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


def _encode(
    recipe: Recipe,
    splits: dict[str, pa.Table],
    tokenizers: JobTokenizers,
    crops: CropPlan,
    folder: ShardsFolder,
    run: StageRun,
    retry_lost: bool,
) -> list[PartResult[ShardSummary]]:
    tokenize = recipe.tokenize
    views, inputs = tokenize.crops.views, tokenizers.input_files(folder)
    part_rows = max(1, tokenize.block_rows * tokenize.shard_blocks // views)
    parts: list[Part[None]] = []
    for split, rows in splits.items():
        planned = plan_parts(rows, run.roots, folder.plan, split, part_rows)
        parts += [replace(part.with_inputs(**inputs), modules=tokenizers.modules) for part in planned]
    config = EncodeConfig(
        plan=EncodePlan(crops=crops, text_max_tokens=tokenize.text.max_tokens, quality_rows=tokenize.quality.rows),
        views=views,
        block_rows=tokenize.block_rows,
        max_fall_db=repr(tokenize.quality.max_fall_db),
        decoders=tokenize.job.decoders,
        device=device_of(recipe),
        threads=tokenize.job.threads,
        header=tokenizers.header,
    )
    if retry_lost:
        forget_where(folder.path, lambda summary: bool(summary["lost"]))
        forget_lost(scratch_of(folder.path))  # of shards that were not finished when the job was stopped
    total = sum(map(len, splits.values()))
    watch = JobWatch(scratch_of(folder.path), total, tokenize.quality.max_failed, tokenize.quality.max_fall_db)
    results = run_stage(TOKENIZE, parts, config, folder.path, run, meter=watch)
    check_lost(sum(len(result.summary["lost"]) for result in results), total, tokenize.quality.max_failed)
    return results


def _splits(shards: list[ShardEntry]) -> dict[str, Split]:
    """Shards are named by their splits: train-00000.tar."""
    found = {}
    for split in ("train", "validation"):
        ours = [shard for shard in shards if shard.name.startswith(f"{split}-")]
        found[split] = Split(samples=sum(shard.samples for shard in ours), shards=[shard.name for shard in ours])
    return found


def _step(splits: dict[str, pa.Table], lost: pa.Table) -> Step:
    return Step.of("tokenize", sum(map(len, splits.values())), dict(Counter(lost["reason"].to_pylist())))


def _tokenizer_lineage(tokenizers: JobTokenizers, unstable: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    documents: dict[str, dict[str, Any]] = {}
    for array, identity in tokenizers.images.items():
        documents[array] = dict(identity.document())
        if array in unstable:
            documents[array]["unstable"] = unstable[array]
    text = tokenizers.text
    lineage: dict[str, Any] = {
        "image_tokenizer": documents.pop("codes"),
        "text_tokenizer": {"name": text.kind, "sha256": text.sha256, "vocab": text.vocab},
    }
    return {**lineage, "also": documents} if documents else lineage


def _totals(shards: list[ShardEntry], lost: pa.Table) -> dict[str, int]:
    totals = {
        "samples": sum(shard.samples for shard in shards),
        "bytes": sum(shard.bytes for shard in shards),
        "text_tokens": sum(shard.stats["text_tokens"] for shard in shards),
        "captions_trimmed": sum(shard.stats["captions_trimmed"] for shard in shards),
    }
    return {**totals, "pairs_lost": len(lost)} if len(lost) else totals


def _licenses(corpus: Manifest, splits: dict[str, pa.Table], lost: pa.Table, views: int) -> list[License]:
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for split, table in splits.items():
        rows = without_lost(table, lost)
        pairs = Counter(zip(rows["source"].to_pylist(), rows["license"].to_pylist(), strict=True))
        counts[split] = Counter({name: count * views for name, count in pairs.items()})
    return counted_licenses(corpus.licenses, counts)
