"""Everything that a recipe names is checked before the first request; `--explain` checks it, too."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.pipeline.load_recipe import load_recipe

from ..conftest import write_pictures, write_recipe
from ..stages import build_corpus
from .fetch.fetching import LOOPBACK, PICTURE
from .fetch.rude_server import RudeServer

FETCH = {"contact": "a@b.cn", "attempts": 1, "allow_addresses": LOOPBACK}


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(PICTURE) as running:
        yield running


def urls(name: str, path: str = "good.csv", **keys: Any) -> dict[str, Any]:
    return {"name": name, "kind": "urls", "path": path, "fetch": FETCH, **keys}


def folder(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "kind": "folder", "path": path}


GOOD = [urls("web")]
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a folder that is missing": ({"sources": [*GOOD, folder("a", "nowhere")]}, "source a: .*nowhere does not exist"),
    "a folder of evaluation": ({"evaluation": [folder("a", "nowhere")]}, "source a: .*nowhere does not exist"),
    "a folder without pictures": ({"sources": [*GOOD, folder("a", "empty")]}, "source a"),
    "a list that is missing": ({"evaluation": [urls("a", "no.csv")]}, "source a: .*no.csv does not exist"),
    "a list with a header alone": ({"sources": [*GOOD, urls("a", "bare.csv")]}, "no list below .* has a row"),
    "columns that are not clear": ({"evaluation": [urls("a", "odd.csv")]}, "not plain which column is what"),
    "a column that a list lacks": ({"sources": [*GOOD, urls("a", where={"size": 1})]}, "has no column `size`"),
    "an earlier corpus": ({"earlier": ["nowhere"]}, "earlier: .*nowhere does not exist"),
    "a corpus of evaluation": ({"evaluation": [{"name": "a", "kind": "corpus", "path": "no"}]}, "no does not exist"),
    "a word list": ({"captions": {"word_list": "words.txt"}}, "the word list cannot be read"),
    "a model": ({"similarity": {"model": "clip", "min": 0.2}}, "clip holds no model"),
    "a bucket": ({"sources": [*GOOD, folder("a", "s3://mine/pictures/")]}, "copy it here .`aws s3 sync s3://mine/pictures/"),
    "a list on the web": ({"evaluation": [urls("a", "https://a.b/list.csv")]}, "is no folder or file of this machine"),
}  # fmt: skip


def recipe_path(where: Path, server: RudeServer, sections: dict[str, Any]) -> str:
    rows = "".join(f"{server.url(f'/ok/{number}')},第{number}张图：雪山\n" for number in range(3))
    (where / "good.csv").write_text("url,caption\n" + rows, "utf-8")
    (where / "bare.csv").write_text("url,caption\n", "utf-8")
    (where / "odd.csv").write_text("url,image_url,text\nx,y,z\n", "utf-8")
    (where / "empty").mkdir()
    more = {"sources": GOOD, **sections}
    return str(write_recipe(where, **{name: json.dumps(value) for name, value in more.items()}))


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_found_before_the_first_request(tmp_path: Path, server: RudeServer, what: str) -> None:
    sections, words = BAD[what]
    recipe = load_recipe(recipe_path(tmp_path, server, sections))
    with pytest.raises(BadInput, match=words) as caught:
        build_corpus(recipe, tmp_path / "corpus")
    assert not server.seen and "\n" not in str(caught.value)


@pytest.mark.parametrize("what", sorted(BAD.keys() - {"a folder without pictures"}))
def test_explain_checks_the_same_and_exits_2(tmp_path: Path, server: RudeServer, what: str) -> None:
    sections, _ = BAD[what]
    path = recipe_path(tmp_path, server, sections)
    result = CliRunner().invoke(app, ["corpus", path, "--explain"])
    assert isinstance(result.exception, BadInput) and result.exception.exit_code == 2 and not result.stdout
    assert not server.seen


def test_a_sound_recipe_is_explained_and_asks_for_nothing(tmp_path: Path, server: RudeServer) -> None:
    path = recipe_path(tmp_path, server, {"sources": [urls("web", where={"caption": {"not": "猫"}})]})
    result = CliRunner().invoke(app, ["corpus", path, "--explain"])
    assert result.exit_code == 0 and "where.caption" in result.stdout and not server.seen


@pytest.mark.parametrize(
    ("asked", "told"), [("", "resize adm"), (", resize: bilinear, antialias: false", "bilinear-aliased")]
)
def test_explain_says_which_model_encodes_and_how_pictures_are_resized(tmp_path: Path, asked: str, told: str) -> None:
    image = f"{{kind: llamagen, path: vq_ds16_c2i.pt, size: 256, precision: bfloat16{asked}}}"
    path = write_recipe(tmp_path, tokenize=f"{{image: {image}}}")
    write_pictures(tmp_path / "pictures")
    result = CliRunner().invoke(app, ["corpus", str(path), "--explain"])
    assert result.exit_code == 0
    explained = " ".join(result.stdout.split())
    assert "image llamagen path vq_ds16_c2i.pt" in explained
    assert told in explained and "precision bfloat16" in explained


def test_two_long_lists_and_an_evaluation_set_are_checked_in_a_moment(tmp_path: Path, server: RudeServer) -> None:
    write_pictures(tmp_path / "pictures")
    for name in ("a.csv", "b.csv"):
        rows = "".join(f"http://127.0.0.8/{number},第{number}张图：雪山\n" for number in range(100_000))
        (tmp_path / name).write_text("url,caption\n" + rows, "utf-8")
    sections = {
        "sources": [urls("a", "a.csv"), urls("b", "b.csv")],
        "evaluation": [folder("test", "pictures"), urls("odd", "odd.csv")],
    }
    recipe = load_recipe(recipe_path(tmp_path, server, sections))
    start = time.monotonic()
    with pytest.raises(BadInput, match=r"odd\.csv: it is not plain which column is what"):
        build_corpus(recipe, tmp_path / "corpus")
    assert time.monotonic() - start < 5
    assert not server.seen and not (tmp_path / "corpus").exists()
