"""Pictures a second from decoded source to verdict: Tuwen beside a bare loop and beside Data-Juicer's operators."""

import shutil
import subprocess
import sys
from pathlib import Path

from .contest import Contender, contest, rates_of, table

HERE = Path(__file__).parent
PEERS_PY = HERE.parent / "corpus_peers"
AIM = 0.85  # of the bare loop

BARE = "sha256 of the bytes, Pillow to RGB, to 256 px (bilinear), DCT hash of the whole picture; no check, no verdict"
BARE_SMALL = "the same, but the hash taken of the 256 px: another hash, and no second pass over the picture"
OURS = (
    "sha256 of the bytes, checks of JPEG's end, orientation and profile, upright RGB, hash of all pixels, the same DCT "
    "hash, 32 px thumbnail; at 256 px: deviation, entropy, sharpness, colour, border; JPEG's quality; decoded in a "
    "process apart that may crash; Parquet, caption rules (wukong), exact and near-duplicates with colour check, "
    "verdicts, manifest"
)
THEIRS = (
    "image_size, image_aspect_ratio, image_shape (both decode), chinese_convert, whitespace_normalization, "
    "text_length, image_deduplicator (decodes again; 64-bit hash equal or not); no sha256, no other "
    "statistics, no near-duplicates"
)


def pictures(folder: Path, count: int, rounds: int, peers: Path) -> str:
    source = photographs(folder, count, peers)
    rows = contest("pictures", contenders(folder, source, peers), rounds, folder)
    for row in rows:
        if row.get("kept", row["count"]) < 0.9 * count:  # a contender that finds no picture is fast
            raise SystemExit(f"{row['name']} kept {row['kept']} of {count} pictures: it did not do its work")
    limits, theirs = rates_of(rows, "bare loop"), rates_of(rows, "data-juicer")
    said = []
    for row in rows:
        if row["name"] == "tuwen corpus":
            share, ahead = row["rate"] / limits[row["cpus"]], row["rate"] / theirs[row["cpus"]]
            verdict = "reached" if share >= AIM else "MISSED"
            said.append(
                f"{row['cpus']} CPUs: {100 * share:.0f}% of the bare loop (aim {100 * AIM:.0f}%: {verdict}), "
                f"{ahead:.1f} × data-juicer."
            )
    return "\n".join([*said, "", table(rows, "pictures", "bare loop")])


def photographs(folder: Path, count: int, peers: Path) -> Path:
    source = folder / f"photographs-{count}"
    if not (source / "whole").is_file():
        print(f"writing {count:,} photographs", file=sys.stderr)
        shutil.rmtree(source, ignore_errors=True)
        python = str(peers / "data-juicer" / "bin" / "python")
        subprocess.run([python, str(PEERS_PY / "photographs.py"), str(source), "--count", str(count)], check=True)
    return source


def contenders(folder: Path, source: Path, peers: Path) -> list[Contender]:
    tars, out = str(source / "tars"), folder / "pictures"
    found = []
    for cpus in (1, 2):
        bare = [sys.executable, str(PEERS_PY / "bare_loop.py"), tars, "--processes", str(cpus)]
        found += [
            Contender("bare loop", cpus, bare, BARE),
            Contender("bare loop, small hash", cpus, [*bare, "--hash", "small"], BARE_SMALL),
            Contender("tuwen corpus", cpus, _ours(tars, out / "corpus", cpus), OURS),
            Contender(
                "data-juicer",
                cpus,
                [str(peers / "data-juicer" / "bin" / "python"), str(PEERS_PY / "run_data_juicer.py"), "pictures",
                 str(source / "pairs.jsonl"), str(out / "data-juicer"), "--processes", str(cpus)],
                THEIRS,
            ),
        ]  # fmt: skip
    return found


def _ours(tars: str, out: Path, workers: int) -> list[str]:
    return [sys.executable, str(HERE / "build.py"), tars, str(out), "--workers", str(workers)]
