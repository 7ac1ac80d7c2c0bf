"""`make bench-tokenize`: the whole of `tuwen tokenize` beside its bare encoder, its bare decoding, and its peers.

    python bench_tokenize.py all --peers .venv/tokenize-peers
    python bench_tokenize.py growth --sizes 1000 10000 100000

encoder: LlamaGen's VQ-16 at 256 px, where the encoder takes the time; decoding: compact-64 on pictures of 1,000 px,
where decoding does; cogdata: CogView's VQ-VAE beside cogdata; growth: memory from 10³ to 10⁵ pictures. Weights are
random and pictures are made here. Prints tables; leaves every reading in --folder/*.json.
"""

import argparse
import os
import subprocess
from pathlib import Path

from tokenize_phases.growth import growth
from tokenize_phases.rates import PEERS_PY, cogdata, decoding, encoder

PHASES = ("encoder", "decoding", "cogdata", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("phase", choices=(*PHASES, "all"))
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-tokenize"))
    parser.add_argument("--peers", type=Path, default=Path(".venv/tokenize-peers"), help="cogdata's environment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, help="px of VQ-16's pictures")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="pictures, for growth")
    asked = parser.parse_args()
    folder, peers = asked.folder.resolve(), asked.peers.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    phases = {
        "encoder": lambda: encoder(folder, asked.rounds, asked.size),
        "decoding": lambda: decoding(folder, asked.rounds),
        "cogdata": lambda: _cogdata(folder, asked.rounds, peers),
        "growth": lambda: growth(folder, asked.sizes),
    }
    for name in PHASES if asked.phase == "all" else (asked.phase,):
        print(f"\n### {name}\n\n{phases[name]()}", flush=True)
    print(f"\nThe machine is shared and noisy; load now {os.getloadavg()[0]:.2f}. Every reading: {asked.folder}/*.json")


def _cogdata(folder: Path, rounds: int, peers: Path) -> str:
    model = folder / "cogview.pt"
    if not model.is_file():
        command = [str(peers / "bin" / "python"), str(PEERS_PY / "run_cogdata.py"), "model", str(model)]
        subprocess.run(command, check=True)
    return cogdata(folder, rounds, peers)


if __name__ == "__main__":
    main()
