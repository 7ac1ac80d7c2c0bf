"""The sources of a corpus as the page shows them: what became of their pairs, and under which licences they are.

source_rows(corpus, numbers), evaluation_facts(corpus), license_rows(corpus, shards), bars(numbers.formats)
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...manifests.documents import License, SourceFacts
from ...manifests.manifest import Manifest
from ..reasons import title_of
from .corpus_numbers import CorpusNumbers, SourceNumbers, most_first

_REASONS_SHOWN = 3  # of a source
_BARS_SHOWN = 6

Bar = tuple[str, int, int]  # name, dropped pairs, kept pairs


@dataclass(frozen=True)
class Passed:
    """What is no pair and belongs to none, of one kind."""

    kind: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class FactsRow:
    """What was told of a source besides its pairs."""

    name: str
    encoding: str | None  # of its text
    reads: list[str]  # what was taken as what
    passed: list[Passed]  # the most frequent kind first


@dataclass(frozen=True)
class SourceRow:
    name: str
    numbers: SourceNumbers
    side: float | None  # median shorter side in px
    reasons: list[tuple[str, int]]  # title, pairs; the most frequent ones
    licenses: list[str]
    attributions: list[str]
    facts: FactsRow | None  # None: there is nothing to say


@dataclass(frozen=True)
class LicensedSource:
    entry: License  # of the corpus
    in_splits: list[tuple[str, int]]  # split, samples in the shards


@dataclass(frozen=True)
class LicenseRow:
    license: str
    samples: int
    sources: list[LicensedSource]  # sources that are under it


def source_rows(corpus: Manifest, numbers: CorpusNumbers) -> list[SourceRow]:
    """The sources in the order of the manifest, then those from which nothing was kept, or nothing is a pair."""
    facts = {name: each for name, each in _facts(corpus).items() if name in _named(corpus)}
    names = dict.fromkeys([*(entry.source for entry in corpus.licenses), *sorted(numbers.sources), *sorted(facts)])
    return [
        _source_row(corpus, name, numbers.sources.get(name, SourceNumbers()))
        for name in names
        if name in numbers.sources or name in facts
    ]


def evaluation_facts(corpus: Manifest) -> list[FactsRow]:
    """The facts of sources that are not of the corpus: those of the recipe's `evaluation`."""
    return [_facts_row(name, facts) for name, facts in _facts(corpus).items() if name not in _named(corpus)]


def license_rows(corpus: Manifest, shards: Manifest | None = None) -> list[LicenseRow]:
    """The licences with their sources; the one with the most samples first. `shards` are of this corpus."""
    by_license: dict[str, list[License]] = {}
    for entry in corpus.licenses:
        by_license.setdefault(entry.license, []).append(entry)
    in_shards = {(entry.source, entry.license): entry.splits or {} for entry in shards.licenses} if shards else {}
    splits = license_splits(shards)
    rows = [
        LicenseRow(
            license=name,
            samples=sum(entry.samples for entry in entries),
            sources=[
                LicensedSource(
                    entry, [(split, in_shards.get((entry.source, entry.license), {}).get(split, 0)) for split in splits]
                )
                for entry in entries
            ],
        )
        for name, entries in by_license.items()
    ]
    return sorted(rows, key=lambda row: (-row.samples, row.license))


def license_splits(shards: Manifest | None) -> list[str]:
    """The splits for which the shards have counted their licences; older ones have not."""
    if shards is None or any(entry.splits is None for entry in shards.licenses):
        return []
    return list(shards.splits)


def bars(counts: Mapping[str, list[int]]) -> list[Bar]:
    """The most frequent formats, or faults of metadata, and the rare ones together."""
    rows = [(name, dropped, kept) for name, (dropped, kept) in counts.items()]
    rows.sort(key=lambda row: (-row[1] - row[2], row[0]))
    rare = rows[_BARS_SHOWN:]
    others = (f"{len(rare)} others", sum(dropped for _, dropped, _ in rare), sum(kept for _, _, kept in rare))
    return [*rows[:_BARS_SHOWN], others] if rare else rows


def _source_row(corpus: Manifest, name: str, numbers: SourceNumbers) -> SourceRow:
    entries = [entry for entry in corpus.licenses if entry.source == name]
    return SourceRow(
        name=name,
        numbers=numbers,
        side=numbers.sides.quantile(0.5),
        reasons=[(title_of(reason), count) for reason, count in most_first(numbers.reasons)[:_REASONS_SHOWN]],
        licenses=[entry.license for entry in entries],
        attributions=list(dict.fromkeys(entry.attribution for entry in entries if entry.attribution)),
        facts=_facts_row(name, facts[name]) if name in (facts := _facts(corpus)) else None,
    )


def _facts(corpus: Manifest) -> dict[str, SourceFacts]:
    return corpus.lineage.sources or {}


def _named(corpus: Manifest) -> set[str]:
    """The names of the sources of the recipe, without those of `evaluation`."""
    return {source["name"] for source in (corpus.lineage.recipe or {}).get("sources", [])}


def _facts_row(name: str, facts: SourceFacts) -> FactsRow:
    passed = [Passed(kind, each.count, each.examples) for kind, each in facts.passed_over.items()]
    return FactsRow(name, facts.encoding, facts.reads, sorted(passed, key=lambda each: (-each.count, each.kind)))
