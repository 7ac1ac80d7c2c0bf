"""The peers of a benchmark of training data loaders, each writing and reading its own format.

    python run.py list                                         JSON list of the peers
    python run.py write PEER RAW OUT                           writes the peer's own format into OUT
    python run.py read PEER OUT --order shuffled --seconds 8   reads OUT and prints one JSON line

Every peer yields its samples decoded, in memory of the process's own (bytes it has read or copied, never a lazy view
of a mapped file): the codes as uint16 arrays, the caption ids as uint16 arrays. A peer that is faster in batches yields
batches: codes (rows, 1024) and a list of the rows' captions. All of it happens in one process without loader worker
processes, from a warm page cache: every file of OUT is read once before the clock starts. The clock starts before the
peer's library is imported (numpy is imported already) and the steady rate is taken after a warm-up, over as many epochs
as the time allows.

The peers named *-block store BLOCK_ROWS rows as one sample of their library. Their shuffle is the library's, over
blocks, and a permutation of the rows inside each block.
"""

import argparse
import contextlib
import ctypes
import importlib.metadata
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from all_peers import PEERS

WARM_UP_SECONDS = 2.0
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def warm_page_cache(folder: Path) -> None:
    buffer = bytearray(4 << 20)
    for path in files(folder):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def keep_freed_memory() -> None:
    """Has glibc keep large freed buffers: by default it returns many to the kernel, to be faulted in anew each time.

    It triples the rate of grain-block, whose records are read by threads; the others gain little or nothing.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def consume(stream: Iterator[Any], batched: bool, seconds: float) -> tuple[int, float]:
    """Reads for at least so many seconds; the samples read and the seconds they took."""
    samples = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        if batched:
            samples += len(next(stream)[0])
        else:
            for _ in itertools.islice(stream, 128):
                samples += 1
    return samples, elapsed


def measure(name: str, out: Path, order: str, seconds: float) -> dict[str, Any]:
    peer = PEERS[name]
    shuffled = order == "shuffled"
    keep_freed_memory()
    warm_page_cache(out)
    start = time.perf_counter()
    stream = peer.read(out, shuffled)
    next(stream)
    startup = time.perf_counter() - start
    consume(stream, peer.batched, WARM_UP_SECONDS)
    samples, elapsed = consume(stream, peer.batched, seconds)
    return {
        "peer": name,
        "version": importlib.metadata.version(peer.package),
        "order": order,
        "what_order_means": peer.shuffled if shuffled else peer.file_order,
        "samples_per_second": round(samples / elapsed, 1),
        "startup_seconds": round(startup, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "bytes_on_disk": sum(path.stat().st_size for path in files(out)),
        "samples_read": samples,
    }


@contextlib.contextmanager
def private_scratch(parent: Path) -> Iterator[None]:
    """A scratch folder beside the data for what the libraries leave behind, and no calls to hubs."""
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        tempfile.tempdir = scratch
        os.environ.update({"TMPDIR": scratch, "HF_HUB_OFFLINE": "1"})
        for name in ("HF_HOME", "DATA_OPTIMIZER_CACHE_FOLDER", "DATA_OPTIMIZER_DATA_CACHE_FOLDER"):
            os.environ[name] = str(Path(scratch) / name.lower())
        yield


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Peers of a benchmark of training data loaders.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print the peers as a JSON list")
    write = commands.add_parser("write", help="write a peer's own format")
    write.add_argument("peer", choices=PEERS)
    write.add_argument("raw", type=Path)
    write.add_argument("out", type=Path)
    read = commands.add_parser("read", help="read it and print one JSON line")
    read.add_argument("peer", choices=PEERS)
    read.add_argument("out", type=Path)
    read.add_argument("--order", choices=("shuffled", "file"), default="shuffled")
    read.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    if arguments.command == "read" and arguments.order == "shuffled" and PEERS[arguments.peer].shuffled is None:
        parser.error(f"{arguments.peer} has file order only")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    if arguments.command == "list":
        print(json.dumps(list(PEERS)))
        return
    out = arguments.out.resolve()
    if arguments.command == "write":
        out.mkdir(parents=True)
        with private_scratch(out.parent):
            PEERS[arguments.peer].write(arguments.raw.resolve(), out)
        return
    with private_scratch(out.parent), contextlib.redirect_stdout(sys.stderr):
        result = measure(arguments.peer, out, arguments.order, arguments.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
