"""`tuwen corpus --look PATH`: the recipe that would read a folder or a file, with its first pairs.

    seen = look(path)             # data/photos
    seen.sections        # [{"name": "photos", "kind": "folder", "path": "data/photos", "captions": ["a.json"]}]

Files are told by content. Of many files the first 20,000 are looked at; no picture is decoded and Ray is not started.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from ..manifests.errors import BadInput, TuwenError
from .executor.part import PictureRoot
from .fetch.list_columns import PRESETS, columns_in_order, list_columns
from .fetch.urls_section import UrlsSource
from .look_at_columns import guessed_columns, holds_addresses, holds_pictures
from .seen import MOST_FILES, Pair, Section, Seen
from .source_kinds import KINDS
from .sources.annotations.annotations import AnnotationColumns, read_annotations
from .sources.annotations.outside_captions import OutsideCaptions
from .sources.annotations.picture_names import PictureNames
from .sources.archives.list_archives import no_archive
from .sources.archives.open_archive import archive_format
from .sources.chinese_clip import list_chinese_clip
from .sources.folders.list_folder import is_picture_file
from .sources.passed_over import PassedFile, PassedOver, add_passed, by_ending, pass_over, passed_line
from .sources.reader import read_part
from .sources.source import OpenSource, files_below
from .tables.column_roles import usual_columns
from .tables.container_format import other_archive
from .tables.table_rows import column_names, table_format, table_rows

_MOST_ANNOTATIONS = 2000  # that are read to see whether a table names the pictures
_MOST_JSON_BYTES = 100 << 20  # JSON may have to be read as a whole
_MOST_ARCHIVE_BYTES = 1 << 30  # of archives whose members are compared with a table
_SHOWN_PAIRS = 5
_CONTACT = "https://example.com/who-you-are"


@dataclass
class _Files:
    """The files below the path by what they are: names → paths."""

    pictures: dict[str, Path] = field(default_factory=dict)
    archives: dict[str, Path] = field(default_factory=dict)
    tables: dict[str, Path] = field(default_factory=dict)  # that hold the pictures' bytes
    passed_over: PassedOver = field(default_factory=dict)  # hidden files, broken links
    lists: dict[str, Path] = field(default_factory=dict)  # of addresses
    others: dict[str, Path] = field(default_factory=dict)


def look(path: Path) -> Seen:
    """Raises BadInput when there is nothing that is read here."""
    if not path.exists():
        raise BadInput(f"{path}: does not exist", cure="name a folder or a file")
    seen = Seen()
    files = _sorted_out(path, seen)
    seen.sections = _sections(path, files, seen)
    if not seen.sections:
        raise _nothing(path, files)
    by_section: list[PassedOver] = []
    for section in seen.sections:
        try:
            _read(section, seen, by_section)
        except TuwenError as error:
            seen.not_understood.append(str(error))
    if any(section["kind"] == "urls" for section in seen.sections):
        by_section.append(_beside_lists(files))
    add_passed(seen.passed_over, _passed_by_all(by_section))
    return seen


def _sorted_out(path: Path, seen: Seen) -> _Files:
    files = _Files()
    source = OpenSource("look", PictureRoot("", str(path)), "", "")
    for count, (file, name) in enumerate(files_below(source, files.passed_over)):
        if count == MOST_FILES:
            seen.is_all = False
            break
        _kind_of(file, name, files)[name] = file
    return files


def _kind_of(file: Path, name: str, files: _Files) -> dict[str, Path]:
    if is_picture_file(file, name):
        return files.pictures
    try:
        if archive_format(file) is not None:
            return files.archives
        if table_format(file) is not None and not name.endswith(("dataset_info.json", "state.json")):
            columns = column_names(file)
            if holds_pictures(file):
                return files.tables
            if holds_addresses(file, columns):
                return files.lists
    except (TuwenError, OSError):
        pass  # whoever reads it says what is wrong
    return files.others


def _sections(path: Path, files: _Files, seen: Seen) -> list[Section]:
    """A source for each kind of file that there is, named after the folder."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.resolve().name).strip("._-") or "data"
    sections: list[Section] = []
    if any(map(list_chinese_clip.holds_pictures, (*files.others, *files.lists))):
        return [{"name": name, "kind": "chinese-clip", "path": str(path)}]
    if files.archives:
        outside = [] if files.pictures else _outside_captions(files)
        sections.append({"kind": "webdataset", "path": str(path)} | ({"captions": outside} if outside else {}))
    if files.tables:
        sections.append({"kind": "parquet", "path": str(path)} | _table_columns(files.tables))
    if files.pictures:
        annotations = _annotations(path, files, seen)
        root = path if path.is_dir() else path.parent
        sections.append({"kind": "folder", "path": str(root)} | ({"captions": annotations} if annotations else {}))
    elif files.lists:
        sections.append({"kind": "urls", "path": str(path)} | _list_columns(files.lists))
    numbered = len(sections) > 1
    return [{"name": f"{name}-{each['kind']}" if numbered else name, **each} for each in sections]


def _table_columns(tables: dict[str, Path]) -> Section:
    """The caption column where it is not plain; the reader finds all that is."""
    file = next(iter(tables.values()))
    columns = guessed_columns(file)
    return {} if columns.is_plain else {"caption": columns.caption}


def _list_columns(lists: dict[str, Path]) -> Section:
    """The columns where they are not plain: in their order, by the preset that knows several captions, or guessed."""
    file = next(iter(lists.values()))
    names, fetch = column_names(file), {"fetch": {"contact": _CONTACT}}
    if any("://" in name for name in names):
        return {"columns": columns_in_order(names), **fetch}
    section = UrlsSource.model_validate({"name": "look", "kind": "urls", "path": str(file), **fetch})
    try:
        list_columns(file, names, section)
        return fetch
    except BadInput:
        columns = guessed_columns(file)
    for preset, usual in PRESETS.items():
        if columns.address in usual_columns(names, usual.urls)[:1] and len(usual_columns(names, usual.captions)) > 1:
            return {"preset": preset, **fetch}
    guessed = {"url": columns.address, "caption": columns.caption}
    return {key: column for key, column in guessed.items() if column} | fetch


def _annotations(path: Path, files: _Files, seen: Seen) -> list[str]:
    """The tables that name most of the pictures and that the reader does not find by itself."""
    known = {"captions.tsv", "captions.jsonl", "metadata.csv", "metadata.jsonl", "metadata.parquet", "meta_cap.json"}
    candidates = {name: file for name, file in {**files.others, **files.lists}.items() if _may_annotate(name, file)}
    names = [name for name, file in candidates.items() if PurePosixPath(name).name not in known]
    return [name for name in names if _names_pictures(candidates[name], name, path, files, seen)]


def _outside_captions(files: _Files) -> list[str]:
    """The tables that name most of the pictures in archives without captions, such as cogdata's."""
    archives = [(file, name) for name, file in files.archives.items()]
    if sum(file.stat().st_size for file, _ in archives) > _MOST_ARCHIVE_BYTES:
        return []
    names = []
    for name, file in {**files.others, **files.lists}.items():
        try:
            if _may_annotate(name, file):
                outside = OutsideCaptions([file], archives)
                outside.read(AnnotationColumns(), name)
                found = sum(len(outside.of(archive)) for _, archive in archives)
                names += [name] if found > len(outside.missing()) else []
        except (TuwenError, OSError):
            continue  # it names no picture
    return names


def _may_annotate(name: str, file: Path) -> bool:
    is_text = name.lower().endswith(".txt") and file.stat().st_size > 0 and not file.with_suffix("").exists()
    return (table_format(file) is not None or is_text) and file.stat().st_size < _MOST_JSON_BYTES


def _names_pictures(file: Path, name: str, root: Path, files: _Files, seen: Seen) -> bool:
    names = PictureNames(files.pictures, root)
    try:
        annotations, reads = read_annotations(file, AnnotationColumns())
        for annotation in islice(annotations, _MOST_ANNOTATIONS):
            if not annotation.problem:
                names.match(annotation.picture, PurePosixPath(name).parent.as_posix().removeprefix("."))
    except TuwenError as error:
        if table_format(file) in ("csv", "tsv") and name in files.others:  # it has rows, and may be meant as captions
            seen.not_understood.append(str(error))
        return False
    if (first := names.first_missing) and not names.num_matched and not reads.endswith("an object by name"):
        nearest = f"the file with the nearest name is {names.nearest(first)}"
        seen.not_understood.append(f"{name} has captions of no picture here; the first names {first}, and {nearest}")
    return names.num_matched > names.num_missing


def _beside_lists(files: _Files) -> PassedOver:
    passed: PassedOver = {}
    add_passed(passed, files.passed_over)
    for name in files.others:
        pass_over(passed, by_ending(name))
    return passed


def _passed_by_all(by_section: list[PassedOver]) -> PassedOver:
    """The files that no section reads: the pictures beside a tar are passed over by the tars' section alone."""
    first, *others = by_section or [{}]
    kinds = {kind: [first[kind], *(each[kind] for each in others)] for kind in first if all(kind in o for o in others)}
    return {kind: min(each, key=lambda passed: passed["count"]) for kind, each in kinds.items()}


def _read(section: Section, seen: Seen, by_section: list[PassedOver]) -> None:
    """List the source and read its first pairs. Raises what reading raises."""
    kind = KINDS[section["kind"]]
    checked = kind.section.model_validate(section)
    if kind.gather is not None:
        seen.pairs += islice(_rows(checked), _SHOWN_PAIRS)
        return
    source = kind.locate(checked, Path(), Path())
    listing = kind.list_source(checked, source)
    seen.reads += [*listing.reads, *([f"text in {listing.encoding}"] if listing.encoding else [])]
    by_section.append(listing.passed_over)
    items = (item for part in listing.parts for item in read_part(part))
    for item in islice(items, 20 * _SHOWN_PAIRS):
        if isinstance(item, PassedFile):
            pass_over(seen.passed_over, item)
        elif len(seen.pairs) < _SHOWN_PAIRS:
            problem = item.problem or ("no picture" if item.data is None else None)
            seen.pairs.append(Pair(item.origin, item.captions, problem))


def _rows(section: Any) -> Iterator[Pair]:
    """The first rows of the lists of addresses."""
    source = OpenSource("look", PictureRoot("", section.path), "", "")
    for file, name in files_below(source, {}):
        if table_format(file) is None:
            continue
        named = section.columns if table_format(file) in ("csv", "tsv") else []
        columns = list_columns(file, named or column_names(file), section)
        for number, row in enumerate(table_rows(file, names=named or None)):
            cells = [] if row is None else [row.get(name) for name in columns["captions"]]
            captions = [str(cell) for cell in cells if cell]
            address = None if row is None else row.get(columns["url"])
            yield Pair(f"{name}#{number} {address}", captions, None if address else "broken_row")


def _nothing(path: Path, files: _Files) -> BadInput:
    archives = {other_archive(file) for file in files.others.values()} - {None}
    if archives:
        return BadInput(
            f"{path}: holds {', '.join(sorted(map(str, archives)))} archives, which are not read here",
            cure="unpack them, or pack the files as zip or tar",
        )
    passed: PassedOver = {}
    for name, file in files.others.items():
        pass_over(passed, no_archive(file, name))
    held = passed_line("it holds", passed) if passed else "it holds no file"
    return BadInput(f"{path}: nothing that is read here; {held}", cure="see `sources` in the README for what is")
