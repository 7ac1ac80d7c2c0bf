"""Contenders in interleaved rounds, each a process of its own on so many CPUs; medians, a table, JSON lines.

    contenders = [Contender("bare loop", 1, [sys.executable, "bare_loop.py", …], "decode, resize, hash")]
    rows = contest("pictures", contenders, rounds=3, folder=Path("runs/bench-corpus"))

A contender's last line on standard output is JSON with `count`, with `seconds`, what it is compared by, starting left
out, and with `cpu_seconds` of the same stretch where it can tell: they hardly grow when others use the machine. Added
here: `whole_seconds` as the shell sees them, and `peak_mb`, the proportional set size with all processes below. One CPU
means pinned to one: a helper process on another core would be help that is not counted.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.pipeline.executor.footprint import Footprint

Row = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    name: str
    cpus: int
    command: list[str]
    work: str  # what it does for each picture or caption: the argument that the work is equal, or why it is not
    environment: dict[str, str] = field(default_factory=dict)


def contest(phase: str, contenders: list[Contender], rounds: int, folder: Path) -> list[Row]:
    """Each contender's medians over the rounds, with the extremes of its rate and the load of the machine."""
    found: dict[str, list[Row]] = {_title(contender): [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            row = measured(contender)
            found[_title(contender)].append(row)
            record(folder, phase, {"round": number + 1, **row})
    return [_median(rows) for rows in found.values()]


def measured(contender: Contender) -> Row:
    load = os.getloadavg()[0]
    with Footprint() as footprint:
        began = time.perf_counter()
        said = output(contender.command, contender.cpus, contender.environment)
        whole = time.perf_counter() - began
    row = {"name": contender.name, "cpus": contender.cpus, "work": contender.work, **json.loads(said)}
    row |= {"whole_seconds": round(whole, 2), "peak_mb": footprint.peak_mb, "load_before": round(load, 2)}
    row["rate"] = round(row["count"] / row["seconds"], 1)
    row["cpu_ms"] = round(1000 * row["cpu_seconds"] / row["count"], 3) if "cpu_seconds" in row else None
    row["whole_rate"] = round(row["count"] / whole, 1)
    print(json.dumps({**row, "work": "…", "steps": "…"}, ensure_ascii=False), file=sys.stderr, flush=True)
    return row


def output(command: list[str], cpus: int, environment: dict[str, str] | None = None) -> str:
    """The last line of standard output of a process that may use so many CPUs."""
    usable = sorted(os.sched_getaffinity(0))[:cpus]
    pinned = ["taskset", "--cpu-list", ",".join(map(str, usable)), *command]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        pinned, check=False, capture_output=True, text=True, env={**os.environ, **threads, **(environment or {})}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "{}"


def record(folder: Path, phase: str, row: Row) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{phase}.json").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%S"), **row}, ensure_ascii=False) + "\n")


def table(rows: list[Row], unit: str, first: str) -> str:
    """Markdown; `first` names the contender that the others are held against, for each number of CPUs."""
    lines = [
        f"| contender | CPUs | {unit}/s | rounds | of {first} | CPU ms each | {unit}/s, whole command | start s "
        "| peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    limits = rates_of(rows, first)
    for row in rows:
        lines.append(
            f"| {row['name']} | {row['cpus']} | {row['rate']:,.0f} | {row['slowest']:,.0f} to {row['fastest']:,.0f} "
            f"| {100 * row['rate'] / limits[row['cpus']]:.0f}% | {_cpu_ms(row)} | {row['whole_rate']:,.0f} "
            f"| {row.get('start_seconds', 0):.1f} | {row['peak_mb']:,.0f} |"
        )
    works = {row["name"]: row["work"] for row in rows}
    loads = [row["load_before"] for row in rows]
    lines += ["", *(f"* **{name}**: {work}" for name, work in works.items())]
    return "\n".join(
        [*lines, "", f"Load before each run: {min(loads):.2f} to {max(loads):.2f} (medians of the rounds)."]
    )


def _cpu_ms(row: Row) -> str:
    return "–" if row["cpu_ms"] is None else f"{row['cpu_ms']:.3g}"


def rates_of(rows: list[Row], name: str) -> dict[int, float]:
    """One contender's rate, for each number of CPUs."""
    return {row["cpus"]: row["rate"] for row in rows if row["name"] == name}


def _title(contender: Contender) -> str:
    return f"{contender.name}, {contender.cpus} CPUs"


def _median(rows: list[Row]) -> Row:
    """The numbers' medians over the rounds; words as they are."""
    medians = {
        name: statistics.median(row[name] for row in rows) if isinstance(value, int | float) else value
        for name, value in rows[0].items()
    }
    rates = [row["rate"] for row in rows]
    return {**medians, "cpus": rows[0]["cpus"], "slowest": min(rates), "fastest": max(rates)}
