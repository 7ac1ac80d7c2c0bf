"""A stage: a pure function over parts, one Ray task a part, resumable, the same bytes for any number of workers.

    MEASURE = Stage("measure", measure, libraries=("pillow", "numpy"))     # measure(part, config, folder) → summary
    results = run_stage(MEASURE, parts, config, corpus.measures, run)

The function writes its files into `folder`; they appear by rename, and then the part's done-marker with four hashes:
of the part, the settings, the code and the libraries. A part whose marker and files still fit is not run again; a part
that is no longer asked for is removed. No state lives in an actor: a retried task would see its own first attempt.
A stage with `scratch` gives each part a folder that outlives a killed attempt. Its name is the hash of all that the
part depends on, so what lies in it fits.
"""

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import ray

from ...manifests.atomic import whole_file
from ...manifests.canonical import sha256_of, sha256_of_file
from ...manifests.documents import FileEntry
from ...manifests.errors import CheckFailed, TuwenError
from .done_marker import Hashes, forget_others, write_marker, write_record
from .fingerprint import made_by
from .finished_parts import Hashing, finished_parts, may_be_kept, reason_line
from .meter import Meter, PartMeter
from .part import Part, PartResult, PictureRoot, Spec, Summary
from .progress import progress
from .ray_cluster import num_cpus, start_cluster

Config = TypeVar("Config")

_TRIES = 3  # of a part whose worker died
_WATCH_SECONDS = 1.0
_END_SECONDS = 30.0  # for tasks that were cancelled
_SCRATCH = ".scratch"


@dataclass(frozen=True)
class StageRun:
    """How the stages of one command run, and where they find pictures."""

    workers: int | None = None  # parts at a time; None: twice the CPUs of the cluster
    roots: Mapping[str, PictureRoot] = field(default_factory=dict)  # by source name
    keep_measures: bool = False  # `--keep-measures`: accept what another version measured
    recheck: bool = False  # `--recheck`: hash every file of finished parts again
    ray: str | None = None  # address of the cluster; None: a local one, which starts when there is work to do
    cpus: float = 1.0  # that a part takes of the cluster
    gpus: float = 0.0


@dataclass(frozen=True)
class Stage(Generic[Spec, Config, Summary]):
    """One step of a pipeline. Ray imports `function` by name, so it stands at the top level of its module."""

    name: str
    function: Callable[[Part[Spec], Config, Path], Summary]
    libraries: tuple[str, ...]  # distributions of which another release may give other bytes
    unhashed: tuple[str, ...] = ()  # keys of the config that never change a result: how fast, and where
    is_readable: Callable[[Path], bool] | None = None  # tells which files `--keep-measures` may accept; None: none
    scratch: bool = False


def run_stage(
    stage: Stage[Spec, Config, Summary],
    parts: list[Part[Spec]],
    config: Config,
    out: Path,
    run: StageRun,
    label: str | None = None,
    meter: Meter | None = None,
) -> list[PartResult[Summary]]:
    """Results in the order of `parts`. Ray retries a part whose worker died; what a part raises comes out here.

    `config` is JSON (a TypedDict, or None). `label` stands in the progress line instead of the stage's name. `meter`
    counts in smaller units than parts.
    """
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(".part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    module_sets = {part.modules for part in parts}  # a few, for any number of parts; each is hashed once
    makers = {modules: made_by(stage.function, stage.libraries, modules) for modules in module_sets}
    hashing = Hashing(_hashed(config, stage.unhashed), makers)
    finished = finished_parts(hashing, parts, out, stage.is_readable if run.keep_measures else None, run.recheck)
    if finished.stale:
        cure = "; --keep-measures accepts what is there" if stage.is_readable and not run.keep_measures else ""
        line = reason_line(stage.name, hashing, finished, len(parts), out)
        is_worth_it = any(may_be_kept(hashing, part, marker) for part, marker in finished.stale)
        print(line + cure * is_worth_it, file=sys.stderr, flush=True)
    todo = [part for part in parts if part.name not in finished.results]
    results: dict[str, PartResult[Summary]] = dict(finished.results)
    if todo:
        start_cluster(run.ray, run.workers)
    meter = meter or PartMeter(len(todo))
    with progress(label or stage.name, meter.total, meter.unit) as advance:
        for result in _run_parts(stage, todo, config, out.resolve(), hashing, run, lambda: meter.show(advance)):
            results[result.name] = result
            meter.finished(result)
            meter.show(advance)
    forget_others(out, {part.name for part in parts})
    shutil.rmtree(scratch_of(out), ignore_errors=True)
    return [results[part.name] for part in parts]


def scratch_of(out: Path) -> Path:
    """Where a stage that writes to `out` keeps the scratch folders of its parts."""
    return out / _SCRATCH


def _hashed(config: Config, unhashed: tuple[str, ...]) -> object:
    return {key: value for key, value in config.items() if key not in unhashed} if isinstance(config, dict) else config


def _run_parts(
    stage: Stage[Spec, Config, Summary],
    parts: list[Part[Spec]],
    config: Config,
    out: Path,
    hashing: Hashing,
    run: StageRun,
    watch: Callable[[], None],
) -> Iterator[PartResult[Summary]]:
    """At most `run.workers` parts at a time (twice the CPUs if not said), so that a million do not queue at once."""
    if not parts:
        return
    task: Any = ray.remote(num_cpus=run.cpus, num_gpus=run.gpus, max_retries=_TRIES)(_run_part)
    limit = run.workers or 2 * num_cpus()
    records = {key: write_record(out, hashing.made_by[key]) for key in {part.modules for part in parts}}
    waiting = list(reversed(parts))
    running: list[ray.ObjectRef[PartResult[Summary]]] = []
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                part = waiting.pop()
                hashes = hashing.of(part)
                if stage.scratch:
                    part = replace(part, scratch=str(scratch_of(out) / f"{part.name}-{sha256_of(dict(hashes))[7:23]}"))
                running.append(task.remote(stage.function, part, config, out, hashes, records[part.modules]))
            finished, running = ray.wait(running, num_returns=1, timeout=_WATCH_SECONDS)
            watch()
            for reference in finished:
                yield ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, TuwenError | OSError) else error) from None
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if running:  # one that is about to end would write its marker into the next run of this stage
            ray.wait(running, num_returns=len(running), timeout=_END_SECONDS)


def _check_results(part: Part[Any]) -> None:
    """Raises CheckFailed when what another stage wrote for this part was altered since."""
    for file in part.inputs.values():
        if file.is_result and sha256_of_file(Path(file.path)) != file.sha256:
            cure = "give the command again with --recheck, which makes it anew"
            raise CheckFailed(f"{file.path}: was altered since it was made", cure=cure)


def _run_part(
    function: Callable[[Part[Spec], Config, Path], Summary],
    part: Part[Spec],
    config: Config,
    out: Path,
    hashes: Hashes,
    record: str,
) -> PartResult[Summary]:
    _check_results(part)
    folder = out / f".part-{part.name}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        summary = function(part, config, folder)
        files = [
            FileEntry(name=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=sha256_of_file(path))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        with write_marker(out, part.name, hashes, record, files, summary):
            for file in files:
                with whole_file(out / file.name) as temporary:
                    (folder / file.name).replace(temporary)
        if part.scratch:
            shutil.rmtree(part.scratch, ignore_errors=True)
        return PartResult(part.name, files, summary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
