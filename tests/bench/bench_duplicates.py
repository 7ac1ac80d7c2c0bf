"""Near codes: seconds, memory and recall of the join, of faiss and of other people's searches; then the plan for 10⁹.

    python tests/bench/bench_duplicates.py --peers .venv/corpus-peers/data-juicer/bin/python

Each contender gets a process of its own and 64-bit codes, all distinct, of which a fifth are copies of others with 1
to 4 bits turned. Two CPUs for everyone. What would take too long answers a sample of the queries against the full
index, and its seconds are scaled: those rows say so. Memory is that of all of its processes, shared pages once (PSS).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from itertools import pairwise
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from tuwen.pipeline.duplicates.hamming_join import Plan, hamming_pairs, plan_tables

RADIUS = 4
TIME_BOX_SECONDS = 180
SIGNATURE_BYTES = 7_168  # thumbnail and luminance of a picture
ROUNDS = {10**4: 1, 10**5: 3, 10**6: 3, 10**7: 1}
# Of each contender the sizes, and of how many queries it is asked there.
ASKED: dict[str, dict[int, int]] = {
    "tuwen": {size: size for size in ROUNDS},
    "faiss-flat": {10**4: 10**4, 10**5: 10**5, 10**6: 10_000, 10**7: 1_000},
    "faiss-multihash": {10**5: 10**5, 10**6: 10**6, 10**7: 20_000},
    "faiss-multihash-1": {10**5: 10**5, 10**6: 50_000},
    "imagededup-brute": {10**4: 10**4},  # 100 times as long for 10 times as many
    "imagededup-bktree": {10**4: 10**4},
    "data-juicer": {10**4: 10**4, 10**5: 10**5, 10**6: 10**6},
}
NAMES = {
    "tuwen": "**tuwen** hamming_pairs",
    "faiss-flat": "faiss IndexBinaryFlat, the oracle",
    "faiss-multihash": "faiss IndexBinaryMultiHash(64, 4, 16)",
    "faiss-multihash-1": "the same, one bit flipped (exact)",
    "imagededup-brute": "imagededup, brute force (Cython)",
    "imagededup-bktree": "imagededup, BK-tree",
    "data-juicer": "Data-Juicer image_deduplicator: equality",
}

Pairs = NDArray[np.int64]


def draw(num: int, folder: Path) -> None:
    """`codes.npy`, all distinct, and `planted.npy`: rows a < b of each copy and its original."""
    generator = np.random.default_rng(num)
    seeds = np.unique(generator.integers(0, 2**64, num - num // 5, dtype=np.uint64))
    copies = seeds[generator.permutation(len(seeds))[: num // 5]]
    places = np.argpartition(generator.random((len(copies), 64), np.float32), RADIUS, axis=1)[:, :RADIUS]
    turned = np.arange(RADIUS) < generator.integers(1, RADIUS + 1, len(copies))[:, None]
    flips = np.bitwise_or.reduce(np.where(turned, np.uint64(1) << places.astype(np.uint64), np.uint64(0)), axis=1)
    pairs = np.stack([copies, copies ^ flips])
    codes = np.unique(np.concatenate([seeds, pairs[1]]))
    order = generator.permutation(len(codes))
    row_of = np.empty_like(order)
    row_of[order] = np.arange(len(codes))
    folder.mkdir(parents=True)
    np.save(folder / "codes.npy", codes[order])
    np.save(folder / "planted.npy", np.sort(row_of[np.searchsorted(codes, pairs)].T, axis=1))


def by_tuwen(codes: NDArray[np.uint64]) -> tuple[float, Pairs]:
    import ray

    from tuwen.pipeline.executor.ray_cluster import start_cluster

    start_cluster(workers=2)
    ray.get([ray.remote(hamming_pairs).remote(codes[:2], RADIUS) for _ in range(2)])  # workers that have started
    began = time.perf_counter()
    pairs = hamming_pairs(codes, RADIUS)
    return time.perf_counter() - began, pairs


def by_faiss(codes: NDArray[np.uint64], kind: str, queries: int) -> tuple[float, Pairs]:
    """`queries` rows, evenly; seconds scaled to all of them. Its range search takes what is nearer than the radius."""
    import faiss

    faiss.omp_set_num_threads(2)
    octets = codes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64) if kind == "flat" else faiss.IndexBinaryMultiHash(64, 4, 16)
    if kind == "multihash-1":
        index.nflip = 1
    began = time.perf_counter()
    index.add(octets)
    built = time.perf_counter()
    rows = np.arange(0, len(codes), len(codes) // queries)
    ends, _, other = index.range_search(octets[rows], RADIUS + 1)
    searched = time.perf_counter() - built
    found = np.repeat(rows, np.diff(ends.astype(np.int64)))
    pairs = np.sort(np.column_stack([found, other])[found != other], axis=1)
    return built - began + searched * len(codes) / len(rows), np.unique(pairs, axis=0)


def contend(contender: str, folder: Path, queries: int) -> None:
    """In a process of its own: the pairs into a file, the seconds onto standard output."""
    codes = np.load(folder / "codes.npy")
    if contender == "tuwen":
        seconds, pairs = by_tuwen(codes)
    else:
        seconds, pairs = by_faiss(codes, contender.removeprefix("faiss-"), queries)
    np.save(folder / f"{contender}.npy", pairs)
    print(json.dumps({"seconds": seconds}))


def measure(contender: str, folder: Path, queries: int, peers: Path) -> dict[str, Any]:
    """seconds and peak_gb, or seconds None where the time was up."""
    pairs = folder / f"{contender}.npy"
    ours = [sys.executable, __file__, "--contend", contender, str(folder), str(queries)]
    theirs = [str(peers), str(Path(__file__).parent / "duplicates_peers/run_duplicates.py"), contender]
    own = contender.startswith(("tuwen", "faiss"))
    process = subprocess.Popen(
        ours if own else [*theirs, str(folder / "codes.npy"), str(pairs)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    try:
        said, _ = process.communicate(timeout=TIME_BOX_SECONDS)
    except subprocess.TimeoutExpired:
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            each.kill()
        process.wait()
        return {"seconds": None, "peak_gb": peak[0] / 1e9}
    if process.returncode:
        raise SystemExit(f"{contender} failed on {folder.name} codes: run it by hand, {' '.join(process.args)}")
    return {**json.loads(said.splitlines()[-1]), "peak_gb": peak[0] / 1e9}


def _watch(pid: int, peak: list[int]) -> None:
    while psutil.pid_exists(pid):
        total = 0
        try:
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                total += process.memory_full_info().pss
        except psutil.Error:
            pass  # one of them has ended meanwhile
        peak[0] = max(peak[0], total)
        time.sleep(0.1)


def judge(contender: str, folder: Path, queries: int) -> dict[str, Any]:
    """The share found of the planted pairs that it was asked for; what is beyond the radius; what was not planted."""
    codes, planted = np.load(folder / "codes.npy"), np.load(folder / "planted.npy")
    found = np.load(folder / f"{contender}.npy")
    asked = np.zeros(len(codes), bool)
    asked[:: len(codes) // queries] = True
    wanted = planted[asked[planted].any(axis=1)]
    key, wanted_key = found @ [len(codes), 1], wanted @ [len(codes), 1]
    distance = np.bitwise_count(codes[found[:, 0]] ^ codes[found[:, 1]])
    result = {
        "recall": float(np.isin(wanted_key, key).mean()),
        "false": int((distance > RADIUS).sum()),
        "others": int((~np.isin(key, planted @ [len(codes), 1])).sum()),
    }
    if contender == "faiss-flat":
        ours = np.load(folder / "tuwen.npy")
        of_asked = ours[asked[ours].any(axis=1)] @ [len(codes), 1]
        result["same"] = bool(np.array_equal(np.sort(of_asked), np.sort(key)))
    return result


def table(scratch: Path, peers: Path, largest: int) -> dict[tuple[str, int], dict[str, Any]]:
    """Prints a row as soon as it is known."""
    results: dict[tuple[str, int], dict[str, Any]] = {}
    print("| codes | contender | seconds | peak GB | recall | beyond the radius | found, not planted | note |")
    print("|---|---|---|---|---|---|---|---|")
    for num in (size for size in ROUNDS if size <= largest):
        folder = scratch / str(num)
        draw(num, folder)
        runs = defaultdict(list)
        for _ in range(ROUNDS[num]):  # interleaved: what disturbs one round disturbs all contenders
            for contender, sizes in ASKED.items():
                if num in sizes and not any(run["seconds"] is None for run in runs[contender]):
                    runs[contender].append(measure(contender, folder, sizes[num], peers))
        for contender, of in runs.items():
            queries = ASKED[contender][num]
            if any(run["seconds"] is None for run in of):
                print(
                    f"| {num:,} | {NAMES[contender]} | > {TIME_BOX_SECONDS} | {of[0]['peak_gb']:.2f} | | | | stopped |"
                )
                continue
            seconds = sorted(run["seconds"] for run in of)
            result = judge(contender, folder, queries) | {"rounds": [run["seconds"] for run in of]}
            result |= {"seconds": median(seconds), "peak_gb": max(run["peak_gb"] for run in of)}
            results[contender, num] = result
            spread = f" ({seconds[0]:.3g}–{seconds[-1]:.3g})" if len(seconds) > 1 else ""
            notes = [f"{queries:,} queries, scaled"] if queries < num else []
            notes += [f"the very pairs of tuwen: {result['same']}"] if "same" in result else []
            print(
                f"| {num:,} | {NAMES[contender]} | {result['seconds']:.3g}{spread} | {result['peak_gb']:.2f} "
                f"| {result['recall']:.4f} | {result['false']} | {result['others']} | {'; '.join(notes)} |",
                flush=True,
            )
    return results


def ratios(results: dict[tuple[str, int], dict[str, Any]]) -> str:
    ours = {num: result["seconds"] for (name, num), result in results.items() if name == "tuwen"}
    sizes = sorted(ours)
    growth = [f"{a:.0e} → {b:.0e}: {np.log10(ours[b] / ours[a]):.2f}" for a, b in pairwise(sizes)]
    lines = [f"Growth exponent of tuwen: {'; '.join(growth)}."]
    for num in sizes:
        if flat := results.get(("faiss-flat", num)):
            each = [b / a for a, b in zip(results["tuwen", num]["rounds"], flat["rounds"], strict=True)]
            lines.append(
                f"IndexBinaryFlat / tuwen at {num:,}, round by round: {', '.join(f'{r:.0f}' for r in each)} ×."
            )
    return "\n".join(lines)


def plan(seconds: float, num: int, goal: int = 10**9, nodes: int = 16, cpus: int = 32) -> str:
    """What the join of `goal` codes would take, by what `num` took on two CPUs and the tables that would be chosen."""
    sample = np.random.default_rng(0).integers(0, 2**64, 1 << 14, dtype=np.uint64)
    measured, asked = plan_tables(sample, RADIUS, num), plan_tables(sample, RADIUS, goal)
    core_seconds = 2 * seconds
    a_code_a_table_ns = core_seconds * 1e9 / num / len(measured.masks)
    factor = core_seconds * 1e9 / measured.nanoseconds
    core_hours = factor * asked.nanoseconds / 3.6e12
    tasks, codes_gb = len(asked.jobs()), 8 * goal / 1e9
    task_gb = codes_gb / asked.slices
    pairs = goal * (goal - 1) / 2
    candidates = pairs * sum(2.0 ** -mask.bit_count() for mask in asked.masks)
    chance = pairs * sum(comb(64, bits) for bits in range(RADIUS + 1)) / 2**64
    balanced = pairs * sum(comb(32, bits) ** 2 for bits in range(RADIUS // 2 + 1)) / comb(64, 32)
    return "\n".join(
        [
            f"The plan for {goal:,} codes, radius {RADIUS}, {nodes} nodes of {cpus} cores",
            f"measured: {num:,} codes, {_shape(measured)}: {core_seconds:.1f} core-seconds, "
            f"{a_code_a_table_ns:.0f} ns a code a table, {factor:.2f} × what plan_tables estimates",
            f"tables: {_shape(asked)}, each in {asked.slices} slices by its first key bits: {tasks} tasks, "
            "no shuffle, none waits for another",
            f"work: {core_hours:.1f} core-hours (the estimate × {factor:.2f}), {core_hours * 60 / tasks:.1f} minutes a "
            f"task, {-(-tasks // (nodes * cpus))} task(s) a core",
            f"candidates: {candidates:.2g} pairs of equal keys, compared where they lie, never stored",
            f"memory: {codes_gb:.0f} GB of codes a node, shared, and {task_gb:.2f} GB a task: "
            f"{codes_gb + min(cpus, -(-tasks // nodes)) * task_gb:.0f} GB a node",
            f"network: {codes_gb * nodes:.0f} GB, the codes to each node once; 8 bytes back for each pair found",
            f"pairs by chance: {chance:,.0f} if all codes were as likely, {balanced:,.0f} if 32 of 64 bits are set in "
            "each, as by a median threshold",
            f"verification: {SIGNATURE_BYTES * 2:,} bytes a pair: {chance * SIGNATURE_BYTES * 2 / 1e9:.1f} to "
            f"{balanced * SIGNATURE_BYTES * 2 / 1e9:.1f} GB for those by chance; if a fifth of the pictures has one "
            f"duplicate, {goal / 5 * SIGNATURE_BYTES * 2 / 1e12:.1f} TB for the true ones",
        ]
    )


def _shape(plan: Plan) -> str:
    return f"{len(plan.masks)} tables of {plan.masks[0].bit_count()} bits"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", type=Path, help="the Python of an environment with data-juicer and imagededup")
    parser.add_argument("--largest", type=int, default=10**7)
    parser.add_argument("--contend", nargs=3, metavar=("CONTENDER", "FOLDER", "QUERIES"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.contend:
        contend(asked.contend[0], Path(asked.contend[1]), int(asked.contend[2]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        results = table(Path(scratch), asked.peers, asked.largest)
    largest = max(num for name, num in results if name == "tuwen")
    print(f"\n{ratios(results)}\n\n{plan(results['tuwen', largest]['seconds'], largest)}")


if __name__ == "__main__":
    main()
