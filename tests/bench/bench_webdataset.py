"""Samples a second that webdataset gets of block shards, beside SplitReader and webdataset over ordinary tars.

    python tests/bench/bench_webdataset.py --samples 20000

One process, 1,024 codes a sample, random captions, files in the page cache, rows in the order in which they lie. The
contenders take turns; the median of the rounds is printed, with their range.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.manifests.shards.webdataset_samples import tuwen_samples

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.manifests.synthetic import make_shards

CODES = 1024
BLOCK_ROWS = 4096
BATCH = 256


def write_sample_tars(manifest: Manifest, folder: Path) -> list[str]:
    """The samples of each block shard as an ordinary tar of the same name."""
    folder.mkdir()
    for shard in manifest.shards:
        with wds.TarWriter(str(folder / shard.name), mtime=0) as writer:
            for sample in tuwen_samples(manifest.folder)([{"url": str(manifest.folder / shard.name)}]):
                writer.write(sample)
    return [str(folder / shard.name) for shard in manifest.shards]


def contenders(manifest: Manifest, tars: list[str]) -> dict[str, Callable[[], int]]:
    """By name, a function that reads every sample once and returns how many there were."""
    urls = [str(manifest.folder / shard.name) for shard in manifest.shards]
    rows = np.arange(sum(shard.samples for shard in manifest.shards))

    def count(dataset: Any) -> int:
        return sum(1 for _ in dataset)

    def of_blocks(place: Path | None) -> int:
        return count(wds.DataPipeline(wds.SimpleShardList(urls), tuwen_samples(place)))

    return {
        "SplitReader.batches(256), codes and ids": lambda: sum(
            len(codes) for codes, _, _ in SplitReader(manifest, "train").batches(rows, BATCH)
        ),
        "tuwen_samples(manifest)": lambda: of_blocks(manifest.folder),
        "tuwen_samples()": lambda: of_blocks(None),
        "WebDataset(tars).decode()": lambda: count(wds.WebDataset(tars, shardshuffle=False).decode()),
        "WebDataset(tars), bytes": lambda: count(wds.WebDataset(tars, shardshuffle=False)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_shards(
            Path(folder) / "blocks", {"train": options.samples}, block_rows=BLOCK_ROWS, shard_blocks=2, num_codes=CODES
        )
        read = contenders(manifest, write_sample_tars(manifest, Path(folder) / "tars"))
        rates: dict[str, list[float]] = {name: [] for name in read}
        for _ in range(options.rounds):
            for name, run in read.items():
                start = time.perf_counter()
                assert run() == options.samples
                rates[name].append(options.samples / (time.perf_counter() - start))
    for name, found in rates.items():
        print(f"{name:<42}{statistics.median(found):>10,.0f}   {min(found):,.0f} to {max(found):,.0f}")


if __name__ == "__main__":
    main()
