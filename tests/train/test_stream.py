"""The stream: one global sequence, whatever the ranks, threads, micro-batches, workers and stops on the way."""

import hashlib
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.manifests.manifest import Manifest
from tuwen.manifests.merge import merge
from tuwen.manifests.order.mixture import Phase
from tuwen.manifests.order.shuffle import Shuffle, parse_shuffle
from tuwen.train.loader import Batch, ShardDataset, ShardLoader
from tuwen.train.reading import stream as stream_module
from tuwen.train.reading.read_plan import ReadPlan
from tuwen.train.reading.stream import Stream, open_stream

from ..manifests.synthetic import make_row, make_shards

BATCH = 24  # 1, 2, 3, 4, 6, 8 and 12 divide it
ROWS = 170
RANK_READER = Path(__file__).with_name("rank_reader.py")
WORDS = ("global", "none", "window:4:2")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_shards(tmp_path_factory.mktemp("shards"), {"train": ROWS})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, shards: Manifest) -> Manifest:
    folder = tmp_path_factory.mktemp("mixed")
    other = make_shards(folder / "other", {"train": 60}, name="other")
    return merge([shards, other], folder / "mixed", [Phase(0, (3, 1)), Phase(150, (1, 2))])


@pytest.fixture(autouse=True)
def small_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of these tests then come from several fetches."""
    monkeypatch.setattr(stream_module, "FETCH_ROWS", 64)


def test_a_plan_that_cannot_be_is_refused_with_its_numbers() -> None:
    with pytest.raises(BadInput, match="batch of 12 cannot be shared by 5 ranks; make it a multiple of 5"):
        ReadPlan(seed=1, batch=12, world_size=5)
    with pytest.raises(BadInput, match="3 ranks with 8 micro-batches each; make it a multiple of 24"):
        ReadPlan(seed=1, batch=12, world_size=3, micro_batches=8)
    for wrong in ({"rank": 4, "world_size": 4}, {"rank": -1}, {"world_size": 0}, {"micro_batches": 0}, {"batch": 0}):
        with pytest.raises(BadInput, match="count ranks from 0"):
            ReadPlan(**{"seed": 1, "batch": 12, **wrong})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="-1 threads; give 0 or more"):
        ReadPlan(seed=1, batch=12, threads=-1)
    with pytest.raises(BadInput, match="verify='crc'; give one of off, first, block, always"):
        ReadPlan(seed=1, batch=12, verify="crc")  # type: ignore[arg-type]


def batches_of(stream: Stream, steps: int) -> list[list[bytes]]:
    """The rows of each step, as bytes of codes and caption ids."""
    batches = []
    with stream:
        for _ in range(steps):
            codes, text, lengths = stream.next()
            batches.append(
                [c.tobytes() + t[:n].tobytes() for c, t, n in zip(codes, text, lengths.tolist(), strict=True)]
            )
    return batches


@pytest.mark.parametrize("words", WORDS)
def test_a_stream_reads_every_row_once_an_epoch(shards: Manifest, words: str) -> None:
    stream = open_stream(shards, ReadPlan(seed=1, batch=1, shuffle=parse_shuffle(words), threads=0))
    epochs = [sorted(stream.next()[0].tobytes() for _ in range(ROWS)) for _ in range(2)]
    everything = sorted(make_row("s", "train", row)[0].astype("<u2").tobytes() for row in range(ROWS))
    assert epochs == [everything, everything]


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 8, 12])
def test_ranks_and_threads_together_read_what_one_reads(mixed: Manifest, world_size: int, threads: int) -> None:
    for words in WORDS:
        shuffle = parse_shuffle(words)
        one = open_stream(mixed, ReadPlan(seed=1, batch=BATCH, shuffle=shuffle, threads=0))
        expected = batches_of(one, 12)
        ranks = [
            open_stream(
                mixed, ReadPlan(seed=1, batch=BATCH, shuffle=shuffle, rank=rank, world_size=world_size, threads=threads)
            )
            for rank in range(world_size)
        ]
        shares = [batches_of(rank, 12) for rank in ranks]
        assert [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)] == expected
        assert {json.dumps(rank.state()) for rank in ranks} == {json.dumps(one.state())}


@pytest.mark.parametrize("micro_batches", [2, 3, 4])
def test_micro_batches_are_the_batch_in_pieces_and_the_state_is_of_whole_steps(
    shards: Manifest, micro_batches: int
) -> None:
    whole = open_stream(shards, ReadPlan(seed=1, batch=BATCH, rank=1, world_size=2, threads=0))
    pieces = open_stream(shards, ReadPlan(seed=1, batch=BATCH, rank=1, world_size=2, micro_batches=micro_batches))
    for _ in range(9):
        before = pieces.state()
        for _ in range(micro_batches):
            assert pieces.state() == before
            pieces.next()
        whole.next()
        assert pieces.state() == whole.state()
    pieces.resume(before)
    again = np.concatenate([pieces.next()[0] for _ in range(micro_batches)])
    whole.resume(before)
    assert np.array_equal(again, whole.next()[0])
    pieces.close()


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_chain_of_stops_with_other_ranks_each_time_reads_what_an_unbroken_run_reads(
    mixed: Manifest, data: st.DataObject
) -> None:
    words = data.draw(st.sampled_from(WORDS))
    unbroken = open_stream(mixed, ReadPlan(seed=5, batch=BATCH, shuffle=parse_shuffle(words), threads=0))
    expected = batches_of(unbroken, 40)
    done, state = 0, None
    while done < 40:
        world_size = data.draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12]))
        steps = min(data.draw(st.integers(1, 17)), 40 - done)
        ranks = [
            open_stream(
                mixed, ReadPlan(seed=5, batch=BATCH, shuffle=parse_shuffle(words), rank=rank, world_size=world_size,
                threads=data.draw(st.sampled_from([0, 1])),))
            for rank in range(world_size)
        ]  # fmt: skip
        for rank in ranks:
            if state is not None:
                rank.resume(json.loads(json.dumps(state)))
        shares = [batches_of(rank, steps) for rank in ranks]
        assert [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)] == expected[done : done + steps]
        state, done = ranks[-1].state(), done + steps
    assert state == unbroken.state()


def test_the_state_is_small_and_counts_what_was_consumed_not_what_was_fetched(shards: Manifest) -> None:
    stream = open_stream(shards, ReadPlan(seed=1, batch=BATCH, threads=3))
    for step in range(1, 6):
        stream.next()
        assert stream.state()["samples"] == step * BATCH
    assert len(json.dumps(stream.state())) < 250
    stream.close()


def test_a_state_of_another_stream_is_refused_with_the_fields(shards: Manifest, mixed: Manifest) -> None:
    state = open_stream(shards, ReadPlan(seed=1, batch=4)).state()
    for other, message in [
        (open_stream(shards, ReadPlan(seed=2, batch=4)), "sampler, seed differ"),
        (open_stream(shards, ReadPlan(seed=1, batch=4, shuffle=Shuffle(kind="none"))), "streams?: sampler differ"),
        (open_stream(mixed, ReadPlan(seed=1, batch=4)), "manifest, sampler differ"),
    ]:
        with pytest.raises(CheckFailed, match=message):
            other.resume(state)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_fault_is_raised_at_its_step_and_when_it_is_mended_nothing_is_lost(tmp_path: Path, threads: int) -> None:
    manifest = make_shards(tmp_path, {"train": ROWS})
    expected = batches_of(open_stream(manifest, ReadPlan(seed=1, batch=BATCH, threads=0)), 12)
    path = tmp_path / manifest.shards[1].name
    whole = path.read_bytes()
    (tmp_path / "spoiled").write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    (tmp_path / "spoiled").replace(path)
    stream = open_stream(manifest, ReadPlan(seed=1, batch=BATCH, threads=threads))
    with pytest.raises(CheckFailed, match="block 0 is corrupt"):
        for _ in range(12):
            stream.next()
    with pytest.raises(CheckFailed, match="block 0 is corrupt"):  # and again: it is not skipped
        stream.next()
    done = stream.state()["samples"] // BATCH
    (tmp_path / "restored").write_bytes(whole)
    (tmp_path / "restored").replace(path)  # by rename, as one must while a file is mapped: a cut would be fatal
    stream._reader._looked -= 2  # the next look at the files is due
    assert batches_of(stream, 12 - done) == expected[done:]


def test_a_position_of_ten_to_the_ninth_is_resumed_at_once(shards: Manifest) -> None:
    stream = open_stream(shards, ReadPlan(seed=1, batch=BATCH))
    stream.next()
    state = {**stream.state(), "samples": 10**9 // BATCH * BATCH}
    times = []
    for _ in range(5):
        began = time.perf_counter()
        stream.resume(state)
        stream.next()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.01
    stream.close()


# --- real processes ---------------------------------------------------------------------------------


def start_rank(shards: Manifest, rank: int, world_size: int, steps: int, log: Path) -> subprocess.Popen[bytes]:
    numbers = [str(number) for number in (rank, world_size, BATCH, steps)]
    return subprocess.Popen([sys.executable, str(RANK_READER), str(shards.folder), *numbers, str(log)])


def test_processes_that_are_killed_at_random_moments_read_what_unbroken_ones_read(
    mixed: Manifest, tmp_path: Path
) -> None:
    steps, generator = 150, random.Random(0)
    whole = [start_rank(mixed, rank, 2, steps, tmp_path / f"whole-{rank}") for rank in range(2)]
    assert [process.wait(60) for process in whole] == [0, 0]
    killed = [tmp_path / f"killed-{rank}" for rank in range(2)]
    for kill_after in sorted(generator.sample(range(5, steps - 5), 2)):
        processes = [start_rank(mixed, rank, 2, steps, log) for rank, log in enumerate(killed)]
        for process, log in zip(processes, killed, strict=True):
            while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < kill_after):
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait(60)
    last = [start_rank(mixed, rank, 2, steps, log) for rank, log in enumerate(killed)]
    assert [process.wait(60) for process in last] == [0, 0]
    for rank, log in enumerate(killed):
        assert log.read_text() == (tmp_path / f"whole-{rank}").read_text()
    logs = [(tmp_path / f"whole-{rank}").read_text().splitlines() for rank in range(2)]
    assert json.loads(logs[0][-1])["state"] == json.loads(logs[1][-1])["state"]
    alone = open_stream(mixed, ReadPlan(seed=3, batch=BATCH, threads=0))
    for number in range(steps):
        halves = np.split(alone.next()[0], 2)
        read = [json.loads(log[number])["read"] for log in logs]
        assert read == [hashlib.sha256(half.tobytes()).hexdigest() for half in halves]
    assert alone.state() == json.loads(logs[0][-1])["state"]


# --- the PyTorch data set and loader ----------------------------------------------------------------


def codes_of(batches: list[Batch]) -> list[list[list[int]]]:
    return [batch["codes"].tolist() for batch in batches]


def take(loader: Any, count: int) -> list[Batch]:
    return list(itertools.islice(loader, count))


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_loader_gives_the_batches_of_the_stream_for_any_number_of_workers(shards: Manifest, num_workers: int) -> None:
    stream = open_stream(shards, ReadPlan(seed=1, batch=BATCH, rank=1, world_size=2, threads=0))
    expected = [stream.next() for _ in range(10)]
    dataset = ShardDataset(shards.folder, seed=1, batch=BATCH, rank=1, world_size=2)
    loader = ShardLoader(dataset, num_workers=num_workers)
    batches = take(loader, 10)
    for batch, (codes, text, lengths) in zip(batches, expected, strict=True):
        assert np.array_equal(batch["codes"].numpy(), codes)
        assert np.array_equal(batch["text"].numpy(), text)
        assert np.array_equal(batch["lengths"].numpy(), lengths)
        assert batch["codes"].dtype == torch.int64
    assert loader.state_dict() == stream.state()


def test_a_loader_resumes_with_other_workers_and_ranks(shards: Manifest) -> None:
    stream = open_stream(shards, ReadPlan(seed=1, batch=BATCH, threads=0))
    expected = [stream.next()[0].tolist() for _ in range(9)]
    first = ShardLoader(ShardDataset(shards.folder, seed=1, batch=BATCH), num_workers=2)
    assert codes_of(take(first, 4)) == expected[:4]
    ranks = [
        ShardLoader(ShardDataset(shards.folder, seed=1, batch=BATCH, rank=rank, world_size=2)) for rank in range(2)
    ]
    for rank in ranks:
        rank.load_state_dict(json.loads(json.dumps(first.state_dict())))
    halves = [codes_of(take(rank, 5)) for rank in ranks]
    assert [a + b for a, b in zip(*halves, strict=True)] == expected[4:]
    assert ranks[0].state_dict() == stream.state()
    with pytest.raises(CheckFailed, match="seed differ"):
        ShardLoader(ShardDataset(shards.folder, seed=2, batch=BATCH)).load_state_dict(first.state_dict())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_torchdata_stores_and_restores_the_data_set(shards: Manifest, num_workers: int) -> None:
    def loader() -> Any:
        dataset = ShardDataset(shards.folder, seed=1, batch=BATCH)
        return StatefulDataLoader(dataset, batch_size=None, num_workers=num_workers)

    expected = codes_of(take(ShardLoader(ShardDataset(shards.folder, seed=1, batch=BATCH)), 9))
    first = loader()
    assert codes_of(take(first, 4)) == expected[:4]
    state = first.state_dict()
    second = loader()
    second.load_state_dict(state)
    assert codes_of(take(second, 5)) == expected[4:]


def test_a_state_of_another_batch_or_number_of_workers_is_refused_by_the_data_set(shards: Manifest) -> None:
    dataset = ShardDataset(shards.folder, seed=1, batch=BATCH)
    take(dataset, 3)
    with pytest.raises(CheckFailed, match="batch differ"):
        ShardDataset(shards.folder, seed=1, batch=12).load_state_dict(dataset.state_dict())
    with pytest.raises(CheckFailed, match="workers differ"):
        dataset.load_state_dict({**dataset.state_dict(), "workers": 2})
    assert codes_of(take(dataset, 2)) == codes_of(take(dataset, 2))  # a second `iter` begins anew


def test_a_plain_data_loader_takes_the_data_set(shards: Manifest) -> None:
    dataset = ShardDataset(shards.folder, seed=1, batch=BATCH)
    expected = codes_of(take(ShardLoader(dataset), 5))
    assert codes_of(take(DataLoader(ShardDataset(shards.folder, seed=1, batch=BATCH), batch_size=None), 5)) == expected


def test_what_cannot_be_is_refused_before_a_worker_starts(shards: Manifest, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no manifest there"):
        ShardDataset(tmp_path, seed=1, batch=4)
    with pytest.raises(BadInput, match="cannot be shared by 3 ranks"):
        ShardDataset(shards.folder, seed=1, batch=4, world_size=3)
