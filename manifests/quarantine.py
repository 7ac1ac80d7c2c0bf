"""A corrupt shard taken out, in a new manifest that says so: nothing is ever skipped in silence.

    quarantine(manifest, ["train-00003.tar"], reason="block 2 is corrupt", out=Path("runs/emoji/shards-without-3"))

The other shards stay where they are; the new manifest points at them. It has a tombstone for each shard that is gone,
another id, and the old one as its parent. What was trained on the old one cannot go on with it: the order is another.
"""

from pathlib import Path
from typing import Any

from .atomic import sole_writer
from .errors import BadInput
from .manifest import Manifest, new_manifest, save_manifest
from .shards.shard_locations import copy_files, refuse_own_folder, relative_locations


def quarantine(manifest: Manifest, names: list[str], reason: str, out: Path) -> Manifest:
    """Raises BadInput for a shard that is not there, or when nothing would be left to train on."""
    unknown = sorted(set(names) - {shard.name for shard in manifest.shards})
    if unknown or not names:
        raise BadInput(f"{manifest.folder}: no shard {', '.join(unknown)}", cure="`tuwen manifest show` lists them")
    refuse_own_folder(out, [manifest])
    document = manifest.document
    gone = [shard for shard in manifest.shards if shard.name in names]
    kept = [shard for shard in manifest.shards if shard.name not in names]
    splits = {name: _split(split, names, manifest) for name, split in document["splits"].items()}
    if not splits.get("train", {"samples": 0})["samples"]:
        raise BadInput(f"{manifest.folder}: no training sample would be left", cure="run `tuwen tokenize` again")
    with sole_writer(out):
        lost = sum(shard.samples for shard in gone)
        fields: dict[str, Any] = {
            name: document[name] for name in ("schema", "split_rule", "leakage", "licenses") if name in document
        }
        if "mixture" in document:
            fields["mixture"] = {**document["mixture"], "sources": _sources(document["mixture"]["sources"], names)}
        tombstones = [
            {"name": shard.name, "sha256": shard.sha256, "samples": shard.samples, "reason": reason} for shard in gone
        ]
        made = new_manifest(
            "shards",
            splits=splits,
            shards=[
                shard.model_copy(update={"urls": relative_locations(out, manifest, shard)}).model_dump()
                for shard in kept
            ],
            files=copy_files(manifest, out),
            totals={"samples": sum(s.samples for s in kept), "bytes": sum(s.bytes for s in kept)},
            lineage={**_lineage(document, lost), "parents": [manifest.id]},
            tombstones=[*document["tombstones"], *tombstones],
            **fields,
        )
        return save_manifest(out, made)


def _split(split: dict[str, Any], names: list[str], manifest: Manifest) -> dict[str, Any]:
    samples = {shard.name: shard.samples for shard in manifest.shards}
    kept = [name for name in split["shards"] if name not in names]
    return {"samples": sum(samples[name] for name in kept), "shards": kept}


def _sources(sources: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """A source that lost a shard is another source: its rows are no longer those that its old id stands for."""
    made = []
    for source in sources:
        kept = [name for name in source["shards"] if name not in names]
        lost = sorted(set(source["shards"]) - set(kept))
        made.append({**source, "shards": kept, **({"id": f"{source['id']} without {', '.join(lost)}"} if lost else {})})
    return made


def _lineage(document: dict[str, Any], lost: int) -> dict[str, Any]:
    old = document["lineage"]
    samples = sum(split["samples"] for split in document["splits"].values())
    step = {"name": "quarantine", "in": samples, "out": samples - lost, "dropped": {"quarantined": lost}}
    kept = {name: old[name] for name in ("recipe", "image_tokenizer", "text_tokenizer") if name in old}
    return {**kept, "steps": [*old.get("steps", []), step]}
