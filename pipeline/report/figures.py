"""What a report counts: of each source what became of its pairs, and of each measure how often each value occurs.

    numbers = Numbers()
    for part in corpus_parts(corpus):
        numbers.add(part)
    numbers.sources["photos"].kept, numbers.tallies["side"].quantile(0.5)

Every count is exact and a sum over parts: memory grows by 32 bytes for each caption that differs, and by no more.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..scores.scores import score_columns
from .captions import CaptionCounts
from .tally import Floats, Tally


def _floats(column: pa.ChunkedArray) -> Floats:
    """Null becomes NaN."""
    values: Floats = column.to_numpy().astype(np.float64)
    return values


def _side(part: pa.Table) -> Floats:
    return np.minimum(_floats(part["width"]), _floats(part["height"]))


def _ratio(part: pa.Table) -> Floats:
    ratio: Floats = _floats(part["width"]) / _floats(part["height"])
    return ratio


def _bytes(part: pa.Table) -> Floats:
    return np.where(part["image_sha256"].is_null().to_numpy(), np.nan, _floats(part["bytes"]))


def _length(part: pa.Table) -> Floats:
    length = _floats(pc.utf8_length(part["caption"]))
    return np.where(length > 0, length, np.nan)


def _column(name: str) -> Callable[[pa.Table], Floats]:
    return lambda part: _floats(part[name])


# name → values of a part, one a pair; significant digits that are kept, None: all of them
_MEASURES: dict[str, tuple[Callable[[pa.Table], Floats], int | None]] = {
    "side": (_side, None),
    "ratio": (_ratio, 4),
    "bytes": (_bytes, 4),
    "length": (_length, None),
    "quality": (_column("jpeg_quality"), None),
    "entropy": (_column("entropy"), 4),
    "sharpness": (_column("sharpness"), 4),
}


def _tallied() -> dict[str, tuple[Callable[[pa.Table], Floats], int | None]]:
    return {**_MEASURES, **{score.name: (_column(score.name), 4) for score in score_columns()}}


@dataclass
class SourceNumbers:
    pairs: int = 0
    kept: int = 0
    num_bytes: int = 0  # of its pictures, each once
    stages: Counter[str] = field(default_factory=Counter)  # dropped pairs
    reasons: Counter[str] = field(default_factory=Counter)
    sides: Tally = field(default_factory=Tally)


class Numbers:
    def __init__(self) -> None:
        self.sources: dict[str, SourceNumbers] = {}
        self.reasons: Counter[str] = Counter()
        self._tallied = _tallied()
        self.tallies = {name: Tally(digits) for name, (_, digits) in self._tallied.items()}
        self.formats: dict[str, list[int]] = {}  # [dropped, kept]
        self.captions = CaptionCounts()

    def add(self, part: pa.Table) -> None:
        kept = part["kept"].to_numpy().astype(bool)
        for name, (values_of, _) in self._tallied.items():
            self.tallies[name].add(values_of(part), kept)
        self._add_sources(part, kept)
        self._add_formats(part)
        self.captions.add(part)

    def _add_sources(self, part: pa.Table, kept: Any) -> None:
        for row in _counts(part, ["source", "stage", "reason"]):
            about = self.sources.setdefault(row["source"], SourceNumbers())
            about.pairs += row["count_all"]
            if row["reason"]:
                about.stages[row["stage"]] += row["count_all"]
                about.reasons[row["reason"]] += row["count_all"]
                self.reasons[row["reason"]] += row["count_all"]
            else:
                about.kept += row["count_all"]
        first = part.filter(_begins_a_picture(part)).group_by("source").aggregate([("bytes", "sum")])
        for row in first.to_pylist():
            self.sources[row["source"]].num_bytes += row["bytes_sum"] or 0
        sides = _side(part)
        for source in pc.unique(part["source"]).to_pylist():
            mine = pc.equal(part["source"], source).to_numpy()
            self.sources[source].sides.add(sides[mine], kept[mine])

    def _add_formats(self, part: pa.Table) -> None:
        for row in _counts(part, ["format", "kept"]):
            if row["format"]:
                self.formats.setdefault(row["format"], [0, 0])[row["kept"]] += row["count_all"]


def _counts(part: pa.Table, columns: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = part.group_by(columns).aggregate([([], "count_all")]).to_pylist()
    return found


def _begins_a_picture(part: pa.Table) -> pa.Array:
    """The captions of a picture stand one after another."""
    if len(part) < 2:
        return pa.array([True] * len(part))
    others = [pc.not_equal(column.slice(1), column.slice(0, len(part) - 1)) for column in _place(part)]
    return pa.concat_arrays([pa.array([True]), pc.or_(*others)])


def _place(part: pa.Table) -> tuple[pa.Array, pa.Array]:
    return part["source"].combine_chunks(), part["origin"].combine_chunks()
