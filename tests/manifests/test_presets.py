"""Presets: other people's numbers, under their names; and what `--explain` says of a recipe before it runs."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from tuwen.__main__ import app
from tuwen.manifests.errors import BadInput
from tuwen.manifests.recipe.presets import CAPTIONS, IMAGES, PRESETS
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.recipe.rules import Captions, Images, PresetName, Similarity
from tuwen.pipeline.captions.clean_caption import CaptionCleaner
from tuwen.pipeline.explain import explain, explained, explained_rules
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe

from ..conftest import write_recipe


def test_every_preset_has_a_source_and_its_keys_are_rules() -> None:
    assert set(PRESETS) == set(get_args(PresetName))
    for name, preset in PRESETS.items():
        assert preset.source
        assert preset.not_done or name == "none"
        Captions(preset=name, **preset.captions)  # type: ignore[arg-type]
        Images(preset=name, **preset.images)  # type: ignore[arg-type]
        Similarity(model="a-folder", **preset.similarity)


@pytest.mark.parametrize("name", PRESETS)
def test_a_resolved_preset_leaves_no_rule_open(name: str) -> None:
    captions, images = Captions(preset=name).resolved(), Images(preset=name).resolved()  # type: ignore[arg-type]
    assert [rule for rule in CAPTIONS if getattr(captions, rule) is None] == []
    assert [rule for rule in IMAGES if getattr(images, rule) is None] in ([], ["max_nsfw"])


@pytest.mark.parametrize(
    ("name", "passes", "dropped"),
    [
        ("none", ["猫", "a cat", "图片1", "红" * 1000], {"红" * 1001: "caption_too_long", " ": "empty_caption"}),
        ("wukong", ["猫", "iPhone手机", "红" * 31], {"2021": "too_few_han", "a cat": "foreign_language"}),
        ("wukong", [], {"红" * 32: "too_many_han", "000.jpg": "file_name"}),
        ("danqing", ["一个女孩在海边散步"], {"猫": "too_few_words", "跑着跳着笑着闹着走着": "no_noun"}),
        ("coyo", ["一个女孩在海边散步", "a dog on the beach"], {"红色的汽车": "caption_too_short"}),
        ("laion", ["红色的汽车", "a cat"], {"汽车": "caption_too_short"}),
        ("datacomp-basic", ["一个女孩在海边"], {"红色的汽车": "caption_too_short", "calligraphy": "too_few_words"}),
        ("cogview", ["猫", "a cat"], {}),
    ],
)  # fmt: skip
def test_a_preset_judges_captions_as_it_was_published(name: str, passes: list[str], dropped: dict[str, str]) -> None:
    cleaner = CaptionCleaner(Captions(preset=name).resolved())  # type: ignore[arg-type]
    assert [caption for caption in passes if cleaner(caption).reason] == []
    assert {caption: cleaner(caption).reason for caption in dropped} == dropped


def test_a_recipe_overrides_its_preset() -> None:
    rules = Captions(preset="wukong", max_han=20).resolved()
    assert (rules.max_han, rules.min_han, rules.max_length) == (20, 1, 1000)


def test_rules_that_no_caption_can_pass_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="min_han 40 is above max_han 31, so no caption could pass"):
        load_recipe(str(write_recipe(tmp_path, captions="{preset: wukong, min_han: 40}")))


# --- --explain --------------------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    sections = {
        "sources": "[{name: photos, kind: folder, path: data/照片, license: CC-BY-4.0},"
        " {name: web, kind: urls, path: lists, fetch: {contact: 'mailto:a@b.cn'}}]",
        "captions": "{preset: wukong, max_repetition: 0.6}",
        "images": "{preset: coyo, min_side: 64}",
        "similarity": "{preset: danqing, model: models/chinese-clip}",
        "evaluation": "[{name: held, kind: webdataset, path: held}]",
    }
    return load_recipe(str(write_recipe(tmp_path, **sections)))


def test_explain_names_every_rule_its_number_and_where_it_comes_from(recipe: Recipe) -> None:
    lines = [" ".join(line.split()) for line in explain(recipe).splitlines()]
    for line in (
        "recipe shapes",
        "sources photos folder data/照片 licence CC-BY-4.0",
        "images min_side 64 recipe",
        "max_nsfw 0.5 preset coyo",
        "animated first default",
        "max_han 31 preset wukong",
        "max_repetition 0.6 recipe",
        "min 0.231 preset danqing",
        "evaluation held webdataset held licence unknown",
        "duplicates images near default",
        "split validation 0.2 recipe",
    ):
        assert line in lines
    everything = " ".join(lines)  # the last cell of a line goes on below itself
    assert "web urls lists licence unknown fetch.contact mailto:a@b.cn" in everything
    assert "measured image_sha256" in everything and "problem, nsfw, similarity" in everything
    assert "not done names of persons are not replaced by" in everything
    assert max(map(cell_len, explain(recipe).splitlines())) <= 130


def test_explain_forgets_no_rule(recipe: Recipe) -> None:
    for section, model in (("captions", Captions), ("images", Images), ("similarity", Similarity)):
        said = explained(recipe)[section]
        told = [rule["rule"] for rule in said["rules"]] + said["off"] + ["preset"]
        assert sorted(told) == sorted(model.model_fields)
        assert all(rule in explain(recipe) for rule in told)


def test_a_rule_that_is_added_to_the_recipe_explains_itself() -> None:
    class More(Captions):
        min_stars: int = 3

    said = explained_rules(More().resolved(), CAPTIONS, "captions")
    assert {"rule": "min_stars", "value": 3, "from": "default"} in said["rules"]
    assert "max_count" in said["off"]


def test_the_columns_of_explain_stand_under_one_another(recipe: Recipe) -> None:
    words = ("max_ratio", "max_han", "validation")
    found = [(line, line.find(word)) for line in explain(recipe).splitlines() for word in words]
    starts = {cell_len(line[:start]) for line, start in found if 0 <= start < 40}
    assert len(starts) == 1


def test_a_recipe_that_was_recorded_explains_itself_as_it_did(recipe: Recipe) -> None:
    """A manifest names every number; each still comes from where it came."""
    recorded = recorded_recipe(recipe.document())
    assert explain(recorded) == explain(recipe)
    json.dumps(explained(recipe))


def test_the_command_explains_and_does_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("照片", "held"):
        (tmp_path / folder).mkdir()
    sections = {
        "sources": "[{name: photos, kind: folder, path: 照片}]",
        "captions": "{preset: wukong}",
        "evaluation": "[{name: held, kind: webdataset, path: held}]",
    }
    recipe = load_recipe(str(write_recipe(tmp_path, **sections)))
    before = sorted(tmp_path.rglob("*"))
    path = str(tmp_path / "shapes.yaml")
    plain, as_json = (CliRunner().invoke(app, ["corpus", path, "--explain", *more]) for more in ([], ["--json"]))
    assert plain.exit_code == as_json.exit_code == 0
    assert plain.stdout == explain(recipe) + "\n"
    assert json.loads(as_json.stdout) == explained(recipe)
    assert sorted(tmp_path.rglob("*")) == before
