"""The same duplicates for any number of workers, for shuffled input, and when tasks are killed on their way."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tuwen.manifests.canonical import sha256_of
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.duplicates import hamming_join, near_pictures, signature_file
from tuwen.pipeline.load_recipe import load_recipe

from ...conftest import COLOURS, SHAPES, draw, encoded, files_of, png, tar_of, write_recipe
from ...stages import build_corpus

EVALUATION = "[{name: test, kind: webdataset, path: test.tar}]"
POLICIES = ("{images: near}", "{images: near, captions: near, pairs: keep_all_captions, flips: true, radius: 6}")


def members(generator: np.random.Generator) -> dict[str, bytes]:
    """Shapes with copies that are scaled, encoded again, mirrored, or the very bytes: 150 pictures with captions."""
    found = {}
    for colour in COLOURS:
        for shape in SHAPES:
            picture = draw(colour, shape, int(generator.integers(30, 70)), at=int(generator.integers(0, 9)))
            copies = [
                png(picture),
                png(picture),
                png(picture.resize((150, 150), Image.Resampling.LANCZOS)),
                encoded(picture, "JPEG", quality=85),
                png(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
                encoded(picture.resize((130, 130)), "WEBP", quality=90),
            ]
            for number, data in enumerate(copies):
                ending = {3: "jpg", 5: "webp"}.get(number, "png")
                found[f"{colour}{shape}{number}.{ending}"] = data
                found[f"{colour}{shape}{number}.txt"] = f"这是一个{colour}色的{shape}，编号是{number % 3}".encode()
    return found


def lay_out(folder: Path, order: list[str], found: dict[str, bytes]) -> Path:
    """Two tars of pairs, in this order of their stems, and an evaluation set that holds one of them."""
    groups = [order[: len(order) // 2], order[len(order) // 2 :]]
    for number in range(2):
        stems = sorted(groups[number], key=order.index)
        tar_of(
            folder / "pictures" / f"{number}.tar",
            {n: d for s in stems for n, d in found.items() if n.startswith(f"{s}.")},
        )
    tar_of(folder / "test.tar", {n: d for n, d in found.items() if n.startswith("红圆2.")})
    return folder


def recipe_of(folder: Path, policy: str) -> Any:
    sources = "[{name: shapes, kind: webdataset, path: pictures}]"
    return load_recipe(str(write_recipe(folder, sources=sources, duplicates=policy, evaluation=EVALUATION)))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = members(np.random.default_rng(0))
    stems = sorted({name.partition(".")[0] for name in found})
    return lay_out(tmp_path_factory.mktemp("runs"), stems, found)


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small corpus is compared in many tasks, and the join goes through Ray."""
    monkeypatch.setattr(near_pictures, "_TASK_PICTURES", 8)
    monkeypatch.setattr(hamming_join, "_SMALL_NS", 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_any_number_of_workers_gives_the_same_bytes(laid_out: Path, policy: str) -> None:
    recipe = recipe_of(laid_out, policy)
    builds = [files_of(build_corpus(recipe, laid_out / "corpus", workers=workers)) for workers in (1, 2, 4)]
    assert builds[0] == builds[1] == builds[2]
    assert len(builds[0]) >= 2


@pytest.mark.parametrize("policy", POLICIES)
def test_shuffled_input_gives_every_pair_the_same_verdict(laid_out: Path, tmp_path: Path, policy: str) -> None:
    found = members(np.random.default_rng(0))
    stems = sorted({name.partition(".")[0] for name in found})
    half = len(stems) // 2
    random = np.random.default_rng(1)
    shuffled = [*random.permutation(stems[:half]).tolist(), *random.permutation(stems[half:]).tolist()]
    lay_out(tmp_path, shuffled, found)
    verdicts = []
    for folder in (laid_out, tmp_path):
        table = read_verdicts(build_corpus(recipe_of(folder, policy), folder / "corpus")).drop_columns(["offset"])
        verdicts.append({row["key"]: row for row in table.to_pylist()})
    assert list(verdicts[0]) != list(verdicts[1])
    assert verdicts[0] == verdicts[1]
    assert {row["stage"] for row in verdicts[0].values()} >= {"", "exact", "near", "evaluation"}


def dies_first(function: Callable[..., Any], marks: Path) -> Callable[..., Any]:
    """`function`, whose first call with the same last argument ends the process that made it, as the kernel would."""
    marks.mkdir()

    def dying(*arguments: Any) -> Any:
        mark = marks / sha256_of(repr(arguments[-1]))
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return function(*arguments)
        return os._exit(9)

    return dying


def test_tasks_that_are_killed_are_done_again_and_change_nothing(
    laid_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(laid_out, POLICIES[1])
    undisturbed = files_of(build_corpus(recipe, laid_out / "corpus"))
    for module, name in ((near_pictures, "_compare_chunk"), (signature_file, "_copy")):
        monkeypatch.setattr(module, name, dies_first(getattr(module, name), tmp_path / name))
    disturbed = files_of(build_corpus(recipe, laid_out / "disturbed"))
    killed = {folder.name: len(list(folder.iterdir())) for folder in tmp_path.iterdir()}
    assert killed["_compare_chunk"] >= 2 and killed["_copy"] >= 1
    assert disturbed == undisturbed
