"""`tuwen corpus`, `tuwen export`, `tuwen why`, and `tuwen manifest verify`.

app.add_typer(pipeline_app)     # in `__main__`

Each command loads its inputs, calls one function of this room, and prints what came out.
"""

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..manifests.command_options import AsJson, CorpusPath, ManifestPath, Out, RayAddress, Recheck, Set, Workers
from ..manifests.commands import manifest_app, print_result, print_summary
from ..manifests.counted import counted
from ..manifests.errors import BadInput, CheckFailed, TuwenError
from ..manifests.manifest import Manifest, load_manifest
from ..manifests.run_folders import CorpusFolder, RunFolder

pipeline_app = typer.Typer()


class Mode(StrEnum):
    off = "off"
    first = "first"
    block = "block"
    always = "always"


class ExportFormat(StrEnum):
    """The rows of `export.formats`, which are not imported before they are needed."""

    webdataset = "webdataset"
    chinese_clip = "chinese-clip"
    huggingface = "huggingface"
    imagefolder = "imagefolder"


@pipeline_app.command()
def corpus(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or `emoji`.", show_default=False)] = "",
    out: Out = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Check all inputs, print every rule, its number and where it comes from, and do nothing."
        ),
    ] = False,
    keep_measures: Annotated[
        bool,
        typer.Option(
            "--keep-measures", help="Accept what another version of tuwen measured, instead of decoding it again."
        ),
    ] = False,
    recheck: Recheck = False,
    look: Annotated[
        str | None,
        typer.Option("--look", metavar="PATH", help="Look at a folder or a file, and print the recipe that reads it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Clean and deduplicate the sources of a recipe: a verdict for every pair, a manifest, a report."""
    if look is not None:
        from .check_inputs import check_is_local
        from .look import look as look_at
        from .seen import shown

        check_is_local("--look", look)
        seen = look_at(Path(look))
        print_result(asdict(seen), shown(seen), as_json)
        return
    if not recipe:
        raise BadInput("no recipe", cure="name one, or look at your data with --look PATH")
    from .check_inputs import check_inputs
    from .corpus import build_corpus
    from .corpus_result import corpus_result, result_text
    from .executor.stage import StageRun
    from .explain import explain as explain_recipe
    from .explain import explained
    from .load_recipe import load_recipe
    from .nothing_kept import NothingKept
    from .report.report import write_report
    from .sources.passed_over import passed_line

    loaded = load_recipe(recipe, sets)
    folder = CorpusFolder(out) if out else RunFolder.of(loaded.name).corpus
    check_inputs(loaded, folder)  # before Ray starts
    if explain:
        print_result(explained(loaded), explain_recipe(loaded), as_json)
        return
    id_before = _id_of(folder)
    nothing_kept: NothingKept | None = None
    try:
        build_corpus(loaded, folder, StageRun(workers, keep_measures=keep_measures, recheck=recheck, ray=ray))
    except NothingKept as error:
        nothing_kept = error  # all is written: the report shows why
    report = write_report(RunFolder(folder.path if out else folder.path.parent), folder)
    result = corpus_result(load_manifest(folder.path, "corpus"), report, id_before)
    for source, passed in result["passed_over"].items():
        print(passed_line(source, passed), file=sys.stderr)
    print_result(result, result_text(result), as_json)
    if nothing_kept is not None:
        raise nothing_kept


@pipeline_app.command()
def export(
    corpus: CorpusPath,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that is written to.")],
    format_: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="Whose format; else `export.format` of the recipe, which is webdataset."),
    ] = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Write the kept pairs as WebDataset tars, or as others hold theirs, with a manifest and a data card."""
    from .executor.ray_cluster import start_cluster
    from .executor.stage import StageRun
    from .export.export import export as export_pairs
    from .export.formats import FORMATS
    from .load_recipe import recorded_recipe

    loaded = _load_corpus(corpus)
    sets = [*(sets or []), *([f"export.format={format_}"] if format_ else [])]
    recipe = recorded_recipe(loaded.document["lineage"]["recipe"], sets)
    start_cluster(ray, workers)
    made = export_pairs(loaded, recipe, out, StageRun(workers))
    pairs, pictures = counted(made.totals["pairs"], "pair"), counted(made.totals["pictures"], "picture")
    unit = FORMATS[recipe.export.format].unit
    num_units = len(made.files) if unit == "file" else sum(len(split.shards) for split in made.splits.values())
    where = counted(num_units, unit)
    print_summary(made, f"{pairs} of {pictures} in {where}", as_json)


@pipeline_app.command()
def why(
    corpus: CorpusPath,
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="A pair: its key, its file name, its address, or a part of one of these."),
    ],
    as_json: AsJson = False,
) -> None:
    """Print every measurement, score, verdict and duplicate of one pair; of several that fit, a line each."""
    from .find_pairs import find_pairs
    from .why import explain_pair, explained_text, listed_text

    loaded = _load_corpus(corpus)
    found = find_pairs(loaded, what)
    if found.count == 0:
        raise BadInput(
            f"{what}: no such pair in {loaded.folder}", cure="give a key, a file name, an address, or a part of one"
        )
    if found.count > 1:
        print_result({"count": found.count, "pairs": found.rows}, listed_text(found, what), as_json)
        return
    rows = explain_pair(loaded, found.rows[0]["key"])
    print_result(rows, explained_text(rows), as_json)


@manifest_app.command()
def verify(
    manifest: ManifestPath,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode", help="off: sizes; first: sha256 of each file; block: crc32 of each block; always: both."
        ),
    ] = Mode.block,
    as_json: AsJson = False,
) -> None:
    """Check that the files are what the manifest says; name each shard and block that is not."""
    from ..manifests.verify import bytes_of, verify_manifest
    from .executor.progress import progress

    loaded = load_manifest(manifest)
    with progress("verify", bytes_of(loaded), "byte") as advance:
        faults = list(verify_manifest(loaded, mode.value, advance))
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise CheckFailed(f"{manifest}: {counted(len(faults), 'fault')}", cure="see above")
    print_result({"id": loaded.id, "faults": []}, f"{loaded.id} holds", as_json)


def _load_corpus(folder: Path) -> Manifest:
    run = RunFolder(folder)
    return load_manifest(run.corpus.path if run.corpus.path.is_dir() else folder, "corpus")


def _id_of(corpus: CorpusFolder) -> str | None:
    """The id of the corpus that is there; None if there is none, or one that was altered."""
    try:
        return load_manifest(corpus.path).id
    except TuwenError:
        return None
