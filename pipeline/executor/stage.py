"""A stage: a pure function over parts, one Ray task a part, resumable, the same bytes for any number of workers.

    def measure(part, config, folder): ...            # writes its files into `folder`, returns a small summary
    results = run_stage("measure", measure, parts, config, out=Path("runs/x/corpus/measures"))

A part's files appear by rename and then its done-marker, `.done/PART.json`, with a fingerprint over the part's
input, the config, the code and the libraries. A part whose marker and files still fit is not run again; a part that
is no longer asked for is removed. No state lives in an actor: a retried task would see its own first attempt.
"""

import ast
import hashlib
import inspect
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ray

from ...manifests.atomic import whole_file
from ...manifests.canonical import canonical_json, exact, sha256_of, sha256_of_file
from ...manifests.environment import libraries
from ...manifests.errors import TuwenError
from .part import Part, PartResult
from .progress import progress
from .ray_cluster import num_cpus

PartFunction = Callable[[Part, dict[str, Any], Path], dict[str, Any]]


def run_stage(
    label: str,
    function: PartFunction,
    parts: list[Part],
    config: dict[str, Any],
    out: Path,
    *,
    workers: int | None = None,
) -> list[PartResult]:
    """Results in the order of `parts`. Ray retries a part whose worker died; what a part raises comes out here."""
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(".part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    made_by: dict[str, Any] = {"config": exact(config), "code": _code_hash(function), "libraries": libraries()}
    fingerprints = {part.name: sha256_of({"part": exact(part.identity), **made_by}) for part in parts}
    done = {part.name: found for part in parts if (found := _finished(out, part.name, fingerprints[part.name]))}
    todo = [part for part in parts if part.name not in done]
    with progress(label, len(todo), "part") as advance:
        for result in _run_parts(function, todo, made_by["config"], out, fingerprints, workers):
            done[result.name] = result
            advance()
    _forget_others(out, set(fingerprints))
    return [done[part.name] for part in parts]


def _run_parts(
    function: PartFunction,
    parts: list[Part],
    config: dict[str, Any],
    out: Path,
    fingerprints: dict[str, str],
    workers: int | None,
) -> Iterator[PartResult]:
    """At most `workers` parts at a time (twice the CPUs if not said), so that a million parts do not queue at once."""
    task = ray.remote(num_cpus=1, max_retries=3)(_run_part)
    limit = workers or 2 * num_cpus()
    waiting = list(reversed(parts))
    running: list[ray.ObjectRef[PartResult]] = []
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                part = waiting.pop()
                running.append(task.remote(function, part, config, str(out.resolve()), fingerprints[part.name]))
            finished, running = ray.wait(running, num_returns=1)
            yield ray.get(finished[0])
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, TuwenError | OSError) else error) from None
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _run_part(function: PartFunction, part: Part, config: dict[str, Any], out: str, fingerprint: str) -> PartResult:
    folder = Path(out) / f".part-{part.name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        summary = function(part, config, folder)
        files = []
        _marker(Path(out), part.name).unlink(missing_ok=True)  # it speaks of files that are about to be replaced
        for path in sorted(folder.iterdir()):
            files.append({"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)})
            with whole_file(Path(out) / path.name) as temporary:
                path.replace(temporary)
        result = PartResult(part.name, files, summary)
        with whole_file(_marker(Path(out), part.name)) as temporary:
            temporary.write_bytes(canonical_json({"fingerprint": fingerprint, "files": files, "summary": summary}))
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _finished(out: Path, name: str, fingerprint: str) -> PartResult | None:
    marker = _marker(out, name)
    if not marker.is_file():
        return None
    said = json.loads(marker.read_bytes())
    if said["fingerprint"] != fingerprint:
        return None
    for file in said["files"]:
        path = out / file["name"]
        if not path.is_file() or path.stat().st_size != file["bytes"] or sha256_of_file(path) != file["sha256"]:
            return None
    return PartResult(name, said["files"], said["summary"])


def _forget_others(out: Path, names: set[str]) -> None:
    """Remove parts of an earlier recipe, so that a reader of the folder sees only this one's."""
    ours = {file["name"] for name in names for file in json.loads(_marker(out, name).read_bytes())["files"]}
    for marker in (out / ".done").glob("*.json"):
        if marker.stem not in names:
            for file in json.loads(marker.read_bytes())["files"]:
                if file["name"] not in ours:
                    (out / file["name"]).unlink(missing_ok=True)
            marker.unlink()


def _marker(out: Path, name: str) -> Path:
    return out / ".done" / f"{name}.json"


@cache
def _code_hash(function: PartFunction) -> str:
    """Over the function's module and every module of tuwen that it imports, however deep."""
    seen: dict[Path, bytes] = {}
    waiting = [Path(inspect.getfile(function))]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.is_file():
            seen[path] = path.read_bytes()
            waiting += _relative_imports(path, seen[path])
    digest = hashlib.sha256(function.__qualname__.encode())
    for path in sorted(seen):
        digest.update(f"{path.parent.name}/{path.name}\n".encode() + seen[path])
    return digest.hexdigest()


def _relative_imports(path: Path, source: bytes) -> Iterator[Path]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            yield folder.with_suffix(".py")
            yield from (folder / f"{name.name}.py" for name in node.names)
