"""WebDataset: archives in which a picture, its `.txt` (one caption a line) and its `.json` share a key.

    000123.jpg  000123.txt  000123.json      {"caption" or "captions", "url", "license"}

An archive is a tar, a gzip of one, or a zip, whatever it is called; archives inside of archives are read, too. Members
of one sample may stand anywhere (interleaved); a key may hold dots and several pictures (`a.0.png`). img2dataset writes
such tars. Which text goes with which picture stands in `archive_samples`.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ....manifests.canonical import sha256_of_file
from ....manifests.errors import BadInput
from ....manifests.recipe.sources import FileSource, SourceSection
from ...executor.part import InputFile, Part
from ...tables.container_format import other_archive
from ..annotations.annotations import AnnotationColumns
from ..annotations.outside_captions import OutsideCaptions
from ..passed_over import PassedFile, PassedOver, by_ending, pass_over
from ..source import PICTURES, OpenSource, SourceListing, file_source, files_below, source_part
from .archive_index import UNPACK
from .archive_texts import check_fields, told_encoding
from .datacomp_uids import Uids
from .open_archive import archive_format
from .tar import TarPart
from .tar_archive import CURE

_PART_MISSING = 10_000
_ENDINGS = (".tar", ".tgz", ".tar.gz", ".zip")


class WebDatasetSource(FileSource):
    """Archives in which a picture, its .txt and its .json share a key; `path` is a folder of archives, or one."""

    kind: Literal["webdataset"]
    caption: str | list[str] = Field(default=[])  # keys of JSON that hold captions; the .txt does not count then
    captions: str | list[str] = Field(default=[])  # files outside of the archives, below `path` or absolute
    image: str | None = None  # the column of those that names the picture; None: a usual name
    uids: str | None = None  # a subset file of DataComp, below `path` or absolute: other samples do not count


def locate(section: WebDatasetSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "tar", base / section.path)


def list_source(section: WebDatasetSource, source: OpenSource) -> SourceListing:
    """One part for each archive. Raises BadInput when there is none, or when the encoding of the texts is not clear."""
    files = [_named(section, source, name, "captions") for name in _listed(section.captions)]
    uids = _named(section, source, section.uids, "uids") if section.uids else None
    archives, passed = _sorted_out(source, [*files, *([uids] if uids else [])])
    paths, fields = [path for path, _ in archives], _listed(section.caption)
    encoding = section.encoding or told_encoding(source.name, paths)
    shared: dict[str, Any] = {"encoding": encoding or "utf-8"}
    if fields:
        shared["fields"] = fields
    outside = None
    if files:
        outside = OutsideCaptions(files, archives)
        outside.read(AnnotationColumns(section.image, tuple(fields), section.encoding), source.name)
    elif fields:
        check_fields(paths[0], fields)
    parts = [_part(source, path, name, shared | _outside(outside, name)) for path, name in archives]
    if uids:
        parts = _with_uids(parts, uids)
    if outside:
        parts += _missing_parts(source, outside)
    return SourceListing(parts, passed, encoding, outside.reads if outside else [])


def _sorted_out(source: OpenSource, named: list[Path]) -> tuple[list[tuple[Path, str]], PassedOver]:
    """The archives with their names, and what is none. The files that the recipe names are neither."""
    archives: list[tuple[Path, str]] = []
    passed: PassedOver = {}
    for path, name in files_below(source, passed):
        if archive_format(path):
            archives.append((path, name))
        elif not any(path.samefile(file) for file in named):
            pass_over(passed, no_archive(path, name))
    if not archives:
        raise _without_archives(source, passed)
    return archives, passed


def _with_uids(parts: list[Part[TarPart]], uids: Path) -> list[Part[TarPart]]:
    Uids(uids).check_order()
    subset = InputFile(str(uids), sha256_of_file(uids))
    return [part.with_inputs(uids=subset) for part in parts]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _named(section: WebDatasetSource, source: OpenSource, name: str, key: str) -> Path:
    """A file that the recipe names. Raises BadInput when it is not there."""
    path = (source.path if source.path.is_dir() else source.path.parent) / name
    if not path.is_file():
        raise BadInput(f"source {section.name}: {path} does not exist", cure=f"correct `{key}`")
    return path


def _outside(outside: OutsideCaptions | None, archive: str) -> dict[str, Any]:
    return {"outside": outside.of(archive)} if outside else {}


def _missing_parts(source: OpenSource, outside: OutsideCaptions) -> list[Part[TarPart]]:
    missing = outside.missing()
    return [
        source_part(source, f"missing {rows[0]['origin']}", {"tar": "", "missing": rows})
        for start in range(0, len(missing), _PART_MISSING)
        if (rows := missing[start : start + _PART_MISSING])
    ]


def list_gathered(section: SourceSection, source: OpenSource, key_by_row: bool = False) -> SourceListing:
    """One part for each tar that was drawn or fetched. Raises BadInput when there is none."""
    files = files_below(source, {})  # ledgers lie beside the tars
    shared = {"key_by_row": key_by_row, "encoding": "utf-8"}
    parts = [_part(source, path, name, shared) for path, name in files if archive_format(path)]
    if not parts:
        raise BadInput(f"source {source.name}: no tar below {source.path}", cure="run `tuwen corpus` again")
    return SourceListing(parts)


def _part(source: OpenSource, path: Path, name: str, shared: dict[str, Any]) -> Part[TarPart]:
    stat = path.stat()
    spec = {"tar": name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "key_by_row": False}
    return source_part(source, name, spec | shared)


def no_archive(path: Path, name: str) -> PassedFile:
    """What a file is passed over as. Raises BadInput on one that is called an archive: it may be cut to nothing."""
    if other := other_archive(path):
        return PassedFile(f"{other} ({UNPACK})", name)
    if ".tfrecord" in name.lower():
        return PassedFile("TFRecord (let img2dataset write `--output_format webdataset` or `parquet`)", name)
    if name.lower().endswith(_ENDINGS):
        raise BadInput(f"{path}: neither a tar nor a zip by its content", cure=CURE)
    return by_ending(name)


def _without_archives(source: OpenSource, passed: PassedOver) -> BadInput:
    """The cure is that of the first file that has one: its kind says it, in brackets."""
    kind, example = next(
        ((kind, each["examples"][0]) for kind, each in sorted(passed.items()) if kind.endswith(")")), ("", "")
    )
    name, _, cure = kind.removesuffix(")").partition(" (")
    found = f"no tar or zip below {source.path}" if not kind else f"{example} is {name}, which is not read"
    pictures = next((each["examples"][0] for kind, each in sorted(passed.items()) if kind[2:] in PICTURES), None)
    other = f"there are pictures ({pictures}); write `kind: folder`" if pictures else ""
    return BadInput(f"source {source.name}: {found}", cure=cure or other or "name a folder with tars or zips, or one")
