"""What can be made of manifests: the difference of two, several as one, one without a shard, tars for other loaders."""

import copy
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import webdataset

from tuwen.manifests import manifest as manifest_module
from tuwen.manifests.diff import compare_manifests, describe_difference
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest, save_manifest
from tuwen.manifests.manifest_hashes import identity, seal
from tuwen.manifests.merge import merge
from tuwen.manifests.order.mixture import Phase
from tuwen.manifests.order.order import open_order
from tuwen.manifests.quarantine import quarantine
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest

from ..conftest import files_of
from ..stages import build_corpus, export_samples
from .synthetic import key_of, make_shards

SCHEMA = json.loads((Path(manifest_module.__file__).parent / "manifest.schema.json").read_text())


# --- diff -------------------------------------------------------------------------------------------


def test_diff_says_which_samples_and_shards_are_others(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 100})
    b = make_shards(tmp_path / "b", {"train": 130})
    changes = compare_manifests(a, b)
    assert changes["shards"] == {"shared": 2, "only_a": 1, "only_b": 1}
    assert {name: changes["samples"][name] for name in ("added", "removed", "changed", "equal")} == {
        "added": 30, "removed": 0, "changed": 0, "equal": 100,
    }  # fmt: skip
    assert changes["samples"]["examples"]["added"][0] == key_of("s", "train", 100)
    assert changes["splits"] == {"train": (100, 130)}
    assert "30 added, 0 removed, 0 changed, 100 equal" in describe_difference(changes)
    assert describe_difference(compare_manifests(a, a)).startswith("equal")


def test_diff_finds_samples_that_changed_and_settings_that_did(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 60})
    b = make_shards(tmp_path / "b", {"train": 60}, codebook=512, block_rows=8)
    changes = compare_manifests(a, b)
    assert changes["samples"]["changed"] == 60
    assert changes["schema"] == {"codes.codebook": (1024, 512)}
    assert changes["tokenizers"] == {"image_tokenizer.codebook": (1024, 512)}
    only_stored_otherwise = compare_manifests(a, make_shards(tmp_path / "c", {"train": 60}, block_rows=8))
    none = make_shards(tmp_path / "d", {"train": 60, "validation": 0})
    assert compare_manifests(a, none)["samples"]["equal"] == 60
    assert only_stored_otherwise["samples"] == {
        "added": 0, "removed": 0, "changed": 0, "equal": 60, "examples": {"added": [], "removed": [], "changed": []},
    }  # fmt: skip


def test_diff_of_two_corpora_names_the_pairs_that_came_and_went(shapes: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, folder = shapes
    stricter = recipe.model_copy(
        update={"captions": recipe.captions.model_copy(update={"max_length": 10}), "name": "stricter"}
    )
    stricter._base = recipe.base
    changes = compare_manifests(load_manifest(folder / "corpus"), build_corpus(stricter, tmp_path / "corpus"))
    assert changes["recipe"]["captions.max_length"] == (1000, 10)
    assert changes["samples"]["removed"] == 48  # 一个红色的方块，第1号 has eleven characters
    assert changes["samples"]["equal"] == 24
    with pytest.raises(BadInput, match="a manifest of corpus and one of shards"):
        compare_manifests(load_manifest(folder / "corpus"), load_manifest(folder / "shards"))


# --- merge ------------------------------------------------------------------------------------------


def test_merge_points_at_the_shards_of_both_and_copies_none(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 60, "validation": 10}, name="a")
    b = make_shards(tmp_path / "b", {"train": 30}, name="b")
    merged = merge([a, b], tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir() if not path.name.startswith(".")] == ["manifest.json"]
    assert list(verify_manifest(merged)) == []
    found = SplitReader(merged, "train").rows(np.arange(90))[0]
    for start, source, count in ((0, a, 60), (60, b, 30)):
        own = SplitReader(source, "train").rows(np.arange(count))[0]
        assert np.array_equal(found[start : start + count], own)
    assert merged.document["lineage"]["parents"] == [a.id, b.id]
    assert [entry["attribution"] for entry in merged.document["licenses"]] == ["chance", "chance"]


def test_a_merged_manifest_can_be_moved_with_its_parents(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "all" / "a", {"train": 60}, name="a")
    b = make_shards(tmp_path / "all" / "b", {"train": 30}, name="b")
    merge([a, b], tmp_path / "all" / "c")
    (tmp_path / "all").rename(tmp_path / "moved")
    assert list(verify_manifest(load_manifest(tmp_path / "moved" / "c"))) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"codebook": 512}, "codes codebook is 1024 and 512"),
        ({"num_codes": 32}, "codes shape is [1, 64] and [1, 32]"),
        ({"text_width": 9}, "text ragged is True and False"),
    ],
)
def test_merge_refuses_what_does_not_agree_and_says_why(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    a = make_shards(tmp_path / "a", {"train": 60}, name="a")
    b = make_shards(tmp_path / "b", {"train": 30}, name="b", **other)
    with pytest.raises(BadInput) as refusal:
        merge([a, b], tmp_path / "c")
    assert said in refusal.value.problem
    assert not (tmp_path / "c" / "manifest.json").exists()


def test_merge_refuses_captions_padded_to_another_width(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 60}, name="a", text_width=9)
    b = make_shards(tmp_path / "b", {"train": 60}, name="b", text_width=12)
    with pytest.raises(BadInput, match="bytes of a row of text is 18 and 24"):
        merge([a, b], tmp_path / "c")


def test_what_is_made_of_a_manifest_never_overwrites_it(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 144}, name="a")
    b = make_shards(tmp_path / "b", {"train": 60}, name="b")
    less = quarantine(a, ["train-00001.tar"], "", tmp_path / "less")
    for refused in (
        lambda: merge([a, b], tmp_path / "a"), lambda: export_samples(a, tmp_path / "a"),
        lambda: export_samples(less, tmp_path / "a"), lambda: quarantine(less, ["train-00000.tar"], "", tmp_path / "a"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match="holds the manifest or its shards"):
            refused()
    assert list(verify_manifest(load_manifest(tmp_path / "a"))) == []
    assert list(verify_manifest(load_manifest(tmp_path / "less"))) == []


def test_a_manifest_is_found_through_a_link_and_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make_shards(tmp_path / "all" / "a", {"train": 60}, name="a")
    quarantine(a, ["train-00001.tar"], "", tmp_path / "all" / "deep" / "less")
    (tmp_path / "latest").symlink_to("all/deep/less")
    monkeypatch.chdir(tmp_path)
    found = load_manifest("latest")
    monkeypatch.chdir("/")
    assert len(SplitReader(found, "train").rows(np.arange(48))[0]) == 48


def test_merge_refuses_one_shard_twice_a_mixture_of_mixtures_and_weights_for_others(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 60}, name="a")
    b = make_shards(tmp_path / "b", {"train": 30}, name="b")
    with pytest.raises(BadInput, match="the same shard"):
        merge([a, make_shards(tmp_path / "again", {"train": 60}, name="a")], tmp_path / "c")
    with pytest.raises(BadInput, match="one manifest alone"):
        merge([a], tmp_path / "c")
    with pytest.raises(BadInput, match="weights for 3 of 2"):
        merge([a, b], tmp_path / "c", [Phase(0, (1, 2, 3))])
    mixed = merge([a, b], tmp_path / "c", [Phase(0, (1, 2))])
    with pytest.raises(BadInput, match="is a mixture already"):
        merge([mixed, make_shards(tmp_path / "d", {"train": 30}, name="d")], tmp_path / "e")


def test_merge_refuses_to_train_on_what_another_validates(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 20, "validation": 20}, name="a")
    other = copy.deepcopy(make_shards(tmp_path / "b", {"train": 20, "validation": 20}, name="a", block_rows=8).document)
    splits = other["splits"]
    splits["train"], splits["validation"] = splits["validation"], splits["train"]
    other["id"] = identity(other)
    other["seal"] = seal(other)
    with pytest.raises(CheckFailed, match=r"trains on what another validates \(40 keys, 40 pictures\)"):
        merge([a, save_manifest(tmp_path / "b", other)], tmp_path / "c")
    strangers = make_shards(tmp_path / "d", {"train": 20, "validation": 20}, name="d")
    leakage = merge([a, strangers], tmp_path / "e").document["leakage"]
    assert (leakage["key_in_both"], leakage["picture_in_both"]) == (0, 0)
    assert leakage["checked"] == {"train": 40, "validation": 40}


# --- quarantine -------------------------------------------------------------------------------------


def test_quarantine_leaves_a_tombstone_another_id_and_the_rest_as_it_was(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 144, "validation": 10})
    (tmp_path / "a" / "train-00001.tar").write_bytes(b"spoiled")
    made = quarantine(a, ["train-00001.tar"], "block 2 is corrupt", tmp_path / "less")
    assert list(verify_manifest(made)) == []
    assert made.id != a.id
    assert made.document["lineage"]["parents"] == [a.id]
    assert made.document["tombstones"] == [
        {"name": "train-00001.tar", "sha256": a.shards[1].sha256, "samples": 48, "reason": "block 2 is corrupt"}
    ]
    assert made.document["lineage"]["steps"][-1]["dropped"] == {"quarantined": 48}
    keys = {meta["key"] for meta in SplitReader(made, "train").all_meta()}
    assert keys == {key_of("s", "train", row) for row in [*range(48), *range(96, 144)]}
    assert load_manifest(tmp_path / "a").id == a.id  # the old one is as it was


def test_a_quarantined_mixture_is_another_source_and_another_order(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 144}, name="a")
    b = make_shards(tmp_path / "b", {"train": 48}, name="b")
    mixed = merge([a, b], tmp_path / "mixed", [Phase(0, (1, 1))])
    made = quarantine(mixed, [mixed.shards[0].name], "gone", tmp_path / "less")
    order = open_order(made, "train", 0)
    assert [source.num_rows for source in order.sources] == [96, 48]
    assert order.sources[0].source != open_order(mixed, "train", 0).sources[0].source
    assert order.sources[1].source == open_order(mixed, "train", 0).sources[1].source


def test_quarantine_refuses_unknown_shards_the_last_one_and_its_own_folder(tmp_path: Path) -> None:
    a = make_shards(tmp_path / "a", {"train": 48, "validation": 10})
    with pytest.raises(BadInput, match=r"no shard train-00007\.tar"):
        quarantine(a, ["train-00007.tar"], "", tmp_path / "b")
    with pytest.raises(BadInput, match="no training sample would be left"):
        quarantine(a, ["train-00000.tar"], "", tmp_path / "b")
    with pytest.raises(BadInput, match="holds the manifest or its shards"):
        quarantine(a, ["validation-00000.tar"], "", tmp_path / "a")


# --- export -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(shapes: tuple[Recipe, Path], tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return export_samples(load_manifest(shapes[1] / "shards"), tmp_path_factory.mktemp("export"))


def test_exported_samples_are_those_of_the_shards(shapes: tuple[Recipe, Path], exported: Manifest) -> None:
    shards = load_manifest(shapes[1] / "shards")
    for split in shards.document["splits"]:
        reader = SplitReader(shards, split)
        codes, text, lengths = reader.rows(np.arange(len(reader)))
        urls = [str(exported.folder / shard.name) for shard in exported.shards_of(split)]
        samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
        assert len(samples) == len(reader)
        for row, (sample, meta) in enumerate(zip(samples, reader.all_meta(), strict=True)):
            assert sample["__key__"] == meta["key"]
            assert sample["txt"] == meta["caption"]
            assert np.array_equal(sample["codes.npy"], codes[row].reshape(8, 8))
            assert sample["json"] == {**meta, "text_ids": text[row, : lengths[row]].tolist()}


def test_exported_tars_verify_say_what_they_are_and_have_the_same_bytes_again(
    shapes: tuple[Recipe, Path], exported: Manifest, tmp_path: Path
) -> None:
    jsonschema.validate(exported.document, SCHEMA)
    assert list(verify_manifest(exported)) == []
    again = export_samples(load_manifest(shapes[1] / "shards"), tmp_path, workers=1)
    assert again.id == exported.id
    assert files_of(again) == files_of(exported)
    path = exported.folder / exported.shards[0].name
    with tarfile.open(path) as tar:
        assert tar.getnames()[-1] == "__shard__"
        assert {(m.mtime, m.mode, m.uid) for m in tar.getmembers()} == {(0, 0o444, 0)}
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    (tmp_path / exported.shards[0].name).write_bytes(data)
    assert next(iter(verify_manifest(again, "block"))).startswith(f"{exported.shards[0].name}: block 0 is corrupt")
    with pytest.raises(BadInput, match="layout `sample` is for other loaders"):
        SplitReader(exported, "train")


def test_an_export_has_an_index_a_croissant_and_a_card_of_its_tars(exported: Manifest) -> None:
    index = json.loads((exported.folder / "index.train.json").read_text())
    assert [entry["url"] for entry in index["shardlist"]] == exported.document["splits"]["train"]["shards"]
    assert sum(entry["nsamples"] for entry in index["shardlist"]) == 58
    croissant = json.loads((exported.folder / "croissant.json").read_text())
    objects = {entry["name"]: entry for entry in croissant["distribution"] if entry["@type"] == "cr:FileObject"}
    assert {name: entry["sha256"] for name, entry in objects.items()} == {
        shard.name: shard.sha256.removeprefix("sha256:") for shard in exported.shards
    }
    card = (exported.folder / "README.md").read_text()
    assert "- split: validation" in card
    assert "CC0-1.0: 72 samples of shapes. drawn by the tests" in card
