"""Decide what can be decided of a pair alone: was it fetched, was it read, is the picture fit, is the caption fit.

    run_stage("judge", judge, parts, {"captions": …, "images": …, "words": None}, out=work / "judged")

Comes in: a part's measures, and its NSFW scores where a rule asks. Goes out: `PART.parquet` with `key, caption, masked,
stage, reason` in the same order. No picture is decoded: another threshold costs a second read of the tables.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..manifests.recipe.rules import Captions, Images
from .captions.clean_caption import CaptionCleaner
from .captions.words import read_words
from .executor.part import Part
from .fetch.problems import is_of_fetching
from .pictures.picture_rules import picture_problem

JUDGED = pa.schema(
    [
        ("key", pa.string()),
        ("caption", pa.string()),
        ("masked", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
    ]
)

_COLUMNS = [
    "key", "caption_raw", "bytes", "image_sha256", "width", "height", "format", "frames", "std", "entropy", "sharpness",
    "border", "jpeg_quality", "problem",
]  # fmt: skip


def judge(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    words = read_words(Path(part.place["words"])) if "words" in part.place else []
    cleaner = CaptionCleaner(Captions.model_validate(config["captions"]).resolved(), words)
    images = Images.model_validate(config["images"]).resolved()
    table = pq.read_table(part.place["measures"], columns=_COLUMNS)
    if "nsfw" in part.place:
        table = table.append_column("nsfw", pq.read_table(part.place["nsfw"])["nsfw"])
    judged = [judge_pair(row, cleaner, images) for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(judged, schema=JUDGED), folder / f"{part.name}.parquet", compression="zstd")
    return {"pairs": len(judged)}


def judge_pair(row: dict[str, Any], cleaner: CaptionCleaner, images: Images) -> dict[str, str]:
    """The first rule that speaks against the pair names its stage and its reason."""
    cleaned = cleaner(row["caption_raw"])
    verdict = {"key": row["key"], "caption": cleaned.caption, "masked": cleaned.masked, "stage": "", "reason": ""}
    if problem := row["problem"]:
        fetching = row["image_sha256"] is None and is_of_fetching(problem)
        return verdict | {"stage": "fetch" if fetching else "read", "reason": problem}
    if reason := picture_problem(row, images):
        return verdict | {"stage": "picture", "reason": reason}
    if cleaned.reason:
        return verdict | {"stage": "caption", "reason": cleaned.reason}
    return verdict
