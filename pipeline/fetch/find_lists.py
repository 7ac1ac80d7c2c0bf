"""The lists of a source of addresses: which files they are, in which encoding, and which column of each holds what.

    listing = find_lists(section, Path("data/wukong"))
    listing.parts            # one for each list, for the stage `list`
    listing.passed_over      # what lies below the path and is no list, by its ending

A few rows of each list are read, so that a list that is no use is refused before anything is fetched. The encoding is
told for all lists together.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from ...manifests.errors import BadInput
from ..executor.part import Part
from ..sources.passed_over import PassedFile, PassedOver, by_ending, pass_over
from ..sources.source import SourceListing, file_source, files_below
from ..tables.open_text import text_head
from ..tables.table_rows import TEXT_FORMATS, column_names, table_format, table_rows, text_fields
from ..tables.text_encoding import ENCODINGS, SAMPLE_BYTES, encoding_of, fits
from .cut_list import ListPart
from .list_columns import Columns, list_columns
from .urls_section import UrlsSource

_SAMPLED_BYTES = 8 * SAMPLE_BYTES  # of all lists together
_LEAST_SAMPLE = 1 << 14  # bytes of one list


def find_lists(section: UrlsSource, path: Path) -> SourceListing:
    """Raises BadInput when there is no list with a row, or when columns or encoding are not clear."""
    if not path.exists():
        raise BadInput(f"source {section.name}: {path} does not exist", cure="paths are relative to the recipe")
    passed: PassedOver = {}
    files = _list_files(section, path, passed)
    encoding = _encoding(section, files)
    parts: list[Part[ListPart]] = []
    reads: dict[str, list[str]] = {}
    for name, file in files.items():
        columns = _columns(file, section, encoding) if file.stat().st_size else None
        if columns is None or not _has_row(file, section, columns, encoding):
            pass_over(passed, PassedFile("list without rows", name))
            continue
        parts.append(_part(name, file, section, columns, encoding))
        reads.setdefault(", ".join([columns["url"], *columns["captions"]]), []).append(name)
    if not parts:
        raise BadInput(
            f"source {section.name}: no list below {path} has a row; the first is {next(iter(files))}",
            cure="get the lists again: they are empty, or hold nothing but the names of columns",
        )
    return SourceListing(parts, passed, encoding, [_read_line(names, columns) for columns, names in reads.items()])


def _list_files(section: UrlsSource, path: Path, passed: PassedOver) -> dict[str, Path]:
    files = {}
    for file, name in files_below(file_source(section, "tar", path), passed):
        if file.name.startswith("_"):  # _SUCCESS and _metadata, as Spark leaves them
            pass_over(passed, PassedFile("hidden", name))
        elif table_format(file):
            files[name] = file
        else:
            pass_over(passed, by_ending(name))
    if not files:
        raise BadInput(
            f"source {section.name}: no list in {path}",
            cure="give Parquet or Arrow, or .csv, .tsv, .jsonl or .json, or those as .gz",
        )
    return files


def _encoding(section: UrlsSource, files: Mapping[str, Path]) -> str | None:
    """The encoding of all lists that are text; None if none is."""
    texts = {name: file for name, file in files.items() if table_format(file) in TEXT_FORMATS}
    if section.encoding or not texts:
        return section.encoding if texts else None
    limit = max(_LEAST_SAMPLE, min(SAMPLE_BYTES, _SAMPLED_BYTES // len(texts)))
    heads = {name: text_head(file, limit) for name, file in texts.items()}
    encoding = encoding_of(heads.values())
    if encoding is None:
        told: dict[str, str] = {}
        for name, head in heads.items():
            told.setdefault(encoding_of([head]) or "not clear", name)
        alone = "; ".join(f"{name}: {each}" for each, name in told.items())
        raise BadInput(
            f"source {section.name}: the encoding of its lists is not clear ({alone})",
            cure=f"name it with `encoding:`, {', '.join(ENCODINGS)}; give lists of two encodings a source each",
        )
    if other := next((name for name, head in heads.items() if not fits(head, encoding)), None):
        raise BadInput(
            f"source {section.name}: {other} is not {encoding}, as the other lists are",
            cure="give it a source of its own, or convert it",
        )
    return encoding


def _columns(file: Path, section: UrlsSource, encoding: str | None) -> Columns:
    names = _given_names(file, section)
    if not names:
        return list_columns(file, column_names(file, encoding), section)
    first = next(text_fields(file, encoding), None)
    if first is not None and len(first) != len(names):
        raise BadInput(
            f"{file}: its first row has {len(first)} fields, and `columns` names {len(names)}",
            cure="name every column in its order",
        )
    return list_columns(file, names, section)


def _given_names(file: Path, section: UrlsSource) -> list[str]:
    return section.columns if table_format(file) in ("csv", "tsv") else []


def _has_row(file: Path, section: UrlsSource, columns: Columns, encoding: str | None) -> bool:
    rows = table_rows(file, [columns["url"]], encoding, _given_names(file, section))
    return next(iter(rows), _NOTHING) is not _NOTHING


_NOTHING: dict[str, object] = {}


def _part(name: str, file: Path, section: UrlsSource, columns: Columns, encoding: str | None) -> Part[ListPart]:
    stat = file.stat()
    spec = ListPart(
        list=name,
        bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        columns=columns,
        names=_given_names(file, section),
        encoding=encoding,
    )
    return Part(_part_name(name), spec)


def _part_name(name: str) -> str:
    """The stem of the list's name, and a hash of the whole: `a/x.csv` and `b/x.csv` are two lists."""
    stem = re.sub(r"[^\w-]+", "_", Path(name).name.partition(".")[0])[:40]
    return f"{stem}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def _read_line(names: list[str], columns: str) -> str:
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: {columns}"
