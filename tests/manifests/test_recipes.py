"""Declared inputs: keys, canonical JSON, recipes, files that appear whole."""

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
        ("images.min_side=-3", "`images.min_side` is -3; input should be greater than or equal to 1"),
        ("sources.0.kind=ftp", "`sources.0.kind` is 'ftp'; say one of emoji, folder"),
        ("sources.0.pathh=x", "unknown key `sources.0.pathh`; did you mean `path`?"),
        ("sources=[]", "`sources` is []"),
        ("sources.7.path=x", "no such key"),
        ("nonsense", "not an assignment"),
    ],
)
def test_a_bad_value_is_refused_with_the_key_and_the_cure(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        load_recipe(str(write_recipe(tmp_path)), [override])
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_recipe_is_refused_with_the_names_that_are_shipped() -> None:
    with pytest.raises(BadInput, match="emoji"):
        load_recipe("no-such-recipe")


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    two = "[{name: a, kind: folder, path: x}, {name: a, kind: folder, path: y}]"
    with pytest.raises(BadInput, match="share a name"):
        load_recipe(str(write_recipe(tmp_path, sources=two)))
