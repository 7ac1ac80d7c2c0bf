"""`make bench-stream`: how fast samples come out of a local disk, ours and others', in one run on one machine.

    python bench_stream.py run  --samples 1000000 --peers-python .venv/peers/bin/python
    python bench_stream.py read ours-global SHARDS --seconds 8        # one contender, one JSON line

A sample is 1,024 codes (uint16) and 8 to 24 caption ids, and counts when both have arrived as arrays. Every reading is
a process of its own, of which all but ours come from peers/ in an environment of their own; rounds are interleaved,
so that a slow minute of the machine hits all alike. memcpy of the codes alone is the limit.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CODES, CODEBOOK, VOCAB = 1024, 8192, 50_000
BATCH = 512
OURS = {
    "ours-global": "global", "ours-window-4": "window:4", "ours-window-64": "window:64", "ours-none": "none",
}  # fmt: skip
PEERS_PY = Path(__file__).with_name("peers") / "run.py"


def make_raw(folder: Path, samples: int) -> None:
    """What every contender stores: codes.npy (N, 1024), text.npy and text_ptr.npy (N + 1)."""
    if (folder / "text_ptr.npy").is_file() and len(np.load(folder / "codes.npy", mmap_mode="r")) == samples:
        return
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    codes = np.lib.format.open_memmap(folder / "codes.npy", mode="w+", dtype="<u2", shape=(samples, CODES))
    for start in range(0, samples, 1 << 16):
        part = codes[start : start + (1 << 16)]
        part[:] = generator.integers(0, CODEBOOK, part.shape, dtype=np.uint16)
    lengths = generator.integers(8, 25, samples)
    np.save(folder / "text.npy", generator.integers(0, VOCAB, int(lengths.sum())).astype("<u2"))
    np.save(folder / "text_ptr.npy", np.concatenate([[0], np.cumsum(lengths)]).astype("<i8"))


def write_ours(raw: Path, folder: Path) -> None:
    from tuwen.manifests.manifest import FILE_NAME, new_manifest, save_manifest
    from tuwen.manifests.shards.block_shard import Block, write_shard

    if (folder / FILE_NAME).is_file():
        return
    codes, ptr = np.load(raw / "codes.npy", mmap_mode="r"), np.load(raw / "text_ptr.npy")
    text = np.load(raw / "text.npy")

    def blocks(start: int, stop: int) -> Any:
        for first in range(start, stop, 4096):
            rows = range(first, min(first + 4096, stop))
            captions = [text[ptr[row] : ptr[row + 1]].tolist() for row in rows]
            yield Block(codes[rows.start : rows.stop], captions, [{"key": f"{row:032x}"} for row in rows])

    entries = []
    for number, start in enumerate(range(0, len(codes), 1 << 16)):
        stop = min(start + (1 << 16), len(codes))
        path = folder / f"train-{number:05d}.tar"
        entries.append(
            write_shard(path, blocks(start, stop), block_rows=4096, codebook=CODEBOOK, vocab=VOCAB, header={})
        )
    splits = {"train": {"samples": len(codes), "shards": [entry.name for entry in entries]}}
    shards = [entry.model_dump() for entry in entries]
    save_manifest(folder, new_manifest("shards", splits=splits, shards=shards, lineage={}))


def read_ours(name: str, folder: Path, seconds: float, threads: int) -> dict[str, Any]:
    began = time.perf_counter()
    from tuwen.manifests.manifest import load_manifest
    from tuwen.manifests.order.shuffle import parse_shuffle
    from tuwen.train.reading.read_plan import ReadPlan
    from tuwen.train.reading.stream import open_stream

    manifest = load_manifest(folder)
    stream = open_stream(manifest, ReadPlan(seed=0, batch=BATCH, shuffle=parse_shuffle(OURS[name]), threads=threads))
    stream.next()
    startup = time.perf_counter() - began
    samples = manifest.document["splits"]["train"]["samples"]
    while stream.consumed.samples < min(samples, 4_000_000):  # the first epoch verifies every block
        stream.next()
    state = {**stream.state(), "samples": 10**9 // BATCH * BATCH}
    resumes = []
    for _ in range(5):
        resumed = time.perf_counter()
        stream.resume(state)
        stream.next()
        resumes.append(time.perf_counter() - resumed)
    for _ in range(200):
        stream.next()
    steps, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        stream.next()
        steps += 1
    stream.close()
    return {
        "peer": name, "order": OURS[name], "threads": threads, "samples_per_second": round(steps * BATCH / elapsed),
        "startup_seconds": round(startup, 3), "resume_ms": round(1000 * statistics.median(resumes), 2),
        **memory(), "bytes_on_disk": bytes_in(folder),
    }  # fmt: skip


def grow(folder: Path) -> None:
    """Own memory of a reader in random order over 10^5, 10^6 and 10^7 samples of 64 codes."""
    for samples in (100_000, 1_000_000, 10_000_000):
        shards = folder / f"grow-{samples}"
        if not (shards / "manifest.json").is_file():
            print(f"writing {samples:,} samples", file=sys.stderr)
            _write_small(samples, shards)
        print(_output([sys.executable, __file__, "grown", str(shards)]), flush=True)


def _write_small(samples: int, folder: Path) -> None:
    from tuwen.manifests.manifest import new_manifest, save_manifest
    from tuwen.manifests.shards.block_shard import Block, write_shard

    codes = np.random.default_rng(0).integers(0, 1024, (4096, 64))
    captions = [[row % 900] * (8 + row % 17) for row in range(4096)]

    def blocks(start: int, stop: int) -> Any:
        for first in range(start, stop, 4096):
            count = min(4096, stop - first)
            yield Block(codes[:count], captions[:count], [{"key": f"{first + row:032x}"} for row in range(count)])

    entries = []
    for number, start in enumerate(range(0, samples, 1 << 18)):
        path = folder / f"train-{number:05d}.tar"
        rows = blocks(start, min(start + (1 << 18), samples))
        entries.append(write_shard(path, rows, block_rows=4096, codebook=1024, vocab=900, header={}))
    splits = {"train": {"samples": samples, "shards": [entry.name for entry in entries]}}
    shards = [entry.model_dump() for entry in entries]
    save_manifest(folder, new_manifest("shards", splits=splits, shards=shards, lineage={}))


def grown(folder: Path) -> dict[str, Any]:
    from tuwen.manifests.manifest import load_manifest
    from tuwen.train.reading.read_plan import ReadPlan
    from tuwen.train.reading.stream import open_stream

    before = memory()["own_mb"]
    manifest = load_manifest(folder)
    stream = open_stream(manifest, ReadPlan(seed=0, batch=BATCH, threads=2))
    for _ in range(4000):
        stream.next()
    stream.close()
    samples = manifest.document["splits"]["train"]["samples"]
    return {"samples": samples, "own_mb": memory()["own_mb"], "of_which_before_mb": before}


def memory() -> dict[str, int]:
    """Peak of the process, pages of mapped files counted in; and what is its own at the end."""
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "own_mb": int(own.split()[1]) // 1024
    }  # fmt: skip


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(samples: int, rounds: int, seconds: float, folder: Path, peers_python: Path) -> None:
    raw, ours = folder / "raw", folder / "ours"
    print(f"writing {samples:,} samples", file=sys.stderr)
    make_raw(raw, samples)
    write_ours(raw, ours)
    reader = [str(peers_python), str(PEERS_PY)]
    peers = json.loads(_output([*reader, "list"]))
    for peer in peers:
        if not (folder / peer / ".done").is_file():
            print(f"writing for {peer}", file=sys.stderr)
            _output([*reader, "write", peer, str(raw), str(folder / peer)])
            (folder / peer / ".done").touch()
    contenders = [
        [sys.executable, __file__, "read", name, str(ours), "--seconds", str(seconds), "--threads", str(threads)]
        for name in OURS
        for threads in (0, 2)
    ] + [
        [
            str(peers_python),
            str(PEERS_PY),
            "read",
            peer,
            str(folder / peer),
            "--order",
            order,
            "--seconds",
            str(seconds),
        ]
        for peer in peers
        for order in (("file",) if peer == "memcpy" else ("shuffled", "file"))
    ]
    found: list[list[dict[str, Any]]] = [[] for _ in contenders]
    for number in range(rounds):
        for results, command in zip(found, contenders, strict=True):
            results.append(json.loads(_output(command)))
            print(f"round {number + 1}", json.dumps(results[-1]), file=sys.stderr, flush=True)
    rows = [_median(results) for results in found]
    (folder / "results.json").write_text(json.dumps({"samples": samples, "rounds": rounds, "rows": rows}, indent=1))
    print(table(rows, samples))


def table(rows: list[dict[str, Any]], samples: int) -> str:
    limit = next(row["samples_per_second"] for row in rows if row["peer"] == "memcpy")
    lines = [
        "| reader | order | threads | samples/s | of memcpy | start s | resume ms | peak MB (own) | bytes a sample |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: -int(row["samples_per_second"])):
        lines.append(
            f"| {row['peer']} {row.get('version', '')} | {row['order']} | {row.get('threads', 0)} "
            f"| {row['samples_per_second']:,} | {100 * row['samples_per_second'] / limit:.1f}% "
            f"| {row['startup_seconds']:.2f} | {row.get('resume_ms', '')} "
            f"| {row['peak_mb']:,} ({row.get('own_mb', '–')}) | {row['bytes_on_disk'] / samples:,.0f} |"
        )
    return "\n".join(lines)


def _median(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers' medians over the rounds; words as they are."""
    return {
        name: statistics.median(result[name] for result in results) if isinstance(value, int | float) else value
        for name, value in results[0].items()
    }


def _output(command: list[str]) -> str:
    """The last line of standard output."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    all_of_it = commands.add_parser("run")
    all_of_it.add_argument("--samples", type=int, default=1_000_000)
    all_of_it.add_argument("--rounds", type=int, default=3)
    all_of_it.add_argument("--seconds", type=float, default=6)
    all_of_it.add_argument("--folder", type=Path, default=Path("runs/bench-stream"))
    all_of_it.add_argument("--peers-python", type=Path, required=True)
    commands.add_parser("grow").add_argument("--folder", type=Path, default=Path("runs/bench-stream"))
    commands.add_parser("grown").add_argument("folder", type=Path)
    one = commands.add_parser("read")
    one.add_argument("name", choices=OURS)
    one.add_argument("folder", type=Path)
    one.add_argument("--seconds", type=float, default=6)
    one.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    if asked.command == "grow":
        grow(asked.folder)
    elif asked.command == "grown":
        print(json.dumps(grown(asked.folder)))
    elif asked.command == "read":
        print(json.dumps(read_ours(asked.name, asked.folder, asked.seconds, asked.threads)))
    else:
        run(asked.samples, asked.rounds, asked.seconds, asked.folder, asked.peers_python)


if __name__ == "__main__":
    main()
