"""`tuwen corpus`: sources → measure → judge → match → keep → the decision table and its manifest.

    manifest = build_corpus(load_recipe("emoji"), out=Path("runs/emoji/corpus"))

Leaves in `out`: `pictures/` (what had to be gathered: drawn or fetched), `measures/*.parquet`,
`verdicts/*.parquet` (every pair with its verdict) and `manifest.json`. The same command goes on where a
broken run stopped; another threshold is decided anew without decoding a picture twice.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..manifests.atomic import sole_writer, whole_file
from ..manifests.canonical import sha256_of_file
from ..manifests.errors import BadInput, CheckFailed
from ..manifests.manifest import Manifest, drop_manifest, file_entry, new_manifest, save_manifest
from ..manifests.pair import THUMBNAIL_SIDE_PX, VERDICTS
from ..manifests.recipe import EmojiSource, Recipe, Source
from . import emoji_corpus
from .judge import judge
from .match import match, measured_pairs
from .measure import measure
from .part import Part, PartResult
from .source import OpenSource
from .sources import list_parts
from .stage import run_stage

ROOTS = ".work/roots.json"
STAGES = ("read", "picture", "caption", "evaluation", "exact", "near")


def build_corpus(recipe: Recipe, out: Path, workers: int | None = None) -> Manifest:
    """Raises BadInput on a source that is missing or empty, and when no pair is left."""
    with sole_writer(out):
        return _build_corpus(recipe, out, workers)


def _build_corpus(recipe: Recipe, out: Path, workers: int | None) -> Manifest:
    sources = [open_source(source, recipe, out, workers) for source in recipe.sources]
    _remember_roots(sources, out)
    evaluation = [open_source(source, recipe, out, workers) for source in recipe.evaluation]
    measured = measure_sources(sources, recipe, out / "measures", workers)
    measured_evaluation = (
        measure_sources(evaluation, recipe, out / "measures-evaluation", workers) if evaluation else []
    )
    judged = _judge(measured, recipe, out, workers)
    table = _join(measured_pairs(out / "measures", measured), out / ".work" / "judged", judged)
    table = _drop_frequent_captions(table, recipe)
    table = match(table, measured_pairs(out / "measures-evaluation", measured_evaluation), recipe.duplicates)
    drop_manifest(out)
    files = _write_verdicts(table, measured, out / "verdicts")
    document = new_manifest(
        "corpus",
        schema={field.name: str(field.type) for field in VERDICTS},
        files=files,
        lineage={"recipe": recipe.document(), "parents": [], "steps": funnel(table)},
        licenses=_licenses(table, sources),
        totals={"pairs": len(table), "kept": int(pc.sum(table["kept"]).as_py() or 0)},
    )
    manifest = save_manifest(out, document)
    if not document["totals"]["kept"]:
        (stage, reason), _ = Counter(
            zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True)
        ).most_common(1)[0]
        raise BadInput(
            f"{out}: no pair is left; most fell at `{stage}` for `{reason}`", cure="loosen that rule in the recipe"
        )
    return manifest


def open_source(source: Source, recipe: Recipe, out: Path, workers: int | None = None) -> OpenSource:
    """Where the pictures of a source lie; what does not lie anywhere yet is gathered into tars first."""
    if isinstance(source, EmojiSource):
        folder = gathered_folder(out, source.name)
        run_stage(
            f"draw {source.name}", emoji_corpus.gather, emoji_corpus.gather_parts(source), {}, folder, workers=workers
        )
        return OpenSource(source.name, "webdataset", folder, *emoji_corpus.LICENSES[source.artwork])
    return OpenSource(source.name, source.kind, recipe.base / source.path, source.license, source.attribution)


def gathered_folder(corpus: Path, source_name: str) -> Path:
    return corpus / "pictures" / source_name


def picture_roots(recipe: Recipe, corpus: Path) -> dict[str, Path]:
    """Source name → the folder (or tar) that `origin` is relative to."""
    return {
        source.name: gathered_folder(corpus, source.name)
        if isinstance(source, EmojiSource)
        else recipe.base / source.path
        for source in recipe.sources
    }


def measure_sources(sources: list[OpenSource], recipe: Recipe, out: Path, workers: int | None) -> list[PartResult]:
    parts = [part for source in sources for part in list_parts(source)]
    config = {"max_pixels": recipe.images.max_pixels, "max_seconds": recipe.images.max_seconds}
    return run_stage("measure", measure, parts, config, out, workers=workers)


def read_verdicts(corpus: Manifest, columns: list[str] | None = None) -> pa.Table:
    """The decision table of a corpus, all parts in order. Raises CheckFailed on a part that was altered."""
    tables = []
    for entry in corpus.document["files"]:
        path = corpus.folder / entry["name"]
        if not path.is_file() or sha256_of_file(path) != entry["sha256"]:
            raise CheckFailed(f"{path}: missing or altered", cure="run `tuwen corpus` again")
        tables.append(pq.read_table(path, columns=columns))
    return pa.concat_tables(tables)


def read_thumbnails(corpus: Manifest, keys: list[str], side_px: int) -> NDArray[np.float32]:
    """RGB thumbnails of measured pairs, (len(keys), side_px, side_px, 3) in 0 … 255; `side_px` divides 32."""
    found: dict[str, bytes] = {}
    wanted = set(keys)
    for entry in corpus.document["files"]:
        table = pq.read_table(corpus.folder / "measures" / Path(entry["name"]).name, columns=["key", "thumbnail"])
        found.update((key, data) for key, data in zip(*table.to_pydict().values(), strict=True) if key in wanted)
    pixels = np.frombuffer(b"".join(found[key] for key in keys), np.uint8).astype(np.float32)
    cell = THUMBNAIL_SIDE_PX // side_px
    means: NDArray[np.float32] = pixels.reshape(len(keys), side_px, cell, side_px, cell, 3).mean(axis=(2, 4))
    return means


def funnel(table: pa.Table) -> list[dict[str, Any]]:
    """Of every stage: pairs in, out, and dropped by reason; each stage's counts sum."""
    dropped = Counter(zip(table["stage"].to_pylist(), table["reason"].to_pylist(), strict=True))
    steps: list[dict[str, Any]] = []
    left = len(table)
    for stage in STAGES:
        reasons = {reason: count for (at, reason), count in sorted(dropped.items()) if at == stage}
        steps.append({"name": stage, "in": left, "out": left - sum(reasons.values()), "dropped": reasons})
        left = steps[-1]["out"]
    return steps


def _remember_roots(sources: list[OpenSource], out: Path) -> None:
    """Where the pictures lie on this machine: for pages that show them; no part of the manifest."""
    with whole_file(out / ROOTS) as temporary:
        temporary.write_text(
            json.dumps({source.name: str(source.root.resolve()) for source in sources}), encoding="utf-8"
        )


def _judge(measured: list[PartResult], recipe: Recipe, out: Path, workers: int | None) -> list[PartResult]:
    parts = []
    for result in measured:
        file = result.files[0]
        parts.append(
            Part(
                result.name,
                {"measures": file["sha256"]},
                {"measures": str((out / "measures" / file["name"]).resolve())},
            )
        )
    config = {"captions": recipe.captions.model_dump(), "images": recipe.images.model_dump()}
    return run_stage("judge", judge, parts, config, out / ".work" / "judged", workers=workers)


def _join(pairs: pa.Table, judgements: Path, judged: list[PartResult]) -> pa.Table:
    """The measured pairs with their caption, stage and reason; both come in the order of the parts."""
    if not len(pairs):
        raise BadInput(
            f"{judgements.parent.parent}: the sources hold no pair",
            cure="check the paths and the captions of the recipe",
        )
    said = pa.concat_tables([pq.read_table(judgements / result.files[0]["name"]) for result in judged])
    for name in ("caption", "masked", "stage", "reason"):
        pairs = pairs.append_column(name, said[name])
    return pairs.combine_chunks()


def _drop_frequent_captions(table: pa.Table, recipe: Recipe) -> pa.Table:
    """Boilerplate is what is said of many pictures; counted over the whole corpus, by all pairs still alive."""
    max_count = recipe.captions.resolved().max_count
    assert max_count is not None
    alive = table["reason"].to_numpy() == ""
    captions = np.array(table["caption"].to_pylist(), dtype=object)
    counts = Counter(captions[alive].tolist())
    frequent = alive & np.array([counts[caption] > max_count for caption in captions])
    return _set(table, frequent, stage="caption", reason="caption_seen_too_often")


def _write_verdicts(table: pa.Table, measured: list[PartResult], out: Path) -> list[dict[str, Any]]:
    names = [f"{result.name}.parquet" for result in measured]
    for stale in out.glob("*.parquet"):
        if stale.name not in names:
            stale.unlink()
    edges = np.cumsum([0, *(result.summary["pairs"] for result in measured)])
    files = []
    for name, start, stop in zip(names, edges, edges[1:], strict=False):
        with whole_file(out / name) as temporary:
            pq.write_table(
                table.slice(start, stop - start).select(VERDICTS.names).cast(VERDICTS), temporary, compression="zstd"
            )
        files.append(file_entry(out.parent, f"verdicts/{name}", rows=int(stop - start)))
    return files


def _licenses(table: pa.Table, sources: list[OpenSource]) -> list[dict[str, Any]]:
    """Who must be named for what was kept, and for how many pairs."""
    kept = Counter(table.filter(table["kept"])["source"].to_pylist())
    return [
        {
            "source": source.name,
            "license": source.license,
            "attribution": source.attribution,
            "samples": kept[source.name],
        }
        for source in sources
    ]


def _set(table: pa.Table, rows: NDArray[np.bool_], **values: str) -> pa.Table:
    """`table` with string columns set to one value in the rows of a mask."""
    for name, value in values.items():
        column = pc.if_else(pa.array(rows), value, table[name])
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
