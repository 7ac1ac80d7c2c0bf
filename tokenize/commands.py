"""`tuwen tokenizer`, `tuwen tokenize`, `tuwen import`, and `tuwen manifest export`.

app.add_typer(tokenize_app)     # in `__main__`

Each command loads its inputs, calls one function of this room, and prints the result.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..manifests.command_options import AsJson, From, ManifestPath, Out, RayAddress, Recheck, RecipeName, Set, Workers
from ..manifests.commands import manifest_app, print_result, print_summary
from ..manifests.counted import counted
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import Manifest, load_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import RunFolder, ShardsFolder, TokenizerFolder


class _TrainByDefault(TyperGroup):
    """`tuwen tokenizer RECIPE` is `tuwen tokenizer train RECIPE`; so no recipe can be called `train` or `convert`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_named = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if is_named else ["train", *args])


tokenize_app = typer.Typer()
tokenizer_app = typer.Typer(cls=_TrainByDefault, no_args_is_help=True)
tokenize_app.add_typer(
    tokenizer_app, name="tokenizer", help="Train a recipe's own tokenizers, or convert a checkpoint."
)


class Only(StrEnum):
    image = "image"
    text = "text"


class CodesKind(StrEnum):
    cogdata = "cogdata"
    parquet = "parquet"
    llamagen = "llamagen"


class Layout(StrEnum):
    sample = "sample"
    parquet = "parquet"


@tokenizer_app.command("train")
def train_own(
    recipe: RecipeName,
    out: Out = None,
    from_: From = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    only: Annotated[Only | None, typer.Option("--only", help="Train one of the two; default: both.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a recipe's own compact VQ and SentencePiece model on its corpus. `tuwen tokenizer RECIPE` does the same."""
    from ..pipeline.executor.ray_cluster import start_cluster
    from ..pipeline.executor.stage import StageRun
    from ..pipeline.load_recipe import load_recipe
    from .caption_ids import open_caption_ids
    from .train_tokenizers import Kind, train_tokenizers

    loaded = load_recipe(recipe, sets)
    run = RunFolder.of(loaded.name)
    corpus = load_manifest(RunFolder(from_ or run.path).corpus.path, "corpus")
    start_cluster(ray, workers)
    folder = TokenizerFolder(out) if out else run.tokenizer
    kinds: tuple[Kind, ...] = (only.value,) if only else ("image", "text")
    manifest = train_tokenizers(loaded, corpus, folder, StageRun(workers), kinds)
    if "text" in kinds:
        _say_if_smaller(loaded, open_caption_ids(folder.text_model.read_bytes()).vocab, "the captions give no more")
    if "image" in kinds:
        print(f"to use it: --set tokenize.image.tokenizer={folder.image}", file=sys.stderr)
    print_summary(manifest, counted(len(manifest.files), "file"), as_json)


@tokenizer_app.command("convert")
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .ckpt, .pt, .pth, .bin or .pkl of torch.save.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The safetensors; default: beside it, of its name.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="Take what is under this key of the checkpoint.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take the tensors of a checkpoint that holds more, and run nothing of the rest."""
    from .pretrained.convert_checkpoint import convert_checkpoint

    target = out or file.with_suffix(".safetensors")
    made = convert_checkpoint(file, target, key)
    for line in made.left_out:
        print(f"left out: {line}", file=sys.stderr)
    summary = f"{target}: {counted(made.tensors, 'tensor')}" + (f" of `{made.taken}`" if made.taken else "")
    print_result({"file": str(target), "taken": made.taken, "left_out": made.left_out}, summary, as_json)


@tokenize_app.command()
def tokenize(
    recipe: RecipeName,
    out: Out = None,
    from_: From = None,
    sets: Set = None,
    workers: Workers = None,
    ray: RayAddress = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="SHARDS", help="Encode a sample of these shards again, and say what differs."),
    ] = None,
    check_rows: Annotated[
        int, typer.Option("--check-rows", min=1, help="Rows of each split that --check reads.")
    ] = 256,
    retry_lost: Annotated[
        bool, typer.Option("--retry-lost", help="Read the pictures again that could not be read in an earlier run.")
    ] = False,
    recheck: Recheck = False,
    as_json: AsJson = False,
) -> None:
    """Encode the kept pairs of a corpus into shards of VQ codes and caption ids, with their manifest."""
    from ..pipeline.executor.ray_cluster import start_cluster
    from ..pipeline.executor.stage import StageRun
    from ..pipeline.load_recipe import load_recipe
    from ..pipeline.report.report import refresh_report
    from .encode.write_shards import write_shards
    from .reconstruction import measure_reconstruction
    from .train_tokenizers import given_model

    loaded = load_recipe(recipe, sets)
    run = RunFolder.of(loaded.name)
    inputs = RunFolder(from_ or run.path)
    corpus = load_manifest(inputs.corpus.path, "corpus")
    if check is not None:
        _check(corpus, check, check_rows, as_json)
        return
    text_model = inputs.tokenizer.text_model
    if loaded.tokenize.text.path:
        given_model(loaded)
        text_model = loaded.base / loaded.tokenize.text.path
    elif not text_model.is_file():
        raise BadInput(f"{text_model}: there is none yet", cure=f"run `tuwen tokenizer {recipe} --only text` first")
    start_cluster(ray, workers)
    folder = ShardsFolder(out) if out else run.shards
    manifest = write_shards(loaded, corpus, text_model, folder, StageRun(workers, recheck=recheck), retry_lost)
    _say_if_smaller(loaded, manifest.sample_schema.text.vocab, "its model has no more")
    measure_reconstruction(loaded, corpus, manifest)
    refresh_report(RunFolder(folder.path.parent))
    samples, shards = counted(manifest.totals["samples"], "sample"), counted(len(manifest.shards), "shard")
    _say_if_lost(manifest, folder)
    print_summary(manifest, f"{samples} in {shards}, {manifest.totals['bytes']:,} bytes", as_json)


def _check(corpus: Manifest, shards: Path, rows: int, as_json: bool) -> None:
    from .check_shards import check_shards

    found = check_shards(corpus, load_manifest(shards, "shards"), rows)
    for fault in found.faults:
        print(fault, file=sys.stderr)
    if found.faults:
        share = f"{found.different_codes:,} of {found.codes:,} codes differ"
        raise CheckFailed(f"{shards}: {counted(len(found.faults), 'fault')}, {share}", cure="see above")
    summary = f"{counted(found.rows, 'row')} encoded again: pictures, crops, captions and {found.codes:,} codes agree"
    print_result({"rows": found.rows, "codes": found.codes, "faults": []}, summary, as_json)


@tokenize_app.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="cogdata's .bin, Parquet of captions and codes, a folder of .npy.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that the shards are written to.")],
    kind: Annotated[CodesKind | None, typer.Option("--kind", help="Default: told by what lies there.")] = None,
    codebook: Annotated[int | None, typer.Option("--codebook", min=2, help="The number of codes.")] = None,
    grid: Annotated[
        str | None, typer.Option("--grid", metavar="32x32", help="Of a picture's codes; 256: a row; 8x8+16x16: both.")
    ] = None,
    codebooks: Annotated[int | None, typer.Option("--codebooks", min=1, help="Codes at each position.")] = None,
    captions: Annotated[
        Path | None,
        typer.Option("--captions", metavar="FILE", help="A caption a line, or LlamaGen's folder of .jsonl."),
    ] = None,
    text_model: Annotated[
        Path | None, typer.Option("--text-model", metavar="FILE", help="SentencePiece's .model, or a tokenizer.json.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="The image tokenizer: its folder, {kind: …, path: …, size: …}, or a name."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the source; keys are made of it.")] = None,
    license_: Annotated[str, typer.Option("--license", help="Of the pictures.")] = "unknown",
    attribution: Annotated[str, typer.Option("--attribution", help="That the licence requires.")] = "",
    validation: Annotated[
        float | None, typer.Option("--validation", min=0, max=1, help="Share of the pairs. Default: 0.02.")
    ] = None,
    caption_column: Annotated[str | None, typer.Option("--caption-column", help="Of Parquet and .jsonl.")] = None,
    codes_column: Annotated[str | None, typer.Option("--codes-column", help="Of Parquet.")] = None,
    text_length: Annotated[int, typer.Option("--text-length", min=1, help="Text ids of a row of a .bin.")] = 64,
    text_offset: Annotated[
        int | None, typer.Option("--text-offset", min=0, help="Of text ids in a .bin. Default: the number of codes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make shards and a manifest of what others tokenized."""
    from .import_codes.asked import Asked, parse_grid
    from .import_codes.import_codes import import_codes

    asked = Asked(
        path=path, name=name or path.resolve().stem, kind=kind.value if kind else None, codebook=codebook,
        grid=parse_grid(grid) if grid else None, codebooks=codebooks, captions=captions, text_model=text_model,
        tokenizer=tokenizer, license=license_, attribution=attribution, validation=validation,
        caption_column=caption_column, codes_column=codes_column, text_length=text_length, text_offset=text_offset,
    )  # fmt: skip
    manifest = import_codes(asked, ShardsFolder(out))
    (step,) = manifest.lineage.steps
    samples, shards = counted(step.out, "sample"), counted(len(manifest.shards), "shard")
    refused = f", {counted(sum(step.dropped.values()), 'row')} refused" if step.dropped else ""
    print_summary(manifest, f"{samples} in {shards}{refused}", as_json)


@manifest_app.command("export")
def export_samples_of(
    manifest: ManifestPath,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that the files are written to.")],
    layout: Annotated[
        Layout,
        typer.Option("--layout", help="sample: tars of KEY.codes.npy, KEY.txt, KEY.json. parquet: a table a shard."),
    ] = Layout.sample,
    workers: Workers = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Write the same samples for other people's loaders: ordinary tars with their catalogues, or Parquet."""
    from ..pipeline.executor.ray_cluster import start_cluster
    from ..pipeline.executor.stage import StageRun
    from .export_codes.export_parquet import export_parquet
    from .export_codes.export_samples import export_samples

    loaded = load_manifest(manifest, "shards")
    start_cluster(ray, workers)
    export, kind = (export_parquet, "file") if layout is Layout.parquet else (export_samples, "tar")
    made = export(loaded, out, StageRun(workers))
    samples, files = counted(made.totals["samples"], "sample"), counted(len(loaded.shards), kind)
    print_summary(made, f"{samples} in {files}", as_json)


def _say_if_lost(manifest: Manifest, folder: ShardsFolder) -> None:
    if lost := manifest.totals.get("pairs_lost"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(manifest.lineage.steps[-1].dropped.items()))
        where = f"{folder.lost} lists them, --retry-lost reads them again"
        print(f"the pictures of {lost:,} pairs could not be read ({reasons}): {where}", file=sys.stderr, flush=True)


def _say_if_smaller(recipe: Recipe, vocab: int, why: str) -> None:
    """The size in the recipe is a bound: a model that is made of the captions stops where they give no more pieces."""
    asked, is_given = recipe.tokenize.text.vocab, recipe.tokenize.text.path is not None
    if vocab < asked and not is_given:
        line = f"the vocabulary has {vocab:,} pieces, not the {asked:,} of `tokenize.text.vocab`"
        print(f"{line}: {why}", file=sys.stderr, flush=True)
