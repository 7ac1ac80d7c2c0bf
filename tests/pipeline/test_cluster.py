"""The same corpus from a cluster of several nodes, also when one of them dies."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tuwen.manifests.manifest import load_manifest
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe

from ..conftest import files_of, tar_of, write_recipe
from ..stages import build_corpus
from .hostile import picture, saved

PARTS, PICTURES = 12, 15


def write_tars(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(PARTS):
        members: dict[str, bytes] = {}
        for index in range(PICTURES):
            seed = PICTURES * number + index
            members[f"{index:03d}.jpg"] = saved(picture(seed, 640, 480), "JPEG", quality=90)
            members[f"{index:03d}.txt"] = f"第{seed}张图片".encode()
        tar_of(folder / f"{number:03d}.tar", members)


def test_a_node_that_dies_in_the_middle_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    write_tars(tmp_path / "tars")
    recipe = write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]")
    undisturbed = build_corpus(load_recipe(str(recipe)), tmp_path / "undisturbed")
    script = Path(__file__).parent / "dying_node.py"
    ran = subprocess.run(
        [sys.executable, str(script), str(recipe), str(tmp_path / "disturbed"), "3"],
        check=False, capture_output=True, text=True, timeout=240, env={**os.environ, "RAY_ADDRESS": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    report = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    assert (report["nodes"], report["nodes_after"]) == (3, 2)
    assert 3 <= report["parts_done_at_death"] < PARTS, "the node died too late to matter"
    assert report["id"] == undisturbed.id
    assert files_of(load_manifest(tmp_path / "disturbed")) == files_of(undisturbed)
    assert read_verdicts(undisturbed).num_rows == PARTS * PICTURES
