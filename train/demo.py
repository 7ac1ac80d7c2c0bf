"""`tuwen demo`: all stages on the real emoji corpus, phase by phase, and the report that shows them.

    report, scores = run_demo(load_recipe("emoji"), RunFolder(Path("runs/emoji")), StageRun())

Each phase is the function that its own command calls. A demo that was interrupted continues where it was.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from ..manifests.atomic import whole_file
from ..manifests.canonical import canonical_json, exact
from ..manifests.errors import CheckFailed
from ..manifests.manifest import Manifest, load_manifest
from ..manifests.recipe.recipe import Recipe
from ..manifests.run_folders import RunFolder
from ..manifests.verify import verify_manifest
from ..pipeline.corpus import build_corpus
from ..pipeline.corpus_files.verdicts import read_verdicts
from ..pipeline.executor.footprint import Footprint
from ..pipeline.executor.ray_cluster import stop_cluster
from ..pipeline.executor.stage import StageRun
from ..pipeline.report.report import write_report
from ..tokenize.encode.write_shards import write_shards
from ..tokenize.reconstruction import measure_reconstruction
from ..tokenize.train_tokenizers import train_tokenizers
from .judging.evaluate import EvaluateOptions, evaluate
from .painting.generate_pictures import sample_pictures, save_grid
from .painting.nearest import NearestScore, nearest_score
from .run.run import Run
from .training.loop import train

PROMPTS = (
    "一只蜜蜂", "红心", "蓝心", "旗：法国", "西瓜", "企鹅",
    "圣诞树", "火箭", "满月", "女医生，中等肤色", "小丑脸", "绿色的苹果",
)  # fmt: skip
LONGER = Path(__file__).parent / "longer"  # what does not fit into the minutes of a demo
PICTURES_PER_PROMPT = 8
TEMPERATURE, TOP_K = 0.25, 200
SCORED_CAPTIONS = 200  # of each split
EVALUATED_CAPTIONS = 60  # of each split: copies, and captions of pictures

Result = TypeVar("Result")


@dataclass(frozen=True)
class Phase:
    name: str
    seconds: float
    peak_mb: int  # memory of all processes together

    def document(self) -> dict[str, str | float | int]:
        """The entry of the phase in times.json."""
        return {"phase": self.name, "seconds": self.seconds, "peak_mb": self.peak_mb}


class DemoScores(TypedDict):
    pairs: int
    kept: int
    psnr_mean_db: float  # of the image tokenizer
    steps: int
    nats_per_code: float  # of the last step
    nearest: list[NearestScore]  # one for each split
    seconds: float
    peak_mb: int


class PromptPictures(TypedDict):
    """One entry of paintings.json."""

    prompt: str
    file: str
    is_caption: bool  # of a kept pair of the corpus


def run_demo(recipe: Recipe, folder: RunFolder, run: StageRun) -> tuple[Path, DemoScores]:
    """Run all phases; return the path of the report and the numbers that the demo ends with."""
    phases: list[Phase] = []

    def timed(name: str, work: Callable[[], Result]) -> Result:
        print(f"── {name}", file=sys.stderr, flush=True)
        with Footprint() as footprint:
            result = work()
        phases.append(Phase(name, footprint.seconds, footprint.peak_mb))
        return result

    corpus = timed("corpus", lambda: build_corpus(recipe, folder.corpus, run))
    timed("caption ids", lambda: train_tokenizers(recipe, corpus, folder.tokenizer, run, ("text",)))
    shards = timed("tokenize", lambda: write_shards(recipe, corpus, folder.tokenizer.text_model, folder.shards, run))
    stop_cluster()  # its idle processes would take turns with the trainer
    reconstruction = timed("reconstruct", lambda: measure_reconstruction(recipe, corpus, shards)["codes"])
    timed("verify", lambda: verify_shards(shards))
    trained = timed("train", lambda: train(recipe, shards, folder.train))
    timed("sample", lambda: sample_prompts(trained, corpus))
    nearest = timed("nearest", lambda: score_splits(trained, corpus, shards, recipe))
    if shards.splits["validation"].samples:
        timed("evaluate", lambda: evaluate(trained, shards, corpus, EvaluateOptions(captions=EVALUATED_CAPTIONS)))
    shutil.copytree(LONGER, folder.train.longer, dirs_exist_ok=True)
    save_times(folder.times, phases)
    scores: DemoScores = {
        "pairs": corpus.totals["pairs"], "kept": corpus.totals["kept"],
        "psnr_mean_db": reconstruction["psnr_mean_db"], "steps": len(trained.losses),
        "nats_per_code": trained.losses[-1]["codes"],
        "nearest": nearest, "seconds": round(sum(phase.seconds for phase in phases), 1),
        "peak_mb": max(phase.peak_mb for phase in phases),
    }  # fmt: skip
    return write_report(folder), scores


def verify_shards(shards: Manifest) -> None:
    """Raises CheckFailed when a shard differs from the manifest, which is read from the disk anew."""
    faults = list(verify_manifest(load_manifest(shards.folder), "always"))
    if faults:
        raise CheckFailed(f"{shards.folder}: {faults[0]}", cure="run the demo again")


def sample_prompts(run: Run, corpus: Manifest) -> None:
    """Save the first pictures of seed 0 for each prompt, none of them chosen, and list which prompts are captions."""
    verdicts = read_verdicts(corpus, ["caption", "kept"])
    captions = set(verdicts.filter(verdicts["kept"])["caption"].to_pylist())
    prompts = list(PROMPTS)
    sampled, _ = sample_pictures(run, prompts, PICTURES_PER_PROMPT, seed=0, temperature=TEMPERATURE, top_k=TOP_K)
    entries: list[PromptPictures] = []
    for number, (prompt, pictures) in enumerate(zip(prompts, sampled, strict=True)):
        file = f"{number:02d}.png"
        save_grid(run.folder.paintings / file, pictures, columns=4)
        entries.append({"prompt": prompt, "file": file, "is_caption": prompt in captions})
    _write_json(run.folder.paintings_list, entries)


def score_splits(run: Run, corpus: Manifest, shards: Manifest, recipe: Recipe) -> list[NearestScore]:
    """The nearest score of each split that has samples, with the likeliest codes of each caption."""
    scores = [
        nearest_score(run, corpus, recipe.split.validation, name, SCORED_CAPTIONS, seed=0, temperature=0)
        for name, split in shards.splits.items()
        if split.samples
    ]
    _write_json(run.folder.nearest, scores)
    return scores


def save_times(path: Path, phases: list[Phase]) -> None:
    """Write each phase with the longest time it took so far: a demo that is given again finds most of them done."""
    earlier = {entry["phase"]: entry for entry in json.loads(path.read_bytes())} if path.is_file() else {}
    entries = [phase.document() for phase in phases]
    longest = [
        max(entry, earlier.get(entry["phase"], entry), key=lambda entry: float(entry["seconds"])) for entry in entries
    ]
    _write_json(path, longest)


def _write_json(path: Path, document: Any) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(canonical_json(exact(document)) + b"\n")
