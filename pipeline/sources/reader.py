"""A part as a stream of pictures with their captions, and one picture again.

    for item in read_part(part):
        item.origin, item.data, item.captions
    data = read_picture(PictureRoot("tar", "/data/tars"), "0.tar/000123.jpg", offset=1536, num_bytes=20480)

One picture is in memory at a time, whatever the source. A caption without its picture, and a picture without a
caption, are items too: they get a verdict like all others. What is no item comes as a `PassedFile`. The module that
reads is found by its name, so that a stage which reads tars does not depend on the code that reads Parquet; each part
names its own (`Part.modules`). A name with a dot is that of a module outside this room.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...manifests.errors import BadInput
from ..executor.part import Part, PictureRoot
from .readers import reader_module

if TYPE_CHECKING:
    from .passed_over import PassedFile
    from .source import SourceItem


class Reader(Protocol):
    """The functions of a module that reads a kind of source."""

    def read_part(self, part: Part[Any]) -> "Iterator[SourceItem | PassedFile]": ...

    def read_picture(self, root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes: ...


class PictureLost(BadInput):
    """A picture that the decision table has, and that is no longer there as it was measured."""

    def __init__(self, problem: str, cure: str, reason: str) -> None:
        super().__init__(problem, cure)
        self.args = (problem, cure, reason)  # all of them, so that the error survives Ray's pickling
        self.reason = reason  # "gone", "changed"


def read_part(part: Part[Any]) -> "Iterator[SourceItem | PassedFile]":
    return _reader(part.spec["reader"]).read_part(part)


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    """The bytes of the picture that the decision table has at `origin`, `offset`.

    Raises PictureLost when it is gone, or has another length.
    """
    try:
        data = _reader(root.reader).read_picture(root, origin, offset, num_bytes)
    except FileNotFoundError as error:
        cure = "restore it, or run `tuwen corpus` again"
        raise PictureLost(f"{error.filename}: gone since it was measured", cure, "gone") from None
    if len(data) != num_bytes:
        problem = f"{Path(root.path) / origin}: not as long as when it was measured"
        raise PictureLost(problem, "run `tuwen corpus` again", "changed")
    return data


def _reader(name: str) -> Reader:
    return cast(Reader, import_module(reader_module(name), __package__))
