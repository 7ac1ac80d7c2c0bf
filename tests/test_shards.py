"""The shard file: what goes in comes out, the bytes are always the same, and no fault is passed over."""

import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tuwen.manifests import mapped_files, places, split_reader
from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.mapped_files import MappedFiles
from tuwen.manifests.recipe import Recipe
from tuwen.manifests.shard import Block, read_header, read_lone_shard, write_shard
from tuwen.manifests.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest

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
    assert header["samples"] == 10
    assert header["arrays"]["codes"]["blocks"][0] == header["arrays"]["codes"]["offset"]


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


# --- faults -----------------------------------------------------------------------------------------
# What happened to the second of three shards; how each mode of reading and of `verify` answers. The README of
# manifests/ has this table too, with what vanilla webdataset makes of the same faults.


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def payload_flip(folder: Path, manifest: Manifest) -> None:
    flip(folder / manifest.shards[1].name, manifest.shards[1].arrays["codes"].blocks[1] + 7)


def caption_flip(folder: Path, manifest: Manifest) -> None:
    flip(folder / manifest.shards[1].name, manifest.shards[1].arrays["text"].blocks[1] + 1)


def header_flip(folder: Path, manifest: Manifest) -> None:
    flip(folder / manifest.shards[1].name, manifest.shards[1].block_offsets[1] + 100)  # in a tar header


def cut_at_a_member(folder: Path, manifest: Manifest) -> None:
    path = folder / manifest.shards[1].name
    path.write_bytes(path.read_bytes()[: manifest.shards[1].block_offsets[1]])


def cut_inside(folder: Path, manifest: Manifest) -> None:
    path = folder / manifest.shards[1].name
    path.write_bytes(path.read_bytes()[: manifest.shards[1].block_offsets[1] + 700])


def swapped(folder: Path, manifest: Manifest) -> None:
    a, b = (folder / manifest.shards[number].name for number in (0, 1))
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)


def zero_length(folder: Path, manifest: Manifest) -> None:
    (folder / manifest.shards[1].name).write_bytes(b"")


def missing(folder: Path, manifest: Manifest) -> None:
    (folder / manifest.shards[1].name).unlink()


def newer_shard(folder: Path, manifest: Manifest) -> None:
    """Written anew from other pictures: as long, as whole, and not the one that the manifest means."""
    other = make_shards(folder.parent / "newer", {"train": 144}, name="t")
    shutil.copy(folder.parent / "newer" / other.shards[1].name, folder / manifest.shards[1].name)


FAULTS: dict[Callable[[Path, Manifest], None], dict[str, str]] = {
    payload_flip: {"first": "altered", "block": "block 1 is corrupt"},
    caption_flip: {"first": "altered", "block": "block 1 is corrupt"},
    header_flip: {"first": "altered", "block": "block 1 is corrupt"},
    cut_at_a_member: {"off": "bytes instead of", "first": "bytes instead of", "block": "bytes instead of"},
    cut_inside: {"off": "bytes instead of", "first": "bytes instead of", "block": "bytes instead of"},
    swapped: {"first": "altered", "block": "is corrupt"},
    zero_length: {"off": "0 bytes instead of", "first": "0 bytes instead of", "block": "0 bytes instead of"},
    missing: {"off": "missing", "first": "missing", "block": "missing"},
    newer_shard: {"first": "altered", "block": "is corrupt"},
}


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv("TUWEN_CACHE", str(tmp_path / "cache"))
    return make_shards(tmp_path / "shards", {"train": 144})


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_stops_the_reader_with_the_shard_the_block_and_the_cure(
    three: Manifest, fault: Callable[[Path, Manifest], None]
) -> None:
    fault(three.folder, three)
    answers = {**FAULTS[fault], "always": FAULTS[fault]["block"]}
    for mode in MODES:
        reader = SplitReader(three, "train", mode)  # type: ignore[arg-type]
        if mode in answers:
            with pytest.raises(CheckFailed) as stop:
                reader.rows(np.arange(144))
            assert answers[mode] in stop.value.problem
            assert three.shards[1].name in stop.value.problem or fault is swapped
            assert "restore it" in stop.value.cure
        else:
            reader.rows(np.arange(144))  # `off` believes what it finds
        check_rows(reader, "s", "train", np.arange(100, 144))  # the third shard is as good as it was


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_verify_names_every_fault_in_every_mode(three: Manifest, fault: Callable[[Path, Manifest], None]) -> None:
    fault(three.folder, three)
    for mode in ("first", "block", "always"):
        found = list(verify_manifest(three, mode))  # type: ignore[arg-type]
        assert found
        assert all("restore it" in line for line in found)
        named = {line.partition(":")[0] for line in found}
        assert named == ({shard.name for shard in three.shards[:2]} if fault is swapped else {three.shards[1].name})
    if fault in (payload_flip, caption_flip, header_flip):
        assert [line.partition(";")[0] for line in found] == [f"{three.shards[1].name}: block 1 is corrupt"]
    if fault is swapped:
        assert f"holds the bytes of {three.shards[0].name}" in found[1]
    if fault is newer_shard:
        assert "other bytes than this manifest's" in found[0]


def test_one_flipped_byte_is_found_wherever_it_is(three: Manifest) -> None:
    shard = three.shards[1]
    path = three.folder / shard.name
    whole = path.read_bytes()
    for place in [*range(0, shard.bytes, 997), shard.bytes - 1]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert len(list(verify_manifest(three, "block"))) == 1, place
        assert len(list(verify_manifest(three, "first"))) == 1, place


@pytest.mark.parametrize("mode", ["block", "first"])
def test_a_file_that_is_overwritten_while_it_is_read_is_noticed(three: Manifest, mode: Any) -> None:
    reader = SplitReader(three, "train", mode)
    reader.rows(np.arange(144))
    payload_flip(three.folder, three)
    reader._looked -= 2  # two seconds pass
    with pytest.raises(CheckFailed):
        reader.rows(np.arange(144))
    payload_flip(three.folder, three)  # and is restored
    reader._looked -= 2
    check_rows(reader, "s", "train", np.arange(144))


def test_always_never_gives_a_wrong_row_even_in_the_moment_of_the_fault(three: Manifest) -> None:
    reader = SplitReader(three, "train", "always")
    reader.rows(np.arange(144))
    payload_flip(three.folder, three)
    with pytest.raises(CheckFailed, match="block 1 is corrupt"):
        reader.rows(np.arange(144))
    payload_flip(three.folder, three)
    check_rows(reader, "s", "train", np.arange(144))


def test_first_hashes_a_file_once_and_again_when_it_was_touched(
    three: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    real = places.sha256_of_file
    monkeypatch.setattr(places, "sha256_of_file", lambda path: hashed.append(path.name) or real(path))
    now = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: now() + 5_000_000_000)  # the files are old
    for _ in range(3):
        SplitReader(three, "train", "first").rows(np.arange(144))
    assert len(hashed) == 3
    os.utime(three.folder / three.shards[1].name)
    SplitReader(three, "train", "first").rows(np.arange(144))
    assert hashed[3:] == [three.shards[1].name]


def test_what_webdataset_makes_of_the_same_faults(three: Manifest) -> None:
    """The rows of the README's table that are about vanilla webdataset: told by its own answers, not by hearsay."""
    shard = three.shards[1]
    path = three.folder / shard.name
    whole = path.read_bytes()

    def rows_read() -> int | str:
        try:
            samples = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
            return sum(len(sample["codes.npy"]) for sample in samples)
        except Exception as error:
            return type(error).__name__

    assert rows_read() == 48
    payload_flip(three.folder, three)
    assert rows_read() == 48  # a wrong code passes
    path.write_bytes(whole)
    header_flip(three.folder, three)
    assert rows_read() == 16  # the rest of the shard is gone, without an error
    path.write_bytes(whole)
    cut_at_a_member(three.folder, three)
    assert rows_read() == 16  # likewise
    path.write_bytes(whole)
    cut_inside(three.folder, three)
    assert rows_read() == "ReadError"
    zero_length(three.folder, three)
    assert rows_read() == "ReadError"


@pytest.mark.parametrize("mode", ["block", "off"])
def test_more_shards_than_may_be_mapped_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    monkeypatch.setattr(mapped_files, "MAX_MAPPED", 5)
    manifest = make_shards(tmp_path, {"train": 160}, block_rows=4, shard_blocks=2)
    reader = SplitReader(manifest, "train", mode)
    generator = np.random.default_rng(0)
    for _ in range(60):
        check_rows(reader, "s", "train", generator.choice(160, 4))
    assert len(reader._files._mapped) <= 5
    with pytest.raises(BadInput, match="at once"):
        reader.rows(np.arange(160))


def test_forked_processes_do_not_write_into_each_others_batches(tmp_path: Path) -> None:
    reader = SplitReader(make_shards(tmp_path, {"train": 1200}, block_rows=400), "train")
    rows = np.arange(1100)
    held = reader.rows(rows)[0]
    before = held.copy()
    del rows
    reader.rows(np.arange(1100, 0, -1))  # its memory is free again, here and in the child
    child = os.fork()
    if not child:
        reader.rows(np.arange(50, 1150))
        os._exit(0)
    mine = reader.rows(np.arange(1100))[0]
    os.waitpid(child, 0)
    assert np.array_equal(mine, before)
    assert np.array_equal(held, before)


def test_a_batch_keeps_its_memory_as_long_as_any_view_of_it(tmp_path: Path) -> None:
    reader = SplitReader(make_shards(tmp_path, {"train": 1200}, block_rows=400), "train")
    views = [
        reader.rows(np.arange(1000))[0][5:], np.asarray(reader.rows(np.arange(1000))[0]).reshape(-1)[64 * 5 :],
        torch.from_numpy(reader.rows(np.arange(1000))[0].view(np.int16))[5:],
    ]  # fmt: skip
    expected = np.asarray(views[0]).copy().reshape(-1)
    for start in range(100):
        reader.rows(np.arange(start, start + 1000))
    for view in views:
        assert np.array_equal(np.asarray(view).view(np.uint16).reshape(-1), expected)


def test_two_threads_that_open_a_shard_at_once_map_it_once(three: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second mapping would put other bytes under what the first thread has verified, if the file was replaced."""
    reader = SplitReader(three, "train")
    both, mapped = threading.Barrier(2), []
    found = split_reader.find_shard

    def find_together(manifest: Manifest, shard: Any) -> Path:
        path = found(manifest, shard)
        both.wait(5)
        return path

    monkeypatch.setattr(split_reader, "find_shard", find_together)
    monkeypatch.setattr(reader._files, "map", lambda number, path: mapped.append(number))
    threads = [threading.Thread(target=reader._open, args=(1, {1})) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mapped == [1]
