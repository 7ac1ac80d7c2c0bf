"""The shard file: what goes in comes out, the bytes are always the same, and no fault is passed over."""

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

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.shards.block_shard import Block, read_header, read_lone_shard, write_shard
from tuwen.manifests.shards.mapped_files import MappedFiles
from tuwen.manifests.shards.split_reader import SplitReader

from .synthetic import key_of, make_blocks, make_row, make_shards

MODES = ("off", "first", "block", "always")


def check_rows(reader: SplitReader, name: str, split: str, rows: np.ndarray[Any, Any], num_codes: int = 64) -> None:
    codes, text, lengths = reader.rows(rows)
    for number, row in enumerate(rows.tolist()):
        expected_codes, expected_text = make_row(name, split, row, num_codes)
        assert np.array_equal(codes[number], expected_codes)
        assert text[number, : lengths[number]].tolist() == expected_text
        assert not text[number, lengths[number] :].any()


# --- what goes in comes out -------------------------------------------------------------------------


@given(
    num_rows=st.integers(1, 60), block_rows=st.integers(1, 16), blocks=st.integers(1, 3), padded=st.booleans(),
    verify=st.sampled_from(MODES),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_split_gives_back_the_rows_that_went_in(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, block_rows: int, blocks: int, padded: bool, verify: Any
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    manifest = make_shards(
        folder, {"train": num_rows}, block_rows=block_rows, shard_blocks=blocks, text_width=9 if padded else None
    )
    reader = SplitReader(manifest, "train", verify)
    rows = np.random.default_rng(0).integers(0, num_rows, 30)
    check_rows(reader, "s", "train", rows)
    assert [meta["key"] for meta in reader.metas(rows)] == [key_of("s", "train", row) for row in rows.tolist()]
    assert reader.find(key_of("s", "train", num_rows - 1)) == num_rows - 1
    assert reader.find("f" * 32) is None


def test_batches_are_the_rows_in_pieces(tmp_path: Path) -> None:
    reader = SplitReader(make_shards(tmp_path, {"train": 100}), "train")
    rows = np.random.default_rng(0).permutation(100)
    whole = reader.rows(rows)
    pieces = list(reader.batches(rows, 32))
    assert [len(codes) for codes, _, _ in pieces] == [32, 32, 32, 4]
    assert np.array_equal(np.concatenate([codes for codes, _, _ in pieces]), whole[0])
    assert np.array_equal(np.concatenate([lengths for _, _, lengths in pieces]), whole[2])
    assert all(text.shape[1] == lengths.max() for _, text, lengths in pieces)


def test_a_split_of_no_rows_and_a_batch_of_none_are_empty(tmp_path: Path) -> None:
    manifest = make_shards(tmp_path, {"train": 5, "validation": 0})
    assert len(SplitReader(manifest, "validation")) == 0
    assert SplitReader(manifest, "train").rows(np.array([], dtype=np.int64))[0].shape == (0, 64)
    for wrong in (-1, 5):
        with pytest.raises(IndexError, match="of a split of 5"):
            SplitReader(manifest, "train").rows(np.array([wrong]))


@pytest.mark.parametrize(("codebook", "dtype"), [(65_536, "<u2"), (65_537, "<u4")])
def test_large_codebooks_take_four_bytes_and_codes_above_32767_stay_positive(
    tmp_path: Path, codebook: int, dtype: str
) -> None:
    codes = np.array([[codebook - 1, 40_000]])
    path = tmp_path / "s.tar"
    entry = write_shard(
        path, [Block(codes, [[1]], [{"key": "k"}])], block_rows=1, codebook=codebook, vocab=10, header={}
    )
    assert entry.arrays["codes"].dtype == dtype
    assert lone(path).rows(np.array([0]))[0].tolist() == codes.tolist()


@pytest.mark.parametrize("wrong", [-1, 1 << 16])
def test_a_code_that_does_not_fit_is_refused_and_leaves_no_file(tmp_path: Path, wrong: int) -> None:
    block = Block(np.array([[wrong]]), [[]], [{"key": "k"}])
    with pytest.raises(ValueError, match="do not fit"):
        write_shard(tmp_path / "s.tar", [block], block_rows=1, codebook=1024, vocab=10, header={})
    assert not list(tmp_path.iterdir())


def test_a_short_block_may_only_be_the_last(tmp_path: Path) -> None:
    blocks = [*make_blocks("s", "train", range(3), 8), *make_blocks("s", "train", range(8), 8)]
    with pytest.raises(ValueError, match="only the last"):
        write_shard(tmp_path / "s.tar", blocks, block_rows=8, codebook=1024, vocab=900, header={})


# --- the bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text_width", [None, 12])
def test_a_shard_is_ustar_without_time_or_owner_and_ends_with_its_header(
    tmp_path: Path, text_width: int | None
) -> None:
    manifest = make_shards(tmp_path, {"train": 10}, block_rows=4, text_width=text_width)
    path = tmp_path / manifest.shards[0].name
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.mode, m.uname, bool(m.pax_headers)) for m in members} == {
        (0, 0, 0, 0o444, "", False)
    }
    assert path.read_bytes()[257:265] == b"ustar\x0000"
    names = [member.name for member in members]
    assert names == [*sorted(names[:-1]), "__shard__"]
    size = "text_len" if text_width else "text_ptr"
    assert names[:4] == [f"b000000.{part}" for part in ("codes.npy", "meta.jsonl", "text.npy", f"{size}.npy")]
    header = read_header(path)
    assert header.samples == 10
    assert header.arrays["codes"].blocks[0] == header.arrays["codes"].offset


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (make_shards(tmp_path / name, {"train": 100}) for name in "ab")
    assert one.id == other.id
    assert [shard.sha256 for shard in one.shards] == [shard.sha256 for shard in other.shards]


@pytest.mark.parametrize("text_width", [None, 24])
def test_what_is_not_payload_is_at_most_one_percent_for_1024_codes(tmp_path: Path, text_width: int | None) -> None:
    manifest = make_shards(
        tmp_path, {"train": 8192}, block_rows=4096, shard_blocks=2, num_codes=1024, text_width=text_width
    )
    shard = manifest.shards[0]
    reader = SplitReader(manifest, "train")
    lengths = reader.rows(np.arange(8192))[2]
    caption_bytes = 8192 * 24 * 2 if text_width else int(lengths.sum()) * 2
    lines = sum(len(json.dumps(m, ensure_ascii=False, separators=(",", ":")).encode()) + 1 for m in reader.all_meta())
    payload = 8192 * 1024 * 2 + caption_bytes + lines
    assert 0 < shard.bytes - payload <= 0.01 * payload


def test_vanilla_webdataset_reads_a_shard(shapes: tuple[Recipe, Path]) -> None:
    manifest = load_manifest(shapes[1] / "shards")
    for split in manifest.document["splits"]:
        expected = SplitReader(manifest, split)
        urls = [str(manifest.folder / shard.name) for shard in manifest.shards_of(split)]
        samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
        found = np.concatenate([sample["codes.npy"] for sample in samples])
        assert np.array_equal(found, expected.rows(np.arange(len(expected)))[0])


# --- a lone shard -----------------------------------------------------------------------------------


def lone(path: Path) -> SplitReader:
    entry = read_lone_shard(path)
    document = {"id": entry.sha256, "urls": ["."], "shards": [entry.model_dump()],
                "splits": {"all": {"samples": entry.samples, "shards": [entry.name]}}}  # fmt: skip
    return SplitReader(Manifest(path.parent, document), "all")


def test_a_lone_shard_is_read_without_its_manifest(tmp_path: Path) -> None:
    manifest = make_shards(tmp_path / "shards", {"train": 40})
    path = Path(shutil.copy(tmp_path / "shards" / manifest.shards[0].name, tmp_path / "found-somewhere.tar"))
    entry = read_lone_shard(path)
    listed = manifest.shards[0]
    assert (entry.sha256, entry.crc32, entry.arrays) == (listed.sha256, listed.crc32, listed.arrays)
    check_rows(lone(path), "s", "train", np.arange(entry.samples))


def test_a_tar_that_is_no_shard_or_not_whole_is_refused(tmp_path: Path) -> None:
    manifest = make_shards(tmp_path / "shards", {"train": 40})
    whole = (tmp_path / "shards" / manifest.shards[0].name).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:3000])
    with pytest.raises((CheckFailed, BadInput)):
        read_header(tmp_path / "cut.tar")
    (tmp_path / "words.tar").write_text("this is no tar, whatever its name says")
    with pytest.raises(CheckFailed, match="not a whole tar"):
        read_header(tmp_path / "words.tar")
    with pytest.raises(BadInput, match="no such file"):
        read_header(tmp_path / "none.tar")


# --- many files as one ------------------------------------------------------------------------------


def test_mapped_files_read_as_zeros_until_they_are_mapped_and_again_when_unmapped(tmp_path: Path) -> None:
    sizes = [5000, 1, 4096]
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(bytes([number + 1]) * size)
    files = MappedFiles(sizes)
    assert not files.records(files.starts, 8).any()
    files.map(2, tmp_path / "2")
    files.map(0, tmp_path / "0")
    assert files.records(files.starts + np.array([4992, 0, 0]), 8).tolist() == [[1] * 8, [0] * 8, [3] * 8]
    files.unmap(2)
    assert files.records(files.starts, 8).any(axis=1).tolist() == [True, False, False]
    with pytest.raises(OSError, match="shorter than announced"):
        MappedFiles([9000]).map(0, tmp_path / "0")
