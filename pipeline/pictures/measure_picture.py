"""All that is measured of one picture, in one decode: its columns of `manifests.pair.MEASURES`.

measure_picture(SourceItem("cat.jpg", ["一只猫"], data), max_pixels=50_000_000)
"""

import hashlib
from typing import Any

from ..sources.source import SourceItem
from .decode import decode
from .signatures import signatures

Measured = dict[str, Any]  # a row of MEASURES, or some of its columns; the others are null


def measure_picture(item: SourceItem, max_pixels: int) -> Measured:
    """The measures of a picture; if it cannot be read its problem, and what is known all the same."""
    if item.data is None:
        return {"problem": item.problem or "missing_picture", "offset": 0, "bytes": 0}
    decoded = decode(item.data, max_pixels)
    measured: Measured = {
        "offset": item.offset,
        "bytes": len(item.data),
        "image_sha256": hashlib.sha256(item.data).hexdigest(),
        "format": decoded.format,
        "mode": decoded.mode,
        "frames": decoded.frames,
        "metadata": decoded.metadata,
        "problem": item.problem or decoded.problem,
    }
    if item.problem or decoded.picture is None or decoded.upright is None:
        return measured
    upright = {"orientation": decoded.upright.orientation, "alpha": decoded.upright.alpha, "icc": decoded.upright.icc}
    return {**measured, **upright, **signatures(decoded.picture, decoded.jpeg_tables)}
