"""What a report says of the stages after the corpus: shards, training, and the manifests that prove all of them.

    shards_section(run / "shards"), training_section(run / "train"), proofs(run, corpus)

Each is None, or short, where a stage has not run yet.
"""

import json
from pathlib import Path
from typing import Any

from ...manifests.manifest import FILE_NAME, Manifest, load_manifest
from .loss_curve import loss_curve
from .thumbnails import file_uri


def shards_section(folder: Path) -> dict[str, Any] | None:
    if not (folder / FILE_NAME).is_file():
        return None
    document = load_manifest(folder, "shards").document
    return {
        "totals": document["totals"],
        "splits": document["splits"],
        "leakage": document["leakage"],
        "tokenizer": document["lineage"]["image_tokenizer"],
        "measured": read_json(folder / "reconstruction.json"),
        "sheet": file_uri(folder / "reconstruction.png"),
    }


def training_section(folder: Path) -> dict[str, Any] | None:
    if not (folder / FILE_NAME).is_file():
        return None
    losses = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    paintings = read_json(folder / "paintings" / "paintings.json") or []
    return {
        "run": read_json(folder / "run.json"),
        "last": losses[-1],
        "curve": loss_curve(losses),
        "paintings": [{**each, "picture": file_uri(folder / "paintings" / each["file"])} for each in paintings],
        "nearest": read_json(folder / "nearest.json") or [],
    }


def proofs(run: Path, corpus: Manifest) -> list[dict[str, Any]]:
    """Of each stage that has a manifest what it is, and what it was made of."""
    later = [run / stage for stage in ("tokenizer", "shards", "train") if (run / stage / FILE_NAME).is_file()]
    found = []
    for manifest in (corpus, *(load_manifest(folder) for folder in later)):
        document = manifest.document
        files = [*document.get("shards", []), *document.get("files", [])]
        found.append({
            "stage": document["kind"] if manifest is corpus else manifest.folder.name,
            "id": document["id"], "seal": document["seal"], "created": document["created"],
            "parents": document["lineage"].get("parents", []), "digest": document.get("totals", {}).get("digest"),
            "files": len(files), "bytes": sum(file["bytes"] for file in files), "listed": files[:12],
        })  # fmt: skip
    return found


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None
