"""`make interop`: an export as five other tools read it, sample by sample against the shards that it was made from.

python interop.py --peers-python .venv/peers/bin/python
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.pipeline.executor.ray_cluster import start_cluster, stop_cluster

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.manifests.synthetic import make_shards
from tests.stages import export_samples

TOOLS = ("webdataset", "datasets", "energon", "wids", "croissant")


def expected(shards: Manifest) -> dict[str, list[list[str]]]:
    found = {}
    for split in shards.document["splits"]:
        reader = SplitReader(shards, split)
        codes = reader.rows(np.arange(len(reader)))[0]
        hashes = [hashlib.sha256(row.astype("<u2").tobytes()).hexdigest() for row in codes]
        found[split] = sorted(
            [meta["key"], code, meta["caption"]] for meta, code in zip(reader.all_meta(), hashes, strict=True)
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers-python", type=Path, required=True)
    peers_python = parser.parse_args().peers_python
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder) / "shards", {"train": 230, "validation": 31}, block_rows=32)
        start_cluster(workers=2)
        exported = export_samples(shards, Path(folder) / "exported")
        stop_cluster()
        for tool in TOOLS:
            copy = Path(folder) / tool  # energon leaves an index beside every tar
            shutil.copytree(exported.folder, copy)
            readers = Path(__file__).with_name("interop_readers.py")
            done = subprocess.run([peers_python, readers, tool, copy], check=False, capture_output=True, text=True)
            good = done.returncode == 0 and json.loads(done.stdout.splitlines()[-1]) == expected(shards)
            print(f"{tool:<12} {'reads all 261 samples as they are' if good else 'FAILS'}", flush=True)
            if not good:
                failed.append(tool)
                print(done.stderr[-3000:], file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
