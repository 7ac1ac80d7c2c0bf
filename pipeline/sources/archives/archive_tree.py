"""A file's archive, and those inside of it that must be unpacked, each with the list of its members.

for found in archives_in(Path("/data/0.tar"), "0.tar"): …
# PassedFile("hidden", "0.tar/._a.jpg"), then FoundArchive("0.tar", …), then FoundArchive("0.tar/inner.zip!", …)
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..passed_over import PassedFile
from .archive import Archive
from .archive_index import ArchiveIndex
from .open_archive import MOST_DEPTH, open_archive

INSIDE = "!/"  # in an origin, behind the name of an archive that was unpacked: `0.tar/inner.tgz!/x.jpg`


class FoundArchive(NamedTuple):
    shown: str  # its name in origins
    archive: Archive
    listed: ArchiveIndex


def archives_in(path: Path, shown: str, inner: tuple[str, ...] = ()) -> Iterator[FoundArchive | PassedFile]:
    """`inner`: the names of the archives that were unpacked, each a member of the one before. Raises BadInput."""
    archive = open_archive(path, inner)
    index = ArchiveIndex(archive)
    for kind, member in index.fill():
        yield PassedFile(kind, f"{shown}/{member.name}")
    yield FoundArchive(shown, archive, index)
    count: Counter[str] = Counter()
    for member in index.archives:
        count[member.name] += 1
        name = member.name if count[member.name] == 1 else f"{member.name}#{count[member.name]}"
        if len(inner) < MOST_DEPTH:
            yield from archives_in(path, f"{shown}/{name}!", (*inner, name))
        else:
            yield PassedFile("archive inside of too many others", f"{shown}/{name}")
