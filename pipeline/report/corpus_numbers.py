"""The numbers of a report: what became of the pairs of each source, and how often each measured value occurs.

    numbers = CorpusNumbers()
    for part in corpus_parts(corpus):
        numbers.add(part)
    numbers.sources["photos"].kept, numbers.tallies["side"].quantile(0.5)
    picture_charts(numbers, recipe)

Every count is exact and a sum over parts. Memory grows by 32 bytes for each distinct caption, and by no more.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from ...manifests.recipe.recipe import Recipe
from ..reasons import Row
from .caption_counts import CaptionCounts
from .charts import Chart, histogram
from .plots import most, plots, shorter_side
from .tally import Mask, Tally


@dataclass
class SourceNumbers:
    pairs: int = 0
    kept: int = 0
    num_bytes: int = 0  # of its pictures, each once
    stages: Counter[str] = field(default_factory=Counter)  # dropped pairs
    reasons: Counter[str] = field(default_factory=Counter)
    sides: Tally = field(default_factory=Tally)  # shorter sides, in px


class CorpusNumbers:
    def __init__(self) -> None:
        self.plots = plots()
        self.tallies = {plot.name: Tally(plot.digits) for plot in self.plots}
        self.sources: dict[str, SourceNumbers] = {}
        self.reasons: Counter[str] = Counter()
        self.formats: dict[str, list[int]] = {}  # [dropped, kept]
        self.metadata: dict[str, list[int]] = {}  # the same, of pairs whose picture has broken metadata
        self.captions = CaptionCounts()

    def add(self, part: pa.Table) -> None:
        kept = part["kept"].to_numpy().astype(bool)
        for plot in self.plots:
            self.tallies[plot.name].add(plot.values(part), kept)
        self._add_sources(part, kept)
        _add_pairs(self.formats, part, "format")
        _add_pairs(self.metadata, part, "metadata")
        self.captions.add(part)

    def _add_sources(self, part: pa.Table, kept: Mask) -> None:
        for row in _counts(part, ["source", "stage", "reason"]):
            source = self.sources.setdefault(row["source"], SourceNumbers())
            source.pairs += row["count_all"]
            if row["reason"]:
                source.stages[row["stage"]] += row["count_all"]
                source.reasons[row["reason"]] += row["count_all"]
                self.reasons[row["reason"]] += row["count_all"]
            else:
                source.kept += row["count_all"]
        first = part.filter(_is_first_of_its_picture(part)).group_by("source").aggregate([("bytes", "sum")])
        for row in first.to_pylist():
            self.sources[row["source"]].num_bytes += row["bytes_sum"] or 0
        sides = shorter_side(part)
        for name in pc.unique(part["source"]).to_pylist():
            mine = pc.equal(part["source"], name).to_numpy()
            self.sources[name].sides.add(sides[mine], kept[mine])


def _add_pairs(counts: dict[str, list[int]], part: pa.Table, column: str) -> None:
    """Add the dropped and the kept pairs of each word in the column."""
    for row in _counts(part, [column, "kept"]):
        if row[column]:
            counts.setdefault(row[column], [0, 0])[row["kept"]] += row["count_all"]


def most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest count first; equal counts by name."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def picture_charts(numbers: CorpusNumbers, recipe: Recipe) -> list[Chart]:
    return list(_histograms(numbers, recipe, is_of_captions=False))


def caption_charts(numbers: CorpusNumbers, recipe: Recipe) -> list[Chart]:
    limit = most(recipe.captions.resolved().max_count, "pairs")
    shared = histogram(numbers.captions.tally(), "频 · pairs that share their caption", "", "log", limit)
    return [*_histograms(numbers, recipe, is_of_captions=True), *([shared] if shared else [])]


def _histograms(numbers: CorpusNumbers, recipe: Recipe, *, is_of_captions: bool) -> Iterator[Chart]:
    """The plots for which something was measured."""
    for plot in numbers.plots:
        if plot.is_of_captions == is_of_captions:
            tally = numbers.tallies[plot.name]
            chart = histogram(tally, plot.title, plot.unit, plot.scale, plot.rules(recipe), plot.shown)
            if chart:
                yield chart


def _counts(part: pa.Table, columns: list[str]) -> list[Row]:
    """The distinct values of the columns, each with `count_all`."""
    rows: list[Row] = part.group_by(columns).aggregate([([], "count_all")]).to_pylist()
    return rows


def _is_first_of_its_picture(part: pa.Table) -> pa.Array:
    """The captions of a picture stand one after another."""
    if len(part) < 2:
        return pa.array([True] * len(part), pa.bool_())
    columns = [part[name].combine_chunks() for name in ("source", "origin")]
    differs = [pc.not_equal(column.slice(1), column.slice(0, len(part) - 1)) for column in columns]
    return pa.concat_arrays([pa.array([True]), pc.or_(*differs)])
