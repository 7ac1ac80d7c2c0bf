"""Declared inputs: keys, canonical JSON, recipes, files that appear whole."""

import re
from pathlib import Path

import pytest

from tuwen.manifests.atomic import whole_file
from tuwen.manifests.canonical import canonical_json, exact, sha256_of
from tuwen.manifests.errors import BadInput
from tuwen.manifests.pair import pair_key
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe

from ..conftest import write_recipe

# --- keys and canonical JSON ------------------------------------------------------------------------


def test_a_key_depends_on_source_place_and_caption_alone() -> None:
    assert pair_key("photos", "a/1.jpg", 0) == pair_key("photos", "a/1.jpg", 0)
    keys = {
        pair_key(*place) for place in [("photos", "a/1.jpg", 0), ("photos", "a/1.jpg", 1), ("photosa", "/1.jpg", 0)]
    }
    assert len(keys) == 3
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_a_key_never_changes_between_versions() -> None:
    assert pair_key("twemoji", "twemoji-00000.tar/1f41d.png", 0) == "8033e9b5299f43b418cba1d55ca5242c"


def test_canonical_json_ignores_order_and_refuses_floats() -> None:
    assert sha256_of({"b": 1, "a": "图"}) == sha256_of({"a": "图", "b": 1})
    with pytest.raises(TypeError, match=r"\$\.split\.validation"):
        canonical_json({"split": {"validation": 0.02}})
    assert canonical_json(exact({"split": (0.02, 1)})) == b'{"split":["0.02",1]}'


def test_a_file_that_fails_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"), whole_file(tmp_path / "x") as temporary:
        temporary.write_bytes(b"half")
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []


# --- recipes ----------------------------------------------------------------------------------------


def test_the_shipped_recipe_loads_and_names_every_default() -> None:
    document = load_recipe("emoji").document()
    assert document["images"]["single_colour"] == "drop"
    assert document["split"] == {"validation": "0.05"}
    assert recorded_recipe(document).split.validation == 0.05


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("images.min_sid=3", "unknown key `images.min_sid`; did you mean `min_side`?"),
        ("images.min_side=-3", "`images.min_side` is -3; give 1 or more"),
        ("images.max_border=1.5", "`images.max_border` is 1.5; give 1 or less"),
        ("images.min_side=big", "`images.min_side` is 'big'; give a whole number"),
        ("images.min_side=2.5", "`images.min_side` is 2.5; give a whole number"),
        ("images.max_ratio=[3]", "`images.max_ratio` is [3]; give a number"),
        ("images=large", "`images` is 'large'; give keys and values"),
        ("train.lr=0", "`train.lr` is 0; give more than 0"),
        ("duplicates.flips=maybe", "`duplicates.flips` is 'maybe'; say true or false"),
        ("duplicates.keep=smallest", "`duplicates.keep` is 'smallest'; say largest or first"),
        ("duplicates.embedding.mean=[1, 2]", "`duplicates.embedding.mean.2` is missing; add it"),
        ("captions.languages=zh", "`captions.languages` is 'zh'; give a list"),
        ("captions={min_length: 9, max_length: 3}", "`captions`: min_length 9 is above max_length 3, so no caption"),
        ("similarity.min=0.3", "`similarity`: a threshold needs a model to measure with; name its folder as `model`"),
        ("export.max_side=9", "`export`: original bytes cannot be scaled; use `pictures: jpeg`, webp or png"),
        ("train.shuffle.kind=odd", "`train.shuffle.kind` is 'odd'; use one of global"),
        ("name=2024-01-01", '`name` is "2024-01-01"; give text, in quotes'),
        ("name=a/b", "`name` is 'a/b'; give letters of any script, digits, `.`, `_` and `-`"),
        ("name=..", "the first is a letter or a digit"),
        ("name=" + "长" * 65, "give a shorter name: at most 64 characters"),
        ("sources.0.name=~", "`sources.0.name` is empty; give text"),
        ("sources.0.license=4", "`sources.0.license` is 4; give text, in quotes"),
        ("sources.0.kind=ftp", "`sources.0.kind` is 'ftp'; say one of chinese-clip, emoji, folder"),
        ("sources.0.kind=[folder]", '`sources.0.kind` is ["folder"]; say one of chinese-clip, emoji, folder'),
        ("sources.0={name: a}", "`sources.0.kind` is missing; say one of chinese-clip, emoji, folder"),
        ("sources.0={name: a, kind: folder}", "`sources.0.path` is missing; add `path: …`, relative to the recipe"),
        ("sources.0={name: a, kind: urls, path: x}", "`sources.0.fetch` is missing; add `fetch: {contact: https://…}`"),
        (
            "sources.0={name: a, kind: urls, path: x, fetch: {contact: me}}",
            "`sources.0.fetch.contact` is 'me'; give a web page or an e-mail address",
        ),
        ("sources.0.pathh=x", "unknown key `sources.0.pathh`; did you mean `path`?"),
        ("duplicates.turned=true", "the key `duplicates.turned` has another name now; write `flips`"),
        ("sources=[]", "`sources` is []; list 1 or more"),
        ("sources.7.path=x", "no such key"),
        ("nonsense", "not an assignment"),
    ],
)
def test_a_bad_value_is_refused_with_the_key_and_the_cure(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        load_recipe(str(write_recipe(tmp_path)), [override])
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not re.search(r"input should|discriminator|tagged|string_|pattern|pydantic", str(refusal.value), re.I)


@pytest.mark.parametrize("name", ["图文-语料.一", "2024_中文", "Übersicht", "हिन्दी", "a" * 64])
def test_names_may_be_of_any_script(tmp_path: Path, name: str) -> None:
    sources = f"[{{name: {name}, kind: folder, path: pictures}}]"
    recipe = load_recipe(str(write_recipe(tmp_path, sources=sources)), [f"name='{name}'"])
    assert recipe.name == recipe.sources[0].name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nsources: []\nname: b\n", "line 3: the key `name` stands there twice, first in line 1; keep one"),
        ("name: a\nsources:\n  - {name: x, kind: folder,\n     path: y, path: z}\n", "line 4: the key `path`"),
        ("name: a\n  b: c\n", "not YAML ("),
        ("- a\n", "not a recipe; a recipe is a mapping"),
        ("", "not a recipe"),
        ("name: a\nsources: [{name: a, kind: folder, path: x}]\n3: 4\n", "unknown key `3`"),
        ("name: &a [*a]\nsources: *a\n", "`sources.0` is"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_refused_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=re.escape(said)) as refusal:
        load_recipe(str(path))
    assert str(refusal.value).startswith(str(path)) and "\n" not in str(refusal.value)


def test_a_recipe_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_bytes("name: 图文语料".encode("gbk"))
    with pytest.raises(BadInput, match="not UTF-8; save the file as UTF-8"):
        load_recipe(str(tmp_path / "my.yaml"))


def test_a_missing_recipe_is_refused_with_the_names_that_are_shipped() -> None:
    with pytest.raises(BadInput, match="emoji"):
        load_recipe("no-such-recipe")


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    two = "[{name: a, kind: folder, path: x}, {name: a, kind: folder, path: y}]"
    with pytest.raises(BadInput, match="share a name"):
        load_recipe(str(write_recipe(tmp_path, sources=two)))
