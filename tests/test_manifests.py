"""The ground floor: keys, recipes, permutation, shards, manifests, verification."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tuwen.manifests.atomic import whole_file
from tuwen.manifests.canonical import canonical_json, exact, sha256_of
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import load_manifest, new_manifest, save_manifest, seal
from tuwen.manifests.order import Order, keys_at, readings_of
from tuwen.manifests.pair import pair_key
from tuwen.manifests.permutation import Permutation
from tuwen.manifests.recipe import Recipe, load_recipe
from tuwen.manifests.shard import Block, ShardReader, write_shard
from tuwen.manifests.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest

from .conftest import write_recipe

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
    assert Recipe.model_validate(document).split.validation == 0.05


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("images.min_sid=3", "unknown key `images.min_sid`; did you mean `min_side`?"),
        ("images.min_side=-3", "`images.min_side` is -3; input should be greater than or equal to 1"),
        ("sources.0.kind=ftp", "`sources.0` is"),
        ("sources.0.pathh=x", "unknown key `sources.0.folder.pathh`; did you mean `path`?"),
        ("sources=[]", "`sources` is []"),
        ("sources.7.path=x", "no such place"),
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


# --- permutation and order --------------------------------------------------------------------------


@given(n=st.integers(0, 2050), seed=st.integers(0, 2**63), epoch=st.integers(0, 9))
@settings(max_examples=120, deadline=None)
def test_the_permutation_is_a_bijection_and_its_inverse_undoes_it(n: int, seed: int, epoch: int) -> None:
    permutation = Permutation(n, seed, "s", epoch)
    indices = np.arange(n, dtype=np.uint64)
    rows = permutation.forward(indices)
    assert np.array_equal(np.sort(rows), indices)
    assert np.array_equal(permutation.inverse(rows), indices)


@pytest.mark.parametrize("n", [n for k in (1, 2, 3, 8, 11, 16, 20) for n in (2**k - 1, 2**k, 2**k + 1)])
def test_no_record_is_lost_around_powers_of_two(n: int) -> None:
    rows = Permutation(n, 1, "s", 0).forward(np.arange(n, dtype=np.uint64))
    assert len(np.unique(rows)) == n


def test_every_row_is_equally_likely_at_every_position() -> None:
    counts = np.zeros((10, 10))
    for seed in range(4000):
        counts[np.arange(10), Permutation(10, seed, "s", 0).forward(np.arange(10, dtype=np.uint64)).astype(int)] += 1
    chi_squared = ((counts - 400) ** 2 / 400).sum()
    assert chi_squared < 81 + 4 * np.sqrt(2 * 81)  # 81 degrees of freedom


def test_even_places_do_not_read_even_rows() -> None:
    rows = Permutation(4096, 7, "s", 0).forward(np.arange(4096, dtype=np.uint64))
    assert abs(int((rows[::2] % 2).sum()) - 1024) < 120


def test_the_permutation_never_changes_between_versions() -> None:
    rows = Permutation(1000, 42, "sha256:abc/train", 3).forward(np.arange(8, dtype=np.uint64))
    assert rows.tolist() == [281, 546, 47, 838, 485, 115, 725, 968]


def test_an_epoch_reads_every_row_once_and_the_next_in_another_order() -> None:
    order = Order("s", 100, seed=0)
    first, second = order.rows(np.arange(100)), order.rows(np.arange(100, 200))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first.tolist() != second.tolist()
    assert all(order.rows(np.array(order.positions(row, 3))).tolist() == [row] * 3 for row in (0, 57, 99))


# --- shards -----------------------------------------------------------------------------------------


def some_blocks(num_rows: int, block_rows: int) -> tuple[np.ndarray[Any, Any], list[list[int]], list[Block]]:
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 1024, (num_rows, 64))
    text = [generator.integers(0, 900, length).tolist() for length in generator.integers(0, 9, num_rows)]
    meta = [
        {"key": f"{row:032x}", "caption": f"第{row}张", "source": "s", "license": "l", "crop": [0, 0, 8, 8]}
        for row in range(num_rows)
    ]
    blocks = [
        Block(codes[at : at + block_rows], text[at : at + block_rows], meta[at : at + block_rows])
        for at in range(0, num_rows, block_rows)
    ]
    return codes, text, blocks


@given(num_rows=st.integers(1, 40), block_rows=st.integers(1, 16))
@settings(max_examples=25, deadline=None)
def test_a_shard_gives_back_the_rows_that_went_in(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, block_rows: int
) -> None:
    codes, text, blocks = some_blocks(num_rows, block_rows)
    path = tmp_path_factory.mktemp("shard") / "s.tar"
    reader = ShardReader(path, write_shard(path, blocks, block_rows=block_rows, codebook=1024, vocab=900, header={}))
    rows = np.random.default_rng(0).integers(0, num_rows, 30)
    found_codes, found_text, lengths = reader.rows(rows)
    assert np.array_equal(found_codes, codes[rows])
    assert [ids[:length].tolist() for ids, length in zip(found_text, lengths, strict=True)] == [
        text[row] for row in rows
    ]
    assert reader.meta(num_rows - 1)["caption"] == f"第{num_rows - 1}张"


def test_large_codebooks_are_stored_in_four_bytes_and_codes_above_32767_stay_positive(tmp_path: Path) -> None:
    for codebook, dtype in ((65_536, "<u2"), (65_537, "<u4")):
        codes = np.array([[codebook - 1, 40_000]])
        block = Block(codes, [[1]], [{"key": "k"}])
        path = tmp_path / f"{codebook}.tar"
        entry = write_shard(path, [block], block_rows=1, codebook=codebook, vocab=10, header={})
        assert entry.arrays["codes"].dtype == dtype
        assert ShardReader(path, entry).rows(np.array([0]))[0].tolist() == codes.tolist()


def test_a_shard_is_ustar_without_time_or_owner_and_ends_with_its_header(tmp_path: Path) -> None:
    _, _, blocks = some_blocks(10, 4)
    path = tmp_path / "s.tar"
    write_shard(path, blocks, block_rows=4, codebook=1024, vocab=900, header={"format": "tuwen/shard"})
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        header = json.loads(tar.extractfile("__shard__").read())  # type: ignore[union-attr]
    assert {(m.mtime, m.uid, m.gid, m.mode, bool(m.pax_headers)) for m in members} == {(0, 0, 0, 0o444, False)}
    names = [m.name for m in members]
    assert names == [*sorted(names[:-1]), "__shard__"]
    assert header["format"] == "tuwen/shard"
    assert header["samples"] == 10
    assert header["arrays"]["codes"]["blocks"][0] == header["arrays"]["codes"]["offset"]


def test_vanilla_webdataset_reads_a_shard(shapes: tuple[Recipe, Path]) -> None:
    manifest = load_manifest(shapes[1] / "shards")
    for shard in manifest.shards:
        samples = list(webdataset.WebDataset(str(manifest.folder / shard.name), shardshuffle=False).decode())
        assert sum(len(sample["codes.npy"]) for sample in samples) == shard.samples
        expected = ShardReader(manifest.folder / shard.name, shard).rows(np.arange(shard.samples))[0]
        assert np.array_equal(np.concatenate([sample["codes.npy"] for sample in samples]), expected)


# --- manifests and verification ---------------------------------------------------------------------


@pytest.fixture
def shards(shapes: tuple[Recipe, Path], tmp_path: Path) -> Path:
    """A copy of the shards that a test may spoil."""
    shutil.copytree(shapes[1] / "shards", tmp_path / "shards")
    return tmp_path / "shards"


def test_the_id_is_of_the_data_and_the_seal_of_everything() -> None:
    def document(tool: str, name: str) -> dict[str, Any]:
        return new_manifest(
            "corpus", files=[{"name": name, "bytes": 1, "sha256": "sha256:0"}], lineage={"tool": {"version": tool}}
        )

    assert document("1", "a")["id"] == document("2", "a")["id"] != document("1", "b")["id"]
    assert document("1", "a")["seal"] != document("2", "a")["seal"]


def test_altering_any_field_is_found(tmp_path: Path, shards: Path) -> None:
    document = load_manifest(shards).document
    for path in [
        ("created",),
        ("lineage", "recipe", "name"),
        ("splits", "train", "samples"),
        ("id",),
        ("seal",),
        ("licenses",),
    ]:
        altered = json.loads(json.dumps(document))
        node = altered
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = "another"
        (tmp_path / "manifest.json").write_text(json.dumps(altered))
        with pytest.raises(CheckFailed):
            load_manifest(tmp_path)


def test_a_document_that_was_sealed_anew_around_another_content_is_found(tmp_path: Path, shards: Path) -> None:
    document = json.loads(json.dumps(load_manifest(shards).document))
    document["shards"][0]["sha256"] = "sha256:" + "0" * 64
    document["seal"] = seal(document)
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(CheckFailed, match="the id is not that of its content"):
        load_manifest(tmp_path)


def test_a_good_manifest_has_no_faults(shards: Path) -> None:
    manifest = load_manifest(shards)
    assert manifest.document["totals"]["samples"] == sum(shard.samples for shard in manifest.shards)
    for mode in ("off", "first", "block", "always"):
        assert list(verify_manifest(manifest, mode)) == []  # type: ignore[arg-type]


def test_one_flipped_byte_is_found_wherever_it_is(shards: Path) -> None:
    manifest = load_manifest(shards)
    shard = manifest.shards[1]
    path = shards / shard.name
    whole = path.read_bytes()
    places = {
        shard.arrays["codes"].blocks[0] + 3: "block 0",  # a code
        shard.block_offsets[0] + 2: "block 0",  # a name in a tar header
        shard.arrays["meta"].blocks[0] + 9: "block 0",
        shard.block_offsets[-1] + 600: "the tail",  # __shard__
        shard.bytes - 1: "the tail",  # the padding at the very end
    }
    for place, said in places.items():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        for mode in ("block", "always"):
            faults = list(verify_manifest(manifest, mode))  # type: ignore[arg-type]
            assert len(faults) == 1
            assert faults[0].startswith(f"{shard.name}: {said}")
        assert len(list(verify_manifest(manifest, "first"))) == 1


@pytest.mark.parametrize("spoil", ["cut", "empty", "missing", "swapped", "tokenizer"])
def test_truncated_missing_swapped_and_replaced_files_are_found(shards: Path, spoil: str) -> None:
    manifest = load_manifest(shards)
    a, b = (shards / shard.name for shard in manifest.shards[:2])
    if spoil == "cut":
        a.write_bytes(a.read_bytes()[: manifest.shards[0].block_offsets[-1]])
    elif spoil == "empty":
        a.write_bytes(b"")
    elif spoil == "missing":
        a.unlink()
    elif spoil == "swapped":
        one, other = a.read_bytes(), b.read_bytes()
        a.write_bytes(other)
        b.write_bytes(one)
    else:
        (shards / "text.model").write_bytes(b"another")
    assert list(verify_manifest(manifest, "block"))


def test_reading_a_corrupt_block_is_an_error_and_never_a_skip(shards: Path) -> None:
    manifest = load_manifest(shards)
    shard = manifest.shards_of("train")[1]
    path = shards / shard.name
    data = bytearray(path.read_bytes())
    data[shard.arrays["codes"].blocks[0]] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckFailed, match=f"{shard.name}: block 0 is corrupt"):
        SplitReader(manifest, "train").rows(np.arange(40))


def test_what_and_when_are_inverse(shards: Path) -> None:
    manifest = load_manifest(shards)
    keys = keys_at(manifest, seed=3, position=20, count=5)
    for number, key in enumerate(keys):
        readings = readings_of(manifest, key, seed=3, batch=8, epochs=3)
        assert {"position": 20 + number, "step": (20 + number) // 8}.items() <= readings[0].items()
        assert [keys_at(manifest, 3, reading["position"], 1) for reading in readings] == [[key]] * 3
    with pytest.raises(BadInput, match="not in the split"):
        readings_of(manifest, "0" * 32, seed=3, batch=8, epochs=1)


def test_a_manifest_without_a_number_that_agrees_is_a_fault(shards: Path) -> None:
    document = load_manifest(shards).document
    fields = {key: document[key] for key in ("shards", "files", "schema", "split_rule", "licenses")}
    splits = {**document["splits"], "train": {**document["splits"]["train"], "samples": 1}}
    wrong = save_manifest(shards, new_manifest("shards", splits=splits, lineage=document["lineage"], **fields))
    assert any("split train" in fault for fault in verify_manifest(wrong))
