"""What deciding costs as a corpus grows: seconds, memory of the driver and of all processes, bytes a pair.

    python tests/bench/bench_scale.py --pairs 100000 300000 1000000

Synthetic measures, made once for each size and deleted: parts of 5,000 pairs with random keys, hashes and captions; one
pair in ten is a near twin of another, one caption in five occurs twice. They go through judge, match and the decision
table with `captions: exact`, preset `wukong` and two workers, each size in a process of its own. The driver's bytes a
pair are its peak beyond what it held before the first table was read. The exponent is that of seconds from one size to
the next.
"""

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuwen.manifests.canonical import sha256_of_file
from tuwen.manifests.documents import FileEntry
from tuwen.manifests.pair import LUMINANCE_BYTES, MEASURES, THUMBNAIL_BYTES
from tuwen.manifests.run_folders import CorpusFolder
from tuwen.pipeline.corpus_files.stage_tables import WRITTEN
from tuwen.pipeline.decide import Measured, decide, funnel, write_verdicts
from tuwen.pipeline.executor.footprint import Footprint
from tuwen.pipeline.executor.part import PartResult, PictureRoot
from tuwen.pipeline.executor.ray_cluster import start_cluster
from tuwen.pipeline.executor.stage import StageRun
from tuwen.pipeline.load_recipe import load_recipe

PART_ROWS, TWINS, WORDS = 5_000, 10, "红蓝绿黄紫黑白大小圆方山水花鸟鱼虫日月星云风雨雪春夏秋冬东西南北人家车马牛羊"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # the folder of one size, in its own process
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured_once(asked.one)), flush=True)
        return
    print("| pairs | seconds | exponent | driver, bytes a pair | all processes | kept |")
    print("|---|---|---|---|---|---|")
    before: tuple[int, float] | None = None
    for pairs in asked.pairs:
        folder = Path(tempfile.mkdtemp(prefix="scale-"))
        try:
            make_measures(folder, pairs)
            run = subprocess.run([sys.executable, __file__, "--one", str(folder)], stdout=subprocess.PIPE, check=True)
            found = json.loads(run.stdout.splitlines()[-1])
        finally:
            shutil.rmtree(folder)
        exponent = math.log(found["seconds"] / before[1]) / math.log(pairs / before[0]) if before else math.nan
        before = pairs, found["seconds"]
        print(
            f"| {pairs:,} | {found['seconds']:.1f} | {exponent:.2f} | {found['driver_bytes'] / pairs:,.0f} "
            f"| {found['all_mb'] / 1000:.2f} GB | {found['kept']:,} |",
            flush=True,
        )


def make_measures(folder: Path, pairs: int) -> None:
    corpus, random = CorpusFolder(folder), np.random.default_rng(0)
    corpus.measures.mkdir(parents=True)
    for number, start in enumerate(range(0, pairs, PART_ROWS)):
        rows = min(PART_ROWS, pairs - start)
        twin = np.arange(rows) % TWINS == TWINS - 1
        of = np.where(twin, np.arange(rows) - 1, np.arange(rows))
        hashes = random.integers(0, 1 << 63, rows, dtype=np.uint64)[of] ^ twin.astype(np.uint64)
        levels = random.integers(0, 256, (rows, 16), dtype=np.uint8)[of]  # of a few stripes
        captions = ["".join(random.choice(list(WORDS), 9)) for _ in range(rows)]
        captions = [captions[row - 1] if row % 5 == 0 and row else captions[row] for row in range(rows)]
        columns = {
            "key": [random.bytes(16).hex() for _ in range(rows)],
            "source": ["photos"] * rows,
            "origin": [f"{number:05}.tar/{row:06}.jpg" for row in range(rows)],
            "bytes": random.integers(20_000, 200_000, rows),
            "license": ["CC0-1.0"] * rows,
            "caption_raw": captions,
            "image_sha256": [random.bytes(32).hex() for _ in range(rows)],
            "pixels_hash": [random.bytes(16).hex() for _ in range(rows)],
            "phash64": hashes,
            "width": [512] * rows,
            "height": [384] * rows,
            "format": ["JPEG"] * rows,
            "mode": ["RGB"] * rows,
            "std": np.full(rows, 60, np.float32),
            "frames": [1] * rows,
            "entropy": np.full(rows, 7, np.float32),
            "sharpness": np.full(rows, 500, np.float32),
            "border": np.zeros(rows, np.float32),
            "jpeg_quality": [90] * rows,
            "thumbnail": [np.repeat(each, THUMBNAIL_BYTES // 16).tobytes() for each in levels],
            "luminance": [np.repeat(each, LUMINANCE_BYTES // 16).tobytes() for each in levels],
        }
        arrays = [pa.array(columns.get(field.name, [None] * rows), field.type) for field in MEASURES]
        table = pa.Table.from_arrays(arrays, schema=MEASURES)
        pq.write_table(table, corpus.measures / f"photos-{number:05}.parquet", **WRITTEN)


def measured_once(folder: Path) -> dict[str, float]:
    corpus = CorpusFolder(folder)
    measured: list[Measured] = []
    for path in sorted(corpus.measures.glob("*.parquet")):
        entry = FileEntry(name=path.name, bytes=path.stat().st_size, sha256=sha256_of_file(path))
        rows = pq.ParquetFile(path).metadata.num_rows
        measured.append(PartResult(path.stem, [entry], {"source": "photos", "pairs": rows, "passed_over": {}}))
    recipe_file = folder / "scale.yaml"
    recipe_file.write_text(
        "name: scale\nsources: [{name: photos, kind: webdataset, path: tars}]\ncaptions: {preset: wukong}\n"
        "images: {preset: wukong}\nduplicates: {images: near, captions: exact}\n",
        encoding="utf-8",
    )
    recipe = load_recipe(str(recipe_file))
    start_cluster(workers=2)
    run = StageRun(workers=2, roots={"photos": PictureRoot("tar", str(folder))})
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with Footprint() as footprint:
        began = time.perf_counter()
        decisions = decide(recipe, measured, [], corpus, run)
        write_verdicts(decisions.table, measured, corpus)
        steps = funnel(decisions.table)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "driver_bytes": peak - held, "all_mb": footprint.peak_mb, "kept": steps[-1].out}


if __name__ == "__main__":
    main()
