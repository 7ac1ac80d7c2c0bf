"""Whether sampled pictures match their prompts: is the real picture of a caption near the one sampled for it?

    score = nearest_score(run, corpus, 0.05, "train", captions=200, seed=0, temperature=0)      # {"own_in_5": …}
    test = NearestTest.of(corpus, 0.05, "train", captions=200, seed=0)
    own, strict = test.ranks(sampled.chosen(scores(sampled, choice).argmax(axis=1)))         # best of those sampled

One picture is judged for each caption. All real pictures of the corpus are ranked by the distance of 16×16 RGB
thumbnails. `own_in_5` is the share of captions of which some real picture is among the nearest 5; `strict_in_5` is the
share of which the very pair that was drawn is among them, although other pairs may have the same caption.

Captions that name a skin tone (肤色) are counted apart: a person has up to six of them, which differ in little else.
"""

from dataclasses import dataclass
from typing import Self, TypedDict

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ...manifests.manifest import Manifest
from ...pipeline.corpus_files.split import split_rows
from ...pipeline.corpus_files.verdicts import read_thumbnails, read_verdicts
from ...tokenize.image_codes import Pictures
from ..run.run import Run
from .generate_pictures import sample_pictures

NEAREST = 5
SIDE_PX = 16
SKIN_TONE = "肤色"

Ranks = NDArray[np.int64]


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
    with_skin_tone: int  # captions that name one
    own_in_5_with_skin_tone: float | None  # share of those; None of none
    own_in_5_without_skin_tone: float | None  # share of the others


@dataclass(frozen=True)
class NearestTest:
    """Some captions of a split, and the real pictures of the whole corpus."""

    captions: list[str]
    keys: list[str]  # of the pairs that the captions were drawn with
    all_captions: NDArray[np.object_]
    all_keys: NDArray[np.object_]
    real: NDArray[np.float32]  # thumbnails (kept pairs, SIDE_PX · SIDE_PX · 3)

    @classmethod
    def of(cls, corpus: Manifest, validation: float, split: str, captions: int, seed: int) -> Self:
        """`captions` distinct captions of `split`; `validation` is the recipe's share, which decides the splits."""
        verdicts = read_verdicts(corpus, ["key", "caption", "kept", "cluster"])
        kept = verdicts.filter(verdicts["kept"]).combine_chunks()
        drawn = _draw_pairs(split_rows(kept, validation)[split], captions, seed)
        keys = kept["key"].to_pylist()
        return cls(
            drawn["caption"].to_pylist(),
            drawn["key"].to_pylist(),
            np.array(kept["caption"].to_pylist(), dtype=object),
            np.array(keys, dtype=object),
            read_thumbnails(corpus, keys, SIDE_PX).reshape(len(keys), -1),
        )

    @property
    def with_skin_tone(self) -> NDArray[np.bool_]:
        """Whether each caption names one."""
        return np.array([SKIN_TONE in caption for caption in self.captions])

    @property
    def chance(self) -> float:
        """`own_in_5` of a ranking at random."""
        pictures_of_caption = np.mean([(self.all_captions == caption).sum() for caption in self.captions])
        return float(NEAREST * pictures_of_caption / len(self.all_captions))

    def ranks(self, pictures: Pictures) -> tuple[Ranks, Ranks]:
        """For the picture of each caption the rank of its nearest own picture, and of that of its very pair, from 0."""
        own, strict = [], []
        for real, caption, key in zip(self._nearest_first(pictures), self.captions, self.keys, strict=True):
            own.append(int(np.flatnonzero(self.all_captions[real] == caption)[0]))
            strict.append(int(np.flatnonzero(self.all_keys[real] == key)[0]))
        return np.array(own), np.array(strict)

    def nearest_keys(self, pictures: Pictures, among: set[str]) -> list[str]:
        """For each picture the key of the nearest real one of those."""
        return [next(key for key in self.all_keys[real] if key in among) for real in self._nearest_first(pictures)]

    def _nearest_first(self, pictures: Pictures) -> NDArray[np.int64]:
        """For each sampled picture the numbers of all real ones, the nearest first: (sampled, real)."""
        index = faiss.IndexFlatL2(self.real.shape[1])
        index.add(np.ascontiguousarray(self.real, dtype=np.float32))
        ranked: NDArray[np.int64] = index.search(_thumbnails(pictures), len(self.real))[1]
        return ranked


def nearest_score(
    run: Run, corpus: Manifest, validation: float, split: str, captions: int, seed: int, temperature: float
) -> NearestScore:
    """The score of the first sample of each of `captions` captions, as `NearestTest.of` draws them."""
    test = NearestTest.of(corpus, validation, split, captions, seed)
    sampled, _ = sample_pictures(run, test.captions, 1, seed, temperature=temperature)
    own, strict = test.ranks(sampled[:, 0])
    toned = test.with_skin_tone
    return {
        "split": split, "captions": len(test.captions), "pictures": len(test.real), "temperature": temperature,
        "seed": seed,
        "own_in_5": round(float(np.mean(own < NEAREST)), 4),
        "strict_in_5": round(float(np.mean(strict < NEAREST)), 4),
        "own_median_rank": int(np.median(own)) + 1,
        "chance": round(test.chance, 5),
        "with_skin_tone": int(toned.sum()),
        "own_in_5_with_skin_tone": _share(own[toned] < NEAREST),
        "own_in_5_without_skin_tone": _share(own[~toned] < NEAREST),
    }  # fmt: skip


def said(score: NearestScore) -> str:
    """A line for the reader of a terminal."""
    captions = f"{score['captions']} captions of {score['split']}"
    line = f"own picture among the nearest {NEAREST}: {score['own_in_5']:.1%} of {captions}"
    for words, share in (
        ("without skin tone", score["own_in_5_without_skin_tone"]),
        ("with one", score["own_in_5_with_skin_tone"]),
    ):
        line += f", {share:.1%} {words}" if share is not None and score["with_skin_tone"] else ""
    return line


def _share(is_near: NDArray[np.bool_]) -> float | None:
    return round(float(is_near.mean()), 4) if len(is_near) else None


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
