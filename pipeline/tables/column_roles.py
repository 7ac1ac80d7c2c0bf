"""Which column of a table holds what, by the names that people give to columns: the one table of such names.

    usual_columns(["id", "image", "TEXT"], PICTURES)     # ["image"]
    only_usual(["SAMPLE_ID", "URL", "TEXT"], CAPTIONS)   # "TEXT"
    only_usual(["title", "content", "alt"], CAPTIONS)    # None: it is not plain which of two

Upper case, `_`, `-` and blanks in a name do not matter.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...manifests.errors import BadInput

# As `plain` spells them, the most usual first.
PICTURES = (
    "image", "jpg", "jpeg", "png", "webp", "img", "picture", "imagebytes", "bytes", "images", "pictures",
    "imagepath", "imgpath", "imagefile", "filename", "filepath", "file", "path", "base64", "imagebase64", "imgbase64",
)  # fmt: skip
ADDRESSES = ("url", "imageurl", "imgurl", "imagelink", "imagesrc", "picurl", "网址", "链接", "图片链接", "图片地址")
CAPTIONS = ("caption", "captions", "text", "texts", "title", "alt", "alttext", "描述", "标题", "文本", "说明")
LICENSES = ("license", "licence")

_MOST_LISTED = 40


def plain(name: str) -> str:
    """The name in lower case, without `_`, `-` and blanks."""
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def usual_columns(names: Sequence[str], usual: Iterable[str]) -> list[str]:
    """The columns whose names are usual for a role, the most usual first. Of two that are spelled alike the first."""
    spelled = {plain(name): name for name in reversed(names)}
    return [spelled[name] for name in usual if name in spelled]


def only_usual(names: Sequence[str], usual: Iterable[str]) -> str | None:
    """The one column whose name is usual for a role; None if there is none, or more than one."""
    found = usual_columns(names, usual)
    return found[0] if len(found) == 1 else None


def check_columns(file: Path, names: Sequence[str], asked: Iterable[str | None]) -> None:
    """Raise BadInput if the recipe names a column that the table does not have. None asks for nothing."""
    for name in asked:
        if name and name not in names:
            raise BadInput(f"{file}: has no column `{name}`", cure=f"it has {listed(names)}")


def listed(names: Sequence[str]) -> str:
    """The names for an error message."""
    if not names:
        return "no columns"
    if any("://" in name for name in names):
        return "no line of column names, it seems: its first line holds an address"
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(name[:80] for name in names[:_MOST_LISTED]) + more
