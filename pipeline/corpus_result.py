"""What `tuwen corpus` says at the end: how many pairs are kept, why most others are not, and what was passed over.

result = corpus_result(load_manifest("runs/photos/corpus"), report=Path("runs/photos/report.html"))
result["kept"], result["reasons"][0]["reason"], result["passed_over"]["photos"]
print(result_text(result))
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from ..manifests.counted import counted
from ..manifests.documents import SourceFacts
from ..manifests.manifest import Manifest
from .load_recipe import recorded_recipe
from .reasons import key_of, rule_of
from .sources.passed_over import PassedOver

_REASONS_SHOWN = 3


class ReasonCount(TypedDict):
    """A reason for which pairs were dropped."""

    reason: str
    pairs: int
    rule: str  # the limit, in words; empty: none
    key: str  # of the recipe, that sets the limit; empty: none


class CorpusResult(TypedDict):
    folder: str
    id: str
    totals: dict[str, int]
    pairs: int
    kept: int
    is_unchanged: bool  # the folder held the same corpus before
    reasons: list[ReasonCount]  # the most frequent first
    passed_over: dict[str, PassedOver]  # by source
    report: str  # path


def corpus_result(corpus: Manifest, report: Path, id_before: str | None = None) -> CorpusResult:
    return CorpusResult(
        folder=str(corpus.folder),
        id=corpus.id,
        totals=corpus.totals,
        pairs=corpus.totals["pairs"],
        kept=corpus.totals["kept"],
        is_unchanged=corpus.id == id_before,
        reasons=reason_counts(corpus),
        passed_over=passed_by_source(corpus.lineage.sources or {}),
        report=str(report),
    )


def result_text(result: CorpusResult) -> str:
    """The result for people: one line with the counts, the path of the report, and the id."""
    shown = [
        f"{each['pairs']:,} {each['reason']}" + (f" ({each['rule']})" if each["rule"] else "")
        for each in result["reasons"][:_REASONS_SHOWN]
    ]
    kept = f"{result['kept']:,} of {counted(result['pairs'], 'pair')} kept"
    as_before = ", as before" if result["is_unchanged"] else ""
    dropped = f"; dropped most often: {', '.join(shown)}" if shown else ""
    return f"{result['folder']}: {kept}{as_before}{dropped}\nreport: {result['report']}\n{result['id']}"


def reason_counts(corpus: Manifest) -> list[ReasonCount]:
    """Every reason with its pairs, the most frequent first."""
    recipe = recorded_recipe(corpus.document["lineage"]["recipe"])
    counts: Counter[str] = Counter()
    for step in corpus.lineage.steps:
        counts.update(step.dropped)
    return [
        ReasonCount(reason=reason, pairs=count, rule=rule_of(reason, recipe), key=key_of(reason))
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def passed_by_source(facts: Mapping[str, SourceFacts]) -> dict[str, PassedOver]:
    """What is no pair and belongs to none, of the sources that have such files."""
    return {
        name: {kind: {"count": each.count, "examples": each.examples} for kind, each in source.passed_over.items()}
        for name, source in facts.items()
        if source.passed_over
    }
