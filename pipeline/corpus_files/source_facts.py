"""What is known of each source besides its pairs: its encoding, what was taken as what, what was passed over.

facts = source_facts({"photos": listing}, measured)      # {"photos": SourceFacts(encoding="gb18030", …)}
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from ...manifests.documents import PassedKind, SourceFacts
from ..executor.part import PartResult
from ..sources.passed_over import PassedOver, add_passed
from ..sources.source import SourceListing


def source_facts(listings: Mapping[str, SourceListing], measured: Sequence[PartResult[Any]]) -> dict[str, SourceFacts]:
    """The facts of each source that has some, by its name. What was passed over in archives comes with the measures."""
    passed: dict[str, PassedOver] = {name: deepcopy(listing.passed_over) for name, listing in listings.items()}
    for result in measured:
        add_passed(passed[result.summary["source"]], result.summary.get("passed_over", {}))
    facts = {
        name: SourceFacts(
            encoding=listing.encoding,
            reads=listing.reads,
            passed_over={kind: PassedKind(**each) for kind, each in sorted(passed[name].items())},
        )
        for name, listing in listings.items()
    }
    return {name: each for name, each in facts.items() if each != SourceFacts()}
