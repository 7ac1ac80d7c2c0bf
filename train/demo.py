"""`tuwen demo`: the whole flow on the real emoji corpus, phase by phase, and the page that shows it.

    report, scores = run_demo(load_recipe("emoji"), RunFolder(Path("runs/emoji")), StageRun())

Each phase is the function that its own command calls; what a broken demo had done, the next one finds done.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from ..tokenize.reconstruction import measure_reconstruction
from ..tokenize.train_tokenizers import train_tokenizers
from ..tokenize.write_shards import write_shards
from .generate_pictures import sample_pictures, save_grid
from .loop import train
from .nearest import nearest_score
from .run import Run

PROMPTS = (
    "一只蜜蜂", "红心", "蓝心", "旗：法国", "西瓜", "企鹅",
    "圣诞树", "火箭", "满月", "女医生，中等肤色", "小丑脸", "绿色的苹果",
)  # fmt: skip
SAMPLES = 8
JUDGED_CAPTIONS = 200
TEMPERATURE, TOP_K = 0.25, 200


def run_demo(recipe: Recipe, folder: RunFolder, run: StageRun) -> tuple[Path, dict[str, Any]]:
    """Returns the report and the numbers that the demo ends with."""
    times: list[dict[str, Any]] = []

    def phase(name: str, work: Callable[[], Any]) -> Any:
        print(f"── {name}", file=sys.stderr, flush=True)
        with Footprint() as footprint:
            result = work()
        times.append({"phase": name, "seconds": footprint.seconds, "peak_mb": footprint.peak_mb})
        return result

    corpus: Manifest = phase("corpus", lambda: build_corpus(recipe, folder.corpus, run))
    phase("caption ids", lambda: train_tokenizers(recipe, corpus, folder.tokenizer, run, ("text",)))
    shards: Manifest = phase(
        "tokenize", lambda: write_shards(recipe, corpus, folder.tokenizer.text_model, folder.shards, run)
    )
    stop_cluster()  # its idle processes would take turns with the trainer
    measured = phase("reconstruct", lambda: measure_reconstruction(recipe, corpus, shards))
    phase("verify", lambda: _verify(shards))
    trained: Run = phase("train", lambda: train(recipe, shards, folder.train.path))
    phase("paint", lambda: sample_prompts(trained, corpus))
    nearest = phase("judge", lambda: judge(trained, corpus, shards, recipe))
    _write_json(folder.times, _longest(times, folder.times))
    scores = {
        "pairs": corpus.document["totals"]["pairs"], "kept": corpus.document["totals"]["kept"],
        "psnr_mean_db": measured["psnr_mean_db"], "steps": len(trained.losses),
        "nats_per_code": trained.losses[-1]["codes"],
        "nearest": nearest, "seconds": round(sum(time["seconds"] for time in times), 1),
        "peak_mb": max(time["peak_mb"] for time in times),
    }  # fmt: skip
    return write_report(folder), scores


def _longest(times: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Of each phase the longest time: a demo that is given again finds most of its phases done."""
    before = {time["phase"]: time for time in json.loads(path.read_bytes())} if path.is_file() else {}
    return [max(time, before.get(time["phase"], time), key=lambda time: float(time["seconds"])) for time in times]


def sample_prompts(run: Run, corpus: Manifest) -> None:
    """The first samples of seed 0 for each prompt; none is chosen. Says which prompts are captions of the corpus."""
    verdicts = read_verdicts(corpus, ["caption", "kept"])
    captions = set(verdicts.filter(verdicts["kept"])["caption"].to_pylist())
    pictures, _ = sample_pictures(run, list(PROMPTS), SAMPLES, seed=0, temperature=TEMPERATURE, top_k=TOP_K)
    folder = run.folder / "paintings"
    listed = []
    for number, (prompt, painted) in enumerate(zip(PROMPTS, pictures, strict=True)):
        save_grid(folder / f"{number:02d}.png", painted, columns=4)
        listed.append({"prompt": prompt, "file": f"{number:02d}.png", "is_caption": prompt in captions})
    _write_json(folder / "paintings.json", listed)


def judge(run: Run, corpus: Manifest, shards: Manifest, recipe: Recipe) -> list[dict[str, Any]]:
    """How often a painted picture (the likeliest codes) is nearest to its own: captions trained on, and others."""
    scores = [
        nearest_score(run, corpus, recipe.split.validation, split, JUDGED_CAPTIONS, seed=0, temperature=0)
        for split, about in shards.document["splits"].items()
        if about["samples"]
    ]
    _write_json(run.folder / "nearest.json", scores)
    return scores


def _verify(shards: Manifest) -> None:
    faults = list(verify_manifest(load_manifest(shards.folder), "always"))
    if faults:
        raise CheckFailed(f"{shards.folder}: {faults[0]}", cure="run the demo again")


def _write_json(path: Path, document: Any) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(canonical_json(exact(document)) + b"\n")
