"""The command line: each command opens its inputs, calls one function of one room, and says what came out.

The result goes to standard output (as JSON with --json), progress and errors to standard error. Exit codes:
0 done, 1 what was checked does not hold, 2 the input is wrong, 130 interrupted, 70 a bug.
"""

import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from .manifests.commands import AsJson, manifest_app, print_result, say
from .manifests.errors import BadInput, CheckFailed, TuwenError
from .manifests.manifest import FILE_NAME, Manifest, load_manifest
from .manifests.recipe.recipe import Recipe, load_recipe, recorded_recipe

BUG = 70  # sysexits.h: internal software error; an uncaught exception would exit with 1, which means something here

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__.split("\n")[0]
)
app.add_typer(manifest_app, name="manifest")

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where the result goes; default runs/NAME/….")]
From = Annotated[Path | None, typer.Option("--from", help="The folder that holds the inputs; default runs/NAME.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=c", help="Override a key of the recipe.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Tasks at a time; never changes a result.")]
RayAddress = Annotated[str | None, typer.Option("--ray", help="Address of a Ray cluster; default: a local one.")]


@app.command()
def corpus(
    recipe: RecipeName,
    out: Out = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what the recipe will do, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Sources → judged, deduplicated pairs, manifest, report."""
    from .pipeline.corpus import build_corpus
    from .pipeline.explain import explain as explain_recipe
    from .pipeline.explain import explained
    from .pipeline.report.report import write_report

    loaded = load_recipe(recipe, sets)
    if explain:
        print_result(explained(loaded), explain_recipe(loaded), as_json)
        return
    _start(ray, workers)
    folder = out or _run_folder(loaded) / "corpus"
    manifest = build_corpus(loaded, folder, workers)
    write_report(folder, folder) if out else write_report(folder.parent)
    totals = manifest.document["totals"]
    say(manifest, f"{totals['kept']} of {totals['pairs']} pairs kept", as_json)


@app.command()
def export(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="The folder of a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="Where the tars go.")],
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """The kept pairs as ordinary WebDataset tars (picture, txt, json), with Croissant and a data card."""
    from .pipeline.export.export import export as export_pairs

    loaded = load_manifest(_corpus_folder(corpus), "corpus")
    recipe = recorded_recipe(loaded.document["lineage"], sets)
    _start(ray, workers)
    made = export_pairs(loaded, recipe, out, workers)
    totals = made.document["totals"]
    tars = len(made.document["files"])
    say(made, f"{totals['pairs']} pairs of {totals['pictures']} pictures in {tars} tars", as_json)


@app.command()
def tokenizer(
    recipe: RecipeName,
    out: Out = None,
    from_: From = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    only: Annotated[str | None, typer.Option("--only", help="`image` or `text`; default: both.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train the compact VQ and the SentencePiece model of a recipe."""
    from .tokenize.train_tokenizers import train_tokenizers

    loaded = load_recipe(recipe, sets)
    if only not in (None, "image", "text"):
        raise BadInput(f"--only {only}", cure="say image or text")
    manifest = load_manifest(_inputs(loaded, from_) / "corpus", "corpus")
    _start(ray, workers)
    folder = out or _run_folder(loaded) / "tokenizer"
    result = train_tokenizers(loaded, manifest, folder, (only,) if only else ("image", "text"), workers)
    if only != "text":
        hint = f"to use it: --set tokenize.image.tokenizer={folder / 'image'}"
        print(hint, file=sys.stderr)
    say(result, f"{len(result.document['files'])} files", as_json)


@app.command()
def tokenize(
    recipe: RecipeName,
    out: Out = None,
    from_: From = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Corpus → shards of VQ codes, shard manifest."""
    from .tokenize.reconstruction import measure_reconstruction
    from .tokenize.write_shards import TEXT_MODEL, write_shards

    loaded = load_recipe(recipe, sets)
    inputs = _inputs(loaded, from_)
    parent = load_manifest(inputs / "corpus", "corpus")
    text_model = inputs / "tokenizer" / TEXT_MODEL
    if not text_model.is_file():
        raise BadInput(f"{text_model}: there is none yet", cure=f"run `tuwen tokenizer {recipe} --only text` first")
    _start(ray, workers)
    folder = out or _run_folder(loaded) / "shards"
    manifest = write_shards(loaded, parent, text_model, folder, workers)
    measure_reconstruction(loaded, parent, manifest)
    _refresh_report(folder)
    totals = manifest.document["totals"]
    say(manifest, f"{totals['samples']} samples in {len(manifest.shards)} shards, {totals['bytes']:,} bytes", as_json)


@app.command()
def train(
    recipe: RecipeName,
    out: Out = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="A folder with `shards`, or a shard manifest itself; may be a URL.")
    ] = None,
    sets: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Insist that there is a checkpoint to go on from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shards → checkpoint. The same command goes on where it was interrupted."""
    from .train.loop import train as train_run

    loaded = load_recipe(recipe, sets)
    shards = _shard_manifest(from_ or str(_run_folder(loaded)))
    run = train_run(loaded, shards, out or _run_folder(loaded) / "train", must_resume=resume)
    _refresh_report(run.folder)
    last = run.losses[-1]
    say(load_manifest(run.folder), f"{last['step'] + 1} steps, loss {last['loss']:.3f} nats a token", as_json)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    prompt: Annotated[str, typer.Option("--prompt", help="What to paint.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Pictures to paint.")] = 16,
    best: Annotated[int | None, typer.Option("--best", min=1, help="Show the likeliest of them only.")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    temperature: Annotated[float, typer.Option("--temperature", min=0)] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=1)] = 200,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.png")] = None,
    as_json: AsJson = False,
) -> None:
    """Paint pictures for a prompt, side by side in one PNG."""
    from .train.generate_pictures import sample_prompt
    from .train.run import open_run

    opened = open_run(run)
    file = (
        out or opened.folder / "samples" / f"{''.join(char if char.isalnum() else '-' for char in prompt)}-{seed}.png"
    )
    scores = sample_prompt(opened, prompt, count, best or count, seed, temperature, top_k, file)
    print_result({"file": str(file), "scores": scores}, f"{file}: {len(scores)} pictures", as_json)


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B")],
    as_json: AsJson = False,
) -> None:
    """Exit 0 if two training runs agree bit for bit, else name the first step that differs."""
    from .train.compare import first_difference
    from .train.run import open_run

    a, b = open_run(run_a), open_run(run_b)
    difference = first_difference(a, b)
    if difference:
        raise CheckFailed(f"the runs differ at {difference}", cure="compare their run.json")
    print_result({"equal": True, "steps": len(a.losses)}, f"equal in all {len(a.losses)} steps", as_json)


@app.command()
def why(
    corpus: Annotated[Path, typer.Argument(metavar="CORPUS", help="The folder of a corpus.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key, or its first digits.")],
    as_json: AsJson = False,
) -> None:
    """Every measurement, verdict and twin of one pair."""
    from .pipeline.why import explain_pair

    rows = explain_pair(load_manifest(_corpus_folder(corpus), "corpus"), key)
    text = "\n\n".join("\n".join(f"{name:>14}  {value}" for name, value in row.items()) for row in rows)
    print_result(rows, text, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder of the whole run.")] = Path("runs/emoji"),
    sets: Set = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """All of it, on the real emoji corpus: corpus, shards, training, pictures, report."""
    from .train.demo import run_demo

    _start(None, workers)
    report, scores = run_demo(load_recipe("emoji", sets), out, workers)
    print_result({"report": str(report), **scores}, f"\nthe report: {report}", as_json)


@manifest_app.command()
def verify(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST")],
    mode: Annotated[
        str, typer.Option("--mode", help="off, first (sha256), block (crc32 of each block), always (both).")
    ] = "block",
    as_json: AsJson = False,
) -> None:
    """Is what lies on the disk what the manifest says? Names the shard and the block that are not."""
    from .manifests.verify import bytes_of, verify_manifest
    from .pipeline.executor.progress import progress

    if mode not in ("off", "first", "block", "always"):
        raise BadInput(f"--mode {mode}", cure="say off, first, block or always")
    loaded = load_manifest(manifest)
    with progress("verify", bytes_of(loaded), "byte") as advance:
        faults = list(verify_manifest(loaded, mode, advance))  # type: ignore[arg-type]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise CheckFailed(f"{manifest}: {len(faults)} fault{'s' * (len(faults) > 1)}", cure="see above")
    print_result({"id": loaded.id, "faults": []}, f"{loaded.id} holds", as_json)


@manifest_app.command("export")
def export_samples_of(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST")],
    out: Annotated[Path, typer.Option("--out", help="Where the tars go.")],
    layout: Annotated[str, typer.Option("--layout", help="sample: KEY.codes.npy, KEY.txt, KEY.json.")] = "sample",
    workers: Workers = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """The same samples for other people's loaders, with a wids index and a Croissant file."""
    from .tokenize.export_samples import export_samples

    if layout != "sample":
        raise BadInput(f"--layout {layout}", cure="say sample; the shards themselves are of layout block")
    loaded = load_manifest(manifest, "shards")
    _start(ray, workers)
    made = export_samples(loaded, out, workers)
    say(made, f"{made.document['totals']['samples']} samples in {len(made.shards)} tars", as_json)


def _start(address: str | None, workers: int | None) -> None:
    from .pipeline.executor.ray_cluster import start_cluster

    start_cluster(address, workers)


def _refresh_report(stage: Path) -> None:
    """When a stage lies beside its corpus, their common page shows it too."""
    from .pipeline.report.report import write_report

    if (stage.parent / "corpus" / "manifest.json").is_file():
        write_report(stage.parent)


def _corpus_folder(folder: Path) -> Path:
    """Of the folder of a run, or of the corpus itself."""
    return folder / "corpus" if (folder / "corpus").is_dir() else folder


def _run_folder(recipe: Recipe) -> Path:
    return Path("runs") / recipe.name


def _inputs(recipe: Recipe, from_: Path | None) -> Path:
    return from_ or _run_folder(recipe)


def _shard_manifest(place: str) -> Manifest:
    """Of a run's folder, or of the shards themselves; at a URL, of the shards."""
    if "://" in place or Path(place).is_file() or (Path(place) / FILE_NAME).is_file():
        return load_manifest(place, "shards")
    return load_manifest(Path(place) / "shards", "shards")


def main() -> None:
    """The console script: every error that is not a bug becomes one line and an exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    # libgomp's threads spin while they wait: beside any other busy process two trainer threads then take 40 times as
    # long. A short spin costs 3% on a quiet machine. To be set before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        app()
    except TuwenError as error:
        _stop(str(error), error.exit_code)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _stop(f"{error.filename or 'the disk'}: no space left; free some, then give the same command again", 2)
        if error.errno in (errno.EACCES, errno.EROFS):
            _stop(f"{error.filename}: may not be written or read; change its rights, or give another --out", 2)
        _stop(traceback.format_exc() + "this is a bug of tuwen", BUG)
    except Exception:
        _stop(traceback.format_exc() + "this is a bug of tuwen", BUG)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Ends at once: what lies on the disk is whole at any moment, and a local Ray cluster dies with this process.

    An exception would be raised wherever Ray's C++ threads happen to be, and they abort, or crash, now and then.
    """
    print("tuwen: interrupted; the same command goes on from here", file=sys.stderr, flush=True)
    os._exit(130)


def _stop(line: str, code: int) -> NoReturn:
    print(f"tuwen: {line}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
