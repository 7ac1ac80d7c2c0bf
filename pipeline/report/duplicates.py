"""The report's section on duplicates: dropped beside kept, worst first; evaluation pictures; the clusters.

    duplicates_section(corpus, recipe, duplicates, shapes, pictures)      # what `duplicates.html` shows, or None

The kept picture may be an evaluation picture, of which only the measures are here, or may be in an earlier corpus. Then
its key is shown instead of it.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from ...manifests.manifest import Manifest
from ...manifests.recipe.recipe import Recipe
from ..duplicates.cluster_shapes import CODES_COMPARED, Cluster, ClusterShapes, SizeClass, warning
from ..reasons import Row, title_of
from .charts import Chart
from .corpus_numbers import most_first
from .corpus_parts import evaluation_rows_of, rows_of
from .duplicate_charts import bin_name, duplicate_charts
from .duplicate_pairs import ELSEWHERE, REPLACED, WORST_SHOWN, DuplicatePairs, bin_of
from .thumbnails import SmallPictures
from .tiles import Tile, tile_of

_WORST = {
    "difference": "those that differ most",
    "cosine": "found by their embeddings alone, the lowest cosine first",
    "distance": "no difference was recorded; the largest distance of the hashes first",
}
_REPLACED_TITLE = "换图 · kept with the other's picture"

Titles = list[tuple[str, int]]  # title of a reason, pairs
Partners = dict[tuple[str, str], Row]  # (stage of ELSEWHERE or "", key) → row; known pictures may share a key


@dataclass(frozen=True)
class Card:
    """A duplicate beside its partner."""

    kind: str
    title: str
    dropped: Tile
    keeper: Tile | None  # None: its picture is not here
    partner: str  # key
    stage: str
    is_replaced: bool  # kept, but shown with the partner's picture
    difference: float | None
    distance: int | None  # bits of 64
    cosine: float | None


@dataclass(frozen=True)
class WorstFirst:
    measure: str
    words: str
    count: int  # of all
    cards: list[Card]


@dataclass(frozen=True)
class Bin:
    """A bin of the difference."""

    name: str
    count: int
    above: int  # pairs in this bin and in those above it
    card: Card


@dataclass(frozen=True)
class Copies:
    """Exact duplicates of one kind."""

    title: str
    count: int
    cards: list[Card]


@dataclass(frozen=True)
class DuplicatesElsewhere:
    """Pairs that were dropped for pictures of evaluation sources or of earlier corpora."""

    count: int
    reasons: Titles
    cards: list[Card]


@dataclass(frozen=True)
class Contaminated:
    """The file that lists all pairs that were dropped for evaluation pictures."""

    name: str
    sha256: str
    rows: int
    sources: list[tuple[str, int]]  # evaluation source, pairs


@dataclass(frozen=True)
class ClusterRow:
    shape: Cluster
    tiles: list[Tile]


@dataclass(frozen=True)
class Clusters:
    count: int
    sizes: tuple[SizeClass, ...]
    largest: list[ClusterRow]
    compared: int  # hashes of a cluster, at most
    is_exact: bool  # all diameters are of all hashes
    warning: str | None


@dataclass(frozen=True)
class DuplicatesSection:
    charts: list[Chart]
    worst: list[WorstFirst]
    bins: list[Bin]
    exact: list[Copies]
    evaluation: DuplicatesElsewhere | None
    contaminated: Contaminated | None
    earlier: DuplicatesElsewhere | None
    clusters: Clusters


def duplicates_section(
    corpus: Manifest, recipe: Recipe, duplicates: DuplicatePairs, shapes: ClusterShapes, pictures: SmallPictures
) -> DuplicatesSection | None:
    """None if the corpus has no duplicate."""
    if not shapes.clusters and not any(duplicates.counts.values()):
        return None
    rows = {name: duplicates.of(name) for name in (*_WORST, "bins", "exact", *ELSEWHERE)}
    if duplicates.ordered_by["difference"] <= WORST_SHOWN:
        rows["bins"] = []  # all of them are among the worst
    shown = [row for sample in rows.values() for row in sample]
    partners = _partners(corpus, shown)
    in_clusters = rows_of(corpus, {key for cluster in shapes.largest for key in cluster.samples})
    pictures.add([*shown, *partners.values(), *in_clusters.values()])
    cards = {name: [_card(row, partners, pictures) for row in sample] for name, sample in rows.items()}
    return DuplicatesSection(
        charts=duplicate_charts(duplicates, recipe),
        worst=[
            WorstFirst(name, words, duplicates.ordered_by[name], cards[name])
            for name, words in _WORST.items()
            if cards[name]
        ],
        bins=_bins(cards["bins"], duplicates),
        exact=[
            Copies(_title(kind), count, [card for card in cards["exact"] if card.kind == kind])
            for kind, count in most_first(duplicates.counts["exact"])
        ],
        evaluation=_elsewhere(duplicates.counts["evaluation"], cards["evaluation"]),
        contaminated=_contaminated(corpus),
        earlier=_elsewhere(duplicates.counts["earlier"], cards["earlier"]),
        clusters=_clusters(shapes, in_clusters, pictures),
    )


def _partners(corpus: Manifest, rows: list[Row]) -> Partners:
    """The rows of the partners that are in this corpus or among its evaluation pictures."""
    here = {row["partner"] for row in rows if row["stage"] not in ELSEWHERE}
    evaluation = {row["partner"] for row in rows if row["stage"] == "evaluation"}
    partners = {("", key): row for key, row in rows_of(corpus, here).items()}
    return partners | {("evaluation", key): row for key, row in evaluation_rows_of(corpus, evaluation).items()}


def _card(row: Row, partners: Partners, pictures: SmallPictures) -> Card:
    partner = partners.get((row["stage"] if row["stage"] in ELSEWHERE else "", row["partner"]))
    return Card(
        kind=row["kind"],
        title=_title(row["kind"]),
        dropped=tile_of(row, pictures),
        keeper=tile_of(partner, pictures) if partner else None,
        partner=row["partner"],
        stage=row["stage"],
        is_replaced=row["kind"] == REPLACED,
        difference=row["difference"],
        distance=row["distance"],
        cosine=row["cosine"],
    )


def _title(kind: str) -> str:
    return _REPLACED_TITLE if kind == REPLACED else title_of(kind)


def _bins(cards: list[Card], duplicates: DuplicatePairs) -> list[Bin]:
    """From alike to unlike."""
    counts = duplicates.differences.tolist()
    indices = bin_of(np.array([card.difference for card in cards], np.float64)).tolist()
    by_index = sorted(zip(indices, cards, strict=True), key=lambda entry: entry[0])
    return [Bin(bin_name(index), counts[index], sum(counts[index:]), card) for index, card in by_index]


def _elsewhere(counts: Counter[str], cards: list[Card]) -> DuplicatesElsewhere | None:
    if not counts:
        return None
    return DuplicatesElsewhere(counts.total(), [(_title(kind), count) for kind, count in most_first(counts)], cards)


def _contaminated(corpus: Manifest) -> Contaminated | None:
    entry = corpus.contaminated
    if entry is None:
        return None
    counts: Counter[str] = Counter()
    path = corpus.folder / entry.name
    if path.is_file():
        sources = pq.read_table(path, columns=["evaluation_source"])["evaluation_source"]
        counts.update({each["values"] or "unknown": each["counts"] for each in sources.value_counts().to_pylist()})
    return Contaminated(entry.name, entry.sha256, entry.rows or 0, most_first(counts))


def _clusters(shapes: ClusterShapes, rows: dict[str, Row], pictures: SmallPictures) -> Clusters:
    return Clusters(
        count=shapes.clusters,
        sizes=shapes.sizes,
        largest=[
            ClusterRow(shape, [tile_of(rows[key], pictures) for key in shape.samples if key in rows])
            for shape in shapes.largest
        ],
        compared=CODES_COMPARED,
        is_exact=all(cluster.is_exact for cluster in shapes.largest),
        warning=warning(shapes),
    )
