"""What was told of the lists of a source, left beside the pictures that were fetched: `listing.json`.

write_listing(folder, listing)       # its parts are not written
listing = with_listing(folder, listing_of_the_tars)
"""

import json
from dataclasses import replace
from pathlib import Path

from ...manifests.atomic import whole_file
from ..sources.source import SourceListing

_NAME = "listing.json"


def write_listing(folder: Path, listing: SourceListing) -> None:
    document = {"passed_over": listing.passed_over, "encoding": listing.encoding, "reads": listing.reads}
    with whole_file(folder / _NAME) as temporary:
        temporary.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def with_listing(folder: Path, tars: SourceListing) -> SourceListing:
    """The parts of the tars, with what was told of the lists. Ledgers and the like beside the tars are no user's."""
    path = folder / _NAME
    document = json.loads(path.read_text("utf-8")) if path.is_file() else {"passed_over": {}}
    return replace(tars, **document)
