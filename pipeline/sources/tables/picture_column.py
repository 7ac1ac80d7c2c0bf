"""The column of a table that holds its pictures, by the schema alone: the same column whenever the file is opened.

    picture_column(schema)           # "image"; None: it is not plain which one
    picture_kind(schema.field("image").type)      # "bytes", "text" (base64, or the paths of files), None: neither

Pictures are bytes, a struct of bytes and path (Hugging Face), or text, and lists of these.
"""

from typing import Literal

import pyarrow as pa

from ...tables.column_roles import PICTURES, usual_columns

Kind = Literal["bytes", "text"]


def picture_column(schema: pa.Schema) -> str | None:
    """Bytes go before text, one picture a row before several, a usual name before the only one of its type."""
    kinds = {field.name: picture_kind(field.type) for field in schema}
    several = [name for name, kind in kinds.items() if kind == "bytes"]
    single = [name for name in several if _is_single(schema.field(schema.names.index(name)).type)]
    texts = [name for name, kind in kinds.items() if kind == "text"]
    usual = [*usual_columns(single, PICTURES), *usual_columns(several, PICTURES)]
    alone = single if len(single) == 1 else several if len(several) == 1 else []
    return next(iter([*usual, *alone, *([] if several else usual_columns(texts, PICTURES))]), None)


def picture_kind(kind: pa.DataType) -> Kind | None:
    types = pa.types
    if types.is_struct(kind):
        fields = {field.name: picture_kind(field.type) for field in kind}
        return fields.get("bytes") or fields.get("path")
    if _is_list(kind) or types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return picture_kind(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return picture_kind(kind.storage_type)
    if _is_bytes(kind) or types.is_fixed_size_binary(kind):
        return "bytes"
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
    return "text" if is_text else None


def _is_single(kind: pa.DataType) -> bool:
    """Whether a cell is one picture. Bytes of a fixed size are hashes, unless their column has a usual name."""
    return _is_bytes(kind) or (pa.types.is_struct(kind) and any(_is_bytes(field.type) for field in kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        or types.is_list_view(kind) or types.is_large_list_view(kind)
    )  # fmt: skip
