"""A folder of pictures → what the pipeline measures of them, kept beside the folder as NAME.npz.

found = measured(Path("runs/bench-duplicates/emoji/jpeg-50"))
found.names, found.codes, found.turned_codes, found.signatures      # (n,), (n,) uint64, (n, 7) uint64, (n, 7168) uint8
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.pipeline.pictures.decode import decode
from tuwen.pipeline.pictures.signatures import signatures

WORKERS = 2


@dataclass(frozen=True)
class Measured:
    names: Any
    codes: Any
    turned_codes: Any
    signatures: Any
    std: Any


def measured(folder: Path) -> Measured:
    kept = folder.with_name(f"{folder.name}.npz")
    if not kept.exists():
        paths = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg", ".webp"))
        with ProcessPoolExecutor(WORKERS) as pool:
            rows = list(pool.map(_measure, paths, chunksize=32))
        names, codes, turned, found, std = zip(*rows, strict=True)
        np.savez(
            kept,
            names=np.array(names),
            codes=np.array(codes, np.uint64),
            turned_codes=np.array(turned, np.uint64),
            signatures=np.array(found),
            std=np.array(std),
        )
    with np.load(kept) as arrays:
        return Measured(**arrays)


def _measure(path: Path) -> tuple[Any, ...]:
    picture = decode(path.read_bytes(), 10**9).picture
    assert picture is not None, path
    said = signatures(picture)
    signature = np.frombuffer(said["thumbnail"] + said["luminance"], np.uint8)
    return path.stem, said["phash64"], said["phash64_flips"], signature, said["std"]
