"""`tuwen manifest`: show, diff, merge, quarantine, and the two questions what is read when.

app.add_typer(manifest_app, name="manifest")     # `pipeline` and `tokenize` add `verify` and `export` to it

Each command loads its manifests, calls one function of this room, and prints the result.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from .command_options import AsJson
from .counted import counted
from .errors import BadInput
from .manifest import Manifest, load_manifest

if TYPE_CHECKING:  # numpy: a command that shows its help need not wait for it
    from .order.order import Order
    from .order.order_of_run import OrderOfRun

manifest_app = typer.Typer(no_args_is_help=True, help="Check, show, compare and merge manifests.")

ShardsManifest = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="Shards: a folder that holds a manifest, the file itself, or a URL.")
]
ReadShards = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST", help="Shards, or the folder of a run: then its run.json has seed, batch and shuffle."
    ),
]
OfRun = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="Take seed, batch and shuffle from the run.json of this training run."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="The seed of the training run (`train.seed` in its recipe).")]
Split = Annotated[str, typer.Option("--split", help="The split that is read: train or validation.")]
ShuffleName = Annotated[
    str | None,
    typer.Option(
        "--shuffle",
        metavar="KIND",
        help="The shuffle of the training run: global, none, window:BLOCKS or window:BLOCKS:RUN, such as window:64:16.",
    ),
]


def print_summary(manifest: Manifest, text: str, as_json: bool) -> None:
    """Print the folder of a manifest, `text` and the id; as JSON the folder, the id and the totals."""
    summary = {"folder": str(manifest.folder), "id": manifest.id, "totals": manifest.document.get("totals", {})}
    print_result(summary, f"{manifest.folder}: {text}\n{manifest.id}", as_json)


def print_result(document: Any, text: str, as_json: bool) -> None:
    """Print `document` as JSON, or else `text`."""
    print(json.dumps(document, ensure_ascii=False, indent=2) if as_json else text)


@manifest_app.command()
def show(
    manifest: Annotated[
        str,
        typer.Argument(metavar="MANIFEST", help="A manifest's folder, file or URL, or a lone shard, FILE.tar."),
    ],
    as_json: AsJson = False,
) -> None:
    """Show a manifest, or the header of a shard that came without one, as a page."""
    from .shards.block_shard import read_header
    from .show import describe, describe_shard

    if manifest.endswith(".tar"):
        header = read_header(Path(manifest))
        document = header.model_dump(by_alias=True, exclude_unset=True)
        print_result(document, describe_shard(manifest, header), as_json)
        return
    loaded = load_manifest(manifest)
    print_result(loaded.document, describe(loaded), as_json)


@manifest_app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The first manifest: its folder, file or URL.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The second manifest, of the same kind.")],
    as_json: AsJson = False,
) -> None:
    """Show what changed from A to B: recipe, tokenizers, schema, shards, samples."""
    from .diff import compare_manifests, describe_difference

    difference = compare_manifests(load_manifest(a), load_manifest(b))
    print_result(difference, describe_difference(difference), as_json)


@manifest_app.command()
def merge(
    manifests: Annotated[
        list[str], typer.Argument(metavar="A B …", help="Two or more manifests of shards: folders, files or URLs.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Write the merged manifest to this folder.")],
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="3,1", help="Read 3 samples of A for 1 of B; default: every sample once an epoch."
        ),
    ] = None,
    phases: Annotated[
        list[str] | None,
        typer.Option(
            "--phase",
            metavar="100000:1,1",
            help="Use other weights after 100,000 samples. May be given again, for later positions.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Merge manifests of shards whose tokenizers and schemas agree; the shards stay where they are."""
    from .merge import merge as merge_manifests
    from .order.mixture import parse_phases

    loaded = [load_manifest(name, "shards") for name in manifests]
    merged = merge_manifests(loaded, out, parse_phases(weights, phases or []))
    samples, shards = counted(merged.totals["samples"], "sample"), counted(len(merged.shards), "shard")
    print_summary(merged, f"{samples} in {shards}", as_json)


@manifest_app.command()
def quarantine(
    manifest: ShardsManifest,
    shards: Annotated[
        list[str], typer.Argument(metavar="SHARD …", help="Names of the shards to take out, such as train-00003.tar.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Write the new manifest to this folder.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why they are taken out; recorded in their tombstones.")
    ] = "taken out by hand",
    as_json: AsJson = False,
) -> None:
    """Write a manifest without some shards, with a tombstone for each; the others stay where they are."""
    from .quarantine import quarantine as take_out

    made = take_out(load_manifest(manifest, "shards"), shards, reason, out)
    samples, tombstones = counted(made.totals["samples"], "sample"), counted(len(made.tombstones), "tombstone")
    print_summary(made, f"{samples} left, {tombstones}", as_json)


@manifest_app.command()
def what(
    manifest: ReadShards,
    position: Annotated[
        int, typer.Option("--position", min=0, max=1 << 62, help="The number of samples read before, from step 0 on.")
    ],
    run: OfRun = None,
    seed: Seed = None,
    count: Annotated[
        int, typer.Option("--count", min=1, max=1 << 24, help="How many keys to print, from that position on.")
    ] = 1,
    shuffle: ShuffleName = None,
    split: Split = "train",
    as_json: AsJson = False,
) -> None:
    """Print the keys of the pairs that training reads at a position, one a line."""
    from .order.order_lookup import keys_at
    from .order.order_of_run import order_of_run

    read = order_of_run(manifest, run)
    keys = keys_at(read.shards, _order(read, seed, shuffle, split), position, count, split)
    print_result(keys, "\n".join(keys), as_json)


@manifest_app.command()
def when(
    manifest: ReadShards,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key of a pair, or its first digits.")],
    run: OfRun = None,
    seed: Seed = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="The global batch of the training run: samples a step.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="How many epochs to look at, from the first on.")] = 1,
    shuffle: ShuffleName = None,
    split: Split = "train",
    as_json: AsJson = False,
) -> None:
    """Print the positions and steps at which training reads a pair, one epoch a line."""
    from .order.order_lookup import reads_of_key
    from .order.order_of_run import order_of_run

    read = order_of_run(manifest, run)
    order = _order(read, seed, shuffle, split)
    batch = batch or read.batch or _missing("--batch")
    reads = reads_of_key(read.shards, order, key, batch, epochs, split)
    text = "\n".join(f"epoch {read['epoch']}  position {read['position']}  step {read['step']}" for read in reads)
    print_result(reads, text, as_json)


def _order(read: "OrderOfRun", seed: int | None, shuffle: str | None, split: str) -> "Order":
    """The order of the options, each of which is the run's where it is not given."""
    from .order.order import open_order
    from .order.shuffle import Shuffle, parse_shuffle

    chosen = parse_shuffle(shuffle) if shuffle else read.shuffle or Shuffle()
    if seed is None:
        seed = _missing("--seed") if read.seed is None else read.seed
    return open_order(read.shards, split, seed, chosen)


def _missing(option: str) -> NoReturn:
    raise BadInput(f"no {option}", cure=f"give {option}, or the run that has read these shards: --run DIR")
