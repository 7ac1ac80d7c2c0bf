"""The report's part on duplicates: which fell to which, worst first; the clusters; what the evaluation met.

    duplicates_section(corpus, recipe, duplicates, shapes, pictures)      # what `duplicates.html` draws, or None

The other picture of a duplicate may be an evaluation picture, of which only the measures lie here, or stand in an
earlier corpus: then its key is shown, and no picture.
"""

from collections import Counter
from typing import Any

import pyarrow.parquet as pq

from ...manifests.manifest import Manifest
from ...manifests.recipe.recipe import Recipe
from ..duplicates.cluster_shapes import CODES_COMPARED, Cluster, ClusterShapes, warning
from ..reasons import title_of
from .charts import Chart, Rule, columns, histogram
from .corpus_parts import Row, evaluation_rows_of, rows_of
from .duplicate_pairs import MOST_BITS, REPLACED, RUNGS, WORST_SHOWN, DuplicatePairs, rung_of
from .thumbnails import SmallPictures
from .tiles import tile_of

_WORST = {
    "difference": "those that differ most",
    "cosine": "found by their vectors alone, the lowest cosine first",
    "distance": "whose difference was not recorded, the farthest by hash first",
}
_REPLACED_TITLE = "换图 · kept with the other's picture"


def duplicates_section(
    corpus: Manifest, recipe: Recipe, duplicates: DuplicatePairs, shapes: ClusterShapes, pictures: SmallPictures
) -> dict[str, Any] | None:
    if not shapes.clusters and not any(duplicates.counts.values()):
        return None
    shown = {name: duplicates.of(name) for name in (*_WORST, "rungs", "exact", "evaluation", "earlier")}
    if duplicates.ordered_by["difference"] <= WORST_SHOWN:
        shown["rungs"] = []  # they are among the worst, all of them
    partners = _partners(corpus, [row for rows in shown.values() for row in rows])
    samples = rows_of(corpus, {key for cluster in shapes.largest for key in cluster.samples})
    pictures.add([*(row for rows in shown.values() for row in rows), *partners.values(), *samples.values()])
    cards = {name: [_card(row, partners, pictures) for row in rows] for name, rows in shown.items()}
    return {
        "charts": _charts(duplicates, recipe), "worst": [(name, words, duplicates.ordered_by[name], cards[name]) for
        name, words in _WORST.items() if cards[name]], "rungs": _rungs(cards["rungs"], duplicates), "exact": [
            (_title(kind), count, [card for card in cards["exact"] if card["kind"] == kind])
            for kind, count in sorted(duplicates.counts["exact"].items(), key=lambda entry: (-entry[1], entry[0]))
        ],
        "evaluation": _away(duplicates, cards, "evaluation"),
        "contaminated": _contaminated(corpus),
        "earlier": _away(duplicates, cards, "earlier"),
        "clusters": _clusters(shapes, samples, pictures),
    }  # fmt: skip


def _partners(corpus: Manifest, rows: list[Row]) -> dict[tuple[str, str], Row]:
    """(stage, key) → the row of each one's other picture, as far as it is at hand; a known picture may share a key."""
    here = {row["partner"] for row in rows if row["stage"] not in ("evaluation", "earlier")}
    away = {row["partner"] for row in rows if row["stage"] == "evaluation"}
    found = {("", key): row for key, row in rows_of(corpus, here).items()}
    return found | {("evaluation", key): row for key, row in evaluation_rows_of(corpus, away).items()}


def _card(row: Row, partners: dict[tuple[str, str], Row], pictures: SmallPictures) -> dict[str, Any]:
    """A duplicate beside its partner, and how far apart they are."""
    away = row["stage"] if row["stage"] in ("evaluation", "earlier") else ""
    partner = partners.get((away, row["partner"]))
    return {
        "kind": row["kind"],
        "title": _title(row["kind"]),
        "dropped": tile_of(row, pictures),
        "keeper": tile_of(partner, pictures) if partner else None,
        "partner": row["partner"],
        "stage": row["stage"],
        "is_replaced": row["kind"] == REPLACED,
        **{name: row[name] for name in ("difference", "distance", "cosine")},
    }


def _title(kind: str) -> str:
    return _REPLACED_TITLE if kind == REPLACED else title_of(kind)


def _rungs(cards: list[dict[str, Any]], duplicates: DuplicatePairs) -> list[dict[str, Any]]:
    """From alike to unlike: each step's card, how many pairs it has, and how many lie above its lower end."""
    counts = duplicates.differences.tolist()
    found = []
    for card in sorted(cards, key=lambda card: float(card["difference"])):
        place = int(rung_of(card["difference"]))
        words = _rung_name(place)
        found.append({"words": words, "count": counts[place], "above": sum(counts[place:]), "card": card})
    return found


def _rung_name(place: int) -> str:
    return "above 1" if place == RUNGS else f"{place / RUNGS:.2f} – {(place + 1) / RUNGS:.2f}"


def _charts(duplicates: DuplicatePairs, recipe: Recipe) -> list[Chart]:
    """Exact counts over all near-duplicates, as far as each was measured."""
    charts: list[Chart | None] = []
    if duplicates.differences.any():
        bars = RUNGS + bool(duplicates.differences[RUNGS])
        across = [(100 * place / bars, f"{place / RUNGS:g}") for place in range(0, RUNGS + 1, 4)]
        words = [f"of {int(duplicates.differences.sum()):,} near-duplicates", "allowed: 1"]
        names = [_rung_name(place) for place in range(bars)]
        charts.append(columns(duplicates.differences[:bars], names, "差 · difference of the two", words, across, ""))
    if duplicates.distances.any():
        bars = MOST_BITS + 1 + bool(duplicates.distances[MOST_BITS + 1])
        names = [f"{bits}+" if bits > MOST_BITS else str(bits) for bits in range(bars)]
        across = [
            (100 * (bits + 0.5) / bars, name) for bits, name in enumerate(names) if bits in (0, 2, 4, 6, bars - 1)
        ]
        words = [f"proposed up to {recipe.duplicates.radius}"]
        charts.append(
            columns(duplicates.distances[:bars], names, "距 · distance of their hashes", words, across, "bits of 64")
        )
    rules = []
    if recipe.duplicates.embedding.model:
        least = recipe.duplicates.embedding.min_cosine
        rules = [Rule(least, f"≥ {least:g}")]
    charts.append(histogram(duplicates.cosines, "似 · cosine of their vectors", "", "linear", rules))
    return [chart for chart in charts if chart]


def _away(duplicates: DuplicatePairs, cards: dict[str, list[dict[str, Any]]], family: str) -> dict[str, Any] | None:
    counts = duplicates.counts[family]
    if not counts:
        return None
    reasons = [(_title(kind), count) for kind, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))]
    return {"count": counts.total(), "reasons": reasons, "cards": cards[family]}


def _contaminated(corpus: Manifest) -> dict[str, Any] | None:
    """The list that lies beside the corpus: its entry in the manifest, and its rows by evaluation source."""
    entry = corpus.document.get("contaminated")
    if not entry:
        return None
    counts: Counter[str] = Counter()
    path = corpus.folder / entry["name"]
    if path.is_file():
        sources = pq.read_table(path, columns=["evaluation_source"])["evaluation_source"]
        counts.update({each["values"]: each["counts"] for each in sources.value_counts().to_pylist()})
    by_source = sorted(counts.items(), key=lambda each: (-each[1], each[0] or ""))
    return {**entry, "sources": [(name or "unknown", count) for name, count in by_source]}


def _clusters(shapes: ClusterShapes, samples: dict[str, Row], pictures: SmallPictures) -> dict[str, Any]:
    return {
        "count": shapes.clusters,
        "sizes": shapes.sizes,
        "largest": [_cluster(cluster, samples, pictures) for cluster in shapes.largest],
        "compared": CODES_COMPARED,
        "is_exact": all(cluster.is_exact for cluster in shapes.largest),
        "warning": warning(shapes),
    }


def _cluster(cluster: Cluster, samples: dict[str, Row], pictures: SmallPictures) -> dict[str, Any]:
    tiles = [tile_of(samples[key], pictures) for key in cluster.samples if key in samples]
    return {"about": cluster, "tiles": tiles}
