"""The report's sections on training, and on the manifests that prove all stages.

training_section(run.train), proofs(run, corpus)

A section is None where its stage has not run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ...manifests.documents import FileEntry, Json, ShardEntry
from ...manifests.manifest import Manifest, load_manifest
from ...manifests.run_folders import MANIFEST, RunFolder, TrainFolder
from .charts import Chart
from .loss_curve import HeldOutEntry, LossEntry, loss_curve
from .thumbnails import file_uri

_FILES_SHOWN = 12
_SKETCHES_SHOWN = 6


class NearestScore(TypedDict):
    """What the report reads of an entry of nearest.json; numbers with a fraction are decimal strings."""

    split: str
    captions: int
    pictures: int
    own_in_5: str  # share of the captions
    strict_in_5: str
    chance: str
    own_median_rank: int
    with_skin_tone: NotRequired[int]  # captions that name one; missing until 0.7.0
    own_in_5_with_skin_tone: NotRequired[str | None]
    own_in_5_without_skin_tone: NotRequired[str | None]


class PhaseTime(TypedDict):
    """An entry of times.json."""

    phase: str
    seconds: str
    peak_mb: int


@dataclass(frozen=True)
class SampledPictures:
    prompt: str
    is_caption: bool  # of a kept pair of the corpus
    picture: str  # data URI


@dataclass(frozen=True)
class TrainingRun:
    """What the report reads of run.json."""

    num_codes: int  # of a picture
    depth: int  # layers
    width: int
    batch: int
    precision: str  # float32 or bfloat16
    threads: int


@dataclass(frozen=True)
class Sketch:
    """The same captions as in every other, painted by the model after so many steps."""

    steps: int
    picture: str  # data URI


@dataclass(frozen=True)
class TrainingSection:
    run: TrainingRun
    last: LossEntry
    curve: Chart
    held_out: dict[str, float]  # source → mean nats per code of its held-out pairs
    sketches: list[Sketch]
    sketched: list[str]  # the captions of each sketch, row by row
    sampled: list[SampledPictures]
    nearest: list[NearestScore]


@dataclass(frozen=True)
class Proof:
    """A manifest, and the files that it lists."""

    stage: str
    id: str
    seal: str
    parents: list[str]
    digest: str | None  # of the data that a training run has read
    num_files: int
    num_bytes: int
    first_files: list[FileEntry | ShardEntry]


def training_section(folder: TrainFolder) -> TrainingSection | None:
    if not folder.manifest.is_file():
        return None
    losses: list[LossEntry] = read_lines(folder.losses)
    validation: list[HeldOutEntry] = read_lines(folder.validation)
    sampled = [
        SampledPictures(entry["prompt"], entry["is_caption"], file_uri(folder.paintings / entry["file"]))
        for entry in read_json(folder.paintings_list) or []
    ]
    run, nearest = _training_run(read_json(folder.document)), read_json(folder.nearest) or []
    by_source = validation[-1]["sources"] if validation else {}
    return TrainingSection(
        run,
        losses[-1],
        loss_curve(losses, validation),
        by_source,
        sketches_of(folder),
        sketched_captions(folder),
        sampled,
        nearest,
    )


def sketched_captions(folder: TrainFolder) -> list[str]:
    """The captions of every sketch, in the order of its pictures; none where nothing was sketched."""
    captions: list[str] = read_json(folder.sketch_list) or []
    return captions


def sketches_of(folder: TrainFolder) -> list[Sketch]:
    """The first, the last, and some between them."""
    found = sorted(folder.sketches.glob("step-*.png"))
    last = len(found) - 1
    shown = sorted({round(number * last / (_SKETCHES_SHOWN - 1)) for number in range(_SKETCHES_SHOWN)}) if found else []
    return [Sketch(int(found[n].stem.removeprefix("step-")), file_uri(found[n])) for n in shown]


def proofs(run: RunFolder, corpus: Manifest) -> list[Proof]:
    """The manifest of the corpus, then those of the later stages that have run."""
    folders = [folder.path for folder in (run.tokenizer, run.shards, run.train)]
    later = [folder for folder in folders if (folder / MANIFEST).is_file()]
    return [_proof("corpus", corpus), *(_proof(folder.name, load_manifest(folder)) for folder in later)]


def phase_times(run: RunFolder) -> list[PhaseTime]:
    """How long each phase of a demo took; empty for other runs."""
    return read_json(run.times) or []


def _proof(stage: str, manifest: Manifest) -> Proof:
    files = manifest.entries()
    return Proof(
        stage=stage,
        id=manifest.id,
        seal=manifest.seal,
        parents=list(manifest.lineage.parents),
        digest=manifest.document.get("totals", {}).get("digest"),
        num_files=len(files),
        num_bytes=sum(file.bytes for file in files),
        first_files=files[:_FILES_SHOWN],
    )


def _training_run(document: Json) -> TrainingRun:
    settings = document["settings"]
    return TrainingRun(
        num_codes=document["layout"]["num_codes"],
        depth=settings["model"]["depth"],
        width=settings["model"]["width"],
        batch=settings["batch"],
        precision=document["precision"] if "precision" in document else document["compute"],  # `compute` until 0.4.0
        threads=document["threads"],
    )


def read_lines(path: Path) -> list[Any]:
    """The JSON of each line; none if the file does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def read_json(path: Path) -> Any:
    """The content of the file; None if it does not exist."""
    return json.loads(path.read_bytes()) if path.is_file() else None
