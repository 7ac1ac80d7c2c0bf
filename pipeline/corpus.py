"""`tuwen corpus`: sources → measure → judge → match → keep → the decision table and its manifest.

    manifest = build_corpus(load_recipe("emoji"), CorpusFolder(Path("runs/emoji/corpus")), StageRun())

Leaves what `CorpusFolder` names: pictures that had to be drawn or fetched, measures, scores, the decision table with a
verdict for every pair, and the manifest. The same command goes on where a broken run stopped; another threshold is
decided anew without decoding a picture twice.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..manifests.atomic import sole_writer
from ..manifests.decision_table import VERDICTS
from ..manifests.documents import FileEntry, License, SourceFacts
from ..manifests.manifest import Manifest, drop_manifest, new_manifest, save_manifest
from ..manifests.pair import MEASURES, SIGNATURES
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import CorpusSource, SourceSection
from ..manifests.run_folders import CorpusFolder
from .check_inputs import check_inputs
from .corpus_files.kept_pairs import kept_pairs
from .corpus_files.source_facts import source_facts
from .corpus_files.verdicts import read_part
from .decide import Decisions, Measured, decide, funnel, write_contaminated, write_verdicts
from .decided_before import decided_before, decision_stamp, remember_decision
from .duplicates.cluster_shapes import ClusterRows, ClusterShapes, warning
from .executor.part import PartResult
from .executor.stage import Stage, StageRun, run_stage
from .nothing_kept import NothingKept, no_pair
from .open_source import open_source, write_roots
from .pictures.measure import measure
from .pictures.measure_isolated import MeasureConfig
from .source_kinds import KINDS, list_source
from .sources.source import OpenSource, SourceListing


def _has_these_columns(path: Path) -> bool:
    return bool(pq.read_schema(path).equals(MEASURES))


MEASURE = Stage(
    "measure", measure, ("pillow", "simplejpeg", "blake3", "numpy", "pyarrow"), is_readable=_has_these_columns
)


def build_corpus(recipe: Recipe, corpus: CorpusFolder, run: StageRun) -> Manifest:
    """Raises BadInput on a source that is missing or empty; NothingKept when no pair is left, once all is written."""
    check_inputs(recipe, corpus)
    with sole_writer(corpus.path):
        return _build_corpus(recipe, corpus, run)


def _build_corpus(recipe: Recipe, corpus: CorpusFolder, run: StageRun) -> Manifest:
    evaluation_sections = [section for section in recipe.evaluation if not isinstance(section, CorpusSource)]
    opened = _open_and_list([*recipe.sources, *evaluation_sections], recipe, corpus, run)
    sources = [opened[section.name].source for section in recipe.sources]
    run = replace(run, roots={name: each.source.root for name, each in opened.items()})
    write_roots(run.roots, corpus)
    listings = {section.name: opened[section.name].listing for section in recipe.sources}
    evaluation_listings = {section.name: opened[section.name].listing for section in evaluation_sections}
    measured = measure_sources(listings, recipe, corpus.measures, run)
    measured_evaluation: list[Measured] = []
    if evaluation_listings:
        measured_evaluation = measure_sources(evaluation_listings, recipe, corpus.evaluation_measures, run)
    facts = source_facts({**listings, **evaluation_listings}, [*measured, *measured_evaluation])
    if not any(result.summary["pairs"] for result in measured):
        raise no_pair(corpus, facts)
    stamp = decision_stamp(recipe, [*measured, *measured_evaluation], facts)
    manifest = decided_before(corpus, stamp, run.recheck)
    if manifest is None:
        manifest = _decided(recipe, measured, measured_evaluation, facts, sources, corpus, run)
        remember_decision(corpus, stamp, manifest)
    else:
        print(f"{corpus.path}: nothing has changed since it was built", file=sys.stderr, flush=True)
    if not manifest.totals["kept"]:
        raise NothingKept(manifest)
    return manifest


def _decided(
    recipe: Recipe,
    measured: list[Measured],
    measured_evaluation: list[Measured],
    facts: dict[str, SourceFacts],
    sources: list[OpenSource],
    corpus: CorpusFolder,
    run: StageRun,
) -> Manifest:
    """Decide on every pair; write the decision table and the manifest."""
    decisions = decide(recipe, measured, measured_evaluation, corpus, run)
    drop_manifest(corpus.path)
    files = write_verdicts(decisions.table, measured, corpus)
    shapes = _cluster_shapes(corpus, files)
    if large := warning(shapes):
        print(large, file=sys.stderr)
    steps = funnel(decisions.table)
    contaminated = write_contaminated(decisions, corpus)
    kept_measures = _kept_from_other_versions([*measured, *measured_evaluation, *decisions.scored])
    return save_manifest(
        corpus.path,
        new_manifest(
            "corpus",
            schema={field.name: str(field.type) for field in VERDICTS},
            files=files,
            lineage={
                "recipe": recipe.document(),
                "parents": decisions.parents,
                "steps": steps,
                "signatures": SIGNATURES,
                **({"sources": {name: each.model_dump() for name, each in facts.items()}} if facts else {}),
                **({"vectors": decisions.vectors} if decisions.vectors else {}),
                **({"kept_measures": kept_measures} if kept_measures else {}),
            },
            licenses=_licenses(corpus, files, sources),
            totals=_totals(decisions, shapes),
            contaminated=contaminated,
        ),
    )


class _Opened(NamedTuple):
    source: OpenSource
    listing: SourceListing


def _open_and_list(
    sections: Sequence[SourceSection], recipe: Recipe, corpus: CorpusFolder, run: StageRun
) -> dict[str, _Opened]:
    """Every source by its name. What lies on disk is listed first: it may be refused before anything is fetched."""
    opened: dict[str, _Opened] = {}
    for section in sorted(sections, key=lambda section: KINDS[section.kind].gather is not None):
        source = open_source(section, recipe, corpus, run)
        opened[section.name] = _Opened(source, list_source(section, source))
    return {section.name: opened[section.name] for section in sections}


def measure_sources(listings: Mapping[str, SourceListing], recipe: Recipe, out: Path, run: StageRun) -> list[Measured]:
    parts = [part for listing in listings.values() for part in listing.parts]
    config = MeasureConfig(max_pixels=recipe.images.max_pixels, max_seconds=recipe.images.max_seconds)
    return run_stage(MEASURE, parts, config, out, run)


def _kept_from_other_versions(results: list[PartResult[Any]]) -> dict[str, int]:
    """Hash of the code and libraries → how many parts `--keep-measures` took over from them."""
    return dict(sorted(Counter(result.kept_from for result in results if result.kept_from).items()))


def _totals(decisions: Decisions, shapes: ClusterShapes) -> dict[str, int]:
    return {
        "pairs": len(decisions.table),
        "kept": int(pc.sum(decisions.table["kept"]).as_py() or 0),
        "clusters": shapes.clusters,
        "largest_cluster": max((cluster.pictures for cluster in shapes.largest), default=1),
    }


def _cluster_shapes(corpus: CorpusFolder, files: list[FileEntry]) -> ClusterShapes:
    rows = ClusterRows()
    for entry in files:
        rows.add(read_part(corpus.path, entry, ["key", "cluster", "phash64", "pixels_hash"]))
    return rows.shapes()


def _licenses(corpus: CorpusFolder, files: list[FileEntry], sources: list[OpenSource]) -> list[License]:
    """Who must be named for what was kept, and for how many pairs; a source may have pictures of several licences."""
    kept: Counter[tuple[str, str]] = Counter()
    for table in kept_pairs(corpus.path, files, ["source", "license"]):
        counts = table.group_by(["source", "license"]).aggregate([([], "count_all")])
        kept.update({(row["source"], row["license"]): row["count_all"] for row in counts.to_pylist()})
    return [
        License(source=source.name, license=words, attribution=source.attribution, samples=kept[source.name, words])
        for source in sources
        for words in sorted({words for name, words in kept if name == source.name} or {source.license})
    ]
