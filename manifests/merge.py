"""Several shard manifests as one, where their tokenizers and schemas agree.

    merge([a, b], out=Path("runs/both"))                                       # every sample once an epoch
    merge([a, b], out=…, phases=[Phase(0, (3, 1)), Phase(100_000, (1, 1))])    # three of a for one of b, later alike

The shards stay where they are; the merged manifest points at them, and has a copy of the tokenizers. Weights make it a
mixture: every source has epochs of its own, in the order that it has alone.
"""

from pathlib import Path
from typing import Any

from .atomic import sole_writer
from .errors import BadInput, CheckFailed
from .manifest import Manifest, new_manifest, save_manifest
from .order.mixture import Mixture, Phase
from .shards.shard_locations import copy_files, refuse_own_folder, relative_locations
from .shards.split_reader import SplitReader


def merge(manifests: list[Manifest], out: Path, phases: list[Phase] | None = None) -> Manifest:
    """Raises BadInput when they cannot be mixed, and says why; CheckFailed when one trains on another's validation."""
    _refuse_strangers(manifests)
    refuse_own_folder(out, manifests)
    if phases is not None:
        if any(len(phase.weights) != len(manifests) for phase in phases):
            raise BadInput(f"weights for {len(phases[0].weights)} of {len(manifests)} manifests", cure="one for each")
        phases = [Phase(**phase) for phase in _phases(Mixture(phases))]
    leakage = _leakage(manifests)
    if leakage["key_in_both"] or leakage["picture_in_both"]:
        raise CheckFailed(
            f"one trains on what another validates ({leakage['key_in_both']} keys, {leakage['picture_in_both']} "
            "pictures)",
            cure="build one corpus of all sources, or name the other's as `evaluation` in a recipe",
        )
    with sole_writer(out):
        first = manifests[0].document
        names = list(dict.fromkeys(name for manifest in manifests for name in manifest.document["splits"]))
        splits = {name: _split(manifests, name) for name in names}
        samples = sum(split["samples"] for split in splits.values())
        mixture = {} if phases is None else {"mixture": _mixture(manifests, phases)}
        document = new_manifest(
            "shards",
            schema=first["schema"],
            splits=splits,
            split_rule={"by": "parents", "parents": [manifest.document["split_rule"] for manifest in manifests]},
            leakage=leakage,
            licenses=[entry for manifest in manifests for entry in manifest.document.get("licenses", [])],
            shards=[
                shard.model_copy(
                    update={"name": _name(manifest, shard.name), "urls": relative_locations(out, manifest, shard)}
                ).model_dump()
                for manifest in manifests
                for shard in manifest.shards
            ],
            files=copy_files(manifests[0], out),
            totals={"samples": samples, "bytes": sum(shard.bytes for m in manifests for shard in m.shards)},
            tombstones=[stone for manifest in manifests for stone in manifest.document["tombstones"]],
            lineage={
                "parents": [manifest.id for manifest in manifests],
                "recipe": {"merge": [manifest.id for manifest in manifests], **mixture},
                "steps": [{"name": "merge", "in": samples, "out": samples, "dropped": {}}],
                "image_tokenizer": first["lineage"]["image_tokenizer"],
                "text_tokenizer": first["lineage"]["text_tokenizer"],
            },
            **mixture,
        )
        return save_manifest(out, document)


def _refuse_strangers(manifests: list[Manifest]) -> None:
    first = manifests[0]
    if len(manifests) < 2:
        raise BadInput("one manifest alone cannot be merged", cure="name two or more")
    for other in manifests:
        if "mixture" in other.document:
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


def _contract(manifest: Manifest) -> dict[str, Any]:
    """What must be equal, by the name that a message gives it."""
    document, lineage = manifest.document, manifest.document["lineage"]
    flat = {f"{array} {name}": value for array, about in document["schema"].items() for name, value in about.items()}
    for kind in ("image_tokenizer", "text_tokenizer"):
        flat |= {f"{kind} {name}": lineage[kind].get(name, "-") for name in ("sha256", "config_sha256")}
    for shard in manifest.shards[:1]:
        flat["layout"] = shard.layout
        flat |= {f"bytes of a row of {name}": place.stride for name, place in shard.arrays.items()}
    return flat


def _leakage(manifests: list[Manifest]) -> dict[str, Any]:
    keys: dict[str, set[str]] = {"train": set(), "validation": set()}
    pictures: dict[str, set[str]] = {"train": set(), "validation": set()}
    for manifest in manifests:
        for split in manifest.document["splits"]:
            for meta in SplitReader(manifest, split).all_meta():
                keys.setdefault(split, set()).add(meta["key"])
                if "pixels" in meta:
                    pictures.setdefault(split, set()).add(meta["pixels"])
    return {
        "rule": "keys and equal pictures; near-duplicates are looked for within a corpus only",
        "checked": {split: len(found) for split, found in keys.items()},
        "key_in_both": len(keys["train"] & keys["validation"]),
        "picture_in_both": len(pictures["train"] & pictures["validation"]),
    }


def _split(manifests: list[Manifest], name: str) -> dict[str, Any]:
    found = [(manifest, manifest.document["splits"].get(name)) for manifest in manifests]
    return {
        "samples": sum(split["samples"] for _, split in found if split),
        "shards": [_name(manifest, shard) for manifest, split in found if split for shard in split["shards"]],
    }


def _mixture(manifests: list[Manifest], phases: list[Phase]) -> dict[str, Any]:
    return {
        "sources": [
            {"id": manifest.id, "shards": [_name(manifest, shard.name) for shard in manifest.shards]}
            for manifest in manifests
        ],
        "phases": [{"from": phase.start, "weights": list(phase.weights)} for phase in phases],
    }


def _phases(mixture: Mixture) -> list[dict[str, Any]]:
    return [{"start": phase["from"], "weights": tuple(phase["weights"])} for phase in mixture.document()]


def _name(manifest: Manifest, shard: str) -> str:
    """Both have a train-00000.tar."""
    return f"{manifest.id[7:15]}-{shard}"
