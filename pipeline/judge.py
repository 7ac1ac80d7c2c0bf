"""Decide what can be decided of a pair alone: was it read, is the picture fit, is the caption fit.

    run_stage("judge", judge, parts, recipe.document(), out=work / "judged")

Comes in: a part's measures. Goes out: `PART.parquet` with `key, caption, stage, reason` in the same order. No
picture is decoded: another threshold costs a second read of the tables, nothing more.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..manifests.recipe import Captions, Images
from .clean_caption import clean_caption
from .clean_image import picture_problem
from .part import Part

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
    "key", "caption_raw", "bytes", "width", "height", "format", "frames", "std", "entropy", "sharpness", "border",
    "jpeg_quality", "problem",
]  # fmt: skip


def judge(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    captions = Captions.model_validate(config["captions"]).resolved()
    images = Images.model_validate(config["images"]).resolved()
    table = pq.read_table(part.place["measures"], columns=_COLUMNS)
    if "nsfw" in part.place:
        table = table.append_column("nsfw", pq.read_table(part.place["nsfw"])["nsfw"])
    judged = [judge_pair(row, captions, images) for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(judged, schema=JUDGED), folder / f"{part.name}.parquet", compression="zstd")
    return {"pairs": len(judged)}


def judge_pair(row: dict[str, Any], captions: Captions, images: Images) -> dict[str, str]:
    """The first rule that speaks against the pair names its stage and its reason."""
    caption, caption_reason = clean_caption(row["caption_raw"], captions)
    verdict = {"key": row["key"], "caption": caption, "masked": "", "stage": "", "reason": ""}
    if row["problem"]:
        return verdict | {"stage": "read", "reason": row["problem"]}
    if reason := picture_problem(row, images):
        return verdict | {"stage": "picture", "reason": reason}
    if caption_reason:
        return verdict | {"stage": "caption", "reason": caption_reason}
    return verdict
