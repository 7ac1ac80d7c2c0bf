"""All that is measured of one picture, in one decode: the columns of `manifests.pair.MEASURES` that speak of it.

measure_picture(SourceItem("cat.jpg", ["一只猫"], data), {"max_pixels": 50_000_000})
"""

import hashlib
from typing import Any

from ..sources.source import SourceItem
from .decode import decode
from .signatures import signatures


def measure_picture(found: SourceItem, config: dict[str, Any]) -> dict[str, Any]:
    """Of a picture that cannot be read: its problem, and what is known all the same."""
    if found.data is None:
        return {"problem": found.problem or "missing_picture", "offset": 0, "bytes": 0}
    decoded = decode(found.data, config["max_pixels"])
    measured = {
        "offset": found.offset,
        "bytes": len(found.data),
        "image_sha256": hashlib.sha256(found.data).hexdigest(),
        "format": decoded.format,
        "mode": decoded.mode,
        "frames": decoded.frames,
        "problem": decoded.problem,
    }
    if decoded.picture is None or decoded.upright is None:
        return measured
    upright = {"orientation": decoded.upright.orientation, "alpha": decoded.upright.alpha, "icc": decoded.upright.icc}
    return measured | upright | signatures(decoded.picture, decoded.jpeg_tables)
