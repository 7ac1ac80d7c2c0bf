"""How much memory one worker takes for a tar of very large pictures: the worker, and the process that decodes for it.

Resident set sizes while `build.py` runs: of each the kernel's high-water mark, and of both together what twenty looks
a second see. Pages that both share count twice.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from .contest import Row, record

HERE = Path(__file__).parent
AIM_MB = 1000
DECODER = "tuwen.pipeline.pictures.measure_isolated"


def memory(folder: Path, gigabytes: float) -> str:
    tar = folder / "large" / f"{gigabytes:g}.tar"
    if not tar.is_file():
        print(f"writing {tar}", file=sys.stderr)
        half = tar.with_suffix(".half")
        subprocess.run(
            [sys.executable, str(HERE / "large_pictures.py"), str(half), "--gigabytes", f"{gigabytes:g}"], check=True
        )
        half.rename(tar)
    found = watched(tar, folder / "large" / "corpus")
    record(folder, "memory", found)
    verdict = "reached" if found["both_mb"] < AIM_MB else "MISSED"
    return (
        f"A tar of {found['tar_mb']:,} MB, {found['pictures']} JPEGs of 24 and 49.9 megapixels, one worker, "
        f"{found['seconds']:.0f} s: the worker {found['worker_mb']:,} MB, its decoder {found['decoder_mb']:,} MB, "
        f"both at once {found['both_mb']:,} MB at most. Aim: below {AIM_MB:,} MB: {verdict}."
    )


def watched(tar: Path, out: Path) -> Row:
    command = [sys.executable, str(HERE / "build.py"), str(tar), str(out), "--workers", "1"]
    load, began = os.getloadavg()[0], time.perf_counter()
    peaks = {"worker_mb": 0, "decoder_mb": 0, "both_mb": 0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            for worker, decoder in _workers(psutil.Process(process.pid)):
                seen = _seen(worker, decoder)
                peaks = {name: max(peak, seen.get(name, 0)) for name, peak in peaks.items()}
            time.sleep(0.05)
        assert process.stdout is not None
        said = process.stdout.read()
    if process.returncode or not peaks["both_mb"]:
        raise SystemExit(f"{' '.join(command)} failed, or no process that decodes was seen")
    built = json.loads(said.splitlines()[-1])
    return {
        "name": "tuwen corpus", "cpus": 1, **peaks, "tar_mb": tar.stat().st_size // 10**6, "pictures": built["count"],
        "kept": built["kept"], "seconds": round(time.perf_counter() - began, 1), "load_before": round(load, 2),
    }  # fmt: skip


def _workers(root: psutil.Process) -> list[tuple[psutil.Process, psutil.Process]]:
    """Every worker below, with the process that decodes for it."""
    try:
        decoders = [below for below in root.children(recursive=True) if DECODER in below.cmdline()]
        return [(worker, decoder) for decoder in decoders if (worker := decoder.parent()) is not None]
    except psutil.Error:  # something ended in between: the next look sees more
        return []


def _seen(worker: psutil.Process, decoder: psutil.Process) -> dict[str, int]:
    """MB: the kernel's own high-water marks of each, and what both hold at this moment."""
    try:
        both = (worker.memory_info().rss + decoder.memory_info().rss) // 10**6
        return {"worker_mb": _high_water_mb(worker.pid), "decoder_mb": _high_water_mb(decoder.pid), "both_mb": both}
    except (psutil.Error, OSError):
        return {}


def _high_water_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return next((int(line.split()[1]) // 1000 for line in status.splitlines() if line.startswith("VmHWM")), 0)
