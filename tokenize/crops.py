"""The kept pictures of a corpus, cropped and resized for a tokenizer, part by part.

    pictures = load_crops(run_stage("crop", crop, …), folder)        # uint8 (N, side, side, 3)

A part is a slice of the decision table that lies on disk as a small Parquet file; each row says where its picture
is, so nothing but the rows' own bytes is read again.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..manifests.atomic import whole_file
from ..manifests.canonical import sha256_of_file
from ..manifests.errors import CheckFailed
from ..pipeline.executor.part import Part, PartResult
from ..pipeline.pictures.decode import decode
from ..pipeline.sources.kinds import read_picture
from .image_codes import Pictures, fit_square

_CURE = "run `tuwen corpus` again"

PLAN_COLUMNS = [
    "key",
    "source",
    "origin",
    "offset",
    "bytes",
    "license",
    "caption",
    "image_sha256",
    "pixels_hash",
    "cluster",
]


def plan_parts(rows: pa.Table, roots: dict[str, Path], folder: Path, name: str, part_rows: int) -> list[Part]:
    """Cut `rows` into slices of `part_rows`, each a file in `folder` and a part for `run_stage`."""
    parts = []
    for number, start in enumerate(range(0, len(rows), part_rows)):
        path = folder / f"{name}-{number:05d}.parquet"
        with whole_file(path) as temporary:
            pq.write_table(rows.slice(start, part_rows).select(PLAN_COLUMNS).combine_chunks(), temporary)
        place = {"rows": str(path.resolve()), "roots": {source: str(root.resolve()) for source, root in roots.items()}}
        parts.append(Part(f"{name}-{number:05d}", {"rows": sha256_of_file(path)}, place))
    return parts


def crop(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    rows = pq.read_table(part.place["rows"]).to_pylist()
    pictures = np.stack([picture for picture, _ in cropped(rows, part.place["roots"], config["side_px"])])
    np.save(folder / f"{part.name}.npy", pictures)
    return {"pictures": len(pictures)}


def cropped(rows: list[dict[str, Any]], roots: dict[str, str], side_px: int) -> Iterator[tuple[Pictures, list[int]]]:
    """Of each row its picture (side, side, 3) and crop box. Raises CheckFailed if a picture has changed."""
    for row in rows:
        data = read_picture(Path(roots[row["source"]]), row["origin"], row["offset"], row["bytes"])
        decoded = decode(data, max_pixels=1 << 62)  # the corpus has judged its size already
        if decoded.picture is None or hashlib.sha256(data).hexdigest() != row["image_sha256"]:
            raise CheckFailed(f"{row['source']}/{row['origin']}: changed since it was measured", cure=_CURE)
        yield fit_square(decoded.picture, side_px)


def load_crops(results: list[PartResult], folder: Path) -> Pictures:
    return np.concatenate([np.load(folder / result.files[0]["name"]) for result in results])
