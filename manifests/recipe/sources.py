"""`sources:` and `evaluation:` of a recipe: what every kind of source has in common.

    {name: photos, kind: folder, path: data/photos, license: CC-BY-4.0}

The kinds, with the keys that each has besides, are declared where they are read (`pipeline/sources`); whoever reads a
recipe hands them over: `kinds["folder"]` is the section of a source whose `kind` is `folder`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator

from .section import Name, Section

# Other names of an encoding; GB18030 holds all of GBK and of GB2312.
_ENCODINGS = {"utf8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030"}


def _encoding(name: object) -> object:
    return _ENCODINGS.get(name.lower(), name.lower()) if isinstance(name, str) else name


Encoding = Annotated[
    Literal["utf-8", "gb18030", "big5", "utf-16-le", "utf-16-be"],
    BeforeValidator(_encoding),
]


class SourceSection(Section):
    """One source. Every kind is a subclass whose `kind` is a Literal."""

    name: Name
    kind: str


class FileSource(SourceSection):
    """Files of the user, under one licence where they do not say it picture by picture."""

    path: str
    license: str = "unknown"
    attribution: str = ""
    encoding: Encoding | None = None  # of its text; None: it is told from the files


class CorpusSource(SourceSection):
    """A corpus that was built before: its pictures are known by its measures. In `evaluation` alone."""

    kind: Literal["corpus"]
    path: str


SourceKinds = Mapping[str, type[SourceSection]]
