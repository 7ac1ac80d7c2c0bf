"""The crops of pairs, from their pictures: decoded here, or by Ray tasks that keep an encoder fed.

    for items in crops_of([rows], roots, plan, decoders=2):     # an iterator for each table
        for item in items:
            item.pictures["codes"]      # uint8 (64, 64, 3); one picture for each array of codes
            item.samples                # [(3, 0), (4, 0)]: rows of the table, and the number of the crop

A picture is decoded once for all its captions, crops and sizes. Items come in the order of the rows. A picture that was
lost comes as a `LostCrop`. While one table is consumed, decoders begin with the next.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import pyarrow as pa
import ray

from ...pipeline.executor.part import PictureRoot
from ...pipeline.pictures.measured_pictures import LostPicture, pictures_or_losses
from ..crops.boxes import CropRule, View, views_of
from ..crops.resample import rendered
from ..image_codes import Pictures

_TASK_ROWS = 32  # of a decoder's task: about a third of a second of photographs
_AHEAD = 2  # tasks a decoder: one at work, one that is done


class Target(TypedDict):
    """What one tokenizer wants of a picture."""

    side_px: int
    resize: str


class CropPlan(TypedDict):
    rule: CropRule
    targets: dict[str, Target]  # by array: "codes", "codes_NAME"


@dataclass(frozen=True)
class CropItem:
    """One view of one picture."""

    view: View
    pictures: dict[str, Pictures]  # by array: uint8 (side, side, 3)
    samples: list[tuple[int, int]]  # (row, number of the crop)


@dataclass(frozen=True)
class LostCrop:
    rows: list[int]
    loss: LostPicture


Items = Iterator[CropItem | LostCrop]


def crops_of(
    tables: Iterable[pa.Table], roots: Mapping[str, PictureRoot], plan: CropPlan, decoders: int
) -> Iterator[Items]:
    """The items of each table. Those of one must be taken before those of the next."""
    if not decoders:
        return (_crops(rows, roots, plan) for rows in tables)
    return _decoded_beside(tables, dict(roots), plan, _AHEAD * decoders)


def _decoded_beside(
    tables: Iterable[pa.Table], roots: dict[str, PictureRoot], plan: CropPlan, most: int
) -> Iterator[Items]:
    task: Any = ray.remote(num_cpus=1)(_decode)
    slices = (
        (number, start, rows.slice(start, _TASK_ROWS).combine_chunks())
        for number, rows in enumerate(tables)
        for start in range(0, len(rows), _TASK_ROWS)
    )
    ahead: deque[tuple[int, int, ray.ObjectRef[list[CropItem | LostCrop]]]] = deque()

    def fill() -> None:
        while len(ahead) < most and (following := next(slices, None)) is not None:
            number, start, rows = following
            ahead.append((number, start, task.remote(rows, roots, plan)))

    def items_of(number: int) -> Items:
        while ahead and ahead[0][0] == number:
            _, start, reference = ahead.popleft()
            fill()
            yield from (_shifted(item, start) for item in ray.get(reference))

    fill()
    while ahead:
        yield items_of(ahead[0][0])


def _decode(rows: pa.Table, roots: dict[str, PictureRoot], plan: CropPlan) -> list[CropItem | LostCrop]:
    return list(_crops(rows, roots, plan))


def _crops(rows: pa.Table, roots: Mapping[str, PictureRoot], plan: CropPlan) -> Items:
    keys = rows["key"].to_pylist()
    for same, picture in pictures_or_losses(rows, roots):
        if isinstance(picture, LostPicture):
            yield LostCrop(same, picture)
            continue
        samples: dict[View, list[tuple[int, int]]] = {}
        for row in same:  # captions of one picture share a box, unless boxes are drawn by the pair
            for number, view in enumerate(views_of(picture.size, keys[row], plan["rule"])):
                samples.setdefault(view, []).append((row, number))
        for view, of_view in samples.items():
            pictures = {
                array: rendered(picture, view, target["side_px"], target["resize"], plan["rule"]["fill"])
                for array, target in plan["targets"].items()
            }
            yield CropItem(view, pictures, of_view)


def _shifted(item: CropItem | LostCrop, start: int) -> CropItem | LostCrop:
    """The item with rows that count from the first row of the whole table."""
    if isinstance(item, LostCrop):
        return LostCrop([row + start for row in item.rows], item.loss)
    return CropItem(item.view, item.pictures, [(row + start, number) for row, number in item.samples])
