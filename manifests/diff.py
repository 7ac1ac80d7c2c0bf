"""What changed from one manifest to another: recipe, tokenizers, schema, shards and samples.

    changes = difference(load_manifest("runs/a/shards"), load_manifest("runs/b/shards"))
    changes["samples"]        # {"added": 12, "removed": 0, "changed": 3, "equal": 7201, "examples": {…}}

A sample is known by its key, and changed when its codes, its caption ids or what is said of it are others. Shards that
both have (by sha256) are not read. Of two corpora the kept pairs of the decision tables are compared, of two tokenizers
or training runs the files; of exports, whose layout is for other readers, the shards as a whole.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from .canonical import canonical_json
from .documents import ShardEntry
from .errors import BadInput
from .manifest import Manifest
from .shards.split_reader import SplitReader

_EXAMPLES = 5
_ROWS_AT_ONCE = 4096


def difference(a: Manifest, b: Manifest) -> dict[str, Any]:
    """Raises BadInput for manifests of two kinds, CheckFailed when a shard that has to be read is corrupt."""
    if a.kind != b.kind:
        raise BadInput(f"a manifest of {a.kind} and one of {b.kind}", cure="compare two of a kind")
    changes: dict[str, Any] = {"a": a.id, "b": b.id}
    for part, facts in _FACTS.items():
        changes[part] = _changed(facts(a.document), facts(b.document))
    if a.kind == "corpus":
        changes["samples"] = _samples(_kept(a), _kept(b))
    if a.kind in ("tokenizer", "train"):
        changes["files"] = _changed(_files(a), _files(b))
    if a.kind == "shards" and {shard.layout for shard in [*a.shards, *b.shards]} <= {"block"}:
        shared = {shard.sha256 for shard in a.shards} & {shard.sha256 for shard in b.shards}
        changes["shards"] = {
            "shared": len(shared), "only_a": len(a.shards) - len(shared), "only_b": len(b.shards) - len(shared),
        }  # fmt: skip
        changes["samples"] = _samples(_contents(a, shared), _contents(b, shared))
        changes["samples"]["equal"] += sum(shard.samples for shard in a.shards if shard.sha256 in shared)
    return changes


def describe_difference(changes: dict[str, Any]) -> str:
    """One line a change; `equal` when there is none."""
    if changes["a"] == changes["b"]:
        return f"equal: both are {changes['a']}"
    lines = [f"a  {changes['a']}", f"b  {changes['b']}"]
    for part in _FACTS:
        lines += [f"{part:<11}{name}: {was} → {now}" for name, (was, now) in changes[part].items()]
    lines += [f"file       {name}: {was} → {now}" for name, (was, now) in changes.get("files", {}).items()]
    if "shards" in changes:
        found = changes["shards"]
        lines.append(f"shards     {found['shared']} shared, {found['only_a']} only in a, {found['only_b']} only in b")
    if "samples" in changes:
        found = changes["samples"]
        lines.append("samples    " + ", ".join(f"{found[name]} {name}" for name in (*_STATES, "equal")))
        lines += [f"  {state:<8} {key}" for state in _STATES for key in found["examples"][state]]
    return "\n".join(lines)


_FACTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "recipe": lambda document: dict(document["lineage"].get("recipe", {})),
    "schema": lambda document: dict(document.get("schema", {})),
    "tokenizers": lambda document: {
        name: document["lineage"].get(name, {}) for name in ("image_tokenizer", "text_tokenizer")
    },
    "splits": lambda document: {name: split["samples"] for name, split in document.get("splits", {}).items()},
}
_STATES = ("added", "removed", "changed")


def _changed(a: Any, b: Any, where: str = "") -> dict[str, tuple[Any, Any]]:
    """Every leaf that differs, by its path."""
    if isinstance(a, dict) and isinstance(b, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in sorted(set(a) | set(b)):
            found |= _changed(a.get(name), b.get(name), f"{where}.{name}" if where else name)
        return found
    return {} if a == b else {where: (a, b)}


def _samples(a: dict[str, bytes], b: dict[str, bytes]) -> dict[str, Any]:
    both = a.keys() & b.keys()
    found = {
        "added": b.keys() - a.keys(), "removed": a.keys() - b.keys(), "changed": {k for k in both if a[k] != b[k]},
    }  # fmt: skip
    examples = {name: sorted(keys)[:_EXAMPLES] for name, keys in found.items()}
    counts = {name: len(keys) for name, keys in found.items()}
    return {**counts, "equal": len(both) - counts["changed"], "examples": examples}


def _contents(manifest: Manifest, shared: set[str]) -> dict[str, bytes]:
    """Key → hash of the whole sample, over the shards that are not shared."""
    found: dict[str, bytes] = {}
    for split in manifest.document["splits"]:
        reader = SplitReader(manifest, split)
        for first, shard in zip(reader.first_rows, reader.shards, strict=True):
            if shard.sha256 not in shared:
                found |= _contents_of_shard(reader, int(first), shard)
    return found


def _contents_of_shard(reader: SplitReader, first: int, shard: ShardEntry) -> dict[str, bytes]:
    found = {}
    for start in range(first, first + shard.samples, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, first + shard.samples))
        codes, text, lengths = reader.rows(rows)
        for number, meta in enumerate(reader.metas(rows)):
            hasher = hashlib.blake2b(canonical_json(meta), digest_size=16)
            hasher.update(codes[number].tobytes())
            hasher.update(text[number, : lengths[number]].tobytes())
            found[meta["key"]] = hasher.digest()
    return found


def _files(manifest: Manifest) -> dict[str, str]:
    return {entry["name"]: entry["sha256"] for entry in manifest.document.get("files", [])}


def _kept(corpus: Manifest) -> dict[str, bytes]:
    """Key → what a kept pair is made of, from the decision tables."""
    found: dict[str, bytes] = {}
    columns = ["key", "caption", "image_sha256", "kept"]
    for entry in corpus.document.get("files", []):
        if entry["name"].startswith("verdicts/"):
            for row in pq.read_table(corpus.folder / entry["name"], columns=columns).to_pylist():
                if row["kept"]:
                    found[row["key"]] = f"{row['image_sha256']} {row['caption']}".encode()
    return found
