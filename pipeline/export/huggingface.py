"""Hugging Face: Parquet with the pictures' bytes, which `datasets` and the hub's viewer show as pictures.

    data/train-00000-of-00004.parquet
    {"image": {"bytes": …, "path": "0f31….jpg"}, "caption": "一只猫", "key": "0f31…", "source": …, "license": …, …}

A row is a picture, so that its bytes are there once. Where pictures of the corpus have several captions, `caption` and
`key` are lists in all files. A row group has at most 64 MB of pictures, or one picture.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ..executor.part import Part
from .exported_picture import ExportConfig, ExportedPicture, ExportSummary, exported_pictures

if TYPE_CHECKING:
    from .plan import PlannedRows

_GROUP_BYTES = 64 * 1024**2
_GROUP_ROWS = 1000
_TEXTS = ("source", "license", "url")
_INTEGERS = ("width", "height")


class ParquetSpec(TypedDict):
    lists: bool  # some picture of the corpus has several captions


def tables(plan: "list[PlannedRows]") -> list[tuple[str, ParquetSpec]]:
    """The name of each part, which counts those of its split."""
    counts = Counter(rows.split for rows in plan)
    spec = ParquetSpec(lists=any(rows.pairs > rows.pictures for rows in plan))
    return [(f"{rows.name}-of-{counts[rows.split]:05d}", spec) for rows in plan]


def write_parquet(part: Part[ParquetSpec], config: ExportConfig, folder: Path) -> ExportSummary:
    """Raises CheckFailed if a picture has changed since it was measured."""
    pairs, pictures, endings = 0, 0, set[str]()
    schema = _schema(part.spec["lists"])
    path = folder / "data" / f"{part.name}.parquet"
    path.parent.mkdir()
    # Pictures are compressed already, and statistics of them would repeat their bytes.
    others = [name for name in schema.names if name != "image"]
    packed = dict.fromkeys(["image.path", *(_leaf(schema, name) for name in others)], "zstd")
    with pq.ParquetWriter(
        path, schema, compression={"image.bytes": "none", **packed}, use_dictionary=others, write_statistics=others
    ) as writer:
        for group in _groups(exported_pictures(part, config)):
            rows = [_row(picture, part.spec["lists"]) for picture in group]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            pairs, pictures = pairs + sum(len(each.rows) for each in group), pictures + len(group)
            endings.update(each.ending for each in group)
    return ExportSummary(pairs=pairs, pictures=pictures, endings=sorted(endings))


def _groups(pictures: Iterator[ExportedPicture]) -> Iterator[list[ExportedPicture]]:
    group: list[ExportedPicture] = []
    group_bytes = 0
    for picture in pictures:
        if group and (len(group) == _GROUP_ROWS or group_bytes + len(picture.data) > _GROUP_BYTES):
            yield group
            group, group_bytes = [], 0
        group.append(picture)
        group_bytes += len(picture.data)
    if group:
        yield group


def _row(picture: ExportedPicture, lists: bool) -> dict[str, Any]:
    captions, keys = ([row[name] for row in picture.rows] for name in ("caption", "key"))
    return {
        "image": {"bytes": picture.data, "path": picture.name},
        "caption": captions if lists else captions[0],
        "key": keys if lists else keys[0],
        **{name: picture.first.get(name) for name in _TEXTS},
        "width": picture.width,
        "height": picture.height,
    }


def _schema(lists: bool) -> pa.Schema:
    """The Arrow schema, with what `datasets` reads of its metadata: that `image` is a picture."""
    text = pa.list_(pa.string()) if lists else pa.string()
    value = {"dtype": "string", "_type": "Value"}
    texts = {"feature": value, "_type": "Sequence"} if lists else value
    features = {"image": {"_type": "Image"}, "caption": texts, "key": texts, **dict.fromkeys(_TEXTS, value)}
    features |= {name: {"dtype": "int32", "_type": "Value"} for name in _INTEGERS}
    return pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("caption", text),
            ("key", text),
            *((name, pa.string()) for name in _TEXTS),
            *((name, pa.int32()) for name in _INTEGERS),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _leaf(schema: pa.Schema, name: str) -> str:
    """The column as Parquet calls it: of a list, that of its elements."""
    return f"{name}.list.element" if pa.types.is_list(schema.field(name).type) else name
