"""A kind of source is one module and one row of KINDS: no stage, no report and no command knows its name."""

import base64
import hashlib
import json
import tarfile
from importlib import import_module
from pathlib import Path

import pytest

from tuwen.manifests.errors import BadInput
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.done_marker import read_marker, read_record
from tuwen.pipeline.explain import explain
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.open_source import roots_of
from tuwen.pipeline.source_kinds import KINDS, SourceKind
from tuwen.pipeline.sources.reader import read_picture

from ..conftest import write_recipe
from ..stages import build_corpus, export
from .hostile import picture, saved

# By the name under which a worker can import it, too.
base64_pictures = import_module("tuwen.tests.pipeline.base64_pictures")
CAPTIONS = ["一只猫", "红色的圆", "蓝天下的山"]
SOURCES = "[{name: coded, kind: base64, path: data, caption: title, license: CC0-1.0}]"


@pytest.fixture
def base64_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    row = SourceKind(base64_pictures.Base64Source, base64_pictures.locate, base64_pictures.list_source)
    monkeypatch.setitem(KINDS, "base64", row)


@pytest.fixture
def recipe(base64_kind: None, tmp_path: Path) -> Recipe:
    (tmp_path / "data").mkdir()
    pictures = [saved(picture(number), "JPEG") for number in range(len(CAPTIONS))]
    rows = [
        {"name": f"{number}.jpg", "title": caption, "base64": base64.b64encode(data).decode()}
        for number, (caption, data) in enumerate(zip(CAPTIONS, pictures, strict=True))
    ]
    (tmp_path / "data" / "a.json").write_text(json.dumps(rows[:2]), encoding="utf-8")
    (tmp_path / "data" / "b.json").write_text(json.dumps(rows[2:]), encoding="utf-8")
    return load_recipe(str(write_recipe(tmp_path, sources=SOURCES)))


def test_a_recipe_of_a_new_kind_is_read_and_explained(recipe: Recipe) -> None:
    assert isinstance(recipe.sources[0], base64_pictures.Base64Source)
    line = next(line for line in explain(recipe).splitlines() if "coded" in line)
    assert line.split() == ["sources", "coded", "base64", "data", "licence", "CC0-1.0", "caption", "title"]


def test_its_bad_keys_are_refused_with_those_that_it_has(base64_kind: None, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, sources="[{name: coded, kind: base64, path: data, captain: title}]")
    with pytest.raises(BadInput, match="did you mean `caption`"):
        load_recipe(str(path))


def test_a_kind_that_has_no_row_is_refused_with_those_that_have(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="say one of chinese-clip, emoji, folder, parquet, urls, webdataset"):
        load_recipe(str(write_recipe(tmp_path, sources=SOURCES)))


def test_a_corpus_of_a_new_kind_is_built_read_back_and_exported(recipe: Recipe, tmp_path: Path) -> None:
    corpus = build_corpus(recipe, tmp_path / "corpus")
    rows = read_verdicts(corpus).to_pylist()
    assert [(row["origin"], row["caption"], row["kept"]) for row in rows] == [
        ("a.json/0.jpg", CAPTIONS[0], True), ("a.json/1.jpg", CAPTIONS[1], True), ("b.json/2.jpg", CAPTIONS[2], True),
    ]  # fmt: skip
    root = roots_of(corpus)["coded"]
    for row in rows:
        data = read_picture(root, row["origin"], row["offset"], row["bytes"])
        assert hashlib.sha256(data).hexdigest() == row["image_sha256"]
    made = export(corpus, recipe, tmp_path / "exported")
    members: list[str] = []
    for file in made.files:
        with tarfile.open(made.folder / file.name) as tar:
            members += tar.getnames()
    assert sum(name.endswith(".jpg") for name in members) == len(CAPTIONS)


def test_its_parts_depend_on_its_reader_and_on_no_other(recipe: Recipe, tmp_path: Path) -> None:
    build_corpus(recipe, tmp_path / "corpus")
    measures = tmp_path / "corpus" / "measures"
    for path in measures.glob("*.parquet"):
        marker = read_marker(measures, path.stem)
        assert marker is not None
        record = read_record(measures, marker["made_by"])
        assert record is not None and base64_pictures.__file__ in record.code
        assert "pipeline/sources/archives/tar.py" not in record.code
