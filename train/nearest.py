"""Do the painted pictures answer their prompts? For captions of the corpus, is the caption's own picture near?

    score = nearest_score(run, corpus, 0.05, "train", captions=200, seed=0, temperature=0)      # {"own_in_5": …}

One picture is painted for each caption; all real pictures of the corpus are ranked by the distance of 16x16 RGB
thumbnails; counted is whether a picture that carries the caption is among the nearest 5. `strict` counts the one
pair that was drawn, though two hands may have drawn the same caption.
"""

from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ..manifests.manifest import Manifest
from ..pipeline.corpus_files.split import split_rows
from ..pipeline.corpus_files.verdicts import read_thumbnails, read_verdicts
from ..tokenize.image_codes import Pictures
from .generate_pictures import sample_pictures
from .run import Run

NEAREST = 5
SIDE_PX = 16


def nearest_score(
    run: Run, corpus: Manifest, validation: float, split: str, captions: int, seed: int, temperature: float
) -> dict[str, Any]:
    """`validation` is the recipe's share: it says which pairs are in `split`."""
    verdicts = read_verdicts(corpus, ["key", "caption", "kept", "cluster"])
    kept = verdicts.filter(verdicts["kept"]).combine_chunks()
    drawn = _draw(split_rows(kept, validation)[split], captions, seed)
    painted, _ = sample_pictures(run, drawn["caption"].to_pylist(), 1, seed, temperature)
    real = read_thumbnails(corpus, kept["key"].to_pylist(), SIDE_PX).reshape(len(kept), -1)
    ranks = _ranks(_thumbnails(painted[:, 0]), real)
    all_captions = np.array(kept["caption"].to_pylist(), dtype=object)
    all_keys = np.array(kept["key"].to_pylist(), dtype=object)
    own, strict = [], []
    for ranked, pair in zip(ranks, drawn.to_pylist(), strict=True):
        own.append(int(np.flatnonzero(all_captions[ranked] == pair["caption"])[0]))
        strict.append(int(np.flatnonzero(all_keys[ranked] == pair["key"])[0]))
    pictures_of_caption = np.mean([(all_captions == caption).sum() for caption in drawn["caption"].to_pylist()])
    return {
        "split": split, "captions": len(drawn), "pictures": len(kept), "temperature": temperature, "seed": seed,
        "own_in_5": round(float(np.mean(np.array(own) < NEAREST)), 4),
        "strict_in_5": round(float(np.mean(np.array(strict) < NEAREST)), 4),
        "own_median_rank": int(np.median(own)) + 1,
        "chance": round(float(NEAREST * pictures_of_caption / len(kept)), 5),
    }  # fmt: skip


def _draw(rows: pa.Table, count: int, seed: int) -> pa.Table:
    """`count` pairs with distinct captions, by a generator of its own."""
    order = np.random.default_rng(seed).permutation(len(rows))
    captions = rows["caption"].to_pylist()
    first = {captions[row]: row for row in order[::-1].tolist()}  # of equal captions the first in the order stays
    chosen = sorted(first.values(), key=lambda row: int(np.flatnonzero(order == row)[0]))[:count]
    return rows.take(chosen)


def _thumbnails(pictures: Pictures) -> NDArray[np.float32]:
    small = [
        np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)) for picture in pictures
    ]
    return np.stack(small).reshape(len(small), -1).astype(np.float32)


def _ranks(painted: NDArray[np.float32], real: NDArray[np.float32]) -> NDArray[np.int64]:
    """All real pictures for each painted one, the nearest first."""
    index = faiss.IndexFlatL2(real.shape[1])
    index.add(np.ascontiguousarray(real, dtype=np.float32))
    ranked: NDArray[np.int64] = index.search(painted, len(real))[1]
    return ranked
