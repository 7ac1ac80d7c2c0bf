"""The funnel of a corpus as the page shows it: a row for each stage, with what it dropped and why.

funnel_rows(corpus)[0].name, funnel_rows(corpus)[0].dropped
"""

from dataclasses import dataclass

from ...manifests.manifest import Manifest
from ..reasons import FUNNEL, title_of
from .corpus_numbers import most_first


@dataclass(frozen=True)
class FunnelRow:
    name: str
    character: str
    checks: str
    out: int  # pairs that are passed on
    dropped: int
    out_percent: float  # of all pairs of the corpus
    dropped_percent: float
    reasons: list[tuple[str, int]]  # title, pairs


def funnel_rows(corpus: Manifest) -> list[FunnelRow]:
    pairs = corpus.totals["pairs"] or 1
    stages = {stage.name: stage for stage in FUNNEL}
    return [
        FunnelRow(
            name=step.name,
            character=stages[step.name].character,
            checks=stages[step.name].checks,
            out=step.out,
            dropped=step.pairs_in - step.out,
            out_percent=100 * step.out / pairs,
            dropped_percent=100 * (step.pairs_in - step.out) / pairs,
            reasons=most_first({title_of(reason): count for reason, count in step.dropped.items()}),
        )
        for step in corpus.lineage.steps
        if step.name in stages
    ]
