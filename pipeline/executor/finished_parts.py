"""Which parts of a stage are done already, and why others have to be done again.

finished = finished_parts(stage_hashes, parts, out, keep=None)
finished.results            # part name → PartResult, for parts whose marker and files still hold
finished.stale              # (part, marker) of those that were done once, but no longer fit
reason_line("measure", …)   # "measure: runs again for 31 of 32 parts (8,504 pairs): pipeline/pictures/decode.py"
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

from pydantic import BaseModel

from ...manifests.canonical import exact, sha256_of, sha256_of_file
from ...manifests.counted import counted
from ...manifests.documents import FileEntry
from .done_marker import DoneMarker, Hashes, read_marker, read_record, save_marker
from .fingerprint import MadeBy, differences
from .part import Part, PartResult, Spec, Summary

_CAUSES_SHOWN = 5


@dataclass(frozen=True)
class Hashing:
    """Makes the four hashes of a part. `made_by` is by `Part.modules`."""

    config: Any  # JSON, which may hold sections of a recipe
    made_by: dict[tuple[str, ...], MadeBy]

    def of(self, part: Part[Any]) -> Hashes:
        inputs = {name: file.sha256 for name, file in part.inputs.items()}
        code, libraries = self._of_makers[part.modules]
        part_hash = sha256_of({"spec": exact(part.spec), "inputs": inputs})
        return {"part": part_hash, "config": self._of_config, "code": code, "libraries": libraries}

    @cached_property
    def _of_config(self) -> str:
        return sha256_of(exact(_as_json(self.config)))

    @cached_property
    def _of_makers(self) -> dict[tuple[str, ...], tuple[str, str]]:
        return {key: (sha256_of(maker.code), sha256_of(maker.libraries)) for key, maker in self.made_by.items()}


@dataclass(frozen=True)
class FinishedParts(Generic[Spec, Summary]):
    results: dict[str, PartResult[Summary]]
    stale: list[tuple[Part[Spec], DoneMarker]]


def finished_parts(
    hashing: Hashing,
    parts: list[Part[Spec]],
    out: Path,
    keep: Callable[[Path], bool] | None = None,
    recheck: bool = False,
) -> FinishedParts[Spec, Any]:
    """`keep` tells of a file that another version made whether it may stay; None: no such file may.

    With `recheck` every file is hashed, else those that were changed since their marker was written.
    """
    results: dict[str, PartResult[Any]] = {}
    stale = []
    for part in parts:
        marker = read_marker(out, part.name)
        if marker is None:
            continue
        hashes = hashing.of(part)
        other_version = marker["hashes"] != hashes
        fits = not other_version or (keep is not None and _may_keep(out, marker, hashes, keep))
        if fits and _files_hold(out, part.name, marker, recheck):
            files = [FileEntry.model_validate(entry) for entry in marker["files"]]
            kept_from = marker["made_by"] if other_version else None
            results[part.name] = PartResult(part.name, files, marker["summary"], kept_from)
        else:
            stale.append((part, marker))
    return FinishedParts(results, stale)


def reason_line(stage: str, hashing: Hashing, finished: FinishedParts[Any, Any], num_parts: int, out: Path) -> str:
    """How many parts run again, how many pairs they hold, and what changed."""
    stale = finished.stale
    causes: dict[str, None] = {}
    for part, marker in stale:
        causes |= dict.fromkeys(_causes(hashing, part, marker, out))
    shown = list(causes)[:_CAUSES_SHOWN]
    if len(causes) > len(shown):
        shown.append(f"{len(causes) - len(shown)} more")
    pairs = sum(int(marker["summary"].get("pairs", 0)) for _, marker in stale)
    amount = f"{len(stale):,} of {counted(num_parts, 'part')}" + (f" ({counted(pairs, 'pair')})" if pairs else "")
    return f"{stage}: runs again for {amount}, since these changed: {', '.join(shown)}"


def may_be_kept(hashing: Hashing, part: Part[Any], marker: DoneMarker) -> bool:
    """Whether nothing but the code and the libraries changed: then `--keep-measures` would accept the files."""
    now, old = hashing.of(part), marker["hashes"]
    return (old["part"], old["config"]) == (now["part"], now["config"]) and old != now


def _causes(hashing: Hashing, part: Part[Any], marker: DoneMarker, out: Path) -> Iterator[str]:
    now, old = hashing.of(part), marker["hashes"]
    if not marker["made_by"]:
        yield "the version of tuwen"
        return
    if old == now:
        yield "files that are missing or were altered"
    if old["part"] != now["part"]:
        yield "the input"
    if old["config"] != now["config"]:
        yield "the settings"
    if (old["code"], old["libraries"]) != (now["code"], now["libraries"]):
        record = read_record(out, marker["made_by"])
        yield from differences(record, hashing.made_by[part.modules]) if record else ["the version of tuwen"]


def _may_keep(out: Path, marker: DoneMarker, hashes: Hashes, keep: Callable[[Path], bool]) -> bool:
    """Whether part and settings are the same, and every file can be read as if this version had made it."""
    old = marker["hashes"]
    same = old["part"] == hashes["part"] and old["config"] == hashes["config"]
    paths = [out / file["name"] for file in marker["files"]]
    return same and all(path.is_file() and keep(path) for path in paths)


def _as_json(config: Any) -> Any:
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    return {key: _as_json(value) for key, value in config.items()} if isinstance(config, dict) else config


def _files_hold(out: Path, name: str, marker: DoneMarker, recheck: bool) -> bool:
    """Whether the files are what the marker says. Times that are others, as of a copied folder, are noted for later."""
    known, is_noted = marker.get("changed", {}), True
    for file in marker["files"]:
        path = out / file["name"]
        try:
            stat = path.stat()
        except OSError:
            return False
        is_as_noted = known.get(file["name"]) == stat.st_mtime_ns
        if stat.st_size != file["bytes"] or not path.is_file():
            return False
        if (recheck or not is_as_noted) and sha256_of_file(path) != file["sha256"]:
            return False
        is_noted = is_noted and is_as_noted
    if not is_noted:
        save_marker(out, name, marker)
    return True
