"""Merge several shard manifests into one, where their tokenizers and schemas agree.

    merge([a, b], out=Path("runs/both"))                                       # every sample once an epoch
    merge([a, b], Path("runs/mixed"), [Phase(0, (3, 1)), Phase(100_000, (1, 1))])    # 3 of a for 1 of b, later 1 for 1

The shards stay where they are, and the merged manifest points at them; the tokenizers are copied. With weights it is a
mixture: every source has epochs of its own, in the order that it has alone.
"""

from pathlib import Path

from .atomic import sole_writer
from .counted import counted
from .documents import Json, Leakage, License, MixtureDocument, MixtureSource, ShardEntry, Split, Step
from .errors import BadInput, CheckFailed
from .license_counts import LicenseCounter
from .manifest import Manifest, new_manifest, save_manifest
from .manifest_fields import plain_json
from .order.mixture import Mixture, Phase
from .shards.shard_locations import copy_files, refuse_own_folder, relative_locations
from .shards.split_reader import SplitReader


def merge(manifests: list[Manifest], out: Path, phases: list[Phase] | None = None) -> Manifest:
    """Write the merged manifest to `out`.

    Raises BadInput when the manifests do not fit together, CheckFailed when one trains on what another validates.
    """
    _check_they_fit(manifests)
    refuse_own_folder(out, manifests)
    mixture = None if phases is None else _mixture(manifests, phases)
    leakage, licenses = _leakage_and_licenses(manifests)
    if any(leakage.shared.values()):
        shared = ", ".join(counted(count, name) for name, count in leakage.shared.items())
        raise CheckFailed(
            f"one trains on what another validates ({shared})",
            cure="build one corpus of all sources, or name the other's as `evaluation` in a recipe",
        )
    with sole_writer(out):
        document = _document(manifests, out, leakage, licenses, mixture)
        return save_manifest(out, document)


def _document(
    manifests: list[Manifest], out: Path, leakage: Leakage, licenses: list[License], mixture: MixtureDocument | None
) -> Json:
    first, ids = manifests[0], [manifest.id for manifest in manifests]
    splits = {
        name: _split(manifests, name) for name in dict.fromkeys(name for part in manifests for name in part.splits)
    }
    samples = sum(split.samples for split in splits.values())
    shards = [_shard(manifest, shard, out) for manifest in manifests for shard in manifest.shards]
    recipe: Json = {"merge": ids} if mixture is None else {"merge": ids, "mixture": plain_json(mixture)}
    return new_manifest(
        "shards",
        schema=first.document["schema"],
        splits=splits,
        split_rule={"by": "parents", "parents": [manifest.document["split_rule"] for manifest in manifests]},
        leakage=leakage,
        licenses=licenses,
        shards=shards,
        files=copy_files(first, out),
        totals={"samples": samples, "bytes": sum(shard.bytes for shard in shards)},
        tombstones=[tombstone for manifest in manifests for tombstone in manifest.tombstones],
        lineage={
            "parents": ids,
            "recipe": recipe,
            "steps": [Step.of("merge", samples, {})],
            "image_tokenizer": first.lineage.image_tokenizer,
            "text_tokenizer": first.lineage.text_tokenizer,
        },
        mixture=mixture,
    )


def _check_they_fit(manifests: list[Manifest]) -> None:
    first = manifests[0]
    if len(manifests) < 2:
        raise BadInput("one manifest alone cannot be merged", cure="name two or more")
    for other in manifests:
        if other.mixture is not None:
            raise BadInput(f"{other.folder}: is a mixture already", cure="merge the manifests that it was made of")
    for other in manifests[1:]:
        ours, theirs = _contract(first), _contract(other)
        differ = [f"{name} is {ours[name]} and {theirs.get(name)}" for name in ours if ours[name] != theirs.get(name)]
        if differ:
            raise BadInput(
                f"{first.folder} and {other.folder} do not agree: {'; '.join(differ)}",
                cure="tokenize both with the same `tokenize` section",
            )
    hashes = [shard.sha256 for manifest in manifests for shard in manifest.shards]
    if len(set(hashes)) < len(hashes):
        raise BadInput("two of them hold the same shard", cure="name each once; for a higher share give it a weight")


def _contract(manifest: Manifest) -> Json:
    """Return what must be equal in manifests that are merged, by the name that an error message uses."""
    schema, lineage = manifest.document["schema"], manifest.document["lineage"]
    contract = {f"{array} {name}": value for array, facts in schema.items() for name, value in facts.items()}
    for kind in ("image_tokenizer", "text_tokenizer"):
        contract |= {f"{kind} {name}": lineage[kind].get(name, "-") for name in ("sha256", "config_sha256")}
    for shard in manifest.shards[:1]:
        contract["layout"] = shard.layout
        contract |= {f"bytes of a row of {name}": array.stride for name, array in shard.arrays.items()}
    return contract


def _leakage_and_licenses(manifests: list[Manifest]) -> tuple[Leakage, list[License]]:
    """Both are told from the metadata of every row, which is read once."""
    keys: dict[str, set[str]] = {"train": set(), "validation": set()}
    pictures: dict[str, set[str]] = {"train": set(), "validation": set()}
    licenses: list[License] = []
    for manifest in manifests:
        counter = LicenseCounter()
        for split in manifest.splits:
            for meta in SplitReader(manifest, split).all_meta():
                counter.add(split, meta)
                keys.setdefault(split, set()).add(meta["key"])
                if "pixels" in meta:
                    pictures.setdefault(split, set()).add(meta["pixels"])
        licenses += counter.licenses(manifest)
    leakage = Leakage.model_validate(
        {
            "rule": "keys and equal pictures; near-duplicates are looked for within a corpus only",
            "checked": {split: len(of_split) for split, of_split in keys.items()},
            "key_in_both": len(keys["train"] & keys["validation"]),
            "picture_in_both": len(pictures["train"] & pictures["validation"]),
        }
    )
    return leakage, licenses


def _split(manifests: list[Manifest], name: str) -> Split:
    parts = [(manifest, manifest.splits[name]) for manifest in manifests if name in manifest.splits]
    return Split(
        samples=sum(split.samples for _, split in parts),
        shards=[_merged_name(manifest, shard) for manifest, split in parts for shard in split.shards],
    )


def _shard(manifest: Manifest, shard: ShardEntry, out: Path) -> ShardEntry:
    name, urls = _merged_name(manifest, shard.name), relative_locations(out, manifest, shard)
    return shard.model_copy(update={"name": name, "urls": urls})


def _mixture(manifests: list[Manifest], phases: list[Phase]) -> MixtureDocument:
    """Weights are divided by their greatest common divisor."""
    if any(len(phase.weights) != len(manifests) for phase in phases):
        raise BadInput(f"weights for {len(phases[0].weights)} of {len(manifests)} manifests", cure="one for each")
    return MixtureDocument(
        sources=[
            MixtureSource(id=manifest.id, shards=[_merged_name(manifest, shard.name) for shard in manifest.shards])
            for manifest in manifests
        ],
        phases=Mixture(phases).document(),
    )


def _merged_name(manifest: Manifest, shard: str) -> str:
    """Return a name that no shard of another manifest has: each manifest has a train-00000.tar."""
    return f"{manifest.id[7:15]}-{shard}"
