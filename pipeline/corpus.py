"""`tuwen corpus`: sources → measure → judge → match → keep → the decision table and its manifest.

    manifest = build_corpus(load_recipe("emoji"), out=Path("runs/emoji/corpus"))

Leaves in `out`: `pictures/` (what had to be gathered: drawn or fetched), `measures/*.parquet`,
`verdicts/*.parquet` (every pair with its verdict) and `manifest.json`. The same command goes on where a
broken run stopped; another threshold is decided anew without decoding a picture twice.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
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
from ..manifests.manifest import Manifest, drop_manifest, new_manifest, save_manifest
from ..manifests.pair import THUMBNAIL_SIDE_PX, VERDICTS
from ..manifests.recipe import EmojiSource, FolderSource, ParquetSource, Recipe, Source, UrlsSource
from .decide import decide, funnel, write_verdicts
from .measure import measure
from .part import PartResult
from .sources import emoji_corpus
from .sources.kinds import list_parts
from .sources.source import OpenSource
from .stage import run_stage

ROOTS = ".work/roots.json"


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
    roots = {source.name: source.root for source in sources}
    table = decide(recipe, measured, measured_evaluation, roots, out, workers)
    drop_manifest(out)
    files = write_verdicts(table, measured, out)
    document = new_manifest(
        "corpus",
        schema={field.name: str(field.type) for field in VERDICTS},
        files=files,
        lineage={"recipe": recipe.document(), "parents": [], "steps": funnel(table)},
        licenses=_licenses(out, files, sources),
        totals={"pairs": len(table), "kept": int(pc.sum(table["kept"]).as_py() or 0)},
    )
    manifest = save_manifest(out, document)
    if not document["totals"]["kept"]:
        worst = max(document["lineage"]["steps"], key=lambda step: max(step["dropped"].values(), default=0))
        stage, reason = worst["name"], max(worst["dropped"], key=lambda reason: worst["dropped"][reason])
        raise BadInput(
            f"{out}: no pair is left; most fell at `{stage}` for `{reason}`", cure="loosen that rule in the recipe"
        )
    return manifest


def open_source(source: Source, recipe: Recipe, out: Path, workers: int | None = None) -> OpenSource:
    """Where the pictures of a source lie; what does not lie anywhere yet is gathered into tars first."""
    folder = gathered_folder(out, source.name)
    if isinstance(source, EmojiSource):
        parts = emoji_corpus.gather_parts(source)
        run_stage(f"draw {source.name}", emoji_corpus.gather, parts, {}, folder, workers=workers)
        return OpenSource(source.name, "webdataset", folder, *emoji_corpus.LICENSES[source.artwork])
    if isinstance(source, UrlsSource):
        from .fetch.gather import gather_urls

        gather_urls(source, recipe.base / source.path, folder, workers)
        return OpenSource(source.name, "fetched", folder, source.license, source.attribution)
    opened = OpenSource(source.name, source.kind, recipe.base / source.path, source.license, source.attribution)
    if isinstance(source, FolderSource):
        return replace(opened, captions=source.captions)
    if isinstance(source, ParquetSource):
        return replace(opened, columns={"image": source.image, "caption": source.caption})
    return opened


def gathered_folder(corpus: Path, source_name: str) -> Path:
    return corpus / "pictures" / source_name


def picture_roots(recipe: Recipe, corpus: Path) -> dict[str, Path]:
    """Source name → the folder (or tar) that `origin` is relative to."""
    gathered = (EmojiSource, UrlsSource)
    return {
        source.name: gathered_folder(corpus, source.name) if isinstance(source, gathered) else recipe.base / source.path
        for source in recipe.sources
    }


def measure_sources(sources: list[OpenSource], recipe: Recipe, out: Path, workers: int | None) -> list[PartResult]:
    parts = [part for source in sources for part in list_parts(source)]
    config = {"max_pixels": recipe.images.max_pixels, "max_seconds": recipe.images.max_seconds}
    return run_stage("measure", measure, parts, config, out, workers=workers)


def read_verdicts(corpus: Manifest, columns: list[str] | None = None) -> pa.Table:
    """The decision table of a corpus, all parts in order. Raises CheckFailed on a part that was altered."""
    return pa.concat_tables(verdict_parts(corpus, columns))


def verdict_parts(corpus: Manifest, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The decision table part by part, so that it need not fit in memory."""
    for entry in corpus.document["files"]:
        path = corpus.folder / entry["name"]
        if not path.is_file() or sha256_of_file(path) != entry["sha256"]:
            raise CheckFailed(f"{path}: missing or altered", cure="run `tuwen corpus` again")
        yield pq.read_table(path, columns=columns)


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


def roots_of(corpus: Manifest) -> dict[str, Path]:
    """Where the pictures of each source lie on this machine: what was gathered moves with the corpus."""
    path = corpus.folder / ROOTS
    said = json.loads(path.read_bytes()) if path.is_file() else {}
    gathered = {name: gathered_folder(corpus.folder, name) for name in said}
    return {name: gathered[name] if gathered[name].is_dir() else Path(root) for name, root in said.items()}


def _remember_roots(sources: list[OpenSource], out: Path) -> None:
    """Where the pictures lie on this machine: for pages that show them; no part of the manifest."""
    with whole_file(out / ROOTS) as temporary:
        temporary.write_text(
            json.dumps({source.name: str(source.root.resolve()) for source in sources}), encoding="utf-8"
        )


def _licenses(out: Path, files: list[dict[str, Any]], sources: list[OpenSource]) -> list[dict[str, Any]]:
    """Who must be named for what was kept, and for how many pairs; a source may have pictures of several licences."""
    kept: Counter[tuple[str, str]] = Counter()
    for file in files:
        table = pq.read_table(out / file["name"], columns=["source", "license", "kept"])
        counts = table.filter(table["kept"]).group_by(["source", "license"]).aggregate([([], "count_all")])
        kept.update({(row["source"], row["license"]): row["count_all"] for row in counts.to_pylist()})
    return [
        {
            "source": source.name,
            "license": words,
            "attribution": source.attribution,
            "samples": kept[source.name, words],
        }
        for source in sources
        for words in sorted({words for name, words in kept if name == source.name} or {source.license})
    ]
