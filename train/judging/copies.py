"""Memorisation: which training pictures the painted ones are nearest to, and how many of them are copies.

    copies, pictures = find_copies(run, shards, [painted_of_train, painted_of_validation], samples_read)
    rows_R, shares_R = nearest_rows(reader, codes_RN)       # the row of most equal codes of each, and their share

A picture of a held-out pair, coded as it is, has a nearest training picture too. Only a share of copies above theirs
says that the model repeats what it has read. Shapes: R pictures, N codes of each.
"""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ...manifests.manifest import Manifest
from ...manifests.order.order import Order, open_order
from ...manifests.shards.row_meta import pair_key_of
from ...manifests.shards.split_reader import SplitReader
from ...tokenize.image_codes import Pictures
from ...tokenize.quality import decode_in_batches
from ..painting.nearest import NearestTest
from ..run.run import Run
from .interval import ShareWithInterval, share_of

COPY_SHARE = 0.9  # of the codes, each in its place
CLOSEST = 12  # that are named and shown
_ROWS = 4096  # whose codes are in memory at a time


class Closest(TypedDict):
    """A painted picture, and the training pictures that it is nearest to."""

    prompt: str
    split: str  # of the prompt
    key: str  # of the nearest by codes
    caption: str
    equal_codes: float  # share of the codes, in place
    pixels_key: str  # of the nearest by pixels
    steps: list[int]  # at which the nearest by codes was read


class Copies(TypedDict):
    least_equal: float  # share of the codes from which on a picture is a copy
    painted: dict[str, ShareWithInterval]  # copies among the painted ones, by the split of their captions
    held_out: ShareWithInterval  # among real pictures that were never read
    equal_codes: dict[str, float]  # the median share, of the same
    closest: list[Closest]  # those with the most equal codes, of each split half


@dataclass(frozen=True)
class Painted:
    """One picture for each caption of a test, of the likeliest codes."""

    split: str
    test: NearestTest
    codes_RN: NDArray[np.int64]
    pictures: Pictures


def find_copies(run: Run, shards: Manifest, painted: list[Painted], samples_read: int) -> tuple[Copies, Pictures]:
    """What was found, and the closest pictures: a row of painted ones, and below each the training picture."""
    trained, held_out = SplitReader(shards, "train"), SplitReader(shards, "validation")
    count = min(len(held_out), max(len(each.codes_RN) for each in painted))
    real = held_out.rows(np.linspace(0, len(held_out) - 1, count).astype(np.int64))[0].reshape(count, -1)
    _, of_real = nearest_rows(trained, real.astype(np.int64))
    copies = Copies(
        least_equal=COPY_SHARE,
        painted={},
        held_out=share_of(of_real >= COPY_SHARE),
        equal_codes={"held_out": _median(of_real)},
        closest=[],
    )
    settings = run.document.settings
    order = open_order(shards, "train", settings.seed, settings.shuffle)
    shown: list[tuple[Pictures, int]] = []
    for each in painted:
        rows, shares = nearest_rows(trained, each.codes_RN)
        copies["painted"][each.split] = share_of(shares >= COPY_SHARE)
        copies["equal_codes"][each.split] = _median(shares)
        first = np.argsort(-shares, kind="stable")[: CLOSEST // len(painted)]
        metas, by_pixels = trained.metas(rows[first]), each.test.nearest_keys(each.pictures[first], _keys(trained))
        for number, row, meta, pixels_key in zip(first.tolist(), rows[first].tolist(), metas, by_pixels, strict=True):
            copies["closest"].append(
                Closest(
                    prompt=each.test.captions[number], split=each.split, key=pair_key_of(meta["key"]),
                    caption=meta["caption"], equal_codes=round(float(shares[number]), 4), pixels_key=pixels_key,
                    steps=_steps(order, row, settings.batch, samples_read, len(trained)),
                )
            )  # fmt: skip
            shown.append((each.pictures[number], row))
    codes = trained.rows(np.array([row for _, row in shown]))[0]
    below = decode_in_batches(run.image_codes, codes.reshape(-1, *run.image_codes.identity.shape).astype(np.int64))
    return copies, np.concatenate((np.stack([picture for picture, _ in shown]), below))


def nearest_rows(reader: SplitReader, codes_RN: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first of the rows that have the most equal codes in place, and the share of these."""
    best_R, rows_R = np.full(len(codes_RN), -1), np.zeros(len(codes_RN), np.int64)
    for start in range(0, len(reader), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(reader)))
        trained = reader.rows(rows)[0].reshape(len(rows), -1)
        for number, codes in enumerate(codes_RN):
            equal = (trained == codes).sum(axis=1)
            if equal.max() > best_R[number]:
                best_R[number], rows_R[number] = equal.max(), rows[equal.argmax()]
    return rows_R, best_R / codes_RN.shape[1]


def _keys(reader: SplitReader) -> set[str]:
    return {pair_key_of(meta["key"]) for meta in reader.all_meta()}


def _steps(order: Order, row: int, batch: int, samples_read: int, rows: int) -> list[int]:
    positions = order.positions(row, samples_read // rows + 2)
    return [position // batch for position in positions if position < samples_read]


def _median(shares: NDArray[np.float64]) -> float:
    return round(float(np.median(shares)), 4)
