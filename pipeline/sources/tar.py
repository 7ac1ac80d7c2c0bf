"""Reads the archives that `list_archives` found: their pictures with what lies beside them, in one pass.

    for item in read_part(part): item.origin, item.captions, item.data
    read_picture(PictureRoot("tar", "/data/tars"), "0.tar/000123.jpg", offset=1536, num_bytes=20480)

A member takes 100 bytes of memory (of a zip 1 KB), and one picture is held at a time: the size of a tar does not
matter. What must be unpacked first, lies in a temporary file meanwhile.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...manifests.errors import BadInput
from ..executor.part import Part, PictureRoot
from .archive import BrokenMember
from .archive_index import ArchiveIndex
from .archive_samples import TextRule, sample_items
from .open_archive import MOST_DEPTH, open_archive
from .passed_over import PassedFile
from .source import SourceItem, SourcePart, file_and_rest, path_below, root_path

_INSIDE = "!/"  # in an origin, behind the name of an archive that was unpacked: `0.tar/inner.tgz!/x.jpg`


class TarPart(SourcePart):
    tar: str  # below the root
    bytes: int
    mtime_ns: int
    key_by_row: bool  # the key is made of the member's name without its ending
    encoding: str  # of the texts


def read_part(part: Part[TarPart]) -> Iterator[SourceItem | PassedFile]:
    """Raises BadInput on an archive that is cut or damaged."""
    spec = part.spec
    rule = TextRule(spec["encoding"], says_problem=spec["key_by_row"])
    for item in _read(path_below(root_path(part), spec["tar"]), (), spec["tar"], rule):
        if isinstance(item, SourceItem) and spec["key_by_row"]:
            # A row that is fetched has one picture at most, and its key must not change when a retry brings it.
            yield replace(item, key_origin=item.origin.rpartition(".")[0])
        else:
            yield item


def _read(path: Path, inner: tuple[str, ...], shown: str, rule: TextRule) -> Iterator[SourceItem | PassedFile]:
    """`inner`: the names of the archives that were unpacked, each a member of the one before."""
    archive = open_archive(path, inner)
    index = ArchiveIndex(archive)
    for kind, member in index.fill():
        yield PassedFile(kind, f"{shown}/{member.name}")
    for entries in index.samples():
        yield from sample_items(archive, entries, rule, shown)
    count: Counter[str] = Counter()
    for member in index.archives:
        count[member.name] += 1
        name = member.name if count[member.name] == 1 else f"{member.name}#{count[member.name]}"
        if len(inner) < MOST_DEPTH:
            yield from _read(path, (*inner, name), f"{shown}/{name}!", rule)
        else:
            yield PassedFile("archive inside of too many others", f"{shown}/{name}")


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    """`shards/0.tar/000123.jpg` lies in root/shards/0.tar, or in root itself when root is that tar."""
    path, rest = file_and_rest(Path(root.path), origin)
    *inner, _ = rest.split(_INSIDE)
    try:
        return open_archive(path, tuple(inner)).read(offset, num_bytes)
    except KeyError:  # the name of a folder ends so
        return open_archive(path).read(offset, num_bytes)
    except BrokenMember as error:
        raise BadInput(f"{path}: {rest} cannot be read ({error})", cure="run `tuwen corpus` again") from None
