"""The rows of a slice of which every pair falls, whatever its picture: the function of the stage `rows`.

    lists/NAME-00003.parquet → wanted/NAME-00003.parquet, the same rows; `problem` says which are not fetched

A row falls when each of its captions breaks a rule, or when the list itself says that the picture is too small or too
narrow. It is `not_fetched` then, and the judge gives each pair the very reason that it would have had.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ..captions.clean_caption import CaptionCleaner
from ..captions.words import read_words
from ..executor.part import Part
from ..pictures.picture_rules import size_problem
from .slice_file import ListRow, read_slice, write_slice

if TYPE_CHECKING:
    from ...manifests.recipe.rules import Captions, Images


class RowRules(TypedDict):
    captions: "Captions"  # resolved
    images: "Images"  # resolved


def judge_rows(part: Part[None], config: RowRules, folder: Path) -> dict[str, int]:
    """The inputs are `slice`, and `words` if there is a word list."""
    words = read_words(part.input_path("words")) if "words" in part.inputs else []
    cleaner = CaptionCleaner(config["captions"], words)
    rows = read_slice(part.input_path("slice"))
    judged = [replace(row, problem=row.problem or _problem(row, cleaner, config["images"])) for row in rows]
    write_slice(folder / f"{part.name}.parquet", judged)
    return {"not_fetched": sum(bool(row.problem) for row in judged)}


def _problem(row: ListRow, cleaner: CaptionCleaner, images: "Images") -> str:
    sizes_known = row.width is not None and row.height is not None
    if sizes_known and (problem := size_problem(row.width or 0, row.height or 0, images)):
        return problem
    return "not_fetched" if all(cleaner(caption).reason for caption in row.captions) else ""
