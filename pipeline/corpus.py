"""`tuwen corpus`: sources → measure → judge → match → keep → the decision table and its manifest.

    manifest = build_corpus(load_recipe("emoji"), out=Path("runs/emoji/corpus"))

Leaves in `out`: `pictures/` (what had to be gathered: drawn or fetched), `measures/*.parquet`,
`verdicts/*.parquet` (every pair with its verdict) and `manifest.json`. The same command goes on where a
broken run stopped; another threshold is decided anew without decoding a picture twice.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ..manifests.atomic import sole_writer
from ..manifests.errors import BadInput
from ..manifests.manifest import Manifest, drop_manifest, new_manifest, save_manifest
from ..manifests.pair import SIGNATURES, VERDICTS
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import CorpusSource
from .check_inputs import check_inputs
from .corpus_files.kept_pairs import kept_pairs
from .corpus_files.verdicts import read_part
from .decide import decide, funnel, write_contaminated, write_verdicts
from .duplicates.cluster_shapes import ClusterRows, ClusterShapes, warning
from .executor.part import PartResult
from .executor.stage import run_stage
from .open_source import open_source, remember_roots
from .pictures.measure import measure
from .sources.kinds import list_parts
from .sources.source import OpenSource


def build_corpus(recipe: Recipe, out: Path, workers: int | None = None) -> Manifest:
    """Raises BadInput on a source that is missing or empty, and when no pair is left."""
    check_inputs(recipe, out)
    with sole_writer(out):
        return _build_corpus(recipe, out, workers)


def _build_corpus(recipe: Recipe, out: Path, workers: int | None) -> Manifest:
    sources = [open_source(source, recipe, out, workers) for source in recipe.sources]
    gathered = [source for source in recipe.evaluation if not isinstance(source, CorpusSource)]
    evaluation = [open_source(source, recipe, out, workers) for source in gathered]
    remember_roots([*sources, *evaluation], out)
    measured = measure_sources(sources, recipe, out / "measures", workers)
    measured_evaluation = (
        measure_sources(evaluation, recipe, out / "measures-evaluation", workers) if evaluation else []
    )
    roots = {source.name: source.root for source in [*sources, *evaluation]}
    decisions = decide(recipe, measured, measured_evaluation, roots, out, workers)
    table = decisions.table
    drop_manifest(out)
    files = write_verdicts(table, measured, out)
    shapes = _cluster_shapes(out, files)
    if warns := warning(shapes):
        print(warns, file=sys.stderr)
    document = new_manifest(
        "corpus",
        schema={field.name: str(field.type) for field in VERDICTS},
        files=files,
        lineage={
            "recipe": recipe.document(),
            "parents": decisions.parents,
            "steps": funnel(table),
            "signatures": SIGNATURES,
            **({"vectors": decisions.vectors} if decisions.vectors else {}),
        },
        licenses=_licenses(out, files, sources),
        totals={
            "pairs": len(table),
            "kept": int(pc.sum(table["kept"]).as_py() or 0),
            "clusters": shapes.clusters,
            "largest_cluster": max((cluster.pictures for cluster in shapes.largest), default=1),
        },
        **write_contaminated(decisions, out),
    )
    manifest = save_manifest(out, document)
    if not document["totals"]["kept"]:
        worst = max(document["lineage"]["steps"], key=lambda step: max(step["dropped"].values(), default=0))
        stage, reason = worst["name"], max(worst["dropped"], key=lambda reason: worst["dropped"][reason])
        known = stage in ("evaluation", "earlier")
        cure = "nothing here is new; add another source" if known else "loosen that rule in the recipe"
        raise BadInput(f"{out}: no pair is left; most fell at `{stage}` for `{reason}`", cure=cure)
    return manifest


def _cluster_shapes(out: Path, files: list[dict[str, Any]]) -> ClusterShapes:
    rows = ClusterRows()
    for entry in files:
        rows.add(read_part(out, entry, ["key", "cluster", "phash64", "pixels_hash"]))
    return rows.shapes()


def measure_sources(sources: list[OpenSource], recipe: Recipe, out: Path, workers: int | None) -> list[PartResult]:
    parts = [part for source in sources for part in list_parts(source)]
    config = {"max_pixels": recipe.images.max_pixels, "max_seconds": recipe.images.max_seconds}
    return run_stage("measure", measure, parts, config, out, workers=workers)


def _licenses(out: Path, files: list[dict[str, Any]], sources: list[OpenSource]) -> list[dict[str, Any]]:
    """Who must be named for what was kept, and for how many pairs; a source may have pictures of several licences."""
    kept: Counter[tuple[str, str]] = Counter()
    for table in kept_pairs(out, files, ["source", "license"]):
        counts = table.group_by(["source", "license"]).aggregate([([], "count_all")])
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
