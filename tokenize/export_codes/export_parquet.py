"""`tuwen manifest export --layout parquet`: shards → Parquet of codes, captions and what is known of each pair.

    manifest = export_parquet(load_manifest("runs/emoji/shards"), Path("runs/emoji/parquet"), StageRun())

`codes_table` has the columns; codes are flat, and the metadata `tuwen` of a file says their shape. The tokenizers lie
beside the files, so `tuwen import DIR` reads them back without an option. A file is a part: one Ray task each,
resumable, the same bytes for any number of workers.
"""

import shutil
from pathlib import Path

from ...manifests.atomic import sole_writer, whole_file
from ...manifests.catalogues.card_head import card_head
from ...manifests.documents import FileEntry, Split
from ...manifests.manifest import Manifest, drop_manifest, file_entry, new_manifest, save_manifest
from ...manifests.run_folders import IMAGE_TOKENIZER, TEXT_MODEL, ExportFolder
from ...manifests.shards.shard_locations import refuse_own_folder
from ...pipeline.executor.part import Part
from ...pipeline.executor.stage import Stage, StageRun, run_stage
from .export_samples import header_of_shards
from .export_shard import ExportShardConfig
from .export_table import TablePart, export_table

EXPORT_PARQUET = Stage("export-parquet", export_table, libraries=("numpy", "pyarrow"), unhashed=("base", "urls"))


def export_parquet(manifest: Manifest, out: Path, run: StageRun) -> Manifest:
    """Return the manifest of the files. Raises CheckFailed when a shard is corrupt."""
    refuse_own_folder(out, [manifest])
    with sole_writer(out):
        drop_manifest(out)
        tables = _export(manifest, out, run)
        splits = _splits(manifest)
        with whole_file(ExportFolder(out).card) as temporary:
            temporary.write_text(_card(manifest, splits), encoding="utf-8")
        document, lineage = manifest.document, manifest.document["lineage"]
        export = new_manifest(
            "export",
            splits=splits,
            split_rule=document["split_rule"],
            licenses=manifest.licenses,
            files=[*tables, *_copied_tokenizers(manifest, out)],
            totals={"samples": sum(split.samples for split in splits.values())},
            lineage={
                "parents": [manifest.id],
                "recipe": lineage.get("recipe"),
                "steps": manifest.lineage.steps,
                "image_tokenizer": lineage["image_tokenizer"],
                "text_tokenizer": lineage["text_tokenizer"],
                "also": lineage.get("also"),
            },
        )
        return save_manifest(out, export)


def _export(manifest: Manifest, out: Path, run: StageRun) -> list[FileEntry]:
    config = ExportShardConfig(header=header_of_shards(manifest), base=manifest.base, urls=manifest.urls)
    split_of = {shard: name for name, split in manifest.splits.items() for shard in split.shards}
    parts = [
        Part(Path(shard.name).stem, TablePart(shard=shard.model_dump(), split=split_of[shard.name]))
        for shard in manifest.shards
    ]
    results = run_stage(EXPORT_PARQUET, parts, config, out, run)
    return [file.model_copy(update={"rows": result.summary["rows"]}) for result in results for file in result.files]


def _splits(manifest: Manifest) -> dict[str, Split]:
    return {
        name: Split(samples=split.samples, shards=[f"{Path(shard).stem}.parquet" for shard in split.shards])
        for name, split in manifest.splits.items()
    }


def _copied_tokenizers(manifest: Manifest, out: Path) -> list[FileEntry]:
    """The tokenizers alone: what an import recorded of its files is of those files."""
    names = [file.name for file in manifest.files if file.name.startswith((TEXT_MODEL, IMAGE_TOKENIZER))]
    for name in names:
        with whole_file(out / name) as temporary:
            shutil.copyfile(manifest.folder / name, temporary)
    return [file_entry(out, name) for name in names]


def _card(manifest: Manifest, splits: dict[str, Split]) -> str:
    """README.md, whose head tells Hugging Face `datasets` which files are which split."""
    codes = manifest.sample_schema.codes
    shape = "×".join(map(str, codes.shape))
    lines = [
        "",
        f"Made from `{manifest.id}`.",
        f"Of each pair `key`, `caption`, `codes` ({shape} of {codes.codebook:,}, flat), `text_ids`, `source`,",
        "`license`, `crop`. `manifest.json` has the whole lineage.",
        "",
        *(
            f"* {entry.license}: {entry.samples} samples of {entry.source}. {entry.attribution}"
            for entry in manifest.licenses
        ),
    ]
    return "\n".join([*card_head({name: split.shards for name, split in splits.items()}), *lines]) + "\n"
