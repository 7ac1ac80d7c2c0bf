"""Imagefolder: the pictures as files, a folder a part, each with its `metadata.jsonl`.

    train/00000/0f31….jpg
    train/00000/metadata.jsonl    {"file_name": "0f31….jpg", "text": "一只猫", "key": …, "source": …, "license": …, …}

A line is a pair: of a picture with two captions there are two. `datasets` reads it as `imagefolder`, `tuwen corpus` as
`folder`. It is the format to look at; every picture is a file, which millions of them make slow on any disk.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ..executor.part import Part
from .exported_picture import ExportConfig, ExportSummary, exported_pictures

if TYPE_CHECKING:
    from .plan import PlannedRows

LISTING = "metadata.jsonl"


class FolderSpec(TypedDict):
    folder: str  # train/00000


def folders(plan: "list[PlannedRows]") -> list[tuple[str, FolderSpec]]:
    """The name and the folder of each part."""
    return [(rows.name, FolderSpec(folder=f"{rows.split}/{rows.number:05d}")) for rows in plan]


def write_folder(part: Part[FolderSpec], config: ExportConfig, folder: Path) -> ExportSummary:
    """Raises CheckFailed if a picture has changed since it was measured."""
    pairs, pictures, endings = 0, 0, set[str]()
    own = folder / part.spec["folder"]
    own.mkdir(parents=True)
    with (own / LISTING).open("w", encoding="utf-8", newline="\n") as listing:
        for picture in exported_pictures(part, config):
            (own / picture.name).write_bytes(picture.data)
            for row in picture.rows:
                line = {
                    "file_name": picture.name, "text": row["caption"], "key": row["key"], "source": row["source"],
                    "license": row["license"], "url": row["url"] or "",  # not null: a file of nulls has another type
                    "width": picture.width, "height": picture.height,
                }  # fmt: skip
                listing.write(json.dumps(line, ensure_ascii=False) + "\n")
            pairs, pictures = pairs + len(picture.rows), pictures + 1
            endings.add(picture.ending)
    return ExportSummary(pairs=pairs, pictures=pictures, endings=sorted(endings))
