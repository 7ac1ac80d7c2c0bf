"""`tuwen manifest export --layout sample`: shards → ordinary WebDataset tars, one sample a pair, for any loader.

    manifest = export_samples(load_manifest("runs/emoji/shards"), Path("runs/emoji/export"), StageRun())

A pair becomes `KEY.codes.npy` (h, w), `KEY.json` (what is known of it, with its caption ids) and `KEY.txt` (its
caption). Other tools find their files next to the tars: `index.SPLIT.json` (wids), `croissant.json`, a README.md whose
head tells Hugging Face `datasets` which tars are which split, and `.nv-meta/dataset.yaml` for Megatron-Energon. A tar
is a part: one Ray task each, resumable, the same bytes for any number of workers.
"""

import json
from pathlib import Path

from ...manifests.atomic import sole_writer, whole_file
from ...manifests.catalogues.card_head import card_head
from ...manifests.catalogues.croissant import Member, Tar, croissant
from ...manifests.catalogues.wids_index import IndexedTar, wids_index
from ...manifests.documents import Json, ShardEntry
from ...manifests.manifest import Manifest, drop_manifest, new_manifest, save_manifest
from ...manifests.run_folders import ExportFolder
from ...manifests.shards.shard_locations import copy_files, refuse_own_folder
from ...pipeline.executor.part import Part
from ...pipeline.executor.stage import Stage, StageRun, run_stage
from ..shard_header import ShardHeader, shard_header
from .export_shard import ExportShardConfig, export_shard

_MEMBERS = {
    "codes": Member("codes.npy", "application/octet-stream", "VQ codes (h, w), a .npy file: read it with numpy.load."),
    "json": Member("json", "application/json", "key, caption, source, license, crop, pixels, text_ids as JSON."),
    "caption": Member("txt", "text/plain", "The caption, UTF-8."),
}
_ENERGON = """\
sample_type:
  __module__: megatron.energon
  __class__: CaptioningSample
field_map:
  image: codes.npy
  caption: json[caption]
"""

# What an export has in common with the shards, of the manifest and of its lineage.
_SAME_FIELDS = ("schema", "splits", "split_rule", "leakage", "licenses", "mixture", "tombstones")
_SAME_LINEAGE = ("recipe", "steps", "image_tokenizer", "text_tokenizer", "also")

EXPORT_SAMPLES = Stage("export", export_shard, libraries=("numpy",), unhashed=("base", "urls"))


def export_samples(manifest: Manifest, out: Path, run: StageRun) -> Manifest:
    """Return the manifest of the tars. Raises CheckFailed when a shard is corrupt."""
    refuse_own_folder(out, [manifest])
    with sole_writer(out):
        drop_manifest(out)
        document, lineage = manifest.document, manifest.document["lineage"]
        shards = _export_shards(manifest, out, run)
        _write_indices(manifest, shards, out)
        export = new_manifest(
            "shards",
            shards=shards,
            files=copy_files(manifest, out),
            totals={"samples": sum(s.samples for s in shards), "bytes": sum(s.bytes for s in shards)},
            lineage=_subset(lineage, _SAME_LINEAGE) | {"parents": [manifest.id]},
            **_subset(document, _SAME_FIELDS),
        )
        return save_manifest(out, export)


def _subset(document: Json, names: tuple[str, ...]) -> Json:
    return {name: document[name] for name in names if name in document}


def _export_shards(manifest: Manifest, out: Path, run: StageRun) -> list[ShardEntry]:
    config = ExportShardConfig(header=header_of_shards(manifest), base=manifest.base, urls=manifest.urls)
    parts = [Part(Path(shard.name).stem, shard.model_dump()) for shard in manifest.shards]
    return [ShardEntry.model_validate(result.summary) for result in run_stage(EXPORT_SAMPLES, parts, config, out, run)]


def header_of_shards(manifest: Manifest) -> ShardHeader:
    """What the shards of a manifest say of themselves."""
    schema, lineage = manifest.document["schema"], manifest.document["lineage"]
    text = lineage["text_tokenizer"]["sha256"]
    return shard_header(schema, lineage["image_tokenizer"], text, lineage.get("also"))


def _write_indices(manifest: Manifest, shards: list[ShardEntry], out: Path) -> None:
    """Write what other tools look for next to the tars. No manifest lists it: a date in it would be in the id."""
    by_name = {shard.name: shard for shard in shards}
    splits = {name: [by_name[shard] for shard in split.shards] for name, split in manifest.splits.items()}
    folder = ExportFolder(out)
    texts = {folder.wids_index(split): wids_index(split, _listed(tars)) for split, tars in splits.items() if tars}
    texts[folder.croissant] = json.dumps(_croissant(manifest, splits), indent=1, ensure_ascii=False) + "\n"
    texts[folder.card] = _card(manifest, splits)
    texts[folder.energon] = _ENERGON
    for path, text in texts.items():
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _croissant(manifest: Manifest, splits: dict[str, list[ShardEntry]]) -> Json:
    licenses = manifest.licenses
    tars = [Tar(shard.name, shard.sha256, shard.bytes, split) for split, listed in splits.items() for shard in listed]
    grid = "×".join(str(side) for side in manifest.sample_schema.codes.shape)
    return croissant(
        str((manifest.lineage.recipe or {}).get("name", "shards")),
        description=f"Captions with pictures as {grid} VQ codes; made from {manifest.id}.",
        licenses=sorted({entry.license for entry in licenses}) or ["unknown"],
        attribution="; ".join(dict.fromkeys(entry.attribution for entry in licenses if entry.attribution)),
        version="1.0.0",
        date=manifest.document["created"][:10],
        tars=tars,
        members=_MEMBERS,
    )


def _listed(shards: list[ShardEntry]) -> list[IndexedTar]:
    return [IndexedTar(shard.name, shard.samples, shard.bytes) for shard in shards]


def _card(manifest: Manifest, splits: dict[str, list[ShardEntry]]) -> str:
    sources = [
        f"* {entry.license}: {entry.samples} samples of {entry.source}. {entry.attribution}"
        for entry in manifest.licenses
    ]
    body = [
        "",
        f"Made from `{manifest.id}`.",
        "Of each pair `KEY.codes.npy`, `KEY.json`, `KEY.txt`. `manifest.json` has the whole lineage, `croissant.json`",
        "describes the folder, `index.SPLIT.json` is an index for wids.",
        "",
        *sources,
    ]
    head = card_head({split: [shard.name for shard in listed] for split, listed in splits.items()})
    return "\n".join([*head, *body]) + "\n"
