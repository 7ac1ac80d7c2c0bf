"""The manifest: what is hashed, what is refused, and what can be made of it: diff, merge, quarantine, export."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuwen.manifests import manifest as manifest_module
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest, new_manifest, save_manifest
from tuwen.manifests.manifest_hashes import identity, seal
from tuwen.manifests.merge import merge
from tuwen.manifests.order.mixture import Phase
from tuwen.manifests.quarantine import quarantine
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.show import describe
from tuwen.manifests.verify import verify_manifest

from .synthetic import make_shards

SCHEMA = json.loads((Path(manifest_module.__file__).parent / "manifest.schema.json").read_text())


# --- identity and seal ------------------------------------------------------------------------------


def test_the_id_is_of_the_data_and_the_seal_of_everything() -> None:
    def document(tool: str, name: str) -> dict[str, Any]:
        files = [{"name": name, "bytes": 1, "sha256": "sha256:0"}]
        return new_manifest("corpus", files=files, lineage={"tool": {"version": tool}})

    assert document("1", "a")["id"] == document("2", "a")["id"] != document("1", "b")["id"]
    assert document("1", "a")["seal"] != document("2", "a")["seal"]


def test_the_id_does_not_know_the_place(tmp_path: Path) -> None:
    one, other = make_shards(tmp_path / "here", {"train": 50}), make_shards(tmp_path / "there" / "deep", {"train": 50})
    assert one.id == other.id
    assert quarantine(one, ["train-00001.tar"], "", tmp_path / "a").id == (
        quarantine(other, ["train-00001.tar"], "", tmp_path / "x" / "y").id
    )


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(node, dict | list) and node:
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(child, (*path, key))
    else:
        yield path


def altered(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    node = changed
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return changed


def test_altering_any_field_is_found(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    document = load_manifest(shapes[1] / "shards").document
    paths = list(leaves(document))
    assert len(paths) > 300
    for path in paths:
        (tmp_path / "manifest.json").write_text(json.dumps(altered(document, path, "another")))
        with pytest.raises((CheckFailed, BadInput)):
            load_manifest(tmp_path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_cutting_a_field_out_or_adding_one_is_found(shapes: tuple[Recipe, Path], data: st.DataObject) -> None:
    document = copy.deepcopy(load_manifest(shapes[1] / "shards").document)
    node: Any = document
    for part in data.draw(st.sampled_from(sorted(leaves(document), key=str)))[:-1]:
        node = node[part]
    if isinstance(node, dict) and data.draw(st.booleans()):
        node["new"] = 1
    elif isinstance(node, dict):
        del node[data.draw(st.sampled_from(sorted(node)))]
    else:
        node.append(0)
    folder = shapes[1].parent / "altered"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(document))
    with pytest.raises((CheckFailed, BadInput)):
        load_manifest(folder)


@pytest.mark.parametrize("field", ["sha256", "bytes", "samples", "name"])
def test_a_document_that_was_sealed_anew_around_another_content_is_found(tmp_path: Path, field: str) -> None:
    document = copy.deepcopy(make_shards(tmp_path, {"train": 50}).document)
    document["shards"][0][field] = "sha256:" + "0" * 64 if field == "sha256" else 7
    document["seal"] = seal(document)
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(CheckFailed, match="the id is not that of its content"):
        load_manifest(tmp_path)


def test_a_number_that_does_not_agree_is_a_fault(tmp_path: Path) -> None:
    document = copy.deepcopy(make_shards(tmp_path, {"train": 50}).document)
    document["splits"]["train"]["samples"] = 1
    document["lineage"]["steps"] = [{"name": "judge", "in": 9, "out": 7, "dropped": {"blurred": 1}}]
    document["id"] = identity(document)
    document["seal"] = seal(document)
    faults = list(verify_manifest(save_manifest(tmp_path, document)))
    assert any("split train" in fault for fault in faults)
    assert any("step judge: 9 in, 7 out, 1 dropped" in fault for fault in faults)


# --- the schema -------------------------------------------------------------------------------------


def test_every_manifest_that_is_written_fits_the_schema(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    a = make_shards(tmp_path / "a", {"train": 50, "validation": 5}, name="a")
    b = make_shards(tmp_path / "b", {"train": 50}, name="b", text_width=None)
    mixed = merge([a, b], tmp_path / "mixed", [Phase(0, (3, 1))])
    less = quarantine(mixed, [mixed.shards[0].name], "gone", tmp_path / "less")
    made = [load_manifest(shapes[1] / stage) for stage in ("corpus", "tokenizer", "shards")]
    for manifest in (a, mixed, less, *made):
        jsonschema.validate(json.loads((manifest.folder / "manifest.json").read_text()), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "shard"), (("id",), "sha256:0"), (("urls",), []), (("shards", 0, "crc32", 0), -1),
        (("shards", 0, "layout"), "blocks"), (("shards", 0, "arrays", "codes", "dtype"), "<i2"), (("mtime",), 0),
        (("splits", "train", "samples"), "50"), (("tombstones",), [{"name": "x"}]), (("shards", 0, "samples"), 0),
        (("schema", "codes", "dtype"), "<i2"), (("lineage", "steps"), [{"name": "judge"}]),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_manifest(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    document = make_shards(tmp_path, {"train": 50}).document
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(altered(document, path, value), SCHEMA)


def test_many_shards_are_listed_in_a_table_whose_hash_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = make_shards(tmp_path / "a", {"train": 200}, block_rows=4, shard_blocks=2)
    monkeypatch.setattr(manifest_module, "MOST_IN_JSON", 20)
    table = save_manifest(tmp_path / "a", listed.document)
    on_disk = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert "shards" not in on_disk
    assert on_disk["shard_table"]["rows"] == 25
    jsonschema.validate(on_disk, SCHEMA)
    assert table.id == listed.id
    assert table.shards == listed.shards
    assert list(verify_manifest(table)) == []
    data = bytearray((tmp_path / "a" / "shards.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a" / "shards.parquet").write_bytes(data)
    with pytest.raises(CheckFailed, match="not the table that the manifest was sealed with"):
        load_manifest(tmp_path / "a")


def test_show_is_a_page_for_a_person(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 5000, "validation": 9}, name="a")
    b = make_shards(tmp_path / "b", {"train": 50}, name="b")
    page = describe(merge([a, b], tmp_path / "mixed", [Phase(0, (3, 1)), Phase(500, (1, 1))]))
    for said in ("5,050 samples in", "3 : 1", "from 500", "1×64 of 1,024, <u2", "ragged", "and 68 more", a.id):
        assert said in page
    assert max(len(line) for line in page.splitlines()) < 140
