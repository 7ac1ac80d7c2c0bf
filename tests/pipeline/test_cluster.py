"""The same corpus and shards from a cluster of several nodes, also when one of them dies."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tuwen.manifests.manifest import load_manifest
from tuwen.manifests.run_folders import TEXT_MODEL
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe

from ..conftest import files_of, tar_of, write_recipe
from ..stages import build_corpus, train_tokenizers, write_shards
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
    """One dies while pictures are measured, another while they are encoded."""
    write_tars(tmp_path / "tars")
    more = {"tokenize": "{text: {vocab: 64}, block_rows: 4, shard_blocks: 4}"}
    path = write_recipe(tmp_path, sources="[{name: tars, kind: webdataset, path: tars}]", **more)
    recipe, text_model = load_recipe(str(path)), tmp_path / "tokenizer" / TEXT_MODEL
    undisturbed = build_corpus(recipe, tmp_path / "undisturbed")
    train_tokenizers(recipe, undisturbed, tmp_path / "tokenizer", ("text",))
    shards = write_shards(recipe, undisturbed, text_model, tmp_path / "shards")
    script = Path(__file__).parent / "dying_node.py"
    out = [str(tmp_path / name) for name in ("disturbed", "disturbed-shards")]
    ran = subprocess.run(
        [sys.executable, str(script), str(path), *out, str(text_model), "3"],
        check=False, capture_output=True, text=True, timeout=240, env={**os.environ, "RAY_ADDRESS": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    report = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    for stage, expected, folder in (("corpus", undisturbed, out[0]), ("shards", shards, out[1])):
        assert report[stage]["nodes"] == 3
        assert 3 <= report[stage]["parts_done_at_death"] < PARTS, "the node died too late to matter"
        assert report[stage]["id"] == expected.id
        assert files_of(load_manifest(Path(folder))) == files_of(expected)
    assert read_verdicts(undisturbed).num_rows == PARTS * PICTURES
