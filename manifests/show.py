"""A manifest as a page of text: what it is, where it came from, what was dropped on the way, what lies where.

print(describe(load_manifest("runs/emoji/shards")))
"""

from typing import Any

from .manifest import Manifest

_MOST_FILES = 40


def describe(manifest: Manifest) -> str:
    document = manifest.document
    lineage = document["lineage"]
    sections = {
        f"{document['kind']} · {manifest.base}": [
            ("id", manifest.id),
            ("seal", document["seal"]),
            ("created", f"{document['created']} by tuwen {lineage['tool']['version']}"),
            ("code", lineage["tool"]["git_revision"]),
            *(("from", parent) for parent in lineage.get("parents", [])),
            *((name.replace("_", " "), _number(value)) for name, value in document.get("totals", {}).items()),
        ],
        "What a sample is": _schema(document.get("schema", {})) + _tokenizers(lineage),
        "Steps": [
            (step["name"], f"{step['in']:,} in, {step['out']:,} out" + _dropped(step["dropped"]))
            for step in lineage.get("steps", [])
        ],
        "Splits": _splits(document),
        "Mixture": _mixture(document.get("mixture")),
        "Taken out": [
            (stone["name"], f"{stone['samples']:,} samples: {stone['reason']}") for stone in document["tombstones"]
        ],
        "Licences": [
            (entry["license"], f"{entry['samples']:,} samples of {entry['source']} · {entry['attribution']}")
            for entry in document.get("licenses", [])
        ],
        "Files": _files(document),
    }
    return "\n\n".join(_section(title, lines) for title, lines in sections.items() if lines)


def describe_shard(name: str, header: dict[str, Any]) -> str:
    """What a lone shard says of itself."""
    lines = [
        ("samples", f"{header['samples']:,}"),
        ("layout", f"{header['layout']}, blocks of {header['block_rows']:,} rows"),
        *_schema(header.get("schema", {})),
        ("image", str(header.get("image_tokenizer", {}).get("name", "unknown"))),
        ("", str(header.get("image_tokenizer", {}).get("sha256", ""))),
        ("text", str(header.get("text_tokenizer", "unknown"))),
        *((array, f"{place['dtype']}, first at byte {place['offset']:,}") for array, place in header["arrays"].items()),
    ]
    return _section(f"shard · {name}", lines)


def _section(title: str, lines: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join([title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in lines)])


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _schema(schema: dict[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if "codes" in schema:
        codes = schema["codes"]
        grid = "×".join(str(side) for side in codes["shape"])
        lines.append(("codes", f"{grid} of {codes['codebook']:,}, {codes['dtype']}"))
    if "text" in schema:
        text = schema["text"]
        storage = "ragged" if text["ragged"] else "padded"
        lines.append(("captions", f"ids of {text['vocab']:,} pieces, {storage}, {text['dtype']}"))
    return lines


def _tokenizers(lineage: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name.replace("_", " "), f"{lineage[name]['name']} {lineage[name]['sha256']}")
        for name in ("image_tokenizer", "text_tokenizer")
        if name in lineage
    ]


def _splits(document: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        (name, f"{split['samples']:,} samples in {len(split['shards'])} shards")
        for name, split in document.get("splits", {}).items()
    ]
    if "leakage" in document:
        shared = [f"{value} {name}" for name, value in document["leakage"].items() if name.endswith("_in_both")]
        lines.append(("shared", ", ".join(shared).replace("_in_both", "s").replace("_", " ")))
    return lines


def _mixture(mixture: dict[str, Any] | None) -> list[tuple[str, str]]:
    if mixture is None:
        return []
    lines = [(f"source {number}", source["id"]) for number, source in enumerate(mixture["sources"])]
    return lines + [
        (f"from {phase['from']:,}", " : ".join(str(weight) for weight in phase["weights"]))
        for phase in mixture["phases"]
    ]


def _dropped(dropped: dict[str, int]) -> str:
    return "".join(f", {count:,} {reason}" for reason, count in dropped.items())


def _files(document: dict[str, Any]) -> list[tuple[str, str]]:
    listed = [*document.get("shards", []), *document.get("files", [])]
    lines = [
        (entry["name"], f"{entry['bytes']:,} bytes" + (f", {entry['samples']:,} samples" if "samples" in entry else ""))
        for entry in listed[:_MOST_FILES]
    ]
    if len(listed) > _MOST_FILES:
        lines.append(("…", f"and {len(listed) - _MOST_FILES:,} more"))
    return lines
