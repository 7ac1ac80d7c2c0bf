"""A source read without Ray: its listing, its items, and its pictures read again."""

from pathlib import Path
from typing import Any

from tuwen.pipeline.source_kinds import KINDS
from tuwen.pipeline.sources.passed_over import PassedFile, PassedOver, add_passed, pass_over
from tuwen.pipeline.sources.reader import read_part, read_picture
from tuwen.pipeline.sources.source import SourceItem


class Reading:
    """Everything that a source holds."""

    def __init__(self, kind: str, path: Path, **keys: Any) -> None:
        section = KINDS[kind].section.model_validate({"name": "s", "kind": kind, "path": str(path), **keys})
        source = KINDS[kind].locate(section, Path(), path)
        self.listing = KINDS[kind].list_source(section, source)
        self.items: list[SourceItem] = []
        self.passed: PassedOver = {}
        add_passed(self.passed, self.listing.passed_over)
        for part in self.listing.parts:
            for item in read_part(part):
                if isinstance(item, PassedFile):
                    pass_over(self.passed, item)
                else:
                    self.items.append(item)
                    if item.data is not None:
                        again = read_picture(source.root, item.origin, item.offset, len(item.data))
                        assert again == item.data, item.origin

    @property
    def captions(self) -> dict[str, list[str]]:
        return {item.origin: item.captions for item in self.items}

    @property
    def problems(self) -> dict[str, str | None]:
        return {item.origin: item.problem for item in self.items if item.problem}

    @property
    def missing(self) -> list[str]:
        return [item.origin for item in self.items if item.data is None]

    @property
    def num_passed(self) -> int:
        return sum(kind["count"] for kind in self.passed.values())
