"""What many tests share: one Ray cluster a session, small real pictures, and a corpus and shards made of them."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line does; before torch is imported

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import TEXT_MODEL
from tuwen.pipeline.executor.ray_cluster import start_cluster, stop_cluster
from tuwen.pipeline.load_recipe import load_recipe

from .stages import build_corpus, train_tokenizers, write_shards

COLOURS = {
    "红": (220, 40, 40),
    "蓝": (40, 70, 220),
    "绿": (30, 160, 70),
    "黄": (240, 200, 30),
    "紫": (140, 60, 180),
    "黑": (20, 20, 20),
}
SHAPES = {"圆": "ellipse", "方块": "rectangle", "三角": "triangle"}


def draw(colour: str, shape: str, size: int, at: int = 0) -> Image.Image:
    """A shape on white, 96 px."""
    picture = Image.new("RGB", (96, 96), "white")
    pen = ImageDraw.Draw(picture)
    low, high = 10 + at, 10 + at + size
    if SHAPES[shape] == "triangle":
        pen.polygon([(low, high), (high, high), ((low + high) // 2, low)], fill=COLOURS[colour])
    else:
        getattr(pen, SHAPES[shape])((low, low, high, high), fill=COLOURS[colour])
    return picture


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def tar_of(path: Path, members: dict[str, bytes]) -> bytes:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.read_bytes()


def write_pictures(folder: Path) -> int:
    """72 captioned pictures: every colour and shape in four sizes. Returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for colour in COLOURS:
        for shape in SHAPES:
            for number, size in enumerate((28, 40, 52, 64)):
                name = f"{colour}-{shape}-{number}.png"
                (folder / name).write_bytes(png(draw(colour, shape, size, at=3 * number)))
                lines.append(f"{name}\t一个{colour}色的{shape}，第{number + 1}号")
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def write_recipe(folder: Path, **more: str) -> Path:
    """A recipe over `pictures/` beside it; `more` are further YAML lines by section."""
    sections = {
        "sources": "[{name: shapes, kind: folder, path: pictures, license: CC0-1.0, attribution: drawn by the tests}]",
        "duplicates": "{images: near}",
        "split": "{validation: 0.2}",
        "tokenize": "{text: {vocab: 200, max_tokens: 16}, block_rows: 16, shard_blocks: 1}",
        "train": "{preset: tiny, steps: 12, checkpoint_every: 4, precision: float32}",
        **more,
    }
    path = folder / "shapes.yaml"
    path.write_text(
        "name: shapes\n" + "".join(f"{name}: {text}\n" for name, text in sections.items()), encoding="utf-8"
    )
    return path


# Begun first, so that no process is left alone with them at the end.
SLOWEST = ("test_flow.py", "test_ranks.py", "test_cluster.py", "test_examples.py", "test_encoding_job.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: SLOWEST.index(item.path.name) if item.path.name in SLOWEST else len(SLOWEST))


@pytest.fixture(scope="session", autouse=True)
def ray_cluster() -> Iterator[None]:
    """Four logical CPUs whatever the machine has, so that one, two and four workers can be compared."""
    start_cluster(workers=4)
    yield
    stop_cluster()


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """The recipe and the run folder of a small real corpus that has been built once."""
    folder = tmp_path_factory.mktemp("shapes")
    write_pictures(folder / "pictures")
    recipe = load_recipe(str(write_recipe(folder)))
    corpus = build_corpus(recipe, folder / "run" / "corpus")
    train_tokenizers(recipe, corpus, folder / "run" / "tokenizer", ("text",))
    write_shards(recipe, corpus, folder / "run" / "tokenizer" / TEXT_MODEL, folder / "run" / "shards")
    return recipe, folder / "run"


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def files_of(manifest: Manifest) -> dict[str, bytes]:
    """Name → bytes of everything a manifest lists."""
    listed = [*manifest.document.get("shards", []), *manifest.document.get("files", [])]
    return {entry["name"]: (manifest.folder / entry["name"]).read_bytes() for entry in listed}
