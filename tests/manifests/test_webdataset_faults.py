"""Block shards through webdataset's own pipelines: no fault is passed over, and what is no block shard is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webdataset as wds
from torch.utils.data import DataLoader

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.merge import merge
from tuwen.manifests.shards.block_shard import write_shard
from tuwen.manifests.shards.webdataset_samples import tuwen_samples

from ..stages import export_samples
from . import test_faults as faults
from .synthetic import key_of, make_blocks, make_shards
from .test_webdataset_samples import KEYS, braces, check_sample, keys, pipeline


@pytest.fixture
def three(tmp_path: Path) -> Manifest:
    """144 rows, three shards of three blocks of 16."""
    return make_shards(tmp_path / "shards", {"train": 144})


def until_the_fault(samples: Any) -> tuple[int, str, str]:
    """How many rows were given, all of them right; what was wrong then, and the cure."""
    row = 0
    try:
        for row, sample in enumerate(samples, 1):
            check_sample(sample, row - 1)
    except CheckFailed as fault:
        return row, fault.problem, fault.cure
    return row, "", ""


LISTED = {
    faults.payload_flip: (64, "block 1 is corrupt"),
    faults.caption_flip: (64, "block 1 is corrupt"),
    faults.header_flip: (64, "block 1 is corrupt"),
    faults.cut_at_a_member: (48, "bytes instead of 30720: block 1 is cut or corrupt"),
    faults.cut_inside: (48, "bytes instead of 30720: block 1 is cut or corrupt"),
    faults.zero_length: (48, "0 bytes instead of 30720: block 0 is cut or corrupt"),
    faults.missing: (48, "no block from 0 on can be read: No such file or directory"),
    faults.newer_shard: (48, "block 0 is corrupt"),
}
LONE = {
    faults.header_flip: (48, "block 1 is missing, cut or corrupt"),
    faults.cut_at_a_member: (48, "block 1 is missing, cut or corrupt"),
    faults.cut_inside: (48, "block 1 is missing, cut or corrupt"),
    faults.zero_length: (48, "block 0 is missing, cut or corrupt"),
    faults.missing: (48, "no block from 0 on can be read: No such file or directory"),
}


@pytest.mark.parametrize(
    ("fault", "is_alone"), [*((fault, False) for fault in LISTED), *((fault, True) for fault in LONE)],
    ids=lambda value: getattr(value, "__name__", "lone" if value else "manifest"),
)  # fmt: skip
def test_a_fault_stops_the_stage_with_the_shard_the_block_and_the_cure(
    three: Manifest, fault: Callable[[Path, Manifest], None], is_alone: bool
) -> None:
    assert three.shards[1].bytes == 30720
    fault(three.folder, three)
    rows, problem, cure = until_the_fault(pipeline(braces(three), manifest=None if is_alone else three.folder))
    expected_rows, expected = (LONE if is_alone else LISTED)[fault]
    assert problem.startswith(f"{three.folder / three.shards[1].name}: ")
    assert problem.endswith(expected)
    assert "restore it from a copy" in cure
    assert rows == expected_rows


def test_a_shard_that_was_swapped_is_named_with_the_one_whose_bytes_it_has(three: Manifest) -> None:
    faults.swapped(three.folder, three)
    rows, problem, _ = until_the_fault(pipeline(braces(three), manifest=three.folder))
    assert rows == 0
    assert problem == f"{three.folder}/train-00000.tar: holds the bytes of train-00001.tar, from block 0 on"


def test_only_the_manifest_tells_that_a_code_or_a_whole_shard_is_another(three: Manifest) -> None:
    faults.payload_flip(three.folder, three)
    assert len(keys(pipeline(braces(three)))) == 144  # what the docstring says of a lone shard
    faults.payload_flip(three.folder, three)
    faults.swapped(three.folder, three)
    assert keys(pipeline(braces(three))) == KEYS[48:96] + KEYS[:48] + KEYS[96:]


def test_any_flipped_byte_is_found_before_its_row_when_there_is_a_manifest(three: Manifest) -> None:
    shard = three.shards[0]
    path = three.folder / shard.name
    whole = path.read_bytes()
    for place in [*range(0, shard.bytes, 211), shard.bytes - 1]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        rows, problem, _ = until_the_fault(pipeline(str(path), manifest=three.folder))
        block = sum(place >= offset for offset in shard.block_offsets[1:])
        assert rows == (16 * block if block < 3 else 0), place
        assert f"block {block} is corrupt" in problem or "`__shard__`, behind block 2, is corrupt" in problem
        assert str(path) in problem


def test_a_flipped_byte_of_a_lone_shard_is_found_or_changes_no_more_than_a_value(three: Manifest) -> None:
    shard = three.shards[0]
    path = three.folder / shard.name
    whole = path.read_bytes()
    found = 0
    for place in range(0, shard.bytes, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            assert len(list(pipeline(str(path)))) == 48
        except (CheckFailed, BadInput) as fault:
            found += 1
            assert str(path) in fault.problem
            assert "block" in fault.problem
    assert found > 100


def test_every_place_at_which_a_lone_shard_may_be_cut_is_found_before_its_first_row(three: Manifest) -> None:
    path = three.folder / three.shards[0].name
    whole = path.read_bytes()
    for length in range(0, len(whole), 512):
        path.write_bytes(whole[:length])
        rows, problem, _ = until_the_fault(pipeline(str(path)))
        assert rows == 0
        assert "block" in problem


def test_a_shard_of_zeros_is_found_although_webdataset_passes_over_it(three: Manifest) -> None:
    path = three.folder / three.shards[1].name
    path.write_bytes(bytes(three.shards[1].bytes))  # as a copy that broke off leaves it
    blocks = list(wds.WebDataset(braces(three), shardshuffle=False))
    assert [Path(block["__url__"]).name[-5:] for block in blocks] == ["0.tar"] * 3 + ["2.tar"] * 3
    for manifest, wrong in ((None, "missing, cut or corrupt"), (three.folder, "corrupt")):
        rows, problem, _ = until_the_fault(pipeline(braces(three), manifest=manifest))
        assert (rows, problem) == (48, f"{path}: block 0 is {wrong}")


def test_a_lone_shard_with_the_tail_of_another_is_found(tmp_path: Path) -> None:
    manifest = make_shards(tmp_path, {"train": 90})
    longer, shorter = (tmp_path / shard.name for shard in manifest.shards)
    blocks = longer.read_bytes()[: manifest.shards[0].block_offsets[-1]]
    longer.write_bytes(blocks + shorter.read_bytes()[manifest.shards[1].block_offsets[-1] :])
    rows, problem, _ = until_the_fault(pipeline(str(longer)))
    assert (rows, problem) == (0, f"{longer}: block 2 is not the last that `__shard__` lists")


@pytest.mark.parametrize(("place", "expected"), [("codes", "code 1"), ("text", "caption id ")])
def test_a_lone_shard_that_knows_its_codebook_finds_ids_beyond_it(tmp_path: Path, place: str, expected: str) -> None:
    path = tmp_path / "s.tar"
    schema = {"codes": {"shape": [8, 8], "codebook": 1024}, "text": {"vocab": 900}}
    entry = write_shard(
        path, make_blocks("s", "train", range(20), 8), block_rows=8, codebook=1024, vocab=900, header={"schema": schema}
    )
    assert next(iter(pipeline(str(path))))["codes.npy"].shape == (8, 8)
    faults.flip(path, entry.arrays[place].blocks[1] + 1)  # the high byte: 256 more
    data = bytearray(path.read_bytes())
    data[entry.arrays[place].blocks[1] + 1] |= 0x40
    path.write_bytes(data)
    rows, problem, _ = until_the_fault(pipeline(str(path)))
    assert rows == 8
    assert problem.startswith(f"{path}: block 1 is corrupt: {expected}")


def test_no_handler_of_another_stage_and_no_worker_swallows_a_fault(three: Manifest) -> None:
    faults.payload_flip(three.folder, three)
    samples = pipeline(braces(three), wds.split_by_worker, manifest=three.folder)
    calm = samples.map(dict, handler=wds.ignore_and_continue).decode(partial=True, handler=wds.ignore_and_stop)
    with pytest.raises(CheckFailed, match=r"train-00001\.tar: block 1 is corrupt; restore it"):
        list(calm.shuffle(10).to_tuple("txt", handler=wds.warn_and_continue).batched(4))
    for workers in (1, 2):
        with pytest.raises(RuntimeError, match=r"CheckFailed: .*train-00001\.tar: block 1 is corrupt; restore it"):
            list(DataLoader(calm, batch_size=None, num_workers=workers))
    with pytest.raises(CheckFailed, match="exit 1"):
        list(pipeline(f"pipe:cat {three.folder}/train-00007.tar"))


# --- what is refused --------------------------------------------------------------------------------


def test_behind_wds_webdataset_the_stage_is_refused_with_the_place_where_it_belongs(three: Manifest) -> None:
    for stage in (tuwen_samples(), tuwen_samples(three.folder)):
        with pytest.raises(BadInput, match=r"in place of wds\.tarfile_to_samples\(\) in a wds\.DataPipeline"):
            next(iter(wds.WebDataset(braces(three), shardshuffle=False).compose(stage)))


@pytest.mark.parametrize("is_alone", [False, True], ids=["manifest", "lone"])
def test_what_is_no_block_shard_is_refused(three: Manifest, tmp_path: Path, is_alone: bool) -> None:
    exported = export_samples(three, tmp_path / "exported")
    with pytest.raises(BadInput, match=r"no block shard|layout `sample`"):
        next(iter(pipeline(braces(exported), manifest=None if is_alone else exported.folder)))
    with pytest.raises(BadInput, match="no manifest there"):
        tuwen_samples(tmp_path)


def test_a_shard_that_the_manifest_does_not_list_is_refused(three: Manifest, tmp_path: Path) -> None:
    stranger = shutil.copy(three.folder / three.shards[0].name, tmp_path / "stranger.tar")
    with pytest.raises(BadInput, match=r"stranger\.tar: is no shard of the manifest sha256:"):
        next(iter(pipeline(str(stranger), manifest=three.folder)))


def test_shards_of_a_merged_manifest_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    one, other = (make_shards(tmp_path / name, {"train": 48}, name=name) for name in ("a", "b"))
    merged = merge([one, other], tmp_path / "both")
    for name, manifest in (("a", one), ("b", other)):
        url = str(manifest.folder / "train-00000.tar")
        assert keys(pipeline(url, manifest=merged.folder)) == [key_of(name, "train", row) for row in range(48)]
    with pytest.raises(BadInput, match=r"train-00000\.tar: could be .* or "):
        next(iter(pipeline("pipe:cat train-00000.tar", manifest=merged.folder)))
