"""`make interop`: exports as other tools read them, sample by sample against what they were made from.

Shards of codes are read by five tools, and as Parquet by pandas and `datasets`; a corpus of pictures, as Parquet and as
an imagefolder, by `datasets`.

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
from tuwen.pipeline.corpus_files.split import SPLITS, split_of
from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.executor.ray_cluster import start_cluster, stop_cluster
from tuwen.pipeline.load_recipe import load_recipe, recorded_recipe

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import write_pictures, write_recipe
from tests.manifests.synthetic import make_shards
from tests.stages import build_corpus, export, export_parquet, export_samples

TOOLS = ("webdataset", "datasets", "energon", "wids", "croissant")
PICTURE_FORMATS = ("huggingface", "imagefolder")

Samples = dict[str, list[list[str]]]  # split → sorted [key, sha256, caption]


def expected(shards: Manifest) -> Samples:
    """The sha256 is that of the codes."""
    found = {}
    for split in shards.document["splits"]:
        reader = SplitReader(shards, split)
        codes = reader.rows(np.arange(len(reader)))[0]
        hashes = [hashlib.sha256(row.astype("<u2").tobytes()).hexdigest() for row in codes]
        found[split] = sorted(
            [meta["key"], code, meta["caption"]] for meta, code in zip(reader.all_meta(), hashes, strict=True)
        )
    return found


def kept_pairs(corpus: Manifest, validation: float) -> Samples:
    """The sha256 is that of the picture's file."""
    found: Samples = {split: [] for split in SPLITS}
    for row in read_verdicts(corpus).to_pylist():
        if row["kept"]:
            found[split_of(row["cluster"], validation)].append([row["key"], row["image_sha256"], row["caption"]])
    return {split: sorted(rows) for split, rows in found.items()}


def exported_pictures(folder: Path) -> tuple[dict[str, Path], Samples]:
    """The folder of each format, and what it must hold."""
    write_pictures(folder / "pictures")
    recipe = load_recipe(str(write_recipe(folder)))
    corpus = build_corpus(recipe, folder / "corpus")
    for form in PICTURE_FORMATS:
        chosen = recorded_recipe(corpus.document["lineage"]["recipe"], [f"export.format={form}"])
        export(corpus, chosen, folder / form)
    return {form: folder / form for form in PICTURE_FORMATS}, kept_pairs(corpus, recipe.split.validation)


def is_read(tool: str, folder: Path, wanted: Samples, peers_python: Path) -> bool:
    readers = Path(__file__).with_name("interop_readers.py")
    done = subprocess.run([peers_python, readers, tool, folder], check=False, capture_output=True, text=True)
    good = done.returncode == 0 and json.loads(done.stdout.splitlines()[-1]) == wanted
    amount = sum(map(len, wanted.values()))
    print(f"{tool:<12} {f'reads all {amount} samples as they are' if good else 'FAILS'}", flush=True)
    if not good:
        print(done.stderr[-3000:], file=sys.stderr)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers-python", type=Path, required=True)
    peers_python = parser.parse_args().peers_python
    good = []
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder) / "shards", {"train": 230, "validation": 31}, block_rows=32)
        start_cluster(workers=2)
        exported = export_samples(shards, Path(folder) / "exported")
        tables = export_parquet(shards, Path(folder) / "tables")
        pictures, pairs = exported_pictures(Path(folder) / "shapes")
        stop_cluster()
        for tool in TOOLS:
            copy = Path(folder) / tool  # energon leaves an index beside every tar
            shutil.copytree(exported.folder, copy)
            good.append(is_read(tool, copy, expected(shards), peers_python))
        good.append(is_read("parquet", tables.folder, expected(shards), peers_python))
        good += [is_read(form, path, pairs, peers_python) for form, path in pictures.items()]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
