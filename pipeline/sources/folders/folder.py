"""Reads the pictures of a folder that `list_folder` found, with the captions that it gave them.

for item in read_part(part): item.origin, item.captions, item.data
read_picture(PictureRoot("folder", "/data/photos"), "2021/cat.jpg", 0, 20480)
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

from ...executor.part import Part, PictureRoot
from ..source import MOST_BYTES, SourceItem, SourcePart, path_below, root_path


class FolderItem(TypedDict):
    """A picture that is not read yet: its size and time are hashed for its bytes; None where the file is missing."""

    origin: str
    captions: list[str]
    bytes: int | None
    mtime_ns: int | None
    url: NotRequired[str]
    license: NotRequired[str]
    problem: NotRequired[str]


class FolderPart(SourcePart):
    items: list[FolderItem]


def read_part(part: Part[FolderPart]) -> Iterator[SourceItem]:
    for item in part.spec["items"]:
        path = path_below(root_path(part), item["origin"])
        too_large = path.is_file() and path.stat().st_size > MOST_BYTES
        data = path.read_bytes() if path.is_file() and not too_large else None
        problem = item.get("problem") or ("file_too_large" if too_large else None)
        yield SourceItem(
            item["origin"], item["captions"], data, 0, item.get("url"), item.get("license"), problem=problem
        )


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    with path_below(Path(root.path), origin).open("rb") as file:
        return file.read(num_bytes + 1)  # one more tells that it has grown
