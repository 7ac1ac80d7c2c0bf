"""`tuwen train`, `tuwen painter`, `tuwen compare` and `tuwen demo`: how runs are made.

app.add_typer(train_app)     # in `__main__`

Each command loads its inputs, calls one function of this room, and prints the result.
"""

import os
import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from ..manifests.command_options import AsJson, Out, RayAddress, Set, Workers
from ..manifests.commands import print_result, print_summary
from ..manifests.counted import counted
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import FILE_NAME, Manifest, load_manifest
from ..manifests.run_folders import RunFolder, TrainFolder
from .run_commands import RunPath

if TYPE_CHECKING:  # torch: a command that shows its help need not wait for it
    from .ranks.ranks import Ranks
    from .run.run import Run
    from .training.declared_run import DeclaredRun

train_app = typer.Typer()


@train_app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A recipe: a YAML file, or `emoji`; none with --from run.json."),
    ] = None,
    out: Out = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DIR|URL|run.json",
            help="Take the shards from there: a run's folder, or the shards' own manifest. A run.json is repeated.",
        ),
    ] = None,
    sets: Set = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Stop with an error if there is no checkpoint to continue from.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Train on N ranks of a Ray cluster, a power of two."),
    ] = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Train the transformer on shards. Given again, the command continues where it was interrupted."""
    from ..pipeline.executor.ray_cluster import start_cluster
    from ..pipeline.report.report import refresh_report
    from .run.run import open_run
    from .training.process import Process

    declared, folder = _declared(recipe, from_, sets, out)
    if workers is not None and workers > 1:
        from .training.ray_ranks import train_on_cluster

        start_cluster(ray, workers)  # before SIGTERM is caught: Ray catches it too
        train_on_cluster(declared, folder, workers, resume, Process(stop=_stop_at_sigterm()))
    else:
        from .training.loop import train_declared

        with _ranks() as ranks:
            train_declared(declared, folder, Process(ranks, _stop_at_sigterm()), resume)
        if not ranks.is_first:
            return
    refresh_report(RunFolder(folder.path.parent))
    last = open_run(folder.path).losses[-1]
    text = f"{counted(last['step'] + 1, 'step')}, loss {last['loss']:.3f} nats per token"
    print_summary(load_manifest(folder.path), text, as_json)


@train_app.command()
def painter(
    run: RunPath,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the painter.")],
    as_json: AsJson = False,
) -> None:
    """Keep of a finished run what painting needs: weights of a byte each, and the tokenizers."""
    from .painting.painter import save_painter
    from .run.run import open_run

    manifest = save_painter(open_run(run), out)
    size = sum(entry.bytes for entry in manifest.files)
    print_summary(manifest, f"{size / 1e6:.1f} MB", as_json)


@train_app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The folder of a run.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The folder of another one.")],
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with both side by side.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Exit with 0 if two training runs agree bit for bit, else name the first step that differs."""
    from ..pipeline.report.comparison import write_comparison
    from .run.compare import first_difference
    from .run.run import open_run

    a, b = open_run(run_a), open_run(run_b)
    difference = first_difference(a, b)
    if report is not None:
        _must_have_begun(a, b)
        write_comparison(report, [a.folder, b.folder], f"they differ at {difference}" if difference else "equal")
    if difference:
        raise CheckFailed(f"the runs differ at {difference}", cure="compare their run.json")
    steps = len(a.losses)
    print_result({"equal": True, "steps": steps}, f"equal in all of {counted(steps, 'step')}", as_json)


@train_app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the whole run.")] = Path(
        "runs/emoji"
    ),
    sets: Set = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Run everything on the emoji corpus: corpus, shards, training, pictures, and the report that shows them."""
    from ..pipeline.executor.ray_cluster import start_cluster
    from ..pipeline.executor.stage import StageRun
    from ..pipeline.load_recipe import load_recipe
    from .demo import run_demo
    from .painting.nearest import said

    start_cluster(None, workers)
    report, scores = run_demo(load_recipe("emoji", sets), RunFolder(out), StageRun(workers))
    lines = "".join(f"{said(score)}\n" for score in scores["nearest"])
    ends = f"the report: {report}\na page to paint on: tuwen serve {out}"
    print_result({"report": str(report), **scores}, f"\n{lines}{ends}", as_json)


def _declared(
    recipe: str | None, from_: str | None, sets: list[str] | None, out: Path | None
) -> tuple["DeclaredRun", TrainFolder]:
    """What is to be trained, and where."""
    from ..pipeline.load_recipe import load_recipe
    from .training.declared_run import DeclaredRun

    if from_ is not None and Path(from_).name == TrainFolder(Path()).document.name:
        if recipe is not None or sets:
            raise BadInput(f"{from_}: has every setting of its run", cure="leave the recipe and --set away")
        if out is None:
            raise BadInput(f"{from_}: is repeated in a folder of its own", cure="say which: --out DIR")
        return DeclaredRun.of_run(Path(from_)), TrainFolder(out)
    if recipe is None:
        raise BadInput("no recipe", cure="name one, or repeat a run with --from RUN/train/run.json --out DIR")
    loaded = load_recipe(recipe, sets)
    folder = RunFolder.of(loaded.name)
    shards = _load_shards(from_ or str(folder.path))
    return DeclaredRun.of_recipe(loaded, shards), TrainFolder(out) if out else folder.train


def _must_have_begun(*runs: "Run") -> None:
    for run in runs:
        if not run.losses:
            raise BadInput(f"{run.folder.path}: has done no step", cure="let `tuwen train` run for a while")


def _stop_at_sigterm() -> Event:
    """Set when the process is told to end: the training then saves a checkpoint and leaves."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    return stop


def _ranks() -> "AbstractContextManager[Ranks]":
    """The ranks that torchrun has started, as its variables say; else this process alone."""
    import torch

    from .ranks.ranks import ALONE, joined

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return nullcontext(ALONE)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return joined("env://", on_this_machine=int(os.environ["LOCAL_WORLD_SIZE"]))


def _load_shards(location: str) -> Manifest:
    """The shard manifest in the folder of a run, or at `location` itself; a URL is always the manifest's own."""
    is_manifest = "://" in location or Path(location).is_file() or (Path(location) / FILE_NAME).is_file()
    return load_manifest(location if is_manifest else RunFolder(Path(location)).shards.path, "shards")
