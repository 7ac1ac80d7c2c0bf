"""The squares of the corpus' own pictures that samples of shards were coded from.

pictures = original_crops(corpus, roots_of(corpus), reader.metas(rows), image_codes.identity, fill="#ffffff")
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ...manifests.manifest import Manifest
from ...manifests.shards.row_meta import RowMeta, pair_key_of
from ...pipeline.corpus_files.kept_pairs import read_kept_pairs
from ...pipeline.executor.part import PictureRoot
from ...pipeline.executor.progress import progress
from ...pipeline.pictures.measured_pictures import measured_pictures
from ..image_codes import ImageTokenizerIdentity, Pictures
from ..plan_parts import PLAN_COLUMNS
from .boxes import View
from .resample import rendered


def original_crops(
    corpus: Manifest,
    roots: Mapping[str, PictureRoot],
    metas: Sequence[RowMeta],
    identity: ImageTokenizerIdentity,
    fill: str,
) -> Pictures:
    """uint8 (n, side, side, 3), in the order of `metas`. Raises CheckFailed when a picture was lost."""
    kept = read_kept_pairs(corpus, PLAN_COLUMNS)
    row_of_key = {key: row for row, key in enumerate(kept["key"].to_pylist())}
    pictures = []
    with progress("reconstruct", len(metas), "picture") as advance:
        rows = kept.take([row_of_key[pair_key_of(meta["key"])] for meta in metas])
        for same, picture in measured_pictures(rows, roots):
            for row in same:
                left, top, right, bottom = metas[row]["crop"]
                view = View((left, top, right, bottom), metas[row].get("mirrored", False))
                pictures.append(rendered(picture, view, identity.side_px, identity.resize, fill))
                advance()
    return np.stack(pictures)
