"""`tuwen manifest export --layout sample`: shards → ordinary WebDataset tars, one sample a pair, for any loader.

    manifest = export_samples(load_manifest("runs/emoji/shards"), out=Path("runs/emoji/export"))

Of each pair `KEY.codes.npy` (h, w), `KEY.json` (what is known of it, with its caption ids) and `KEY.txt` (its caption).
Beside the tars lie what other tools ask for: `index.SPLIT.json` (wids), `croissant.json`, a README.md whose head tells
Hugging Face `datasets` which tars are which split, and `.nv-meta/dataset.yaml` for Megatron-Energon. A tar is a part:
one Ray task each, resumable, the same bytes for any number of workers.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.canonical import canonical_json
from ..manifests.catalogues.croissant import Member, Tar, croissant
from ..manifests.catalogues.loader_indexes import Listed, card_head, wids_index
from ..manifests.manifest import (
    Manifest,
    ShardEntry,
    drop_manifest,
    new_manifest,
    save_manifest,
)
from ..manifests.shards.block_shard import HEADER, add_member, entry_of
from ..manifests.shards.shard_locations import copy_files, refuse_own_folder
from ..manifests.shards.split_reader import SplitReader
from ..pipeline.executor.part import Part
from ..pipeline.executor.stage import run_stage

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


def export_samples(manifest: Manifest, out: Path, workers: int | None = None) -> Manifest:
    """Raises CheckFailed when a shard that is read is corrupt."""
    refuse_own_folder(out, [manifest])
    with sole_writer(out):
        drop_manifest(out)
        document = manifest.document
        parts = [
            Part(
                Path(shard.name).stem,
                {"shard": shard.sha256},
                {"base": manifest.base, "urls": document["urls"], "entry": shard.model_dump()},
            )
            for shard in manifest.shards
        ]
        config = {"schema": document["schema"], "image_tokenizer": document["lineage"]["image_tokenizer"],
                  "text_tokenizer": document["lineage"]["text_tokenizer"]["sha256"]}  # fmt: skip
        results = run_stage("export", export_shard, parts, config, out, workers=workers)
        shards = [ShardEntry.model_validate(result.summary) for result in results]
        carried = ("schema", "splits", "split_rule", "leakage", "licenses", "mixture")
        kept = ("recipe", "steps", "image_tokenizer", "text_tokenizer")
        _write_indices(manifest, shards, out)
        made = new_manifest(
            "shards",
            shards=[shard.model_dump() for shard in shards],
            files=copy_files(manifest, out),
            totals={"samples": sum(s.samples for s in shards), "bytes": sum(s.bytes for s in shards)},
            tombstones=document["tombstones"],
            lineage={
                **{name: document["lineage"][name] for name in kept if name in document["lineage"]},
                "parents": [manifest.id],
            },
            **{name: document[name] for name in carried if name in document},
        )
        return save_manifest(out, made)


def export_shard(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One tar from the shard of the same name; returns its manifest entry."""
    shard = ShardEntry.model_validate(part.place["entry"])
    reader = SplitReader(_alone(shard, part.place["base"], part.place["urls"]), "all", verify="always")
    path = folder / Path(shard.name).name
    starts: list[int] = []
    codes_starts: list[int] = []
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for first in range(0, shard.samples, shard.block_rows):
            starts.append(tar.offset)
            codes_starts.append(tar.offset + tarfile.BLOCKSIZE)
            rows = np.arange(first, min(first + shard.block_rows, shard.samples))
            for name, data in _members(reader, rows, config["schema"]["codes"]["shape"]):
                add_member(tar, name, data)
        starts.append(tar.offset)
        place = {"dtype": config["schema"]["codes"]["dtype"], "stride": 0, "offset": codes_starts[0]}
        facts = {"samples": shard.samples, "layout": "sample", "block_rows": shard.block_rows,
                 "arrays": {"codes": {**place, "blocks": codes_starts}}}  # fmt: skip
        header = {"format": "tuwen/shard", "version": 1, **config, **facts, "block_offsets": starts}
        add_member(tar, HEADER, canonical_json(header))
    return entry_of(shard.name, path, facts, starts, shard.keys_sha256, shard.stats).model_dump()


def _members(reader: SplitReader, rows: np.ndarray[Any, Any], grid: list[int]) -> Iterator[tuple[str, bytes]]:
    codes, text, lengths = reader.rows(rows)
    for number, meta in enumerate(reader.metas(rows)):
        buffer = io.BytesIO()
        np.save(buffer, codes[number].reshape(grid), allow_pickle=False)
        yield f"{meta['key']}.codes.npy", buffer.getvalue()
        yield f"{meta['key']}.json", canonical_json({**meta, "text_ids": text[number, : lengths[number]].tolist()})
        yield f"{meta['key']}.txt", meta["caption"].encode()


def _alone(shard: ShardEntry, base: str, urls: list[str]) -> Manifest:
    """A manifest of that shard, as a split `all`: a task need not load one that lists them all."""
    splits = {"all": {"samples": shard.samples, "shards": [shard.name]}}
    document = {"id": shard.sha256, "urls": urls, "shards": [shard.model_dump()], "splits": splits}
    return Manifest(Path(), document, base)


def _write_indices(manifest: Manifest, shards: list[ShardEntry], out: Path) -> None:
    """What other tools look for beside the tars. Not listed in the manifest: a date in them would be in its id."""
    by_name = {shard.name: shard for shard in shards}
    splits = {
        name: [by_name[shard] for shard in split["shards"]] for name, split in manifest.document["splits"].items()
    }
    texts = {f"index.{split}.json": wids_index(split, _listed(tars)) for split, tars in splits.items() if tars}
    texts["croissant.json"] = json.dumps(_croissant(manifest, splits), indent=1, ensure_ascii=False) + "\n"
    texts["README.md"] = _card(manifest, splits)
    texts[".nv-meta/dataset.yaml"] = _ENERGON
    for name, text in texts.items():
        with whole_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _croissant(manifest: Manifest, splits: dict[str, list[ShardEntry]]) -> dict[str, Any]:
    licenses = manifest.document["licenses"]
    tars = [Tar(shard.name, shard.sha256, shard.bytes, split) for split, listed in splits.items() for shard in listed]
    grid = "×".join(str(side) for side in manifest.document["schema"]["codes"]["shape"])
    return croissant(
        str(manifest.document["lineage"].get("recipe", {}).get("name", "shards")),
        description=f"Captions with pictures as {grid} VQ codes; made from {manifest.id}.",
        licenses=sorted({entry["license"] for entry in licenses}) or ["unknown"],
        attribution="; ".join(dict.fromkeys(entry["attribution"] for entry in licenses if entry["attribution"])),
        version="1.0.0",
        date=manifest.document["created"][:10],
        tars=tars,
        members=_MEMBERS,
    )


def _listed(shards: list[ShardEntry]) -> list[Listed]:
    return [Listed(shard.name, shard.samples, shard.bytes) for shard in shards]


def _card(manifest: Manifest, splits: dict[str, list[ShardEntry]]) -> str:
    sources = [
        f"* {entry['license']}: {entry['samples']} samples of {entry['source']}. {entry['attribution']}"
        for entry in manifest.document["licenses"]
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
