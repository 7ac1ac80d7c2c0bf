"""The cache of shards that are fetched: never wrong, never half, whoever reads at once."""

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuwen.manifests.errors import BadInput
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.remote import download as remote
from tuwen.manifests.remote import file_cache as shard_cache
from tuwen.manifests.remote.file_cache import cache_folder, cached
from tuwen.manifests.shards.split_reader import SplitReader

from ..servers import Fault, FaultyHTTPServer
from ..synthetic import make_row
from .conftest import ROWS
from .test_remote import check_all_rows


def test_a_cached_file_that_went_bad_is_fetched_again(
    server: FaultyHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = load_manifest(server.url_of("shards"))
    check_all_rows(manifest)
    digest = manifest.shards[1].sha256.removeprefix("sha256:")
    path = cache_folder() / "files" / digest[:2] / digest
    for verify in ("block", "always"):
        data = bytearray(path.read_bytes())
        data[2000] ^= 1
        path.write_bytes(data)
        check_all_rows(manifest, verify=verify)
        assert "is corrupt; fetched again" in caplog.text
        caplog.clear()
    path.write_bytes(b"short")
    check_all_rows(manifest)
    assert server.count("shards/train-00001.tar") == 4


def test_what_was_used_longest_ago_is_deleted_above_the_cap(
    server: FaultyHTTPServer, local: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [shard.bytes for shard in local.shards]
    monkeypatch.setenv("TUWEN_CACHE_BYTES", str(max(sizes) * 2))

    def fetch(number: int) -> None:
        shard = local.shards[number]
        path = cached(server.url_of(f"shards/{shard.name}"), shard.sha256, shard.bytes)
        stamp = next(clock)
        os.utime(path.with_suffix(".used"), (stamp, stamp))

    clock = itertools.count(1000)
    for number in (0, 1, 0, 2, 0, 1):
        fetch(number)
    assert [server.count(f"shards/{shard.name}") for shard in local.shards] == [1, 2, 1]
    held = [path for path in (cache_folder() / "files").glob("??/*") if not path.suffix]
    assert sum(path.stat().st_size for path in held) <= max(sizes) * 2
    monkeypatch.setenv("TUWEN_CACHE_BYTES", "1000")
    with pytest.raises(BadInput, match="TUWEN_CACHE_BYTES"):
        fetch(2)


def test_reading_goes_on_with_a_cache_that_is_smaller_than_the_corpus(
    server: FaultyHTTPServer, local: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUWEN_CACHE_BYTES", str(max(shard.bytes for shard in local.shards)))
    manifest = load_manifest(server.url_of("shards"))
    reader = SplitReader(manifest, "train")
    for _ in range(2):
        for row in (0, 50, 100, 143):
            assert np.array_equal(reader.rows(np.array([row]))[0][0], make_row("s", "train", row)[0])


def test_processes_and_threads_that_want_one_shard_fetch_it_once(server: FaultyHTTPServer) -> None:
    server.plan("shards/train-00000.tar", [Fault("trickle", 1.0)])
    code = (
        "import sys, numpy as np; from tuwen.manifests.manifest import load_manifest\n"
        "from tuwen.manifests.shards.split_reader import SplitReader\n"
        "print(SplitReader(load_manifest(sys.argv[1]), 'train').rows(np.arange(9))[0].sum())"
    )
    command = [sys.executable, "-c", code, server.url_of("shards")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    manifest = load_manifest(server.url_of("shards"))
    threads = [threading.Thread(target=SplitReader(manifest, "train").rows, args=(np.arange(9),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sums = {process.communicate(timeout=60)[0] for process in processes}
    assert sums == {f"{sum(int(make_row('s', 'train', row)[0].sum()) for row in range(9))}\n"}
    assert server.count("shards/train-00000.tar") == 1


def test_threads_that_load_one_manifest_at_once_do_not_disturb_each_other(server: FaultyHTTPServer) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_manifest(server.url_of("shards")).id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_threads_that_meet_one_spoiled_copy_fetch_it_once_and_read_on(server: FaultyHTTPServer) -> None:
    manifest = load_manifest(server.url_of("shards"))
    check_all_rows(manifest)
    digest = manifest.shards[1].sha256.removeprefix("sha256:")
    path = cache_folder() / "files" / digest[:2] / digest
    for _ in range(5):
        data = bytearray(path.read_bytes())
        data[2000] ^= 1
        path.write_bytes(data)
        reader, wrong = SplitReader(manifest, "train"), []

        def read(reader: SplitReader = reader, wrong: list[Any] = wrong) -> None:
            try:
                rows = reader.rows(np.arange(ROWS))[0]
                assert np.array_equal(rows[60], make_row("s", "train", 60)[0])
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
    assert server.count("shards/train-00001.tar") == 6


def test_a_full_disk_here_is_not_the_servers_fault(server: FaultyHTTPServer) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        remote.download(server.url_of("shards/manifest.json"), Path("/dev/full"))
    assert full.value.filename == "/dev/full"
    assert server.count("shards/manifest.json") == 1


def test_a_process_that_dies_in_a_download_leaves_nothing_that_looks_whole(
    server: FaultyHTTPServer, local: Manifest
) -> None:
    server.plan("shards/train-00000.tar", ["stall"])
    shard = local.shards[0]
    url = server.url_of(f"shards/{shard.name}")
    code = (
        "import sys; from tuwen.manifests.remote.file_cache import cached; "
        "cached(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, url, shard.sha256, str(shard.bytes)])
    while not list((shard_cache.cache_folder() / "files").rglob("*.tmp")):
        assert process.poll() is None
    process.kill()
    process.wait()
    path = cached(url, shard.sha256, shard.bytes)
    assert path.read_bytes() == (local.folder / shard.name).read_bytes()
    assert not list((shard_cache.cache_folder() / "files").rglob("*.tmp"))
