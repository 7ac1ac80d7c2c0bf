"""`tuwen train`, `tuwen sample`, `tuwen compare` and `tuwen demo`.

app.add_typer(train_app)     # in `__main__`

Each command loads its inputs, calls one function of this room, and prints the result.
"""

import os
import signal
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
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

if TYPE_CHECKING:  # torch: a command that shows its help need not wait for it
    from .ranks.ranks import Ranks
    from .run.run import Run
    from .training.declared_run import DeclaredRun

train_app = typer.Typer()


class By(StrEnum):
    likelihood = "likelihood"
    caption_loss = "caption-loss"
    clip = "clip"


RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run, or its `train` folder; `emoji` is shipped.")
]


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
def sample(
    run: RunPath,
    prompt: Annotated[str, typer.Option("--prompt", help="What the pictures should show, in Chinese.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many pictures to sample.")] = 16,
    best: Annotated[int | None, typer.Option("--best", min=1, help="Keep only so many, chosen --by.")] = None,
    by: Annotated[
        By,
        typer.Option(
            help="How likely the picture is, how well it says the prompt (needs a run with `reverse`), or --clip."
        ),
    ] = By.likelihood,
    clip: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A Chinese CLIP of yours, for `--by clip`.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same pictures.")] = 0,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0 always takes the likeliest code; 1 samples as trained.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Sample each code among so many likeliest.")] = 200,
    top_p: Annotated[
        float,
        typer.Option("--top-p", min=0.001, max=1, help="Of those, only the fewest that make up this probability."),
    ] = 1.0,
    guidance: Annotated[
        float,
        typer.Option(min=0, help="Over 1 follows the prompt more closely; needs a run with `drop_captions`."),
    ] = 1.0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="The PNG; default: RUN/train/samples/….")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sample pictures for a prompt, side by side in one PNG."""
    from .painting.choosing import Choice
    from .painting.generate_pictures import sample_prompt
    from .painting.sampling import DrawOptions
    from .run.run import open_run

    opened = open_run(run)
    name = "".join(char if char.isalnum() else "-" for char in prompt)
    file = out or opened.samples / f"{name}-{seed}.png"
    options: DrawOptions = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "guidance": guidance}
    choice = Choice(by.value, clip)
    scores = sample_prompt(opened, prompt, file, count=count, best=best or count, seed=seed, choice=choice, **options)
    print_result({"file": str(file), "scores": scores}, f"{file}: {counted(len(scores), 'picture')}", as_json)


@train_app.command()
def caption(
    run: RunPath,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="Files of pictures.", show_default=False)
    ],
    count: Annotated[int, typer.Option("--count", min=1, max=64, help="How many captions of each picture.")] = 1,
    beams: Annotated[
        int, typer.Option("--beams", min=1, max=64, help="How many beginnings of captions are kept in the search.")
    ] = 8,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 searches the likeliest captions; over 0 they are drawn.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same captions.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say what pictures show; needs a run with `reverse`."""
    from .describing.describe_pictures import DescribeOptions, describe
    from .run.run import open_run

    described = describe(open_run(run), pictures, DescribeOptions(count, beams, temperature, seed))
    document = [
        {"file": str(file), "captions": [{"text": each.text, "score": round(each.score, 4)} for each in captions]}
        for file, captions in zip(pictures, described, strict=True)
    ]
    lines = [
        f"{file}: {each.text} ({each.score:.2f} nats a piece)"
        for file, captions in zip(pictures, described, strict=True)
        for each in captions
    ]
    print_result(document, "\n".join(lines), as_json)


@train_app.command()
def evaluate(
    run: RunPath,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="The folder with its corpus and shards; default: the run's own."),
    ] = None,
    captions: Annotated[int, typer.Option("--captions", min=2, help="How many of each split are painted.")] = 200,
    features: Annotated[
        Path | None,
        typer.Option("--features", metavar="FILE", help="A TorchScript or ONNX network of yours, for FID and IS."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same captions and pictures.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a run: losses by source, matches, copies of what it has read, and FID and IS with --features."""
    from ..pipeline.report.report import refresh_report
    from .judging.evaluate import EvaluateOptions, lines_of
    from .judging.evaluate import evaluate as evaluate_run
    from .run.run import open_run

    opened = open_run(run)
    folder = RunFolder(from_) if from_ else opened.whole
    corpus = load_manifest(folder.corpus.path, "corpus")
    options = EvaluateOptions(captions, seed, features)
    found = evaluate_run(opened, load_manifest(folder.shards.path, "shards"), corpus, options)
    refresh_report(folder)
    print_result(found, "\n".join([*lines_of(found), str(opened.judged.evaluation)]), as_json)


@train_app.command()
def serve(
    run: RunPath,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; 0.0.0.0 lets every machine in.")
    ] = "127.0.0.1",
    shards: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The shards that it has read, to show what is near; default: the run's own."),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="How many paint, on a Ray cluster where there are several.")] = 1,
    ray: RayAddress = None,
    rate: Annotated[int, typer.Option(min=1, help="Requests a minute of one address.")] = 60,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="Requests of one address at a time.")] = 8,
    waiting: Annotated[int, typer.Option(min=1, help="Samples that may wait, of all addresses.")] = 128,
    seconds: Annotated[float, typer.Option(min=1, help="Until a request is given up.")] = 120.0,
    refuse: Annotated[
        Path | None, typer.Option("--refuse", metavar="FILE", help="Words that no prompt may have, one a line.")
    ] = None,
) -> None:
    """Serve a page and OpenAI's API of pictures: /v1/images/generations."""
    from .run.run import open_run

    try:
        from .serving.requests import Limits, refused_words
        from .serving.server import ServeOptions
        from .serving.server import serve as serve_run
    except ImportError as error:
        raise BadInput(f"serving needs {error.name}, which is not here", cure="pip install 'tuwen[serve]'") from None
    words = refused_words(refuse) if refuse else ()
    limits = Limits(rate=rate, at_once=at_once, waiting=waiting, seconds=seconds, refused_words=words)
    serve_run(open_run(run), ServeOptions(host, port, replicas, ray, shards), limits)


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
