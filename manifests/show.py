"""A manifest as a page of text: what it is, how it was made, what was dropped, and its shards and files.

print(describe(load_manifest("runs/emoji/shards")))
"""

from .counted import counted
from .documents import ArraySchema, Lineage, MixtureDocument, ShardEntry
from .manifest import Manifest
from .shards.block_shard import ShardDescription

_MOST_FILES = 40

Lines = list[tuple[str, str]]  # name, text


def describe(manifest: Manifest) -> str:
    """Return the page; sections without lines are left out."""
    lineage = manifest.lineage
    sections: dict[str, Lines] = {
        f"{manifest.kind} · {manifest.base}": _summary(manifest),
        "What a sample is": (_arrays(manifest.sample_schema) if manifest.kind == "shards" else [])
        + _tokenizers(lineage),
        "Steps": [
            (step.name, f"{step.pairs_in:,} in, {step.out:,} out{_dropped(step.dropped)}") for step in lineage.steps
        ],
        "Splits": _splits(manifest),
        "Mixture": _mixture(manifest.mixture),
        "Taken out": [
            (tombstone.name, f"{counted(tombstone.samples, 'sample')}: {tombstone.reason}")
            for tombstone in manifest.tombstones
        ],
        "Licences": [
            (entry.license, f"{counted(entry.samples, 'sample')} of {entry.source} · {entry.attribution}")
            for entry in manifest.licenses
        ],
        "Files": _files(manifest),
    }
    return "\n\n".join(_section(title, lines) for title, lines in sections.items() if lines)


def describe_shard(name: str, header: ShardDescription) -> str:
    """Return the page of a shard without a manifest, from its own header."""
    lines = [
        ("samples", f"{header.samples:,}"),
        ("layout", f"{header.layout}, blocks of {counted(header.block_rows, 'row')}"),
        *(_arrays(header.sample_schema) if header.sample_schema else []),
        ("image", str(header.image_tokenizer.get("name", "unknown"))),
        ("", str(header.image_tokenizer.get("sha256", ""))),
        ("text", header.text_tokenizer),
        *((name, f"{array.dtype}, first at byte {array.offset:,}") for name, array in header.arrays.items()),
    ]
    return _section(f"shard · {name}", lines)


def _section(title: str, lines: Lines) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join([title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in lines)])


def _summary(manifest: Manifest) -> Lines:
    tool = manifest.lineage.tool
    totals = manifest.document.get("totals", {})  # the digest of a training run, which is no count, too
    return [
        ("id", manifest.id),
        ("seal", manifest.seal),
        ("created", f"{manifest.created} by tuwen {tool.version}"),
        ("code", tool.git_revision),
        *(("from", parent) for parent in manifest.lineage.parents),
        *(
            (name.replace("_", " "), f"{total:,}" if isinstance(total, int) else total)
            for name, total in totals.items()
        ),
    ]


def _arrays(schema: ArraySchema) -> Lines:
    codes, text = schema.codes, schema.text
    grid = "×".join(str(side) for side in codes.shape)
    books = f", {codes.codebooks} codebooks" if codes.codebooks > 1 else ""
    storage = "ragged" if text.ragged else "padded"
    return [
        ("codes", f"{grid} of {codes.codebook:,}{books}, {codes.dtype}"),
        ("captions", f"ids of {text.vocab:,} pieces, {storage}, {text.dtype}"),
    ]


def _tokenizers(lineage: Lineage) -> Lines:
    tokenizers = {"image tokenizer": lineage.image_tokenizer, "text tokenizer": lineage.text_tokenizer}
    return [(kind, f"{tokenizer.name} {tokenizer.sha256}") for kind, tokenizer in tokenizers.items() if tokenizer]


def _splits(manifest: Manifest) -> Lines:
    lines = [
        (name, f"{counted(split.samples, 'sample')} in {counted(len(split.shards), 'shard')}")
        for name, split in manifest.splits.items()
    ]
    if manifest.leakage is not None:
        shared = [counted(count, name.replace("_", " ")) for name, count in manifest.leakage.shared.items()]
        lines.append(("shared", ", ".join(shared) or f"not looked for: {manifest.leakage.rule}"))
    return lines


def _mixture(mixture: MixtureDocument | None) -> Lines:
    if mixture is None:
        return []
    lines = [(f"source {number}", source.id) for number, source in enumerate(mixture.sources)]
    return lines + [(f"from {phase.start:,}", " : ".join(map(str, phase.weights))) for phase in mixture.phases]


def _dropped(dropped: dict[str, int]) -> str:
    return "".join(f", {count:,} {reason}" for reason, count in dropped.items())


def _files(manifest: Manifest) -> Lines:
    entries = manifest.entries()
    lines = []
    for entry in entries[:_MOST_FILES]:
        samples = f", {counted(entry.samples, 'sample')}" if isinstance(entry, ShardEntry) else ""
        lines.append((entry.name, counted(entry.bytes, "byte") + samples))
    if len(entries) > _MOST_FILES:
        lines.append(("…", f"and {len(entries) - _MOST_FILES:,} more"))
    return lines
