"""The charts of the near-duplicates of a corpus: how far apart the two pictures of each pair are.

duplicate_charts(duplicates, recipe)        # of those measures that some pair has
"""

from ...manifests.counted import counted
from ...manifests.recipe.recipe import Recipe
from .axis import Rule
from .charts import Chart, columns, histogram
from .duplicate_pairs import BINS, MOST_BITS, DuplicatePairs


def duplicate_charts(duplicates: DuplicatePairs, recipe: Recipe) -> list[Chart]:
    """Exact counts over all near-duplicates for which the measure is known."""
    charts = [_differences(duplicates), _distances(duplicates, recipe.duplicates.radius), _cosines(duplicates, recipe)]
    return [chart for chart in charts if chart]


def bin_name(index: int) -> str:
    return "above 1" if index == BINS else f"{index / BINS:.2f} – {(index + 1) / BINS:.2f}"


def _differences(duplicates: DuplicatePairs) -> Chart | None:
    counts = duplicates.differences
    if not counts.any():
        return None
    bars = BINS + bool(counts[BINS])
    across = [(100 * index / bars, f"{index / BINS:g}") for index in range(0, BINS + 1, 4)]
    words = [f"of {counted(int(counts.sum()), 'near-duplicate')}", "allowed: 1"]
    names = [bin_name(index) for index in range(bars)]
    return columns(counts[:bars], names, "差 · difference of the two pictures", words, across, "")


def _distances(duplicates: DuplicatePairs, radius: int) -> Chart | None:
    counts = duplicates.distances
    if not counts.any():
        return None
    bars = MOST_BITS + 1 + bool(counts[MOST_BITS + 1])
    names = [f"{bits}+" if bits > MOST_BITS else str(bits) for bits in range(bars)]
    labelled = (0, 2, 4, 6, bars - 1)
    across = [(100 * (bits + 0.5) / bars, names[bits]) for bits in range(bars) if bits in labelled]
    return columns(
        counts[:bars], names, "距 · distance of the hashes", [f"compared up to {radius}"], across, "bits of 64"
    )


def _cosines(duplicates: DuplicatePairs, recipe: Recipe) -> Chart | None:
    embedding = recipe.duplicates.embedding
    rules = [Rule(embedding.min_cosine, f"≥ {embedding.min_cosine:g}")] if embedding.model else []
    return histogram(duplicates.cosines, "似 · cosine of the embeddings", "", "linear", rules)
