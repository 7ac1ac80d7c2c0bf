"""How long the report of a large corpus takes, how much memory, and how large the page is.

    python tests/bench/bench_report.py --pairs 1000000

The corpus is drawn at random by the schemas of `manifests/pair.py`, in parts of 10,000 pairs. Its pictures do not
exist: every thumbnail comes from the measures.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuwen.manifests.decision_table import VERDICTS
from tuwen.manifests.manifest import file_entry, new_manifest, save_manifest
from tuwen.manifests.pair import MEASURES
from tuwen.pipeline.decide import funnel
from tuwen.pipeline.load_recipe import recorded_recipe

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.stages import write_report

PART = 10_000
SHARES = {
    ("", ""): 0.55, ("fetch", "http_404"): 0.12, ("fetch", "timed_out"): 0.03, ("read", "truncated"): 0.02,
    ("picture", "too_small"): 0.1, ("picture", "blurred"): 0.02, ("caption", "too_little_han"): 0.04,
    ("caption", "caption_seen_too_often"): 0.04, ("exact", "same_bytes"): 0.05, ("near", "near_picture"): 0.03,
}  # fmt: skip
RECIPE = {
    "name": "large",
    "sources": [{"name": f"s{number}", "kind": "folder", "path": "nowhere"} for number in range(4)],
    "images": {"min_side": 200, "max_ratio": 3, "min_sharpness": 50},
    "captions": {"max_count": 10},
}


def make_corpus(folder: Path, pairs: int) -> None:
    generator = np.random.default_rng(0)
    files, decided = [], []
    kept_keys: list[str] = []
    for name in ("verdicts", "measures"):
        (folder / name).mkdir(parents=True)
    for number, start in enumerate(range(0, pairs, PART)):
        columns = _part(generator, number, min(PART, pairs - start), kept_keys)
        for name, schema in (("verdicts", VERDICTS), ("measures", MEASURES)):
            table = pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
            path = folder / name / f"p{number:05d}.parquet"
            pq.write_table(table, path, compression="zstd", row_group_size=PART if name == "verdicts" else 2048)
            decided += [table.select(["stage", "reason", "kept", "source"])] if name == "verdicts" else []
        files.append(file_entry(folder, f"verdicts/p{number:05d}.parquet", rows=len(columns["key"])))
    table = pa.concat_tables(decided)
    kept = Counter(table.filter(table["kept"])["source"].to_pylist())
    document = new_manifest(
        "corpus",
        schema={field.name: str(field.type) for field in VERDICTS},
        files=files,
        lineage={"recipe": recorded_recipe(RECIPE).document(), "parents": [], "steps": funnel(table)},
        licenses=[
            {"source": name, "license": "CC-BY-4.0", "attribution": f"those of {name}", "samples": count}
            for name, count in sorted(kept.items())
        ],
        totals={"pairs": len(table), "kept": kept.total()},
    )
    save_manifest(folder, document)


def _part(generator: np.random.Generator, number: int, size: int, kept_keys: list[str]) -> dict[str, Any]:
    """Every column of VERDICTS and MEASURES; `kept_keys` grows by some that duplicates of later parts name."""
    keys = [generator.bytes(16).hex() for _ in range(size)]
    verdicts = [list(SHARES)[at] for at in generator.choice(len(SHARES), size, p=list(SHARES.values()))]
    stages, reasons = zip(*verdicts, strict=True)
    kept_keys.extend(key for key, reason in zip(keys[:20], reasons[:20], strict=True) if not reason)
    read = np.array([stage not in ("fetch", "read") for stage in stages])
    duplicate = np.array([stage in ("exact", "near") for stage in stages])
    side = np.exp(generator.normal(6, 0.6, size)).astype(int) + 40
    captions = [f"第{at}号的图片{'，很好看' * (at % 5)}" for at in generator.zipf(1.3, size) % 10**9]

    def where(mask: Any, values: Any) -> list[Any]:
        return [value if here else None for here, value in zip(mask, values, strict=True)]

    measured: dict[str, Any] = {
        "image_sha256": [key * 2 for key in keys],
        "pixels_hash": keys,
        "phash64": generator.integers(0, 2**63, size),
        "width": (side * generator.uniform(0.6, 2.5, size)).astype(int),
        "height": side,
        "format": generator.choice(["JPEG", "PNG", "WEBP"], size, p=[0.9, 0.07, 0.03]),
        "std": generator.uniform(5, 90, size),
        "thumbnail": [generator.bytes(64) * 48] * size,
        "entropy": generator.normal(7, 0.5, size),
        "sharpness": np.exp(generator.normal(6, 1.5, size)),
        "border": generator.uniform(0, 0.3, size),
        "jpeg_quality": generator.integers(40, 100, size),
    }
    duplicates = {"keeper": generator.choice(kept_keys or keys, size), "distance": generator.integers(0, 5, size)}
    columns: dict[str, Any] = {name: [None] * size for name in {*VERDICTS.names, *MEASURES.names}}
    return columns | {
        "key": keys,
        "source": [f"s{number % 4}"] * size,
        "origin": [f"{number:05d}.tar/{at}.jpg" for at in range(size)],
        "offset": [0] * size,
        "bytes": generator.integers(2_000, 900_000, size),
        "license": ["CC-BY-4.0"] * size,
        "url": [f"https://example.org/pictures/{key[:12]}.jpg" for key in keys],
        "caption_raw": captions,
        "caption": captions,
        "kept": [not reason for reason in reasons],
        "stage": stages,
        "reason": reasons,
        "cluster": keys,
        **{name: where(read, values) for name, values in measured.items()},
        **{name: where(duplicate, values) for name, values in duplicates.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, help="a folder that an earlier call made, or makes now")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.corpus or Path(scratch) / "corpus"
        if not folder.exists():
            make_corpus(folder, arguments.pairs)
            print(f"made {folder}", flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        page = write_report(folder.parent, folder)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{seconds:.1f} s, {peak / 1024:.0f} MB at most ({before / 1024:.0f} before), {page.stat().st_size:,} bytes"
        )


if __name__ == "__main__":
    main()
