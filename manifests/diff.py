"""The difference of two manifests: recipe, tokenizers, schema, shards and samples.

    difference = compare_manifests(load_manifest("runs/a/shards"), load_manifest("runs/b/shards"))
    difference["samples"]        # {"added": 12, "removed": 0, "changed": 3, "equal": 7201, "examples": {…}}

A sample is identified by its key; it is changed when its codes, its caption ids or its metadata differ. Shards that
both manifests list (by sha256) are not read. Corpora are compared by the kept pairs of their decision tables,
tokenizers and training runs by their files, and exports by their splits alone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
import pyarrow.parquet as pq

from .canonical import canonical_json
from .documents import Json, ShardEntry
from .errors import BadInput
from .manifest import Manifest
from .shards.split_reader import SplitReader

Changes = dict[str, tuple[Any, Any]]  # path of a value → (in a, in b); None: not there

_EXAMPLES = 5
_ROWS_AT_ONCE = 4096
_STATES = ("added", "removed", "changed")


class ShardCounts(TypedDict):
    shared: int  # shards with the same sha256
    only_a: int
    only_b: int


class SampleCounts(TypedDict):
    added: int
    removed: int
    changed: int
    equal: int
    examples: dict[str, list[str]]  # added, removed, changed → the first keys


class Difference(TypedDict):
    a: str  # ids
    b: str
    recipe: Changes
    schema: Changes
    tokenizers: Changes
    splits: Changes
    files: NotRequired[Changes]  # tokenizers and training runs: sha256
    shards: NotRequired[ShardCounts]
    samples: NotRequired[SampleCounts]  # shards and corpora


def compare_manifests(a: Manifest, b: Manifest) -> Difference:
    """Raises BadInput for manifests of two kinds, CheckFailed when a shard that has to be read is corrupt."""
    if a.kind != b.kind:
        raise BadInput(f"a manifest of {a.kind} and one of {b.kind}", cure="compare two of a kind")
    facts_a, facts_b = _facts(a), _facts(b)
    difference = Difference(
        a=a.id,
        b=b.id,
        recipe=_changes(facts_a.recipe, facts_b.recipe),
        schema=_changes(facts_a.schema, facts_b.schema),
        tokenizers=_changes(facts_a.tokenizers, facts_b.tokenizers),
        splits=_changes(facts_a.splits, facts_b.splits),
    )
    if a.kind == "corpus":
        difference["samples"] = _count_samples(_kept_pairs(a), _kept_pairs(b))
    if a.kind in ("tokenizer", "train"):
        difference["files"] = _changes(_file_hashes(a), _file_hashes(b))
    if a.kind == "shards" and {shard.layout for shard in [*a.shards, *b.shards]} <= {"block"}:
        shared = {shard.sha256 for shard in a.shards} & {shard.sha256 for shard in b.shards}
        difference["shards"] = ShardCounts(
            shared=len(shared), only_a=len(a.shards) - len(shared), only_b=len(b.shards) - len(shared)
        )
        samples = _count_samples(_sample_hashes(a, shared), _sample_hashes(b, shared))
        samples["equal"] += sum(shard.samples for shard in a.shards if shard.sha256 in shared)
        difference["samples"] = samples
    return difference


def describe_difference(difference: Difference) -> str:
    """Return one line a change, or one that says that the manifests are equal."""
    if difference["a"] == difference["b"]:
        return f"equal: both are {difference['a']}"
    lines = [f"a  {difference['a']}", f"b  {difference['b']}"]
    sections: Mapping[str, Changes] = {
        "recipe": difference["recipe"],
        "schema": difference["schema"],
        "tokenizers": difference["tokenizers"],
        "splits": difference["splits"],
        "file": difference.get("files", {}),
    }
    for section, changes in sections.items():
        lines += [f"{section:<11}{name}: {old} → {new}" for name, (old, new) in changes.items()]
    if "shards" in difference:
        counts = difference["shards"]
        lines.append(
            f"shards     {counts['shared']} shared, {counts['only_a']} only in a, {counts['only_b']} only in b"
        )
    if "samples" in difference:
        samples = difference["samples"]
        lines.append(
            f"samples    {samples['added']} added, {samples['removed']} removed, {samples['changed']} changed, "
            f"{samples['equal']} equal"
        )
        lines += [f"  {state:<8} {key}" for state in _STATES for key in samples["examples"][state]]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Facts:
    """The JSON that is compared value by value."""

    recipe: Json
    schema: Json
    tokenizers: Json
    splits: Json  # split → samples


def _facts(manifest: Manifest) -> _Facts:
    lineage = manifest.document["lineage"]
    return _Facts(
        recipe=lineage.get("recipe", {}),
        schema=manifest.document.get("schema", {}),
        tokenizers={name: lineage.get(name, {}) for name in ("image_tokenizer", "text_tokenizer")},
        splits={name: split.samples for name, split in manifest.splits.items()},
    )


def _changes(a: Any, b: Any, path: str = "") -> Changes:
    """Return every value that differs, by its path."""
    if isinstance(a, dict) and isinstance(b, dict):
        changes: Changes = {}
        for name in sorted(set(a) | set(b)):
            changes |= _changes(a.get(name), b.get(name), f"{path}.{name}" if path else name)
        return changes
    return {} if a == b else {path: (a, b)}


def _count_samples(a: dict[str, bytes], b: dict[str, bytes]) -> SampleCounts:
    """Compare two tables of key → content."""
    both = a.keys() & b.keys()
    changed = {key for key in both if a[key] != b[key]}
    keys = {"added": b.keys() - a.keys(), "removed": a.keys() - b.keys(), "changed": changed}
    return SampleCounts(
        added=len(keys["added"]),
        removed=len(keys["removed"]),
        changed=len(changed),
        equal=len(both) - len(changed),
        examples={state: sorted(keys[state])[:_EXAMPLES] for state in _STATES},
    )


def _sample_hashes(manifest: Manifest, shared: set[str]) -> dict[str, bytes]:
    """Return key → hash of the whole sample, over the shards whose sha256 is not in `shared`."""
    hashes: dict[str, bytes] = {}
    for split in manifest.splits:
        reader = SplitReader(manifest, split)
        for first, shard in zip(reader.first_rows, reader.shards, strict=True):
            if shard.sha256 not in shared:
                hashes |= _sample_hashes_of_shard(reader, int(first), shard)
    return hashes


def _sample_hashes_of_shard(reader: SplitReader, first: int, shard: ShardEntry) -> dict[str, bytes]:
    hashes = {}
    for start in range(first, first + shard.samples, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, first + shard.samples))
        codes, text, lengths = reader.rows(rows)
        for number, meta in enumerate(reader.metas(rows)):
            hasher = hashlib.blake2b(canonical_json(meta), digest_size=16)
            hasher.update(codes[number].tobytes())
            hasher.update(text[number, : lengths[number]].tobytes())
            hashes[meta["key"]] = hasher.digest()
    return hashes


def _file_hashes(manifest: Manifest) -> dict[str, str]:
    return {file.name: file.sha256 for file in manifest.files}


def _kept_pairs(corpus: Manifest) -> dict[str, bytes]:
    """Return key → picture and caption of the kept pairs, from the decision table."""
    kept: dict[str, bytes] = {}
    columns = ["key", "caption", "image_sha256", "kept"]
    for file in corpus.files:
        if file.name.startswith("verdicts/"):
            for row in pq.read_table(corpus.folder / file.name, columns=columns).to_pylist():
                if row["kept"]:
                    kept[row["key"]] = f"{row['image_sha256']} {row['caption']}".encode()
    return kept
