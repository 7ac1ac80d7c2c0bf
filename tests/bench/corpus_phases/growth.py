"""How time and memory of a whole `tuwen corpus` grow with the number of pairs, and which step grows how.

The exponent is the slope of log seconds over log pairs, fitted over all sizes, and from each size to the next. Ray's
start is left out: a constant would flatter it. Pictures are small (see small_pictures.py), so that what grows with
pairs weighs as much as it can.
"""

import itertools
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from .contest import Contender, Row, measured, record

HERE = Path(__file__).parent
AIM = 1.05


def growth(folder: Path, sizes: list[int], captions: int, workers: int) -> str:
    rows = []
    for pairs in sizes:
        source = folder / "growth" / f"{pairs}x{captions}"
        if not source.is_dir():
            print(f"writing {pairs:,} pairs", file=sys.stderr)
            _write(source, pairs, captions)
        out = folder / "growth" / "corpus"
        command = [sys.executable, str(HERE / "build.py"), str(source), str(out), "--workers", str(workers)]
        row = measured(Contender("tuwen corpus", workers, command, f"{captions} captions a picture"))
        record(folder, "growth", row)
        rows.append(row)
        shutil.rmtree(out)
    return "\n\n".join([_sizes(rows), _exponents(rows), _steps(rows)])


def _write(source: Path, pairs: int, captions: int) -> None:
    half = source.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    command = [sys.executable, str(HERE / "small_pictures.py"), str(half), "--pairs", str(pairs)]
    subprocess.run([*command, "--captions", str(captions)], check=True)
    half.rename(source)


def _sizes(rows: list[Row]) -> str:
    lines = [
        "| pairs | kept | seconds | CPU seconds | pairs/s | peak MB, all processes | load before |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['count']:,} | {row['kept']:,} | {row['seconds']:,.1f} | {row['cpu_seconds']:,.1f} "
        f"| {row['rate']:,.0f} | {row['peak_mb']:,} | {row['load_before']:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _exponents(rows: list[Row]) -> str:
    """Exponents of the seconds, which is the aim, and of the CPU seconds, which others on the machine hardly change."""
    if len(rows) < 2:
        return "An exponent takes two sizes."
    said = []
    for name, words in (("seconds", "seconds"), ("cpu_seconds", "CPU seconds")):
        slope = float(np.polyfit(*(np.log([row[column] for row in rows]) for column in ("count", name)), 1)[0])
        steps = [f"{a['count']:,} → {b['count']:,}: {_exponent(a, b, name):.3f}" for a, b in itertools.pairwise(rows)]
        verdict = "reached" if slope <= AIM else "MISSED"
        said.append(f"Exponent of the {words} {slope:.3f} (aim: at most {AIM}: {verdict}); {'; '.join(steps)}.")
    return "\n".join(said)


def _exponent(a: Row, b: Row, name: str) -> float:
    return math.log(b[name] / a[name]) / math.log(b["count"] / a["count"])


def _steps(rows: list[Row]) -> str:
    """Seconds of each step by size, and the exponent of the last stretch; a step may lie inside another."""
    header = "| step | " + " | ".join(f"{row['count']:,}" for row in rows) + " | exponent, last stretch |"
    lines = [header, "|---" * (len(rows) + 2) + "|"]
    steps = rows[-1]["steps"]
    for name in sorted(steps, key=lambda name: -steps[name]):
        seconds = [row["steps"].get(name, 0.0) for row in rows]
        last = "–"
        if len(rows) > 1 and min(seconds[-2:]) >= 0.05:
            before, after = (
                {"count": row["count"], name: spent} for row, spent in zip(rows[-2:], seconds[-2:], strict=True)
            )
            last = f"{_exponent(before, after, name):.2f}"
        lines.append(f"| {name} | " + " | ".join(f"{spent:,.2f}" for spent in seconds) + f" | {last} |")
    return "\n".join(lines)
