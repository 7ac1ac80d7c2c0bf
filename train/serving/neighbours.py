"""The training pictures that a painted one is nearest to, with whose they are.

    neighbours = Neighbours.of(run, shards)         # None of shards that hold too much for memory
    for each in neighbours.of_codes(codes_N):       # the nearest first
        each["caption"], each["equal_codes"], each["license"], each["attribution"]
    neighbours.picture(each["key"], image_codes)    # as its codes show it: uint8 (side, side, 3)

Nearest are those with the most equal codes in place. N codes of a picture.
"""

from dataclasses import dataclass
from typing import Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from ...manifests.shards.split_reader import SplitReader
from ...tokenize.image_codes import ImageCodes

_MOST_ROWS = 1_000_000  # whose codes and keys are in memory
_SHOWN = 3


class Neighbour(TypedDict):
    key: str
    caption: str
    equal_codes: float  # share of the codes, in place
    source: str
    license: str
    attribution: str


@dataclass(frozen=True)
class Neighbours:
    reader: SplitReader
    codes_RN: NDArray[Any]  # of all training rows
    row_of_key: dict[str, int]
    attributions: dict[tuple[str, str], str]  # by source and licence

    @classmethod
    def of(cls, shards: Manifest) -> Self | None:
        reader = SplitReader(shards, "train")
        if len(reader) > _MOST_ROWS:
            return None
        codes_RN = reader.rows(np.arange(len(reader)))[0].reshape(len(reader), -1)
        row_of_key = {meta["key"]: row for row, meta in enumerate(reader.all_meta())}
        return cls(
            reader, codes_RN, row_of_key, {(each.source, each.license): each.attribution for each in shards.licenses}
        )

    def of_codes(self, codes_N: list[int]) -> list[Neighbour]:
        equal_R = (self.codes_RN == np.array(codes_N)).sum(axis=1)
        rows = np.argsort(-equal_R, kind="stable")[:_SHOWN]
        return [
            Neighbour(
                key=meta["key"], caption=meta.get("caption", ""),
                equal_codes=round(float(equal_R[row]) / len(codes_N), 4), source=meta.get("source", ""),
                license=meta.get("license", ""),
                attribution=self.attributions.get((meta.get("source", ""), meta.get("license", "")), ""),
            )
            for row, meta in zip(rows.tolist(), self.reader.metas(rows), strict=True)
        ]  # fmt: skip

    def picture(self, key: str, image_codes: ImageCodes) -> NDArray[np.uint8] | None:
        """None of a key that the split does not have."""
        row = self.row_of_key.get(key)
        if row is None:
            return None
        codes = self.codes_RN[[row]].astype(np.int64).reshape(1, *image_codes.identity.shape)
        picture: NDArray[np.uint8] = image_codes.decode(codes)[0]
        return picture
