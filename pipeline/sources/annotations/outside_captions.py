"""Captions of pictures in archives that stand in files outside of them: cogdata's zip with its JSON by stem.

    outside = OutsideCaptions([caption_file], [(archive, "0.zip")])
    outside.read(AnnotationColumns(), source="photos")
    outside.of("0.zip")        # {"0.zip/a.jpg": OutsideText(captions=["一只猫"])}: for the part of that archive
    outside.missing()          # what names no member, and rows that cannot be read

A name is matched with the path in an archive, then with the name alone, then with the stem, each where it is unique.
"""

from collections import Counter, defaultdict
from pathlib import Path

from ..archives.archive_index import PICTURE
from ..archives.archive_tree import FoundArchive, archives_in
from ..archives.tar import MissingPicture, OutsideText
from .annotated import Annotated
from .annotations import AnnotationColumns
from .picture_names import PictureNames


class OutsideCaptions:
    def __init__(self, files: list[Path], archives: list[tuple[Path, str]]) -> None:
        """Reads the lists of members of all archives. Raises BadInput on one that is not whole."""
        self._files = files
        members = [(name, member) for path, name in archives for member in _pictures(path, name)]
        count = Counter(member for _, member in members)
        self._archives = {member if count[member] == 1 else f"{name}/{member}": name for name, member in members}
        self._unique = {member for member, number in count.items() if number == 1}
        self._root = archives[0][0].parent
        self._texts: dict[str, dict[str, OutsideText]] = defaultdict(dict)  # by archive and origin
        self._missing: list[MissingPicture] = []
        self.reads: list[str] = []

    def read(self, columns: AnnotationColumns, source: str) -> None:
        """Raises BadInput when the columns are not clear, or when no picture is found."""
        names = PictureNames(self._archives, self._root, columns.encoding or "gb18030")
        annotated = Annotated(names)
        for file in self._files:
            annotated.read(file.name, file, columns)
        annotated.check(source)
        for picture, captions in annotated.captions.items():
            url, license_ = annotated.facts.get(picture, (None, None))
            archive = self._archives.get(picture)
            if archive is None:
                self._missing.append(MissingPicture(origin=picture, captions=captions, url=url, license=license_))
            else:
                origin = f"{archive}/{picture}" if picture in self._unique else picture
                self._texts[archive][origin] = OutsideText(captions=captions, url=url, license=license_)
        self._missing += [
            MissingPicture(origin=origin, captions=[], url=None, license=None, problem="broken_row")
            for origin in annotated.broken
        ]
        self.reads = annotated.reads

    def of(self, archive: str) -> dict[str, OutsideText]:
        return self._texts.get(archive, {})

    def missing(self) -> list[MissingPicture]:
        return sorted(self._missing, key=lambda row: row["origin"])


def _pictures(path: Path, name: str) -> list[str]:
    """The pictures of an archive as origins have them, without its own name."""
    return [
        f"{found.shown}/{entry.name}".removeprefix(f"{name}/")
        for found in archives_in(path, name)
        if isinstance(found, FoundArchive)
        for entries in found.listed.samples()
        for entry in entries
        if entry.kind == PICTURE
    ]
