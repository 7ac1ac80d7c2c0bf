"""kill -9 at random moments: whatever was killed, the bytes at the end are those of an undisturbed run.

    python tests/bench/soak_kills.py --kills 20 --seed 0 --format chinese-clip

Real processes: `tuwen corpus` over a folder, tars, Parquet and fetched addresses (from a server on loopback that
fails at first), then `tuwen export`. Each is killed with all of its children, at a moment drawn from the time that a
whole run takes; one kill may follow another before anything is finished.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import tar_of
from tests.pipeline.hostile import picture, saved, write_hostile_corpus

WEB_PICTURES = 100
RECIPE = """
name: soak
sources:
  - {name: hostile, kind: folder, path: hostile}
  - {name: tars, kind: webdataset, path: tars}
  - {name: parquet, kind: parquet, path: parquet}
  - {name: web, kind: urls, path: list.csv, fetch: {contact: soak@example.org, allow_addresses: [127.0.0.0/8]}}
images: {min_side: 64}
split: {validation: 0.1}
export: {tar_pairs: 40, format: FORMAT}
"""


class UnsteadyServer(ThreadingHTTPServer):
    """Pictures on loopback: every fifth is answered 503 when it is first asked for, every eleventh is not there."""

    daemon_threads = True
    asked: ClassVar[set[str]] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/").removesuffix(".jpg")
            again, number = name in UnsteadyServer.asked, int(name) if name.isdigit() else -1
            UnsteadyServer.asked.add(name)
            status = 404 if number < 0 or number % 11 == 0 else 503 if number % 5 == 0 and not again else 200
            body = saved(picture(5000 + number, 300, 300), "JPEG") if status == 200 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Thousands of lines that nobody reads."""


def write_sources(folder: Path, port: int, form: str) -> None:
    rows = [f"http://127.0.0.1:{port}/{number}.jpg,网上的第{number}张" for number in range(WEB_PICTURES)]
    (folder / "list.csv").write_text("\n".join(["url,caption", *rows]), encoding="utf-8")
    write_hostile_corpus(folder / "hostile")
    (folder / "parquet").mkdir()
    for number in range(8):
        pictures = [saved(picture(100 * number + place, 500, 400), "JPEG") for place in range(25)]
        members = {f"{place:03d}.jpg": data for place, data in enumerate(pictures[:20])}
        members |= {f"{place:03d}.txt": f"第{number}组第{place}张".encode() for place in range(20)}
        tar_of(folder / "tars" / f"{number}.tar", members)
        rows = {"image": pictures[15:], "caption": [f"第{number}盒第{place}张" for place in range(10)]}
        pq.write_table(pa.table(rows), folder / "parquet" / f"{number}.parquet", row_group_size=5)
    (folder / "soak.yaml").write_text(RECIPE.replace("FORMAT", form), encoding="utf-8")


def begin(folder: Path, out: str) -> "subprocess.Popen[bytes]":
    """Both commands in one session of their own, so that all of it dies at once."""
    tuwen = f"{sys.executable} -m tuwen"
    command = f"{tuwen} corpus soak.yaml --out {out}/corpus && {tuwen} export {out}/corpus --out {out}/export"
    return subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=folder, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=(folder / "stderr.txt").open("ab"),
    )  # fmt: skip


def finish(folder: Path, out: str) -> float:
    started = time.monotonic()
    code = begin(folder, out).wait(300)
    if code:
        sys.exit(f"exit code {code}\n{(folder / 'stderr.txt').read_text()[-3000:]}")
    return time.monotonic() - started


def result(folder: Path, out: str) -> dict[str, bytes]:
    """What is promised: the decision table, what was exported, and the ids."""
    found = {}
    for name in ("corpus", "export"):
        manifest = json.loads((folder / out / name / "manifest.json").read_bytes())
        found[name] = manifest["id"].encode()
        for file in manifest["files"]:
            found[f"{name}/{file['name']}"] = (folder / out / name / file["name"]).read_bytes()
    return found


def soak(folder: Path, kills: int, seed: int, form: str) -> dict[str, object]:
    server = UnsteadyServer(("127.0.0.1", 0), UnsteadyServer.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write_sources(folder, server.server_port, form)
    seconds = finish(folder, "undisturbed")
    expected = result(folder, "undisturbed")
    generator = random.Random(seed)
    moments: list[float] = []
    different = 0
    while len(moments) < kills:
        moment = generator.uniform(0.2, seconds)
        process = begin(folder, "disturbed")
        time.sleep(moment)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            moments.append(round(moment, 2))
        process.wait()
        if generator.random() < 0.4 or len(moments) == kills:
            finish(folder, "disturbed")
            different += result(folder, "disturbed") != expected
            shutil.rmtree(folder / "disturbed")
    return {
        "undisturbed_seconds": round(seconds, 1),
        "killed_at": moments,
        "files": len(expected),
        "different": different,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", default="webdataset", help="of the export")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = soak(Path(folder), given.kills, given.seed, given.format)
    print(json.dumps(said))
    sys.exit(1 if said["different"] else 0)


if __name__ == "__main__":
    main()
