"""A manifest as a page of text: what it is, where it came from, what was dropped on the way, what lies where.

print(describe(load_manifest("runs/emoji/shards")))
"""

from typing import Any

from .manifest import Manifest


def describe(manifest: Manifest) -> str:
    document = manifest.document
    lineage = document["lineage"]
    lines = [
        f"{document['kind']} · {manifest.folder}",
        f"id       {manifest.id}",
        f"seal     {document['seal']}",
        f"created  {document['created']} by tuwen {lineage['tool']['version']} ({lineage['tool']['git_revision']})",
        *(f"from     {parent}" for parent in lineage.get("parents", [])),
        *_totals(document),
        *_steps(lineage.get("steps", [])),
        *(
            f"split    {name}: {split['samples']} samples, {len(split['shards'])} shards"
            for name, split in document.get("splits", {}).items()
        ),
        *(
            f"license  {entry['license']}: {entry['samples']} of {entry['source']} · {entry['attribution']}"
            for entry in document.get("licenses", [])
        ),
        *(
            f"file     {entry['name']} · {entry['bytes']:,} bytes"
            for entry in [*document.get("shards", []), *document.get("files", [])]
        ),
    ]
    return "\n".join(lines)


def _totals(document: dict[str, Any]) -> list[str]:
    return [
        f"{name:<8} {value:,}" if isinstance(value, int) else f"{name:<8} {value}"
        for name, value in document.get("totals", {}).items()
    ]


def _steps(steps: list[dict[str, Any]]) -> list[str]:
    return [
        f"step     {step['name']}: {step['in']} in, {step['out']} out"
        + "".join(f", {count} {reason}" for reason, count in step["dropped"].items())
        for step in steps
    ]
