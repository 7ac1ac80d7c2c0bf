"""Block shards through webdataset's own pipelines: every row once, as it was written."""

import itertools
import pickle
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from torch.utils.data import DataLoader

from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.shards.webdataset_samples import tuwen_samples

from ..stages import export_samples
from .synthetic import key_of, make_row, make_shards

KEYS = [key_of("s", "train", row) for row in range(144)]


@pytest.fixture
def three(tmp_path: Path) -> Manifest:
    """144 rows, three shards of three blocks of 16."""
    return make_shards(tmp_path / "shards", {"train": 144})


def braces(manifest: Manifest) -> str:
    return f"{manifest.folder}/train-{{00000..{len(manifest.shards) - 1:05d}}}.tar"


def pipeline(urls: str | list[str], *stages: Any, manifest: Path | None = None) -> Any:
    return wds.FluidWrapper(wds.DataPipeline(wds.SimpleShardList(urls), *stages, tuwen_samples(manifest)))


def keys(samples: Any) -> list[str]:
    return [sample["__key__"] for sample in samples]


def check_sample(sample: dict[str, Any], row: int) -> None:
    codes, text = make_row("s", "train", row)
    assert np.array_equal(sample["codes.npy"].reshape(-1), codes)
    assert sample["json"]["text_ids"] == text
    assert sample["txt"] == sample["json"]["caption"] == f"第{row}张"


# --- what goes in comes out -------------------------------------------------------------------------


@pytest.mark.parametrize("text_width", [None, 9], ids=["ragged", "padded"])
@pytest.mark.parametrize("is_alone", [False, True], ids=["manifest", "lone"])
def test_every_row_is_that_of_the_split_reader_in_its_order(
    tmp_path: Path, text_width: int | None, is_alone: bool
) -> None:
    manifest = make_shards(tmp_path, {"train": 135}, text_width=text_width)
    reader = SplitReader(manifest, "train")
    codes, text, lengths = reader.rows(np.arange(135))
    samples = list(pipeline(braces(manifest), manifest=None if is_alone else tmp_path))
    assert len(samples) == 135
    for row, (sample, meta) in enumerate(zip(samples, reader.all_meta(), strict=True)):
        assert list(sample) == ["__key__", "__url__", "codes.npy", "json", "txt"]
        assert sample["__key__"] == meta["key"] == key_of("s", "train", row)
        assert Path(sample["__url__"]) == tmp_path / manifest.shards[row // 48].name
        assert sample["codes.npy"].shape == (1, 64)
        assert sample["codes.npy"].dtype == codes.dtype
        assert np.array_equal(sample["codes.npy"][0], codes[row])
        assert sample["json"] == {**meta, "text_ids": text[row, : lengths[row]].tolist()}
        assert sample["txt"] == meta["caption"]


def test_the_samples_are_those_of_the_export_as_webdataset_decodes_them(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    shards = load_manifest(shapes[1] / "shards")
    exported = export_samples(shards, tmp_path)
    names = [shard.name for shard in shards.shards]
    ours = list(pipeline([str(shards.folder / name) for name in names], manifest=shards.folder))
    theirs = list(
        wds.WebDataset([str(tmp_path / shard.name) for shard in exported.shards], shardshuffle=False).decode()
    )
    assert len(ours) == len(theirs) == sum(shard.samples for shard in shards.shards)
    for one, other in zip(ours, theirs, strict=True):
        codes, expected = one.pop("codes.npy"), other.pop("codes.npy")
        assert codes.shape == expected.shape == (8, 8)
        assert codes.dtype == expected.dtype
        assert np.array_equal(codes, expected)
        assert {name: one[name] for name in ("__key__", "json", "txt")} == {
            name: other[name] for name in ("__key__", "json", "txt")
        }


def test_a_row_may_be_written_to_and_does_not_keep_its_block_in_memory(three: Manifest) -> None:
    one, other = itertools.islice(pipeline(braces(three), manifest=three.folder), 2)
    assert one["codes.npy"].base is None
    one["codes.npy"][:] = 0
    check_sample(other, 1)


@pytest.mark.parametrize("is_alone", [False, True], ids=["manifest", "lone"])
def test_one_block_at_a_time_is_in_memory(tmp_path: Path, is_alone: bool) -> None:
    manifest = make_shards(tmp_path, {"train": 4000}, block_rows=100, shard_blocks=40, num_codes=1024)
    samples = pipeline(braces(manifest), manifest=None if is_alone else tmp_path)
    tracemalloc.start()
    assert sum(1 for _ in samples) == 4000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manifest.shards[0].bytes > 8_000_000
    assert peak < 2_000_000  # a block of 205 kB, and its captions as Python objects


# --- webdataset's own stages ------------------------------------------------------------------------


def test_rows_are_shuffled_made_tuples_and_batched(three: Manifest) -> None:
    shuffled = keys(pipeline(braces(three), manifest=three.folder).shuffle(50, seed=3))
    assert shuffled != KEYS
    assert sorted(shuffled) == KEYS
    assert shuffled == keys(pipeline(braces(three), manifest=three.folder).shuffle(50, seed=3))
    batches = list(pipeline(braces(three), manifest=three.folder).to_tuple("codes.npy", "txt", "json").batched(64))
    assert [codes.shape for codes, _, _ in batches] == [(64, 1, 64), (64, 1, 64), (16, 1, 64)]
    assert [about["key"] for _, _, json in batches for about in json] == KEYS
    whole = next(iter(pipeline(braces(three), manifest=three.folder).batched(10)))
    assert whole["codes.npy"].shape == (10, 1, 64)
    assert whole["__key__"] == KEYS[:10]


def test_decode_keeps_what_is_decoded_and_decodes_what_a_stage_before_it_left_as_bytes(three: Manifest) -> None:
    samples = pipeline(braces(three), manifest=three.folder).map(lambda sample: {**sample, "cls": b"7"})
    for row, sample in enumerate(samples.decode(partial=True)):
        check_sample(sample, row)
        assert sample["cls"] == 7
    with pytest.raises(wds.DecodingError):  # without `partial` it takes nothing but bytes, and says so
        list(samples.decode())


def test_shards_are_shuffled_and_resampled(three: Manifest) -> None:
    by_shard = [KEYS[start : start + 48] for start in (0, 48, 96)]
    shuffled = keys(pipeline(braces(three), wds.shuffle(3, seed=1), manifest=three.folder))
    assert shuffled != KEYS
    assert sorted(shuffled[start : start + 48] for start in (0, 48, 96)) == by_shard
    endless = wds.DataPipeline(
        wds.ResampledShards(braces(three), deterministic=True, seed=1), tuwen_samples(three.folder)
    )
    drawn = keys(itertools.islice(endless, 12 * 48))
    pieces = [drawn[start : start + 48] for start in range(0, len(drawn), 48)]
    assert all(piece in by_shard for piece in pieces)
    assert len({piece[0] for piece in pieces}) == 3


@pytest.mark.parametrize("stages", [(wds.split_by_worker,), ()], ids=["split", "not split"])
def test_two_workers_that_split_the_shards_give_every_sample_once(three: Manifest, stages: tuple[Any, ...]) -> None:
    dataset = pipeline(braces(three), *stages, manifest=three.folder).to_tuple("__key__", "codes.npy")
    found = list(DataLoader(dataset, batch_size=None, num_workers=2))
    assert Counter(key for key, _ in found) == Counter(KEYS if stages else KEYS * 2)
    for key, codes in found:
        expected, _ = make_row("s", "train", KEYS.index(key))
        assert codes.tolist() == [expected.tolist()]


def test_two_nodes_of_two_workers_give_every_sample_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_shards(tmp_path, {"train": 144}, shard_blocks=1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        dataset = pipeline(braces(manifest), wds.split_by_node, wds.split_by_worker, manifest=tmp_path)
        mine = list(wds.WebLoader(dataset.to_tuple("__key__"), batch_size=None, num_workers=2))
        assert len(mine) in (64, 80)
        found += [key for (key,) in mine]
    assert sorted(found) == KEYS


def test_the_stage_is_sent_to_processes_that_are_started_anew(three: Manifest) -> None:
    stage = pickle.loads(pickle.dumps(tuwen_samples(three.folder)))
    assert keys(stage([{"url": str(three.folder / three.shards[1].name)}])) == KEYS[48:96]


@pytest.mark.parametrize("is_alone", [False, True], ids=["manifest", "lone"])
def test_streams_that_cannot_seek_and_cached_files_are_read_too(
    three: Manifest, is_alone: bool, tmp_path: Path
) -> None:
    manifest = None if is_alone else three.folder
    assert keys(pipeline("pipe:cat " + braces(three), manifest=manifest)) == KEYS
    assert keys(pipeline("file:" + braces(three), manifest=manifest)) == KEYS
    (tmp_path / "cache").mkdir()
    cache = wds.cache.FileCache(cache_dir=str(tmp_path / "cache"), url_to_name=lambda url: url.rpartition("/")[2])
    assert keys(pipeline("pipe:cat " + braces(three), cache, manifest=manifest)) == KEYS
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert keys(pipeline("pipe:cat " + braces(three), cache, manifest=manifest)) == KEYS


def test_samples_are_written_with_webdatasets_writer_and_read_again(three: Manifest, tmp_path: Path) -> None:
    path = str(tmp_path / "again.tar")
    with wds.TarWriter(path) as writer:
        for sample in pipeline(braces(three), manifest=three.folder):
            writer.write(sample)
    for row, sample in enumerate(wds.WebDataset(path, shardshuffle=False).decode()):
        check_sample(sample, row)
