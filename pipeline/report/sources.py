"""The sources of a corpus as the page shows them: what became of their pairs, and under which licences they are.

source_rows(corpus, numbers), license_rows(corpus), format_rows(numbers)
"""

from dataclasses import dataclass

from ...manifests.documents import License
from ...manifests.manifest import Manifest
from ..reasons import title_of
from .corpus_numbers import CorpusNumbers, SourceNumbers, most_first

_REASONS_SHOWN = 3  # of a source
_FORMATS_SHOWN = 6

Bar = tuple[str, int, int]  # name, dropped pairs, kept pairs


@dataclass(frozen=True)
class SourceRow:
    name: str
    numbers: SourceNumbers
    side: float | None  # median shorter side in px
    reasons: list[tuple[str, int]]  # title, pairs; the most frequent ones
    licenses: list[str]
    attributions: list[str]


@dataclass(frozen=True)
class LicenseRow:
    license: str
    samples: int
    sources: list[License]  # entries of the sources that are under it


def source_rows(corpus: Manifest, numbers: CorpusNumbers) -> list[SourceRow]:
    """The sources in the order of the manifest, then those from which nothing was kept."""
    names = dict.fromkeys([entry.source for entry in corpus.licenses] + sorted(numbers.sources))
    return [_source_row(corpus, name, numbers.sources[name]) for name in names if name in numbers.sources]


def license_rows(corpus: Manifest) -> list[LicenseRow]:
    """The licences with their sources; the one with the most samples first."""
    by_license: dict[str, list[License]] = {}
    for entry in corpus.licenses:
        by_license.setdefault(entry.license, []).append(entry)
    rows = [LicenseRow(name, sum(each.samples for each in sources), sources) for name, sources in by_license.items()]
    return sorted(rows, key=lambda row: (-row.samples, row.license))


def format_rows(numbers: CorpusNumbers) -> list[Bar]:
    """The most frequent formats, and the rare ones together."""
    rows = [(name, dropped, kept) for name, (dropped, kept) in numbers.formats.items()]
    rows.sort(key=lambda row: (-row[1] - row[2], row[0]))
    rare = rows[_FORMATS_SHOWN:]
    others = (f"{len(rare)} others", sum(dropped for _, dropped, _ in rare), sum(kept for _, _, kept in rare))
    return [*rows[:_FORMATS_SHOWN], others] if rare else rows


def _source_row(corpus: Manifest, name: str, numbers: SourceNumbers) -> SourceRow:
    entries = [entry for entry in corpus.licenses if entry.source == name]
    return SourceRow(
        name=name,
        numbers=numbers,
        side=numbers.sides.quantile(0.5),
        reasons=[(title_of(reason), count) for reason, count in most_first(numbers.reasons)[:_REASONS_SHOWN]],
        licenses=[entry.license for entry in entries],
        attributions=list(dict.fromkeys(entry.attribution for entry in entries if entry.attribution)),
    )
