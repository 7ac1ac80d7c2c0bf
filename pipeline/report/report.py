"""`report.html`: one self-contained page that shows a run and what proves it.

    write_report(RunFolder(Path("runs/emoji")))

The page is made from what the stages left on disk: manifests, decision table, measures, losses, sampled pictures. So it
can be written after any stage, and shows the stages that have run. Counts and histograms are exact and read part by
part. The pictures are a sample in the order of the keys, which are hashes: a random one, the same each time.
"""

from dataclasses import dataclass
from pathlib import Path

from ...manifests.atomic import whole_file
from ...manifests.documents import Lineage
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.recipe.recipe import Recipe
from ...manifests.run_folders import CorpusFolder, RunFolder
from ..duplicates.cluster_shapes import ClusterRows
from ..load_recipe import recorded_recipe
from ..reasons import STAGES
from .charts import Chart
from .codes import ShardsSection, shards_section
from .corpus_numbers import CorpusNumbers, caption_charts, picture_charts
from .corpus_parts import corpus_parts
from .descent import shards_of, warnings_of_descent
from .duplicate_pairs import DuplicatePairs
from .duplicates import DuplicatesSection, duplicates_section
from .fetching import fetching_chart
from .funnel import FunnelRow, funnel_rows
from .galleries import DroppedGroup, dropped_groups, kept_tiles
from .judged import JudgedSection, judged_section
from .later_stages import (
    PhaseTime,
    Proof,
    TrainingSection,
    phase_times,
    proofs,
    training_section,
)
from .longer import LongerPart, longer_parts
from .samples import Samples
from .sources import (
    Bar,
    FactsRow,
    LicenseRow,
    SourceRow,
    bars,
    evaluation_facts,
    license_rows,
    license_splits,
    source_rows,
)
from .templates import template
from .thumbnails import SmallPictures
from .tiles import WHOLE_CHARACTERS, Tile, plain

_CAPTIONS_SHOWN = 10  # of the most frequent ones


@dataclass(frozen=True)
class CorpusSections:
    """What `corpus.html` shows."""

    funnel: list[FunnelRow]
    stages: list[str]  # stages that dropped something
    sources: list[SourceRow]
    evaluation_facts: list[FactsRow]
    licenses: list[LicenseRow]
    license_splits: list[str]  # splits of the shards, where their licences were counted
    charts: list[Chart]
    formats: list[Bar]
    metadata: list[Bar]  # what is broken of it, though the picture is whole
    caption_charts: list[Chart]
    distinct_captions: int
    frequent_captions: list[Bar]
    kept: list[Tile]
    dropped: list[DroppedGroup]
    duplicates: DuplicatesSection | None


@dataclass(frozen=True)
class RunSections:
    """What the rest of `report.html` shows."""

    name: str
    totals: dict[str, int]  # of the corpus
    lineage: Lineage  # of the corpus
    contact: str
    warnings: list[str]  # of stages that are of something else than what the page shows
    shards: ShardsSection | None
    training: TrainingSection | None
    judged: JudgedSection | None
    longer: list[LongerPart]
    proofs: list[Proof]
    times: list[PhaseTime]


def write_report(run: RunFolder, corpus_folder: CorpusFolder | None = None) -> Path:
    """Write the page of `run`; return its path. The corpus may be elsewhere: in `corpus_folder`."""
    corpus = load_manifest((corpus_folder or run.corpus).path, "corpus")
    recipe = recorded_recipe(corpus.document["lineage"]["recipe"])
    sections = RunSections(
        name=recipe.name,
        totals=corpus.totals,
        lineage=corpus.lineage,
        contact=recipe.export.contact,
        warnings=warnings_of_descent(run, corpus),
        shards=shards_section(run.shards),
        training=training_section(run.train),
        judged=judged_section(run.train),
        longer=longer_parts(run.train),
        proofs=proofs(run, corpus),
        times=phase_times(run),
    )
    page = template("report.html").render(
        vars(sections) | vars(_corpus_sections(corpus, recipe, shards_of(run, corpus)))
    )
    with whole_file(run.report) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return run.report


def refresh_report(run: RunFolder) -> None:
    """Write the page again after another stage of the run; does nothing if the run has no corpus."""
    if run.corpus.manifest.is_file():
        write_report(run)


def _corpus_sections(corpus: Manifest, recipe: Recipe, shards: Manifest | None) -> CorpusSections:
    numbers, samples, duplicates, clusters = CorpusNumbers(), Samples(), DuplicatePairs(), ClusterRows()
    for part in corpus_parts(corpus):
        for each in (numbers, samples, duplicates, clusters):
            each.add(part)
    pictures = SmallPictures(corpus)
    fetching = fetching_chart(corpus)
    return CorpusSections(
        funnel=funnel_rows(corpus),
        stages=[stage for stage in STAGES if any(source.stages[stage] for source in numbers.sources.values())],
        sources=source_rows(corpus, numbers),
        evaluation_facts=evaluation_facts(corpus),
        licenses=license_rows(corpus, shards),
        license_splits=license_splits(shards),
        charts=[*picture_charts(numbers, recipe), *([fetching] if fetching else [])],
        formats=bars(numbers.formats),
        metadata=bars(numbers.metadata),
        caption_charts=caption_charts(numbers, recipe),
        distinct_captions=numbers.captions.distinct(),
        frequent_captions=[
            (plain(each.caption)[:WHOLE_CHARACTERS], each.dropped, each.kept)
            for each in numbers.captions.most_frequent(corpus, _CAPTIONS_SHOWN)
        ],
        kept=kept_tiles(samples, pictures),
        dropped=dropped_groups(recipe, numbers, samples, pictures),
        duplicates=duplicates_section(corpus, recipe, duplicates, clusters.shapes(), pictures),
    )
