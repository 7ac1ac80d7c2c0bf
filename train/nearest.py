"""Whether sampled pictures match their prompts: is the real picture of a caption near the one sampled for it?

    score = nearest_score(run, corpus, 0.05, "train", captions=200, seed=0, temperature=0)      # {"own_in_5": …}

One picture is sampled for each caption. All real pictures of the corpus are ranked by the distance of 16×16 RGB
thumbnails. `own_in_5` is the share of captions of which some real picture is among the nearest 5; `strict_in_5` is the
share of which the very pair that was drawn is among them, although other pairs may have the same caption.
"""

from typing import TypedDict

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


class NearestScore(TypedDict):
    split: str
    captions: int  # drawn from the split, all distinct
    pictures: int  # that were ranked: all kept ones of the corpus
    temperature: float
    seed: int
    own_in_5: float  # share of the captions
    strict_in_5: float
    own_median_rank: int  # of the nearest picture that carries the caption, from 1
    chance: float  # `own_in_5` of a ranking at random


def nearest_score(
    run: Run, corpus: Manifest, validation: float, split: str, captions: int, seed: int, temperature: float
) -> NearestScore:
    """The score of `captions` captions of `split`; `validation` is the recipe's share, which decides the splits."""
    verdicts = read_verdicts(corpus, ["key", "caption", "kept", "cluster"])
    kept = verdicts.filter(verdicts["kept"]).combine_chunks()
    drawn = _draw_pairs(split_rows(kept, validation)[split], captions, seed)
    sampled, _ = sample_pictures(run, drawn["caption"].to_pylist(), 1, seed, temperature=temperature)
    real = read_thumbnails(corpus, kept["key"].to_pylist(), SIDE_PX).reshape(len(kept), -1)
    nearest = _nearest_first(_thumbnails(sampled[:, 0]), real)
    all_captions = np.array(kept["caption"].to_pylist(), dtype=object)
    all_keys = np.array(kept["key"].to_pylist(), dtype=object)
    own_ranks, strict_ranks = [], []
    for pictures, pair in zip(nearest, drawn.to_pylist(), strict=True):
        own_ranks.append(int(np.flatnonzero(all_captions[pictures] == pair["caption"])[0]))
        strict_ranks.append(int(np.flatnonzero(all_keys[pictures] == pair["key"])[0]))
    pictures_of_caption = np.mean([(all_captions == caption).sum() for caption in drawn["caption"].to_pylist()])
    return {
        "split": split, "captions": len(drawn), "pictures": len(kept), "temperature": temperature, "seed": seed,
        "own_in_5": round(float(np.mean(np.array(own_ranks) < NEAREST)), 4),
        "strict_in_5": round(float(np.mean(np.array(strict_ranks) < NEAREST)), 4),
        "own_median_rank": int(np.median(own_ranks)) + 1,
        "chance": round(float(NEAREST * pictures_of_caption / len(kept)), 5),
    }  # fmt: skip


def _draw_pairs(rows: pa.Table, count: int, seed: int) -> pa.Table:
    """`count` pairs with distinct captions, drawn by a generator of their own."""
    order = np.random.default_rng(seed).permutation(len(rows))
    captions = rows["caption"].to_pylist()
    first = {captions[row]: row for row in order[::-1].tolist()}  # of equal captions the first in the order stays
    chosen = sorted(first.values(), key=lambda row: int(np.flatnonzero(order == row)[0]))[:count]
    return rows.take(chosen)


def _thumbnails(pictures: Pictures) -> NDArray[np.float32]:
    """(n, SIDE_PX · SIDE_PX · 3)."""
    small = [
        np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)) for picture in pictures
    ]
    return np.stack(small).reshape(len(small), -1).astype(np.float32)


def _nearest_first(sampled: NDArray[np.float32], real: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each sampled picture the numbers of all real ones, the nearest first: (sampled, real)."""
    index = faiss.IndexFlatL2(real.shape[1])
    index.add(np.ascontiguousarray(real, dtype=np.float32))
    ranked: NDArray[np.int64] = index.search(sampled, len(real))[1]
    return ranked
