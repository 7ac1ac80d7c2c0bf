"""`make bench-corpus`: the corpus stage beside its peers, in one run on one machine.

    python bench_corpus.py all --peers .venv/corpus-peers
    python bench_corpus.py growth --sizes 10000 100000

pictures: pictures/s from decoded source to verdict, beside a bare loop and Data-Juicer; fetch: the same from a loopback
server, beside img2dataset; captions: captions/s of one core, beside Data-Juicer; growth: time and memory from 10^4 to
10^6 pairs; memory: of one worker, for very large pictures. Prints tables; leaves every reading in --folder/*.json.
"""

import argparse
import os
from pathlib import Path

from corpus_phases.captions import captions
from corpus_phases.fetching import fetching
from corpus_phases.growth import growth
from corpus_phases.memory import memory
from corpus_phases.pictures import pictures

PHASES = ("pictures", "fetch", "captions", "growth", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("phase", choices=(*PHASES, "all"))
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-corpus"))
    parser.add_argument("--peers", type=Path, default=Path(".venv/corpus-peers"), help="their environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--captions", type=int, default=20_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="pairs, for growth")
    parser.add_argument("--captions-each", type=int, default=5, help="captions a picture, for growth")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of large pictures, for memory")
    asked = parser.parse_args()
    folder, peers = asked.folder.resolve(), asked.peers.resolve()
    phases = {
        "pictures": lambda: pictures(folder, asked.pictures, asked.rounds, peers),
        "fetch": lambda: fetching(folder, asked.pictures, asked.rounds, peers),
        "captions": lambda: captions(folder, asked.captions, asked.rounds, peers),
        "growth": lambda: growth(folder, asked.sizes, asked.captions_each, workers=2),
        "memory": lambda: memory(folder, asked.gigabytes),
    }
    for name in PHASES if asked.phase == "all" else (asked.phase,):
        print(f"\n### {name}\n\n{phases[name]()}", flush=True)
    print(f"\nThe machine is shared and noisy; load now {os.getloadavg()[0]:.2f}. Every reading: {asked.folder}/*.json")


if __name__ == "__main__":
    main()
