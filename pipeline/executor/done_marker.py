"""The done-marker of a part, `.done/PART.json`, written after its files, and the record of what made it.

    with write_marker(out, "photos-00003", hashes, record, files, summary):
        ...                                     # the files are put in place here
    marker = read_marker(out, "photos-00003")   # None: the part is not done

`.done/made-by/HASH.json` holds what a hash of code and libraries stands for: every module with its hash, every library
with its release. It is one file for all parts that the same version made.

A marker also has the time of the last change of each file. A file of that size and time is taken to be what it was: to
hash 10 TB takes most of a day. Whoever reads a file hashes what it reads.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json
from ...manifests.documents import FileEntry
from .fingerprint import MadeBy


class Hashes(TypedDict):
    """What a result depends on."""

    part: str
    config: str
    code: str
    libraries: str


class DoneMarker(TypedDict):
    hashes: Hashes
    made_by: str  # names the record
    files: list[dict[str, Any]]  # JSON of FileEntry
    summary: Any  # JSON: what the stage's function returned
    changed: NotRequired[dict[str, int]]  # file → time of its last change, ns


def read_marker(out: Path, name: str) -> DoneMarker | None:
    """The marker of version 0.4 and before, which had one hash of everything, fits nothing: its hashes are empty."""
    path = _path(out, name)
    if not path.is_file():
        return None
    document = json.loads(path.read_bytes())
    if "hashes" not in document:
        nothing = Hashes(part="", config="", code="", libraries="")
        return DoneMarker(hashes=nothing, made_by="", files=document["files"], summary=document["summary"])
    marker: DoneMarker = document
    return marker


@contextmanager
def write_marker(
    out: Path, name: str, hashes: Hashes, record: str, files: list[FileEntry], summary: Any
) -> Iterator[None]:
    """Removes the old marker, which speaks of files that are about to be replaced; writes the new one at the end."""
    _path(out, name).unlink(missing_ok=True)
    yield
    entries = [entry.model_dump(exclude_unset=True) for entry in files]
    save_marker(out, name, DoneMarker(hashes=hashes, made_by=record, files=entries, summary=summary))


def save_marker(out: Path, name: str, marker: DoneMarker) -> None:
    """With the times at which its files were last changed, as they lie there."""
    changed = {file["name"]: (out / file["name"]).stat().st_mtime_ns for file in marker["files"]}
    with whole_file(_path(out, name)) as temporary:
        temporary.write_bytes(canonical_json({**marker, "changed": changed}))


def write_record(out: Path, maker: MadeBy) -> str:
    """Returns the hash by which markers name the record."""
    path = _record_path(out, maker.sha256)
    if not path.is_file():
        with whole_file(path) as temporary:
            temporary.write_bytes(canonical_json(asdict(maker)))
    return maker.sha256


def read_record(out: Path, record: str) -> MadeBy | None:
    path = _record_path(out, record)
    return MadeBy(**json.loads(path.read_bytes())) if path.is_file() else None


def forget_others(out: Path, names: set[str]) -> None:
    """Remove the parts of an earlier recipe, so that a reader of the folder sees this one's only."""
    markers = {path.stem: path for path in (out / ".done").glob("*.json")}
    others = markers.keys() - names
    if not others:
        return
    ours = {file["name"] for name in names & markers.keys() for file in _files(markers[name])}
    for name in others:
        for file in _files(markers[name]):
            if file["name"] not in ours:
                (out / file["name"]).unlink(missing_ok=True)
        markers[name].unlink()


def forget_where(out: Path, is_wanted: Callable[[Any], bool]) -> None:
    """Remove the markers of parts whose summary `is_wanted` says yes to, so that they run again."""
    for path in (out / ".done").glob("*.json"):
        if is_wanted(json.loads(path.read_bytes())["summary"]):
            path.unlink()


def _files(marker: Path) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = json.loads(marker.read_bytes())["files"]
    return files


def _path(out: Path, name: str) -> Path:
    return out / ".done" / f"{name}.json"


def _record_path(out: Path, record: str) -> Path:
    return out / ".done" / "made-by" / f"{record.removeprefix('sha256:')[:32]}.json"
