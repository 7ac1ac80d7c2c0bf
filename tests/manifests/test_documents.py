"""Typed documents: they read every manifest that version 0.4.0 wrote, and the JSON Schema is made of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from tuwen.manifests.counted import counted
from tuwen.manifests.documents import AnyManifest, FileEntry, Step
from tuwen.manifests.errors import CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest, new_manifest
from tuwen.manifests.manifest_hashes import identity, seal
from tuwen.manifests.manifest_schema import FILE, manifest_schema
from tuwen.tokenize.open_image_codes import SHIPPED

OLD = sorted((Path(__file__).parent / "old").glob("*.json"))


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Manifest:
    shutil.copyfile(request.param, tmp_path / "manifest.json")
    return load_manifest(tmp_path)


def test_an_old_manifest_keeps_its_id_and_its_seal(old: Manifest) -> None:
    assert old.id == identity(old.document)
    assert old.document["seal"] == seal(old.document)


def test_an_old_manifest_is_one_of_the_typed_kinds_and_comes_back_as_it_was(old: Manifest) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AnyManifest)
    typed = adapter.validate_python(old.document)
    assert typed.kind == old.kind
    assert json.loads(adapter.dump_json(typed, by_alias=True, exclude_unset=True)) == old.document


def test_the_typed_views_agree_with_the_document(old: Manifest) -> None:
    document = old.document
    assert old.lineage.tool.version == "0.4.0"
    assert old.lineage.parents == document["lineage"].get("parents", [])
    assert [(step.name, step.pairs_in, step.out) for step in old.lineage.steps] == [
        (step["name"], step["in"], step["out"]) for step in document["lineage"].get("steps", [])
    ]
    assert {name: split.samples for name, split in old.splits.items()} == {
        name: split["samples"] for name, split in document.get("splits", {}).items()
    }
    assert [entry.sha256 for entry in old.entries()] == [
        entry["sha256"] for entry in [*document.get("shards", []), *document.get("files", [])]
    ]
    assert [entry.samples for entry in old.licenses] == [entry["samples"] for entry in document.get("licenses", [])]
    assert len(old.tombstones) == len(document["tombstones"])
    assert (old.mixture is not None) == ("mixture" in document)


def test_an_old_manifest_is_valid_by_the_schema(old: Manifest) -> None:
    jsonschema.validate(old.document, manifest_schema(), jsonschema.Draft202012Validator)


def test_the_schema_on_the_disk_is_the_one_that_is_generated() -> None:
    assert json.loads(FILE.read_bytes()) == manifest_schema(), "run `python -m tuwen.manifests.manifest_schema`"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.update(version=2),
        lambda document: document.update(kind="thing"),
        lambda document: document.update(more=1),
        lambda document: document.pop("splits"),
        lambda document: document.pop("lineage"),
        lambda document: document.pop("shards"),
        lambda document: document["shards"][0].update(samples=0),
        lambda document: document["shards"][0].update(sha256="sha256:0"),
        lambda document: document["shards"][0].update(layout="line"),
        lambda document: document["shards"][0].pop("crc32"),
        lambda document: document["shards"][0].pop("urls"),
        lambda document: document["splits"]["train"].update(samples=-1),
        lambda document: document["lineage"]["image_tokenizer"].pop("grid"),
        lambda document: document["lineage"]["steps"][0].pop("in"),
        lambda document: document["lineage"].pop("tool"),
        lambda document: document.update(created="yesterday"),
        lambda document: document.update(urls=[]),
        lambda document: document["schema"]["codes"].update(dtype="<i2"),
    ],
)
def test_the_schema_refuses_what_no_manifest_says(spoil: Any) -> None:
    document = json.loads((Path(__file__).parent / "old" / "shards.json").read_bytes())
    jsonschema.validate(document, manifest_schema(), jsonschema.Draft202012Validator)
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, manifest_schema(), jsonschema.Draft202012Validator)


def test_documents_and_plain_objects_make_the_same_manifest() -> None:
    entry = {"name": "a", "bytes": 1, "sha256": "sha256:" + "0" * 64}
    step = {"name": "read", "in": 3, "out": 2, "dropped": {"svg": 1}}
    typed = new_manifest("corpus", lineage={"steps": [Step.of("read", 3, {"svg": 1})]}, files=[FileEntry(**entry)])
    plain = new_manifest("corpus", lineage={"steps": [step]}, files=[entry])
    assert typed["id"] == plain["id"]
    assert typed["lineage"]["steps"] == plain["lineage"]["steps"] == [step]


def test_a_field_that_is_none_is_left_out() -> None:
    with_none = new_manifest("corpus", lineage={"vectors": None}, files=[], contaminated=None)
    assert "contaminated" not in with_none
    assert "vectors" not in with_none["lineage"]
    assert with_none["id"] == new_manifest("corpus", lineage={}, files=[])["id"]


def test_a_key_that_a_later_version_added_is_refused_by_its_path(tmp_path: Path) -> None:
    document = json.loads((Path(__file__).parent / "old" / "shards.json").read_bytes())
    document["shards"][0]["colour"] = "blue"
    document["id"] = identity(document)
    document["seal"] = seal(document)
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    manifest = load_manifest(tmp_path)
    assert manifest.splits["train"].samples == document["splits"]["train"]["samples"]
    with pytest.raises(
        CheckFailed, match=r"`shards\.0\.colour` is not known; read it with the version of tuwen that wrote it"
    ):
        _ = manifest.shards


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(0, "shard", "0 shards"), (1, "shard", "1 shard"), (7592, "sample", "7,592 samples")],
)
def test_a_number_and_its_noun_agree(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words


def test_a_document_refuses_a_key_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="size"):
        FileEntry.model_validate({"name": "a", "bytes": 1, "sha256": "sha256:0", "size": 1})


def test_the_shipped_tokenizer_has_the_id_that_it_always_had() -> None:
    expected = "sha256:a5bf81c10376503ed453f6129fd30f450dbc55d2303e203cad23be285b0eeece"
    assert load_manifest(SHIPPED / "compact-64").id == expected
