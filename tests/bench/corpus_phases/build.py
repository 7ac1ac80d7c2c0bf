"""One corpus built, timed step by step, on a cluster that is warm; prints one JSON line. A process of its own.

    python build.py SOURCE OUT --workers 2

SOURCE is a folder of tars, whose captions are judged by the preset wukong, or a recipe. `seconds` is the whole of
`build_corpus`; starting Ray and its workers (a tiny corpus is built for that first) is `start_seconds`; `steps` are the
parts of it that take time, some of which lie inside others. Everything is measured anew: OUT is removed before.
"""

import argparse
import contextlib
import importlib
import io
import json
import random
import shutil
import sys
import tarfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.executor.ray_cluster import start_cluster
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe
from tuwen.pipeline.open_source import open_source

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.stages import build_corpus

STEPS = {
    "tuwen.pipeline.corpus": ("open_source", "measure_sources", "decide", "write_verdicts", "funnel", "_licenses"),
    "tuwen.pipeline.decide": ("_run_scores", "_deciding_columns", "_drop_frequent_captions", "known_pictures", "match"),
    "tuwen.pipeline.duplicates.match": ("keep_best", "_near_duplicates", "_among_all_pairs"),
    "tuwen.pipeline.duplicates.near_pictures": ("hamming_pairs", "_components", "_in_tasks"),
    "tuwen.pipeline.duplicates.keep_best": ("_ranks", "PictureDuplicates", "choose_pairs", "cluster_names"),
}


def timed_steps() -> dict[str, float]:
    """Seconds by step, filled while they run: each is replaced, in the module that calls it, by one with a clock."""
    spent: dict[str, float] = {}

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(step)
        def run(*arguments: Any, **settings: Any) -> Any:
            began = time.perf_counter()
            try:
                return step(*arguments, **settings)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

        return run

    for module_name, names in STEPS.items():
        module = importlib.import_module(module_name)
        for name in names:
            setattr(module, name, timed(f"{module_name.rpartition('.')[2]}.{name}", getattr(module, name)))
    return spent


def recipe_of(source: Path) -> Recipe:
    if source.suffix == ".yaml":
        return load_recipe(str(source))
    return recorded_recipe(
        {
            "name": "bench",
            "sources": [{"name": "bench", "kind": "webdataset", "path": str(source.resolve())}],
            "captions": {"preset": "wukong"},
        }
    )


def warm_up(folder: Path, workers: int) -> None:
    """So many tars that every worker gets one: it imports what measuring takes, and starts the process that decodes."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tars").mkdir(parents=True)
    rng = random.Random(0)
    for number in range(2 * workers):
        data = io.BytesIO()
        Image.frombytes("RGB", (128, 128), rng.randbytes(128 * 128 * 3)).save(data, "JPEG")
        with tarfile.open(folder / "tars" / f"{number}.tar", "w") as tar:
            for name, content in ((f"{number}.jpg", data.getvalue()), (f"{number}.txt", "一张图".encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    build_corpus(recipe_of(folder / "tars"), folder / "corpus", workers)
    shutil.rmtree(folder)


def cpu_seconds() -> float:
    """CPU seconds of this process and all that live below it: workers and decoders are there from the warm-up on."""
    this = psutil.Process()
    spent = 0.0
    for process in [this, *this.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def _pictures_in(tar: Path) -> int:
    with tarfile.open(tar) as file:
        return sum(name.endswith(".jpg") for name in file.getnames())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only-fetch", action="store_true", help="of a recipe, gather the first source's pictures")
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    began = time.perf_counter()
    start_cluster("local", asked.workers)
    warm_up(asked.out.with_name(f"{asked.out.name}-warm"), asked.workers)
    started, cpu_started = time.perf_counter(), cpu_seconds()
    spent = timed_steps()
    recipe = recipe_of(asked.source)
    if asked.only_fetch:
        opened = open_source(recipe.sources[0], recipe, asked.out, asked.workers)
        ended, cpu_ended = time.perf_counter(), cpu_seconds()
        pictures = sum(map(_pictures_in, opened.root.glob("*.tar")))
        totals = {"pairs": pictures, "kept": pictures}
    else:
        totals = build_corpus(recipe, asked.out, asked.workers).document["totals"]
        ended, cpu_ended = time.perf_counter(), cpu_seconds()
    print(
        json.dumps(
            {
                "count": totals["pairs"],
                "kept": totals["kept"],
                "seconds": round(ended - started, 3),
                "cpu_seconds": round(cpu_ended - cpu_started, 3),
                "start_seconds": round(started - began, 3),
                "steps": {name: round(seconds, 3) for name, seconds in spent.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
