"""`tuwen manifest`: show one, compare, merge, thin, and ask what is read when.

app.add_typer(manifest_app, name="manifest")     # `__main__` adds `verify` and `export`, which need other rooms

Each command opens its manifests, calls one function of this room, and prints what came out: by `print_result` and
`print_summary`, as every command of tuwen does.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .manifest import Manifest, load_manifest

manifest_app = typer.Typer(no_args_is_help=True, help="Verify a manifest, show it, and ask what is read when.")

Seed = Annotated[int, typer.Option("--seed", help="Of the training run.")]
Split = Annotated[str, typer.Option("--split")]
ShuffleName = Annotated[
    str, typer.Option("--shuffle", metavar="global|none|window:64[:1]", help="Window: its blocks, and those of a run.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def print_summary(manifest: Manifest, text: str, as_json: bool) -> None:
    summary = {"folder": str(manifest.folder), "id": manifest.id, "totals": manifest.document.get("totals", {})}
    print_result(summary, f"{manifest.folder}: {text}\n{manifest.id}", as_json)


def print_result(document: Any, text: str, as_json: bool) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2) if as_json else text)


@manifest_app.command()
def show(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="A folder, a URL, or a lone shard.")],
    as_json: AsJson = False,
) -> None:
    """What a manifest says, for a person. A lone shard explains itself."""
    from .shards.block_shard import read_header
    from .show import describe, describe_shard

    if manifest.endswith(".tar"):
        header = read_header(Path(manifest))
        print_result(header, describe_shard(manifest, header), as_json)
        return
    loaded = load_manifest(manifest)
    print_result(loaded.document, describe(loaded), as_json)


@manifest_app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    as_json: AsJson = False,
) -> None:
    """What changed from A to B: recipe, tokenizers, schema, shards, samples."""
    from .diff import describe_difference, difference

    changes = difference(load_manifest(a), load_manifest(b))
    print_result(changes, describe_difference(changes), as_json)


@manifest_app.command()
def merge(
    manifests: Annotated[list[str], typer.Argument(metavar="A B …")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the merged manifest.")],
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="3,1", help="Samples of each in turn; default: all, once an epoch."),
    ] = None,
    phases: Annotated[
        list[str] | None, typer.Option("--phase", metavar="100000:1,1", help="Other weights from a position on.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One manifest over the shards of several, where their tokenizers and schemas agree."""
    from .merge import merge as merge_manifests
    from .order.mixture import parse_phases

    loaded = [load_manifest(name, "shards") for name in manifests]
    merged = merge_manifests(loaded, out, parse_phases(weights, phases or []))
    print_summary(merged, f"{merged.document['totals']['samples']} samples in {len(merged.shards)} shards", as_json)


@manifest_app.command()
def quarantine(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST")],
    shards: Annotated[list[str], typer.Argument(metavar="SHARD …", help="Names of shards to take out.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the new manifest.")],
    reason: Annotated[str, typer.Option("--reason", help="What the tombstones say.")] = "taken out by hand",
    as_json: AsJson = False,
) -> None:
    """A new manifest without some shards, with a tombstone for each."""
    from .quarantine import quarantine as take_out

    made = take_out(load_manifest(manifest, "shards"), shards, reason, out)
    stones = len(made.document["tombstones"])
    print_summary(made, f"{made.document['totals']['samples']} samples left, {stones} tombstones", as_json)


@manifest_app.command()
def what(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST")],
    seed: Seed,
    position: Annotated[int, typer.Option("--position", min=0, max=1 << 62, help="Samples read before.")],
    count: Annotated[int, typer.Option("--count", min=1, max=1 << 24)] = 1,
    shuffle: ShuffleName = "global",
    split: Split = "train",
    as_json: AsJson = False,
) -> None:
    """The keys that training reads there, one a line."""
    from .order.order import open_order
    from .order.order_lookup import keys_at
    from .order.shuffle import parse_shuffle

    loaded = load_manifest(manifest, "shards")
    keys = keys_at(loaded, open_order(loaded, split, seed, parse_shuffle(shuffle)), position, count, split)
    print_result(keys, "\n".join(keys), as_json)


@manifest_app.command()
def when(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST")],
    key: Annotated[str, typer.Argument(metavar="KEY")],
    seed: Seed,
    batch: Annotated[int, typer.Option("--batch", min=1, help="The global batch.")],
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 1,
    shuffle: ShuffleName = "global",
    split: Split = "train",
    as_json: AsJson = False,
) -> None:
    """The positions and steps at which training reads a pair."""
    from .order.order import open_order
    from .order.order_lookup import reads_of_key
    from .order.shuffle import parse_shuffle

    loaded = load_manifest(manifest, "shards")
    order = open_order(loaded, split, seed, parse_shuffle(shuffle))
    readings = reads_of_key(loaded, order, key, batch, epochs, split)
    text = "\n".join(f"epoch {row['epoch']}  position {row['position']}  step {row['step']}" for row in readings)
    print_result(readings, text, as_json)
