"""What happens to shards on a disk, in a cache and in a process, and who notices: no fault is passed over."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.shards import mapped_files, shard_locations, split_reader
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.verify import verify_manifest

from .synthetic import make_shards
from .test_shards import check_rows

MODES = ("off", "first", "block", "always")


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
    real = shard_locations.sha256_of_file
    monkeypatch.setattr(shard_locations, "sha256_of_file", lambda path: hashed.append(path.name) or real(path))
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


def test_rows_are_never_taken_from_addresses_that_are_unmapped_meanwhile(tmp_path: Path) -> None:
    """One thread distrusts everything all the time; what the others read must be right nevertheless."""
    reader = SplitReader(make_shards(tmp_path, {"train": 144}), "train")
    expected = reader.rows(np.arange(144))[0]
    wrong, stop = [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            if not np.array_equal(reader.rows(np.arange(144))[0], expected):
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        with reader._lock:
            reader._invalidate([0, 1, 2])
        time.sleep(0.0002)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
