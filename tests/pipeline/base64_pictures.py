"""A kind of source that tuwen does not ship: a JSON file of captions and base64 pictures. See `test_source_kinds`.

    [{"name": "a.png", "caption": "一只猫", "base64": "iVBORw0…"}]

All that a kind needs stands here. Its reader is this module, which workers import by its name.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from tuwen.manifests.recipe.sources import FileSource
from tuwen.pipeline.executor.part import Part, PictureRoot
from tuwen.pipeline.sources.passed_over import PassedOver
from tuwen.pipeline.sources.source import (
    OpenSource,
    SourceItem,
    SourceListing,
    SourcePart,
    file_source,
    files_below,
    path_below,
    root_path,
    source_part,
)


class Base64Source(FileSource):
    """JSON files of captions and base64 pictures."""

    kind: Literal["base64"]
    caption: str = "caption"  # key


class Base64Part(SourcePart):
    file: str
    caption: str


def locate(section: Base64Source, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, __name__, base / section.path)


def list_source(section: Base64Source, source: OpenSource) -> SourceListing:
    passed: PassedOver = {}
    files = [name for _, name in files_below(source, passed)]
    parts = [source_part(source, name, {"file": name, "caption": section.caption}) for name in files]
    return SourceListing(parts, passed)


def read_part(part: Part[Base64Part]) -> Iterator[SourceItem]:
    name = part.spec["file"]
    for number, row in enumerate(_rows(root_path(part), name)):
        data = base64.b64decode(row["base64"])
        yield SourceItem(f"{name}/{row['name']}", [row[part.spec["caption"]]], data, offset=number)


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    return base64.b64decode(_rows(Path(root.path), origin.rpartition("/")[0])[offset]["base64"])


def _rows(root: Path, name: str) -> list[dict[str, Any]]:
    return list(json.loads(path_below(root, name).read_bytes()))
