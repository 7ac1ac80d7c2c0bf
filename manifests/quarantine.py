"""Take corrupt shards out of a manifest: a new manifest lists the others, with a tombstone for each that is gone.

    quarantine(manifest, ["train-00003.tar"], reason="block 2 is corrupt", out=Path("runs/emoji/shards-without-3"))

The other shards stay where they are, and the new manifest points at them. It has another id, with the old manifest as
its parent, and so another order: a training run on the old manifest cannot continue on the new one.
"""

from dataclasses import replace
from pathlib import Path

from .atomic import sole_writer
from .documents import License, MixtureDocument, MixtureSource, ShardEntry, Split, Step, Tombstone
from .errors import BadInput
from .license_counts import recounted_licenses
from .manifest import Manifest, new_manifest, save_manifest
from .manifest_fields import LineageFields, plain_json
from .shards.shard_locations import copy_files, refuse_own_folder, relative_locations


def quarantine(manifest: Manifest, names: list[str], reason: str, out: Path) -> Manifest:
    """Write a manifest without the shards `names` to `out`.

    Raises BadInput for a shard that is not listed, and when no training sample would be left.
    """
    unknown = sorted(set(names) - {shard.name for shard in manifest.shards})
    if unknown or not names:
        raise BadInput(f"{manifest.folder}: no shard {', '.join(unknown)}", cure="`tuwen manifest show` lists them")
    refuse_own_folder(out, [manifest])
    kept = [shard for shard in manifest.shards if shard.name not in names]
    removed = [shard for shard in manifest.shards if shard.name in names]
    splits = _splits(manifest, names)
    if "train" not in splits or not splits["train"].samples:
        raise BadInput(f"{manifest.folder}: no training sample would be left", cure="run `tuwen tokenize` again")
    tombstones = [
        Tombstone(name=shard.name, sha256=shard.sha256, samples=shard.samples, reason=reason) for shard in removed
    ]
    with sole_writer(out):
        document = new_manifest(
            "shards",
            schema=manifest.document["schema"],
            splits=splits,
            split_rule=manifest.document["split_rule"],
            leakage=manifest.leakage,
            licenses=_licenses(manifest, kept, splits),
            shards=[shard.model_copy(update={"urls": relative_locations(out, manifest, shard)}) for shard in kept],
            files=copy_files(manifest, out),
            totals={"samples": sum(shard.samples for shard in kept), "bytes": sum(shard.bytes for shard in kept)},
            lineage=_lineage(manifest, sum(shard.samples for shard in removed)),
            tombstones=[*manifest.tombstones, *tombstones],
            mixture=_mixture(manifest.mixture, names),
        )
        return save_manifest(out, document)


def _splits(manifest: Manifest, names: list[str]) -> dict[str, Split]:
    samples = {shard.name: shard.samples for shard in manifest.shards}
    kept = {name: [shard for shard in split.shards if shard not in names] for name, split in manifest.splits.items()}
    return {
        name: Split(samples=sum(samples[shard] for shard in shards), shards=shards) for name, shards in kept.items()
    }


def _licenses(manifest: Manifest, kept: list[ShardEntry], splits: dict[str, Split]) -> list[License]:
    """The rows of what is left are read only if there are several licences to tell apart."""
    left = replace(
        manifest,
        document={**manifest.document, "shards": plain_json(kept), "splits": plain_json(splits)},
    )
    if len(manifest.licenses) > 1:
        return recounted_licenses(left)
    by_split = {name: split.samples for name, split in splits.items()}
    return [
        entry.model_copy(update={"samples": sum(by_split.values()), "splits": by_split}) for entry in manifest.licenses
    ]


def _mixture(mixture: MixtureDocument | None, names: list[str]) -> MixtureDocument | None:
    if mixture is None:
        return None
    return mixture.model_copy(update={"sources": [_source(source, names) for source in mixture.sources]})


def _source(source: MixtureSource, names: list[str]) -> MixtureSource:
    """A source without a shard has another id: its rows are no longer those of the manifest that its id names."""
    removed = sorted(set(source.shards) & set(names))
    if not removed:
        return source
    kept = [name for name in source.shards if name not in names]
    return source.model_copy(update={"id": f"{source.id} without {', '.join(removed)}", "shards": kept})


def _lineage(manifest: Manifest, removed_samples: int) -> LineageFields:
    lineage = manifest.lineage
    samples = sum(split.samples for split in manifest.splits.values())
    return {
        "parents": [manifest.id],
        "recipe": lineage.recipe,
        "steps": [*lineage.steps, Step.of("quarantine", samples, {"quarantined": removed_samples})],
        "image_tokenizer": lineage.image_tokenizer,
        "text_tokenizer": lineage.text_tokenizer,
    }
