"""Pictures a second from a loopback server: Tuwen's `kind: urls` beside img2dataset, from the same list.

Two contests: the bytes as they came, with their sha256, into tars; and from address to a decoded picture, which for
img2dataset is a crop of 256 px encoded again, for Tuwen everything that a verdict needs and the verdict itself. The
server is a process of its own that nobody pins; addresses of loopback must be allowed to Tuwen by name.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .contest import Contender, contest, rates_of, table
from .photo_server import photo_server
from .pictures import photographs

HERE = Path(__file__).parent
PEERS_PY = HERE.parent / "corpus_peers"
PICTURES_A_LIST = 250
THREADS = (8, 32)  # img2dataset's, of each process: the better one counts

FETCH = {"contact": "mailto:bench@example.org", "allow_addresses": ["127.0.0.0/8"], "per_host_per_second": 100_000,
         "per_host_in_flight": 32, "in_flight": 32}  # fmt: skip
# With 256 every picture of a list had a connection of its own; 32 are shared, as img2dataset's threads are few.
WORK = {
    "tuwen, fetch": "robots.txt asked, only allowed addresses connected to, the body capped, its end checked; sha256; "
    "tars as sources are, a ledger with one row an address",
    "img2dataset, fetch": "bytes unchanged (disable_all_reencoding), sha256, no EXIF; WebDataset tars, Parquet, JSON",
    "tuwen, fetch to verdict": "that, and then all of `tuwen corpus` (see `pictures`)",
    "img2dataset, fetch and resize": "decoded by OpenCV, centre crop of 256 px, encoded again as JPEG 95; no verdict",
}


def fetching(folder: Path, count: int, rounds: int, peers: Path) -> str:
    source = photographs(folder, count, peers)
    with photo_server(source / "files", folder / "fetch" / "server") as (address, kind):
        _write_lists(source, folder / "fetch", address)
        rows = contest("fetch", contenders(folder / "fetch", peers), rounds, folder)
    said = []
    for ours, theirs in (("tuwen, fetch", "img2dataset, fetch"),
                         ("tuwen, fetch to verdict", "img2dataset, fetch and resize")):  # fmt: skip
        best = {cpus: max(rates_of(rows, _with_threads(theirs, n))[cpus] for n in THREADS) for cpus in (1, 2)}
        for cpus, rate in rates_of(rows, ours).items():
            said.append(f"{cpus} CPUs: {ours} is {rate / best[cpus]:.2f} × the better {theirs}.")
    return "\n".join([f"From {kind} on loopback.", *said, "", table(rows, "pictures", "tuwen, fetch")])


def contenders(folder: Path, peers: Path) -> list[Contender]:
    found = []
    build = [sys.executable, str(HERE / "build.py"), str(folder / "recipe.yaml"), str(folder / "corpus")]
    program = [str(peers / "img2dataset" / "bin" / "python"), str(PEERS_PY / "run_img2dataset.py")]
    for cpus in (1, 2):
        ours = [*build, "--workers", str(cpus)]
        theirs = [*program, str(folder / "list.parquet"), str(folder / "img2dataset"), "--processes", str(cpus)]
        fetch, resize = "img2dataset, fetch", "img2dataset, fetch and resize"
        found.append(Contender("tuwen, fetch", cpus, [*ours, "--only-fetch"], WORK["tuwen, fetch"]))
        found += [_theirs(fetch, cpus, theirs, threads) for threads in THREADS]
        found.append(Contender("tuwen, fetch to verdict", cpus, ours, WORK["tuwen, fetch to verdict"]))
        found += [_theirs(resize, cpus, [*theirs, "--decode"], threads) for threads in THREADS]
    return found


def _theirs(name: str, cpus: int, command: list[str], threads: int) -> Contender:
    return Contender(_with_threads(name, threads), cpus, [*command, "--threads", str(threads)], WORK[name])


def _with_threads(name: str, threads: int) -> str:
    return f"{name}, {threads} threads"


def _write_lists(source: Path, folder: Path, address: str) -> None:
    """One list for img2dataset, which cuts it itself; the same cut for Tuwen, which cuts at 5,000 rows of a file."""
    pairs = [json.loads(line) for line in (source / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    urls = [f"{address}/{Path(pair['images'][0]).name}" for pair in pairs]
    rows = pa.table({"url": urls, "caption": [pair["text"] for pair in pairs]})
    lists = folder / "lists"
    lists.mkdir(parents=True, exist_ok=True)
    for stale in lists.iterdir():
        stale.unlink()
    pq.write_table(rows, folder / "list.parquet")
    for start in range(0, len(rows), PICTURES_A_LIST):
        pq.write_table(rows.slice(start, PICTURES_A_LIST), lists / f"{start:06d}.parquet")
    recipe = {
        "name": "bench", "captions": {"preset": "wukong"},
        "sources": [{"name": "bench", "kind": "urls", "path": "lists", "fetch": FETCH}],
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
