"""How the memory of `tuwen tokenize` grows with the number of pictures: small ones, two workers, compact-64."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from corpus_phases.contest import Contender, measured, record

HERE = Path(__file__).parent


def growth(folder: Path, sizes: list[int]) -> str:
    """One job a size, after another process has built its corpus. Peaks are proportional set sizes of all processes."""
    lines = ["| pictures | seconds | pictures/s | bytes a sample | peak MB, all processes | above the smallest |"]
    lines.append("|---|---|---|---|---|---|")
    least = None
    for pictures in sizes:
        source = folder / "growth" / str(pictures)
        if not source.is_dir():
            _write(source, pictures)
        row = measured(_job(folder, source))
        record(folder, "growth", row)
        peak = row["job_mb"]
        least = peak if least is None else least
        lines.append(
            f"| {row['count']:,} | {row['seconds']:,.1f} | {row['rate']:,.0f} | {row['bytes_each']:,} | {peak:,} "
            f"| {peak - least:+,} MB |"
        )
    return "\n".join(lines)


def _job(folder: Path, source: Path) -> Contender:
    recipe = json.dumps({"image": {"tokenizer": "compact-64"}, "block_rows": 512})
    command = [sys.executable, str(HERE / "job.py"), str(source), str(folder / "out-growth"), "--recipe", recipe]
    return Contender("tuwen tokenize", 2, command, "compact-64 on 96 px")


def _write(source: Path, pictures: int) -> None:
    half = source.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    small = HERE.parent / "corpus_phases" / "small_pictures.py"
    command = [sys.executable, str(small), str(half / "tars"), "--pairs", str(pictures), "--captions", "1"]
    subprocess.run(command, check=True)
    half.rename(source)
