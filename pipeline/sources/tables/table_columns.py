"""Which columns of a table with pictures are read: those that the recipe names, else those with usual names.

table_columns(file, schema, image=None, captions=["alt_text", "recaption"])
# {"image": "image", "captions": ["alt_text", "recaption"], "url": "url", "license": None}
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ....manifests.errors import BadInput
from ...tables.column_roles import ADDRESSES, CAPTIONS, LICENSES, check_columns, listed, only_usual, usual_columns
from .parquet import Columns
from .picture_column import picture_column, picture_kind

_FIRST_CAPTIONS = ("caption", "captions", "text", "TEXT", "txt")  # the first of these goes before other usual names


def table_columns(file: Path, schema: pa.Schema, image: str | None, captions: Sequence[str]) -> Columns:
    """`captions` are those of the recipe; blank ones are not named. Raises BadInput when a column is not clear."""
    if not schema.names:
        raise BadInput(f"{file}: has no columns", cure="write it again, or take it out of the source")
    asked = [name for name in captions if name]
    check_columns(file, schema.names, [image, *asked])
    chosen = _image(file, schema, image)
    columns = Columns(
        image=chosen,
        captions=asked or [_caption(file, [name for name in schema.names if name != chosen])],
        url=_plain_text(schema, ("url",)),
        license=_plain_text(schema, LICENSES),
    )
    for name in [chosen, *columns["captions"]]:
        if schema.names.count(name) > 1:
            raise BadInput(f"{file}: has {schema.names.count(name)} columns called `{name}`", cure="rename one of them")
    return columns


def column_type(schema: pa.Schema, name: str) -> pa.DataType:
    """The type of each column; where two share a name, that of the first."""
    return schema.field(schema.names.index(name)).type


def holds_addresses(file: Path) -> BadInput:
    return BadInput(f"{file}: it holds addresses, not pictures", cure="write `kind: urls`, which fetches them")


def has_addresses(names: Sequence[str]) -> bool:
    return bool(usual_columns(names, ADDRESSES))


def _image(file: Path, schema: pa.Schema, asked: str | None) -> str:
    chosen = asked or picture_column(schema)
    if chosen is None and has_addresses(schema.names):
        raise holds_addresses(file)
    if chosen is None:
        several = [field.name for field in schema if picture_kind(field.type) == "bytes"]
        problem = (
            f"not plain which of {listed(several)} has the pictures" if several else "no column of pictures among "
        )
        raise BadInput(
            f"{file}: {problem if several else problem + listed(schema.names)}", cure="name it with `image: …`"
        )
    if (kind := column_type(schema, chosen)) and picture_kind(kind) is None:
        raise BadInput(
            f"{file}: column `{chosen}` holds no pictures ({str(kind)[:60]})",
            cure="name a column of bytes, of base64, or of the paths of files",
        )
    return chosen


def _caption(file: Path, names: list[str]) -> str:
    caption = next((name for name in _FIRST_CAPTIONS if name in names), None) or only_usual(names, CAPTIONS)
    if caption is None:
        usual = usual_columns(names, CAPTIONS)
        problem = f"not plain which of {listed(usual)} is the caption" if usual else "no column of captions among "
        raise BadInput(
            f"{file}: {problem if usual else problem + listed(names)}",
            cure="name it with `caption: …`, or `captions: […]`",
        )
    return caption


def _plain_text(schema: pa.Schema, usual: Sequence[str]) -> str | None:
    """The column with a usual name, if a cell of it can be one text."""
    name = next(iter(usual_columns(schema.names, usual)), None)
    is_nested = name is not None and (
        pa.types.is_nested(column_type(schema, name)) or pa.types.is_boolean(column_type(schema, name))
    )
    return None if is_nested else name
