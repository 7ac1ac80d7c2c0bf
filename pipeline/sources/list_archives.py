"""WebDataset: archives in which a picture, its `.txt` (one caption a line) and its `.json` share a key.

    000123.jpg  000123.txt  000123.json      {"caption" or "captions", "url", "license"}

An archive is a tar, a gzip of one, or a zip, whatever it is called; archives inside of archives are read, too. Members
of one sample may stand anywhere (interleaved); a key may hold dots and several pictures (`a.0.png`). img2dataset writes
such tars. Which text goes with which picture stands in `archive_samples`.
"""

from pathlib import Path
from typing import Literal

from ...manifests.errors import BadInput
from ...manifests.recipe.sources import FileSource, SourceSection
from ..executor.part import Part
from .archive_encoding import told_encoding
from .archive_index import UNPACK
from .container_format import other_archive
from .open_archive import archive_format
from .passed_over import PassedFile, PassedOver, by_ending, pass_over
from .source import OpenSource, SourceListing, file_source, files_below, source_part
from .tar import TarPart


class WebDatasetSource(FileSource):
    """Archives in which a picture, its .txt and its .json share a key; `path` is a folder of archives, or one."""

    kind: Literal["webdataset"]


def locate(section: WebDatasetSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "tar", base / section.path)


def list_source(section: WebDatasetSource, source: OpenSource) -> SourceListing:
    """One part for each archive. Raises BadInput when there is none, or when the encoding of the texts is not clear."""
    passed: PassedOver = {}
    archives: list[tuple[Path, str]] = []
    for path, name in files_below(source, passed):
        if archive_format(path):
            archives.append((path, name))
        else:
            pass_over(passed, _no_archive(path, name))
    if not archives:
        raise _without_archives(source, passed)
    encoding = section.encoding or told_encoding(source.name, [path for path, _ in archives])
    parts = [_part(source, path, name, encoding=encoding or "utf-8") for path, name in archives]
    return SourceListing(parts, passed, encoding)


def list_gathered(section: SourceSection, source: OpenSource, key_by_row: bool = False) -> SourceListing:
    """One part for each tar that was drawn or fetched. Raises BadInput when there is none."""
    files = files_below(source, {})  # ledgers lie beside the tars
    parts = [_part(source, path, name, key_by_row=key_by_row) for path, name in files if archive_format(path)]
    if not parts:
        raise BadInput(f"source {source.name}: no tar below {source.path}", cure="run `tuwen corpus` again")
    return SourceListing(parts)


def _part(
    source: OpenSource, path: Path, name: str, key_by_row: bool = False, encoding: str = "utf-8"
) -> Part[TarPart]:
    stat = path.stat()
    spec = {"tar": name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "key_by_row": key_by_row,
            "encoding": encoding}  # fmt: skip
    return source_part(source, name, spec)


def _no_archive(path: Path, name: str) -> PassedFile:
    if other := other_archive(path):
        return PassedFile(f"{other} ({UNPACK})", name)
    if ".tfrecord" in name.lower():
        return PassedFile("TFRecord (let img2dataset write `--output_format webdataset` or `parquet`)", name)
    return by_ending(name)


def _without_archives(source: OpenSource, passed: PassedOver) -> BadInput:
    """The cure is that of the first file that has one: its kind says it, in brackets."""
    kind, example = next(
        ((kind, each["examples"][0]) for kind, each in sorted(passed.items()) if kind.endswith(")")), ("", "")
    )
    name, _, cure = kind.removesuffix(")").partition(" (")
    found = f"no tar or zip below {source.path}" if not kind else f"{example} is {name}, which is not read"
    return BadInput(f"source {source.name}: {found}", cure=cure or "name a folder with tars or zips, or one")
