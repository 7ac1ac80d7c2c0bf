"""`tuwen tokenize` of finished corpora on a warm cluster; prints one JSON line.

    python job.py SOURCES OUT --recipe '{"image": {"kind": "diffusers", …}}' --workers 2

SOURCES are folders with tars/. Of two, `seconds` and `count` are those of the second less those of the first: what a
picture more costs. What a job costs once (copying and hashing the model, its checks, the manifest) is apart, in
`fixed_seconds`; a job runs before both, so that Ray's workers are there. A corpus is built by another process, which
holds its own memory. `bytes_each` is of the shards alone.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.executor.footprint import Footprint
from tuwen.pipeline.executor.ray_cluster import start_cluster
from tuwen.pipeline.load_recipe import recorded_recipe

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.stages import build_corpus, train_tokenizers, write_shards

Row = dict[str, float]


def recipe_of(source: Path, tokenize: dict[str, Any]) -> Recipe:
    """Copies are kept: the photographs repeat. No validation split, which would be blocks of its own."""
    return recorded_recipe(
        {
            "name": "bench",
            "sources": [{"name": "bench", "kind": "webdataset", "path": str((source / "tars").resolve())}],
            "duplicates": {"images": "none", "captions": "none"},
            "split": {"validation": 0},
            "tokenize": {"text": {"tokenizer": "characters"}, **tokenize},
        }
    )


def built(source: Path, recipe: Recipe, workers: int) -> None:
    corpus = build_corpus(recipe, source / "corpus", workers)
    train_tokenizers(recipe, corpus, source / "tokenizer", kinds=("text",), workers=workers)


def cpu_seconds() -> float:
    """Of this process and all below it, Ray's workers among them."""
    this = psutil.Process()
    spent = 0.0
    for process in [this, *this.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def measured(source: Path, recipe: Recipe, corpus: Manifest, out: Path, workers: int) -> Row:
    """The same folder every time, so that workers that live on find the model that they have loaded."""
    shutil.rmtree(out, ignore_errors=True)
    with Footprint() as footprint:
        began, spent = time.perf_counter(), cpu_seconds()
        manifest = write_shards(recipe, corpus, source / "tokenizer" / "text.model", out, workers)
        seconds, cpu = time.perf_counter() - began, cpu_seconds() - spent
    totals = manifest.document["totals"]
    count = totals["samples"]
    return {
        "count": count, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3),
        "bytes_each": round(totals["bytes"] / count), "job_mb": footprint.peak_mb,
    }  # fmt: skip


def more(few: Row, many: Row) -> Row:
    row = {name: round(many[name] - few[name], 3) for name in ("count", "seconds", "cpu_seconds")}
    fixed = few["seconds"] - few["count"] * row["seconds"] / row["count"]
    return {**many, **row, "fixed_seconds": round(fixed, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", type=json.loads, required=True, help="of its section `tokenize`, as JSON")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only-build", action="store_true", help="the corpora")
    asked = parser.parse_args()
    recipes = [(source, recipe_of(source, asked.recipe)) for source in asked.sources]
    began = time.perf_counter()
    if asked.only_build:
        start_cluster("local", asked.workers)
        for source, recipe in recipes:
            built(source, recipe, asked.workers)
        return
    if missing := [str(source) for source in asked.sources if not (source / "tokenizer" / "manifest.json").is_file()]:
        command = [sys.executable, __file__, *missing, "-", "--recipe", "{}", "--only-build"]
        subprocess.run(command, check=True, stdout=sys.stderr)
    start_cluster("local", asked.workers)
    corpora = [(source, recipe, load_manifest(source / "corpus", "corpus")) for source, recipe in recipes]
    if len(corpora) > 1:
        measured(*corpora[0], asked.out, asked.workers)
    started = round(time.perf_counter() - began, 1)
    found = [measured(*each, asked.out, asked.workers) for each in corpora]
    print(json.dumps({**(more(*found) if len(found) > 1 else found[0]), "start_seconds": started}))


if __name__ == "__main__":
    main()
