"""Arguments and options that several commands share, each described once.

@app.command()
def corpus(recipe: RecipeName, out: Out = None, sets: Set = None) -> None: ...
"""

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe: a YAML file, or `emoji`, the one that is shipped.")
]
CorpusPath = Annotated[
    Path, typer.Argument(metavar="CORPUS", help="The folder of a corpus, or of the run that holds it.")
]
ManifestPath = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="A folder that holds a manifest, the file itself, or their URL.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write the result there instead of to runs/NAME/….")
]
From = Annotated[
    Path | None, typer.Option("--from", metavar="DIR", help="Take the inputs from there instead of from runs/NAME.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Use another value for one key of the recipe. May be given again."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Run at most N tasks at a time; default: every CPU. Changes no result."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Run on the Ray cluster at this address; default: a local one."),
]
Recheck = Annotated[
    bool,
    typer.Option(
        "--recheck",
        help="Hash every file that earlier runs have finished; else only files of another size or time are hashed.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
