"""What a report says of the stages after the corpus: shards, training, and the manifests that prove all of them.

    shards_section(run.shards), training_section(run.train), proofs(run, corpus)

Each is None, or short, where a stage has not run yet.
"""

import json
from pathlib import Path
from typing import Any

from ...manifests.manifest import Manifest, load_manifest
from ...manifests.run_folders import MANIFEST, RunFolder, ShardsFolder, TrainFolder
from .loss_curve import loss_curve
from .thumbnails import file_uri


def shards_section(folder: ShardsFolder) -> dict[str, Any] | None:
    if not folder.manifest.is_file():
        return None
    document = load_manifest(folder.path, "shards").document
    return {
        "totals": document["totals"],
        "splits": document["splits"],
        "leakage": document["leakage"],
        "tokenizer": document["lineage"]["image_tokenizer"],
        "measured": read_json(folder.reconstruction),
        "sheet": file_uri(folder.reconstruction_sheet),
    }


def training_section(folder: TrainFolder) -> dict[str, Any] | None:
    if not folder.manifest.is_file():
        return None
    losses = [json.loads(line) for line in folder.losses.read_text().splitlines()]
    paintings = read_json(folder.paintings_list) or []
    return {
        "run": read_json(folder.document),
        "last": losses[-1],
        "curve": loss_curve(losses),
        "paintings": [{**each, "picture": file_uri(folder.paintings / each["file"])} for each in paintings],
        "nearest": read_json(folder.nearest) or [],
    }


def proofs(run: RunFolder, corpus: Manifest) -> list[dict[str, Any]]:
    """What each stage that has a manifest is, and what it was made of."""
    stages = (run.tokenizer.path, run.shards.path, run.train.path)
    later = [path for path in stages if (path / MANIFEST).is_file()]
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
