"""A page that shows two trainings side by side: what differs in their run.json, their losses, what they painted.

write_comparison(Path("compare.html"), [RunFolder(Path("runs/a")).train, TrainFolder(Path("b"))], verdict="equal")
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...manifests.atomic import whole_file
from ...manifests.flattened import flattened
from ...manifests.run_folders import TrainFolder
from .charts import Chart
from .later_stages import NearestScore, Sketch, read_json, read_lines, sketched_captions, sketches_of
from .loss_curve import HeldOutEntry, LossEntry, LossLines, compared_curves
from .templates import template


@dataclass(frozen=True)
class ComparedRun:
    name: str
    last: LossEntry
    held_out: HeldOutEntry | None
    sketches: list[Sketch]
    sketched: list[str]  # the captions of each sketch
    nearest: list[NearestScore]


@dataclass(frozen=True)
class Comparison:
    verdict: str
    runs: list[ComparedRun]
    curves: Chart
    settings: list[tuple[str, list[str]]]  # key of run.json → the value of each run, where they are not the same


def write_comparison(page: Path, folders: list[TrainFolder], verdict: str) -> None:
    """Each run must have done a step."""
    names = [str(folder.path) for folder in folders]
    runs, lines = [], []
    for name, folder in zip(names, folders, strict=True):
        losses: list[LossEntry] = read_lines(folder.losses)
        validation: list[HeldOutEntry] = read_lines(folder.validation)
        held_out, nearest = validation[-1] if validation else None, read_json(folder.nearest) or []
        runs.append(ComparedRun(name, losses[-1], held_out, sketches_of(folder), sketched_captions(folder), nearest))
        lines.append(LossLines(name, losses, validation))
    documents = [flattened(read_json(folder.document)) for folder in folders]
    sections = Comparison(verdict, runs, compared_curves(lines), differing(documents))
    with whole_file(page) as temporary:
        temporary.write_bytes(template("comparison.html").render(vars(sections)).encode("utf-8", "replace"))


def differing(documents: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The keys whose values are not the same in all documents; – where a document has no such key."""
    keys = dict.fromkeys(key for document in documents for key in document)
    values = {key: [str(document.get(key, "–")) for document in documents] for key in keys}
    return [(key, each) for key, each in values.items() if len(set(each)) > 1]
