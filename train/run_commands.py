"""`tuwen sample`, `tuwen caption`, `tuwen evaluate` and `tuwen serve`: what a run, or a painter, is used for.

app.add_typer(run_app)     # in `__main__`
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..manifests.command_options import AsJson, RayAddress
from ..manifests.commands import print_result
from ..manifests.counted import counted
from ..manifests.errors import BadInput
from ..manifests.manifest import load_manifest
from ..manifests.run_folders import RunFolder

run_app = typer.Typer()


class By(StrEnum):
    likelihood = "likelihood"
    caption_loss = "caption-loss"
    clip = "clip"


RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run, or its `train` folder; `emoji` is shipped.")
]


@run_app.command()
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
    refine: Annotated[
        bool, typer.Option("--refine", help="In finer codes; needs a run that was trained with `refine`.")
    ] = False,
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
    scores = sample_prompt(
        opened, prompt, file, count=count, best=best or count, seed=seed, choice=choice, refine=refine, **options
    )
    print_result({"file": str(file), "scores": scores}, f"{file}: {counted(len(scores), 'picture')}", as_json)


@run_app.command()
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


@run_app.command()
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


@run_app.command()
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
