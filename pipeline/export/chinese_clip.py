"""Chinese-CLIP: the pictures in base64 with their ids, and the texts with the ids of their pictures.

    train_imgs.tsv       0 TAB /9j/4AAQSk…
    train_texts.jsonl    {"text_id": 0, "text": "一只猫", "image_ids": [0]}
    keys.parquet         text_id, image_id → split, key, source, license, url

Its `build_lmdb_dataset.py` reads them (`--splits train,valid`). Ids count from 0 through both splits, so that no two
pictures have one. Each part writes a piece of every file; `join` puts the pieces together.
"""

import base64
import json
import shutil
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.atomic import whole_file
from ..executor.part import Part
from .exported_picture import ExportConfig, ExportSummary, exported_pictures

if TYPE_CHECKING:
    from .plan import PlannedRows

SPLIT_NAMES = {"train": "train", "validation": "valid"}  # as Chinese-CLIP calls them
LISTING = "texts.jsonl"
PIECES = ("imgs.tsv", LISTING)
KEYS = "keys.parquet"

_KEYS = pa.schema(
    [
        ("split", pa.string()),
        ("text_id", pa.int64()),
        ("image_id", pa.int64()),
        *((name, pa.string()) for name in ("key", "source", "license", "url")),
    ]
)


class PieceSpec(TypedDict):
    split: str  # train, validation
    first_image: int  # the id of the part's first picture
    first_text: int


def pieces(plan: "list[PlannedRows]") -> list[tuple[str, PieceSpec]]:
    """The name and the first ids of each part."""
    first = {"image": 0, "text": 0}
    specs: dict[str, PieceSpec] = {}
    for split in SPLIT_NAMES:
        for rows in (rows for rows in plan if rows.split == split):
            specs[rows.name] = PieceSpec(split=split, first_image=first["image"], first_text=first["text"])
            first = {"image": first["image"] + rows.pictures, "text": first["text"] + rows.pairs}
    return [(rows.name, specs[rows.name]) for rows in plan]


def write_piece(part: Part[PieceSpec], config: ExportConfig, folder: Path) -> ExportSummary:
    """Raises CheckFailed if a picture has changed since it was measured."""
    first_text, image_id = part.spec["first_text"], part.spec["first_image"]
    text_id, endings = first_text, set[str]()
    keys: list[dict[str, object]] = []
    images, texts = (folder / f"{part.name}_{piece}" for piece in PIECES)
    with images.open("wb") as image_file, texts.open("w", encoding="utf-8", newline="\n") as text_file:
        for picture in exported_pictures(part, config):
            image_file.write(b"%d\t%s\n" % (image_id, base64.b64encode(picture.data)))
            for row in picture.rows:
                text = {"text_id": text_id, "text": row["caption"], "image_ids": [image_id]}
                text_file.write(json.dumps(text, ensure_ascii=False) + "\n")
                facts = {name: row.get(name) for name in ("key", "source", "license", "url")}
                keys.append({"split": part.spec["split"], "text_id": text_id, "image_id": image_id, **facts})
                text_id += 1
            image_id += 1
            endings.add(picture.ending)
    pq.write_table(pa.Table.from_pylist(keys, schema=_KEYS), folder / f"{part.name}_{KEYS}", compression="zstd")
    pictures = image_id - part.spec["first_image"]
    return ExportSummary(pairs=text_id - first_text, pictures=pictures, endings=sorted(endings))


def join(folder: Path, parts: dict[str, list[str]], out: Path) -> dict[str, str | None]:
    """Put the pieces in `folder` together; `parts` are those of each split, in their order.

    Returns the files that it wrote, each with the split whose pairs it lists, or None.
    """
    files: dict[str, str | None] = {}
    for split, piece in product(parts, PIECES):
        names, file = parts[split], f"{SPLIT_NAMES[split]}_{piece}"
        if not names:
            (out / file).unlink(missing_ok=True)  # of an earlier export, which had another split
        else:
            files[file] = split if piece == LISTING else None
            with whole_file(out / file) as temporary, temporary.open("wb") as joined:
                for name in names:
                    with (folder / f"{name}_{piece}").open("rb") as part:
                        shutil.copyfileobj(part, joined, 1 << 20)
    with whole_file(out / KEYS) as temporary, pq.ParquetWriter(temporary, _KEYS, compression="zstd") as writer:
        for name in (name for names in parts.values() for name in names):
            writer.write_table(pq.read_table(folder / f"{name}_{KEYS}"))
    return {**files, KEYS: None}
