"""Parquet of captions and codes: one file, or the files of a folder.

    caption: string, encoding: list<int64>               dalle-mini (tools/dataset/encode_dataset.ipynb)
    key, caption, codes, text_ids, source, …             what `tuwen manifest export --layout parquet` writes

Columns of other names are given as --caption-column and --codes-column. Files are read a thousand rows at a time.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.errors import BadInput, CheckFailed
from ...manifests.run_folders import ShardsFolder
from ..export_codes.codes_table import META_COLUMNS, SPLIT, TEXT_IDS, header_of
from .asked import Asked, Grid
from .code_rows import BrokenRow, CodeFiles, CodeRow, Rows

CAPTIONS, CODES = ("caption", "text"), ("codes", "encoding")  # usual names of columns
_ROWS_AT_ONCE = 1024


def open_parquet(asked: Asked) -> CodeFiles:
    """Raises BadInput when a file has no column of captions or of codes."""
    is_file = asked.path.is_file()
    folder = asked.path.parent if is_file else asked.path
    names = [asked.path.name] if is_file else sorted(parquet_names(folder))
    schema = _schema(folder / names[0])
    caption = _column(asked.path, schema, asked.caption_column, CAPTIONS, "--caption-column")
    codes = _column(asked.path, schema, asked.codes_column, CODES, "--codes-column")
    header = header_of(schema)
    num_rows = sum(_opened(folder / name).metadata.num_rows for name in names)
    filled = asked if header is None else _filled(asked, header, folder, codes)

    def rows(known: Asked) -> Rows:
        for name in names:
            yield from _rows(folder / name, name, caption, codes)

    text_sha256 = header["text_tokenizer"] if header else None
    return CodeFiles("parquet", filled, folder, names, rows, num_rows, text_sha256)


def parquet_names(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))


def _filled(asked: Asked, header: dict[str, Any], folder: Path, column: str) -> Asked:
    """What an export of Tuwen says of itself, where the user says nothing else."""
    facts = header["schema"].get("also", {}).get(column, header["schema"]["codes"])
    name = header.get("also", {}).get(column, header["image_tokenizer"])["name"]
    books, beside = facts.get("codebooks", 1), ShardsFolder(folder)
    of_column = beside.image_tokenizer_of(column)
    return replace(
        asked,
        codebook=asked.codebook or facts["codebook"],
        grid=asked.grid or Grid(tuple(facts["shape"][:-1] if books > 1 else facts["shape"])),
        codebooks=asked.codebooks or books,
        text_model=asked.text_model or (beside.text_model if beside.text_model.is_file() else None),
        tokenizer=asked.tokenizer or (str(of_column) if of_column.is_dir() else name),
    )


def _rows(path: Path, name: str, caption: str, codes: str) -> Rows:
    file = _opened(path)
    schema = file.schema_arrow
    wanted = [
        _column(path, schema, caption, CAPTIONS, "--caption-column"),
        _column(path, schema, codes, CODES, "--codes-column"),
    ]
    if header_of(schema):  # what a file of others calls `key` or `split` is something else
        wanted += ["key", TEXT_IDS, SPLIT, *META_COLUMNS]
    number = 0
    try:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
            others = batch.drop_columns([codes]).to_pylist()
            for row, of_row in zip(others, _codes(batch[codes]), strict=True):
                place = f"{name}#{number}"
                number += 1
                yield _row(place, row, caption, of_row)
    except (pa.ArrowInvalid, OSError) as error:
        problem = str(error).splitlines()[0]
        raise CheckFailed(f"{path}: row {number}: {problem}", cure="restore the file, or take it out") from None


def _row(place: str, row: dict[str, Any], caption: str, codes: NDArray[Any] | None) -> CodeRow | BrokenRow:
    if codes is None:
        return BrokenRow(place, "no_codes")
    text = row[caption]
    if isinstance(text, list):  # several captions: the first
        text = next((each for each in text if isinstance(each, str)), None)
    meta: Any = {name: row[name] for name in ("key", *META_COLUMNS) if row.get(name) is not None}
    return CodeRow(
        place, codes, text if isinstance(text, str) else "", row.get(TEXT_IDS), meta=meta, split=row.get(SPLIT)
    )


def _codes(column: pa.Array) -> Iterator[NDArray[Any] | None]:
    """The codes of each row, flat; None where there are none, or no integers."""
    is_plain = pa.types.is_integer(getattr(column.type, "value_type", pa.null())) and not column.flatten().null_count
    if not is_plain:
        yield from (_nested(row) for row in column.to_pylist())
        return
    flat, start = column.flatten().to_numpy(zero_copy_only=False), 0  # without the values of null rows
    for length in column.value_lengths().fill_null(-1).to_pylist():
        yield flat[start : start + length] if length > 0 else None
        start += max(length, 0)


def _nested(row: Any) -> NDArray[Any] | None:
    try:
        codes = np.array(row)
    except ValueError:  # rows of several lengths
        return None
    return codes.reshape(-1) if codes.size and codes.dtype.kind in "iu" else None


def _column(path: Path, schema: pa.Schema, asked: str | None, usual: tuple[str, ...], option: str) -> str:
    found = [name for name in ((asked,) if asked else usual) if name in schema.names]
    if not found:
        missing = f"column `{asked}`" if asked else f"column called {' or '.join(usual)}"
        raise BadInput(f"{path}: has no {missing}", cure=f"say {option} with one of {', '.join(schema.names)}")
    return found[0]


def _schema(path: Path) -> pa.Schema:
    return _opened(path).schema_arrow


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        problem = str(error).splitlines()[0]
        raise CheckFailed(f"{path}: {problem}", cure="restore the file, or take it out") from None
