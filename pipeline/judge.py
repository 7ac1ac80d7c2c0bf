"""The verdict on a pair alone: was it fetched, was it read, is the picture fit, is the caption fit.

    run_stage(JUDGE, parts, JudgeConfig(captions=…, images=…, fetch_reasons=[…]), corpus.judged, run)

Comes in: a part's measures, its scores that rules read, and the user's word list. Goes out: `PART.parquet` with `key,
caption, masked, stage, reason` in the same order, and what the whole corpus is compared by: digests of caption and
origin, and the number of Han characters. No picture is decoded: another threshold costs a second read of the tables.
"""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .captions.clean_caption import CaptionCleaner, Cleaned
from .captions.words import read_words
from .corpus_files.stage_tables import WRITTEN, read_stage_table
from .duplicates.key_bytes import KEY, digests
from .executor.part import Part
from .pictures.picture_rules import SIZE_PROBLEMS, MeasuredPicture, picture_problem

if TYPE_CHECKING:  # they come resolved: how a preset words its sources changes no verdict
    from ..manifests.recipe.rules import Captions, Images

JUDGED = pa.schema(
    [
        ("key", pa.string()),
        ("caption", pa.string()),
        ("masked", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
    ]
)
COMPARED = pa.schema([("caption_digest", KEY), ("origin_digest", KEY), ("han", pa.int32())])

_COLUMNS = [
    "key", "origin", "url", "caption_raw", "bytes", "image_sha256", "width", "height", "format", "frames", "std",
    "entropy", "sharpness", "border", "jpeg_quality", "problem",
]  # fmt: skip


class MeasuredPair(MeasuredPicture, total=False):
    """A row of the measures, as far as rules read it, with the scores that rules read."""

    key: str
    url: str | None
    caption_raw: str | None  # None: the source gives none
    image_sha256: str | None  # None: no byte of the picture is there
    problem: str | None  # why the picture was not measured


class Verdict(TypedDict):
    """A row of JUDGED: stage and reason are empty if the pair breaks no rule."""

    key: str
    caption: str
    masked: str
    stage: str
    reason: str


class JudgeConfig(TypedDict):
    captions: "Captions"  # resolved
    images: "Images"  # resolved
    fetch_reasons: list[str]  # problems that belong to the stage `fetch` if no byte of the picture is there


def judge(part: Part[None], config: JudgeConfig, folder: Path) -> dict[str, int]:
    words = read_words(part.input_path("words")) if "words" in part.inputs else []
    cleaner = CaptionCleaner(config["captions"], words)
    fetch_reasons = frozenset(config["fetch_reasons"])
    table = read_stage_table(part.input_path("measures"), columns=_COLUMNS)
    for name in sorted(part.inputs.keys() - {"measures", "words"}):
        table = table.append_column(name, read_stage_table(part.input_path(name))[name])
    judged = [judge_pair(row, cleaner, config["images"], fetch_reasons) for row in table.to_pylist()]
    verdicts = pa.Table.from_pylist(judged, schema=JUDGED)
    captions, origins = verdicts["caption"].to_pylist(), table["origin"].to_pylist()
    han = pc.count_substring_regex(verdicts["caption"], r"\p{Han}")
    for name, column in zip(COMPARED.names, (digests(captions), digests(origins), han), strict=True):
        verdicts = verdicts.append_column(COMPARED.field(name), column)
    pq.write_table(verdicts, folder / f"{part.name}.parquet", **WRITTEN)
    return {"pairs": len(judged)}


def judge_pair(row: MeasuredPair, cleaner: CaptionCleaner, images: "Images", fetch_reasons: frozenset[str]) -> Verdict:
    """The verdict of the first rule that the pair breaks."""
    cleaned = cleaner(row["caption_raw"])
    stage, reason = "", ""
    if problem := row["problem"]:
        was_asked_for = row["image_sha256"] is None and (row["url"] is not None or problem == "bad_address")
        stage, reason = _verdict_without_picture(problem, was_asked_for, cleaned, fetch_reasons)
    elif problem := picture_problem(row, images):
        stage, reason = "picture", problem
    elif cleaned.reason:
        stage, reason = "caption", cleaned.reason
    return Verdict(key=row["key"], caption=cleaned.caption, masked=cleaned.masked, stage=stage, reason=reason)


def _verdict_without_picture(
    problem: str, was_asked_for: bool, cleaned: Cleaned, fetch_reasons: frozenset[str]
) -> tuple[str, str]:
    """Stage and reason of a pair whose picture was not measured, or not even fetched as its row had fallen already.

    `was_asked_for`: it has an address and no bytes. What lies on disk and is no picture falls at `read`.
    """
    if problem == "not_fetched" and cleaned.reason:
        return "caption", cleaned.reason
    if problem in SIZE_PROBLEMS:
        return "picture", problem
    is_fetching = problem in fetch_reasons or problem.startswith("http_")
    return ("fetch" if was_asked_for and is_fetching else "read"), problem
