"""The pairs of a sample: each picture with the texts beside it, and the texts that have no picture.

    for item in sample_items(archive, entries, rule, shown="0.tar"): …      # SourceItem("0.tar/a.jpg", ["一只猫"], …)

The texts of `a.0.png` are `a.0.png.txt`, else `a.0.txt`, else those of its key, `a.txt`; so it is with .json. Of two
members of one name the first goes with the first text, the second with the second.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from ..annotations.sidecar import SIDECAR_BYTES, Sidecar, sidecar
from ..passed_over import PassedFile, by_ending
from ..source import MOST_BYTES, SourceItem
from .archive import Archive, BrokenMember
from .archive_index import CAPTION, JSON, OTHER, PICTURE, TXT, Entry

_LINES = (TXT, CAPTION)  # a caption a line
_BROKEN = "broken_row"
MOST_JSON_BYTES = 64 * 1024**2  # masks and embeddings may stand in it, too; what is longer is cut, and broken


@dataclass(frozen=True)
class TextRule:
    """How the texts of a source are read."""

    encoding: str  # one of ENCODINGS
    fields: tuple[str, ...] = ()  # of the .json, that hold the captions; (): the .txt, else those with usual names
    says_problem: bool = False  # a .json without a picture says why there is none: in tars that were fetched


def sample_items(
    archive: Archive, entries: list[Entry], rule: TextRule, shown: str
) -> Iterator[SourceItem | PassedFile]:
    """`shown` is the name of the archive in the source. What is beside no picture and no text is passed over."""
    for sample in _by_tar(archive, entries):
        if any(entry.kind != OTHER for entry in sample):
            yield from _Sample(archive, sample, rule, shown).items()
        else:
            yield from (by_ending(f"{shown}/{entry.name}") for entry in sample)


def _by_tar(archive: Archive, entries: list[Entry]) -> Iterator[list[Entry]]:
    """Tars behind one another in a file may use the same keys. Each has its own samples if each has its pictures."""
    tars = [list(group) for _, group in groupby(entries, key=lambda entry: archive.segment(entry.offset))]
    if len(tars) > 1 and not all(any(entry.kind == PICTURE for entry in tar) for tar in tars):
        tars = [entries]
    yield from tars


class _Sample:
    def __init__(self, archive: Archive, entries: list[Entry], rule: TextRule, shown: str) -> None:
        self._archive = archive
        self._entries = entries
        self._rule = rule
        self._shown = shown
        self._texts: dict[tuple[int, str], list[Entry]] = defaultdict(list)  # by kind and stem
        for entry in entries:
            if entry.kind in (TXT, CAPTION, JSON):
                self._texts[entry.kind, entry.stem].append(entry)
        self._taken: set[str] = set()  # the names of texts that a picture has

    def items(self) -> Iterator[SourceItem]:
        pictures = sorted((entry for entry in self._entries if entry.kind == PICTURE), key=lambda entry: entry.ending)
        before: Counter[str] = Counter()
        for picture in pictures:
            yield self._picture(picture, before[picture.ending])
            before[picture.ending] += 1
        yield from self._without_picture(has_picture=bool(pictures))

    def _picture(self, picture: Entry, number: int) -> SourceItem:
        stems = dict.fromkeys((picture.ending, picture.stem, ""))
        text = self._text(*(self._beside(kinds, stems, number) for kinds in (_LINES, (JSON,))))
        problem = text.problem if text.problem == _BROKEN else None
        data: bytes | None = None
        if picture.size > MOST_BYTES:
            problem = "file_too_large"
        else:
            try:
                data = self._archive.read(picture.offset, picture.size)
            except BrokenMember:
                problem = _BROKEN
        origin = f"{self._shown}/{picture.name}"
        return SourceItem(origin, text.captions, data, picture.offset, text.url, text.license, problem)

    def _without_picture(self, has_picture: bool) -> Iterator[SourceItem]:
        """The texts that no picture has. A .json without captions beside pictures describes them."""
        for unit in self._units():
            lines, document = (_first(kinds, unit, self._taken) for kinds in (_LINES, (JSON,)))
            if lines is None and document is None:
                continue
            text = self._text(lines, document)
            if text.captions or not has_picture or (lines is not None and text.problem == _BROKEN):
                problem = text.problem if self._rule.says_problem or text.problem == _BROKEN else None
                origin = f"{self._shown}/{unit[0].name}"
                yield SourceItem(origin, text.captions, None, 0, text.url, text.license, problem)

    def _units(self) -> Iterator[list[Entry]]:
        """What is no picture, by stem; the second members of their names are a unit of their own."""
        units: dict[tuple[str, int], list[Entry]] = defaultdict(list)
        before: Counter[str] = Counter()
        for entry in self._entries:
            if entry.kind != PICTURE:
                units[entry.stem, before[entry.ending]].append(entry)
                before[entry.ending] += 1
        yield from units.values()

    def _beside(self, kinds: tuple[int, ...], stems: dict[str, None], number: int) -> Entry | None:
        """The text of the picture that is the `number`-th of its name; the last one where there are fewer."""
        for stem in stems:
            found = [texts[min(number, len(texts) - 1)] for kind in kinds if (texts := self._texts.get((kind, stem)))]
            if found:
                self._taken.update(entry.name for entry in found)
                return found[0]
        return None

    def _text(self, lines: Entry | None, document: Entry | None) -> Sidecar:
        try:
            texts = self._bytes(lines, SIDECAR_BYTES + 1), self._bytes(document, MOST_JSON_BYTES)
            return sidecar(*texts, self._rule.encoding, self._rule.fields)
        except BrokenMember:
            return Sidecar([], problem=_BROKEN)

    def _bytes(self, entry: Entry | None, most_bytes: int) -> bytes | None:
        return None if entry is None else self._archive.read(entry.offset, min(entry.size, most_bytes))


def _first(kinds: tuple[int, ...], unit: list[Entry], taken: set[str]) -> Entry | None:
    return next((entry for kind in kinds for entry in unit if entry.kind == kind and entry.name not in taken), None)
