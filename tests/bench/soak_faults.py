"""`make soak`: shards are corrupted, cut, deleted, swapped, replaced and restored at random while they are read.

    python soak_faults.py --seconds 600

What must hold: no wrong row is ever returned, and every fault is reported, by a line that names the shard it is in.
Every row is a function of its place, so each that comes back is compared. A fault stays until it was reported (or for
20 s, which fails the run), then it is taken back, in place or by rename, and reading goes on where it was.

    always   every fault there is, while three threads read; files change under the readers' hands
    block    faults that come by rename (a file that is cut while it is mapped is fatal to any reader of mapped files)
    remote   a server that cuts, stalls, lies and says 503, and a cache whose files are spoiled or deleted
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tuwen.manifests.errors import CheckFailed
from tuwen.manifests.manifest import Manifest, load_manifest
from tuwen.manifests.remote import download
from tuwen.manifests.remote.file_cache import cache_folder
from tuwen.manifests.shards import split_reader
from tuwen.manifests.shards.split_reader import Rows
from tuwen.train.reading.read_plan import ReadPlan
from tuwen.train.reading.stream import Stream, open_stream

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.manifests.servers import Fault, FaultyHTTPServer
from tests.manifests.synthetic import make_row, make_shards

ROWS, BATCH, NUM_CODES = 1536, 64, 64
PATIENCE_SECONDS = 20.0  # that a fault waits for its report
LATE_SECONDS = 5.0  # that a report may come after its fault was taken back


class Soak:
    """What the readers and the spoiler know of each other."""

    def __init__(self) -> None:
        self.expected = [make_row("s", "train", row, NUM_CODES) for row in range(ROWS)]
        self.rows_read = 0
        self.wrong: list[str] = []
        self.reported: Counter[str] = Counter()  # by shard
        self.unexpected: list[str] = []
        self.injected: Counter[str] = Counter()  # by kind
        self.unreported: list[str] = []
        self.faulty_until: dict[str, float] = {}  # by shard; a report may be on its way when a fault is taken back
        self.stop = threading.Event()

    def read(self, stream: Stream) -> None:
        while not self.stop.is_set():
            position = stream.consumed.samples
            try:
                batch = stream.next()
            except CheckFailed as error:
                self._report(error)
                time.sleep(0.01)
                continue
            except Exception as error:
                self.unexpected.append(f"{type(error).__name__}: {error}")
                return
            self._compare(stream, position, batch)

    def _compare(self, stream: Stream, position: int, batch: Rows) -> None:
        codes, text, lengths = batch
        for number, row in enumerate(stream._order.rows(np.arange(position, position + BATCH)).tolist()):
            right_codes, right_text = self.expected[row]
            if not (
                np.array_equal(codes[number], right_codes) and text[number, : lengths[number]].tolist() == right_text
            ):
                self.wrong.append(f"row {row} at position {position + number}")
        self.rows_read += BATCH

    def _report(self, error: CheckFailed) -> None:
        named = [name for name in self.faulty_until if name in error.problem]
        self.reported.update(named)
        if not any(time.monotonic() < self.faulty_until[name] for name in named):
            self.unexpected.append(str(error))

    def wait_for_report(self, kind: str, names: list[str], before: Counter[str]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and not any(self.reported[name] > before[name] for name in names):
            time.sleep(0.002)
        if not any(self.reported[name] > before[name] for name in names):
            self.unreported.append(f"{kind} in {names}")


def spoil_files(soak: Soak, manifest: Manifest, seconds: float, generator: random.Random, in_place: bool) -> None:
    """One fault after the other until the time is over."""
    whole = {shard.name: (manifest.folder / shard.name).read_bytes() for shard in manifest.shards}
    blocks_end = {shard.name: shard.block_offsets[-1] for shard in manifest.shards}
    kinds = ["flip", "delete", "replace", "swap", *(["cut", "empty", "zeros"] if in_place else [])]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kind = generator.choice(kinds)
        name, other = generator.sample(sorted(whole), 2)
        names = [name, other] if kind == "swap" else [name]
        for target in names:
            soak.faulty_until[target] = float("inf")
        before = soak.reported.copy()
        for target, data in _spoiled(kind, name, other, whole, blocks_end[name], generator).items():
            _put(manifest.folder / target, data, in_place and generator.random() < 0.5)
        soak.injected[kind] += 1
        soak.wait_for_report(kind, names, before)
        for target in names:
            _put(manifest.folder / target, whole[target], in_place and generator.random() < 0.5)
            soak.faulty_until[target] = time.monotonic() + LATE_SECONDS
        time.sleep(generator.random() * 0.1)
    soak.stop.set()


def _spoiled(
    kind: str, name: str, other: str, whole: dict[str, bytes], blocks_end: int, generator: random.Random
) -> dict[str, bytes | None]:
    data = whole[name]
    place = generator.randrange(blocks_end)
    if kind == "flip":
        return {name: data[:place] + bytes([data[place] ^ (1 << generator.randrange(8))]) + data[place + 1 :]}
    if kind == "zeros":
        flipped = bytes(byte ^ 0xFF for byte in data[place : place + 512])
        return {name: data[:place] + flipped + data[place + 512 :]}
    if kind == "swap":
        return {name: whole[other], other: data}
    return {name: {"delete": None, "replace": whole[other], "cut": data[:place], "empty": b""}[kind]}


def _put(path: Path, data: bytes | None, in_place: bool) -> None:
    if data is None:
        path.unlink()
    elif in_place:
        path.write_bytes(data)
    else:
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(data)
        beside.replace(path)


def spoil_server(
    soak: Soak, server: FaultyHTTPServer, manifest: Manifest, seconds: float, generator: random.Random
) -> None:
    """What passes is tried again and what is spoiled is fetched anew: a reader hears of six failures in a row only."""
    soak.faulty_until = {shard.name: float("inf") for shard in manifest.shards}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        shard = generator.choice(manifest.shards)
        kind = generator.choice(["cut", "short", "wrong", "503", "slow", "stall", "gone from the cache"])
        soak.injected[kind] += 1
        if kind != "gone from the cache":
            server.plan(f"shards/{shard.name}", [Fault(kind, 1.0)] * generator.randrange(1, 4))  # type: ignore[arg-type]
        digest = shard.sha256.removeprefix("sha256:")
        cached = cache_folder() / "files" / digest[:2] / digest
        if generator.random() < 0.5 or kind == "gone from the cache":
            cached.unlink(missing_ok=True)
        elif cached.exists():
            data = bytearray(cached.read_bytes())
            data[generator.randrange(shard.block_offsets[-1])] ^= 1
            _put(cached, bytes(data), in_place=False)
        time.sleep(generator.random() * 0.3)
    soak.stop.set()


def phase(
    name: str, seconds: float, work: Callable[[Soak, Path], list[Stream]], spoil: Callable[[Soak, Path], None]
) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUWEN_CACHE"] = f"{folder}/cache"
        soak = Soak()
        streams = work(soak, Path(folder))
        readers = [threading.Thread(target=soak.read, args=(stream,)) for stream in streams]
        for reader in readers:
            reader.start()
        spoil(soak, Path(folder))
        for reader in readers:
            reader.join()
        for stream in streams:
            stream.close()
        time.sleep(1)  # what they fetch ahead comes to its end
        shutil.rmtree(folder, ignore_errors=True)
    found = {
        "phase": name, "seconds": seconds, "rows_read": soak.rows_read, "wrong": len(soak.wrong),
        "faults": dict(soak.injected), "reports": soak.reported.total(), "unreported": soak.unreported[:5],
        "unexpected": soak.unexpected[:5],
    }  # fmt: skip
    print(json.dumps(found), flush=True)
    return bool(soak.rows_read) and not (soak.wrong or soak.unreported or soak.unexpected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    generator = random.Random(asked.seed)
    split_reader.STALE_SECONDS = 0.1  # `block` looks each second; a soak has many faults to get through
    download.FIRST_PAUSE_SECONDS, download.IDLE_SECONDS = 0.01, 0.3

    def shards(folder: Path) -> Manifest:
        return make_shards(folder / "shards", {"train": ROWS}, block_rows=64, shard_blocks=3)

    def local(verify: str) -> Callable[[Soak, Path], list[Stream]]:
        return lambda soak, folder: [
            open_stream(shards(folder), ReadPlan(seed=seed, batch=BATCH, verify=verify, threads=seed))  # type: ignore[arg-type]
            for seed in range(3)
        ]

    def spoiler(seconds: float, in_place: bool) -> Callable[[Soak, Path], None]:
        return lambda soak, folder: spoil_files(soak, load_manifest(folder / "shards"), seconds, generator, in_place)

    good = phase("always", 0.5 * asked.seconds, local("always"), spoiler(0.5 * asked.seconds, in_place=True))
    good &= phase("block", 0.25 * asked.seconds, local("block"), spoiler(0.25 * asked.seconds, in_place=False))
    with tempfile.TemporaryDirectory() as source:
        manifest = shards(Path(source))
        with FaultyHTTPServer({f"shards/{p.name}": p.read_bytes() for p in manifest.folder.iterdir()}) as server:
            far = [load_manifest(server.url_of("shards"))]
            good &= phase(
                "remote", 0.25 * asked.seconds,
                lambda soak, folder: [
                    open_stream(far[0], ReadPlan(seed=seed, batch=BATCH, verify=verify, threads=threads))  # type: ignore[arg-type]
                    for seed, (verify, threads) in enumerate([("always", 0), ("always", 1), ("block", 0), ("block", 3)])
                ],
                lambda soak, folder: spoil_server(soak, server, manifest, 0.25 * asked.seconds, generator),
            )  # fmt: skip
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
