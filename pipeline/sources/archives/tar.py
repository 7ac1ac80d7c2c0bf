"""Reads the archives that `list_archives` found: their pictures with what lies beside them, in one pass.

    for item in read_part(part): item.origin, item.captions, item.data
    read_picture(PictureRoot("tar", "/data/tars"), "0.tar/000123.jpg", offset=1536, num_bytes=20480)

A member takes 100 bytes of memory (of a zip 1 KB), and one picture is held at a time: the size of a tar does not
matter. What must be unpacked first, lies in a temporary file meanwhile.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NotRequired, TypedDict

from ....manifests.errors import BadInput
from ...executor.part import Part, PictureRoot
from ..passed_over import PassedFile
from ..source import SourceItem, SourcePart, file_and_rest, path_below, root_path
from .archive import Archive, BrokenMember
from .archive_index import JSON, Entry
from .archive_samples import MOST_JSON_BYTES, TextRule, sample_items
from .archive_tree import INSIDE, archives_in
from .datacomp_uids import Uids
from .open_archive import open_archive


class OutsideText(TypedDict):
    """What a file outside of the archives says of a picture; it counts instead of what lies beside the picture."""

    captions: list[str]
    url: str | None
    license: str | None


class MissingPicture(OutsideText):
    origin: str  # the name as it is written
    problem: NotRequired[str]


class TarPart(SourcePart):
    """An archive, or captions of no picture. Input `uids`: the samples that count, where these are not all."""

    tar: str  # below the root
    bytes: int
    mtime_ns: int
    key_by_row: bool  # the key is made of the member's name without its ending
    encoding: str  # of the texts
    fields: NotRequired[list[str]]  # of the .json, that hold the captions
    outside: NotRequired[dict[str, OutsideText]]  # by origin
    missing: NotRequired[list[MissingPicture]]  # then there is no archive


def read_part(part: Part[TarPart]) -> Iterator[SourceItem | PassedFile]:
    """Raises BadInput on an archive that is cut or damaged."""
    spec = part.spec
    if "missing" in spec:
        for row in spec["missing"]:
            yield SourceItem(
                row["origin"], row["captions"], None, 0, row["url"], row["license"], problem=row.get("problem")
            )
        return
    outside = spec.get("outside", {})
    for item in _archive_items(part):
        if isinstance(item, SourceItem) and spec["key_by_row"]:
            # A row that is fetched has one picture at most, and its key must not change when a retry brings it.
            yield replace(item, key_origin=item.origin.rpartition(".")[0])
        elif isinstance(item, SourceItem) and item.origin in outside:
            yield _with_text(item, outside[item.origin])
        else:
            yield item


def _archive_items(part: Part[TarPart]) -> Iterator[SourceItem | PassedFile]:
    spec = part.spec
    rule = TextRule(spec["encoding"], tuple(spec.get("fields", ())), says_problem=spec["key_by_row"])
    uids = _uids(part.input_path("uids")) if "uids" in part.inputs else None
    for found in archives_in(path_below(root_path(part), spec["tar"]), spec["tar"]):
        if isinstance(found, PassedFile):
            yield found
            continue
        for entries in found.listed.samples():
            if uids is not None and (uid := _uid(found.archive, entries)) not in uids:
                kind = "sample whose uid is not in `uids`" if uid else "sample without a uid"
                yield PassedFile(kind, f"{found.shown}/{entries[0].name}")
            else:
                yield from sample_items(found.archive, entries, rule, found.shown)


def _with_text(item: SourceItem, text: OutsideText) -> SourceItem:
    """A picture that can be read is no broken row because of what lies beside it."""
    problem = None if item.data is not None and item.problem == "broken_row" else item.problem
    url, license_ = text["url"] or item.url, text["license"] or item.license
    return replace(item, captions=text["captions"], url=url, license=license_, problem=problem)


@lru_cache(maxsize=1)
def _uids(path: Path) -> Uids:
    return Uids(path)


def _uid(archive: Archive, entries: list[Entry]) -> str:
    """The `uid` in the first .json of a sample; "" if there is none."""
    for entry in entries:
        if entry.kind == JSON:
            try:
                document = json.loads(archive.read(entry.offset, min(entry.size, MOST_JSON_BYTES)))
            except (ValueError, RecursionError):
                return ""
            return str(document.get("uid") or "") if isinstance(document, dict) else ""
    return ""


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    """`shards/0.tar/000123.jpg` lies in root/shards/0.tar, or in root itself when root is that tar."""
    path, rest = file_and_rest(Path(root.path), origin)
    *inner, _ = rest.split(INSIDE)
    try:
        return open_archive(path, tuple(inner)).read(offset, num_bytes)
    except KeyError:  # the name of a folder ends so
        return open_archive(path).read(offset, num_bytes)
    except BrokenMember as error:
        raise BadInput(f"{path}: {rest} cannot be read ({error})", cure="run `tuwen corpus` again") from None
