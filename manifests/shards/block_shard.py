"""The block shard: rows of codes and caption ids in a tar that any WebDataset reader opens.

    entry = write_shard(path, blocks, block_rows=4096, codebook=1024, vocab=4000, header={…})
    entry = read_lone_shard(path)       # without a manifest: from `__shard__`; checksums are those of the present bytes

A block of B rows has four members, sorted: `b000000.codes.npy` (B, h·w), `b000000.meta.jsonl` (`RowMeta`), and the
caption ids, either ragged as `b000000.text.npy` with `b000000.text_ptr.npy` (B + 1,), or padded with 0 as
`b000000.text.npy` (B, width) with `b000000.text_len.npy` (B,). Codes of further tokenizers, `b000000.codes_NAME.npy`,
stand behind the first. The last member, `__shard__`, is the header (`ShardDescription`). The tar is USTAR without times
and owners: the same rows always give the same bytes.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ..atomic import whole_file
from ..canonical import canonical_json, sha256_of_file
from ..documents import ArrayOffsets, ArraySchema, Json, OpenDocument, ShardEntry
from ..errors import BadInput, CheckFailed
from .tar_member import add_member

HEADER = "__shard__"  # without a suffix, which would make it a sample for webdataset
_NPY_HEADER_BYTES = 128  # at least; as np.save writes it for small arrays
_PAGE_BYTES = 4096
_LARGE_ARRAY_BYTES = 100 * _PAGE_BYTES  # a page of padding is at most 1% of it


@dataclass(frozen=True)
class Block:
    codes: NDArray[Any]  # (rows, h·w), 0 … codebook − 1
    text: list[list[int]]  # caption ids of each row
    meta: Sequence[Mapping[str, Any]]  # `RowMeta` of each row
    also: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # codes of further tokenizers, by array


class ShardDescription(OpenDocument):
    """The content of `__shard__`, for shards that come without their manifest."""

    samples: int
    layout: str
    block_rows: int
    arrays: dict[str, ArrayOffsets]
    block_offsets: list[int]  # first byte of each block, then the first byte of the tail
    sample_schema: ArraySchema | None = Field(None, alias="schema")
    image_tokenizer: Json = Field(default={})
    text_tokenizer: str = "unknown"  # sha256


def code_dtype(num_ids: int) -> str:
    """Return the dtype for ids below `num_ids`; never int16, which would turn code 40,000 negative."""
    return "<u2" if num_ids <= 1 << 16 else "<u4"


def write_shard(
    path: Path,
    blocks: Iterable[Block],
    *,
    block_rows: int,
    codebook: int,
    vocab: int,
    header: Json,
    text_width: int | None = None,
    also: Mapping[str, int] | None = None,
) -> ShardEntry:
    """Write the shard and return its entry for the manifest.

    Every block but the last has exactly `block_rows` rows. Captions are ragged, or padded to `text_width` ids. `header`
    (format, version, schema, tokenizers) becomes part of `__shard__`. `also` has the codebooks of further arrays.
    """
    codes = {"codes": code_dtype(codebook), **{name: code_dtype(size) for name, size in (also or {}).items()}}
    writer = _ShardWriter(block_rows, codes, code_dtype(vocab), text_width)
    with whole_file(path) as temporary:
        with temporary.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for block in blocks:
                writer.add(tar, block)
            writer.end(tar, header)
        return writer.entry(path.name, temporary)


class _ShardWriter:
    def __init__(self, block_rows: int, codes: dict[str, str], text_dtype: str, text_width: int | None) -> None:
        self.block_rows, self.text_width = block_rows, text_width
        sizes = {"text_ptr": "<u4"} if text_width is None else {"text_len": "<u2"}
        self.dtypes = {**codes, "text": text_dtype, **sizes}
        self.widths = {**dict.fromkeys(codes, 0), "text": text_width or 1, "text_ptr": 1, "text_len": 1}  # ids a row
        self.offsets: dict[str, list[int]] = {name: [] for name in (*self.dtypes, "meta")}
        self.block_offsets: list[int] = []
        self.samples = self.tokens = 0
        self.keys = hashlib.sha256()

    def add(self, tar: tarfile.TarFile, block: Block) -> None:
        rows = len(block.meta)
        if not 0 < rows <= self.block_rows or self.samples % self.block_rows:
            raise ValueError(
                f"a block of {rows} rows after {self.samples}: only the last may differ from {self.block_rows}"
            )
        self.block_offsets.append(tar.offset)
        lengths = np.array([len(ids) for ids in block.text], dtype=np.int64)
        arrays = self._ragged(block.text, lengths) if self.text_width is None else self._padded(block.text, lengths)
        lines = b"".join(canonical_json(row) + b"\n" for row in block.meta)
        number = len(self.block_offsets) - 1
        for name, codes in {"codes": block.codes, **dict(sorted(block.also.items()))}.items():
            self._member(tar, name, f"b{number:06d}.{name}.npy", codes)
            self.widths[name] = codes.shape[1]
        self.offsets["meta"].append(tar.offset + tarfile.BLOCKSIZE)
        add_member(tar, f"b{number:06d}.meta.jsonl", lines)
        for name, array in arrays.items():
            self._member(tar, name, f"b{number:06d}.{name}.npy", array)
        self.samples += rows
        self.tokens += int(lengths.sum())
        for row in block.meta:
            self.keys.update(row["key"].encode())

    def _ragged(self, text: list[list[int]], lengths: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        flat = np.array([token for ids in text for token in ids], dtype=np.int64)
        return {"text": flat, "text_ptr": np.concatenate([[0], np.cumsum(lengths)])}

    def _padded(self, text: list[list[int]], lengths: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        padded = np.zeros((len(text), self.text_width or 0), dtype=np.int64)
        for row, ids in enumerate(text):
            padded[row, : len(ids)] = ids
        return {"text": padded, "text_len": lengths}

    def end(self, tar: tarfile.TarFile, header: Json) -> None:
        self.block_offsets.append(tar.offset)
        add_member(tar, HEADER, canonical_json({**header, **self._facts(), "block_offsets": self.block_offsets}))

    def entry(self, name: str, file: Path) -> ShardEntry:
        stats = {"text_tokens": self.tokens}
        return entry_of(name, file, self._facts(), self.block_offsets, "sha256:" + self.keys.hexdigest(), stats)

    def _facts(self) -> Json:
        arrays = {name: offsets.model_dump() for name, offsets in self._arrays().items()}
        return {"samples": self.samples, "layout": "block", "block_rows": self.block_rows, "arrays": arrays}

    def _arrays(self) -> dict[str, ArrayOffsets]:
        formats = {name: (dtype, self.widths[name] * np.dtype(dtype).itemsize) for name, dtype in self.dtypes.items()}
        return {
            name: ArrayOffsets(dtype=dtype, stride=stride, offset=self.offsets[name][0], blocks=self.offsets[name])
            for name, (dtype, stride) in {**formats, "meta": ("jsonl", 0)}.items()
        }

    def _member(self, tar: tarfile.TarFile, array: str, name: str, values: NDArray[Any]) -> None:
        start = tar.offset + tarfile.BLOCKSIZE
        data, header_bytes = _npy(values, self.dtypes[array], start, aligned=array.startswith("codes"))
        self.offsets[array].append(start + header_bytes)
        add_member(tar, name, data)


def entry_of(
    name: str, file: Path, facts: Json, block_offsets: list[int], keys_sha256: str, stats: dict[str, int]
) -> ShardEntry:
    """Return the entry of the shard in `file`, with checksums of the bytes on the disk.

    `facts` are samples, layout, block_rows and arrays, as `__shard__` has them.
    """
    data = np.memmap(file, dtype=np.uint8, mode="r")
    crcs = [zlib.crc32(data[start:stop].data) for start, stop in pairwise([*block_offsets, data.size])]
    return ShardEntry(
        name=name,
        bytes=data.size,
        sha256=sha256_of_file(file),
        **facts,
        block_offsets=block_offsets,
        crc32=crcs[:-1],
        tail_crc32=crcs[-1],
        keys_sha256=keys_sha256,
        stats=stats,
    )


def read_header(path: Path) -> ShardDescription:
    """Return the content of `__shard__`.

    Raises BadInput when `path` is no shard of tuwen, CheckFailed when it is cut short.
    """
    try:
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            if not members or members[-1].name != HEADER:
                raise BadInput(f"{path}: its last member is not `{HEADER}`", cure="name a shard of tuwen that is whole")
            file = tar.extractfile(members[-1])
            assert file is not None
            return ShardDescription.model_validate_json(file.read())
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput(f"{path}: no such file", cure="name a shard") from None
    except ValidationError:
        raise CheckFailed(f"{path}: its `{HEADER}` is not that of a shard", cure="restore it from a copy") from None
    except (tarfile.TarError, EOFError):
        raise CheckFailed(f"{path}: not a whole tar", cure="restore it from a copy") from None


def read_lone_shard(path: Path) -> ShardEntry:
    """Return an entry for a shard without a manifest. It is readable, but nothing shows that its bytes are right."""
    header = read_header(path)
    facts = header.model_dump(include={"samples", "layout", "block_rows", "arrays"})
    return entry_of(path.name, path, facts, header.block_offsets, "unknown", {})


def _npy(array: NDArray[Any], dtype: str, start: int, aligned: bool) -> tuple[bytes, int]:
    """Return the bytes of a .npy file that begins at `start` in the shard, and the number of its header bytes.

    Aligned rows begin at multiples of their size if that is a power of two, and the rows of a large array at a page: a
    row of 2,048 bytes then lies in one page instead of two. Spaces in the header fill the gap.
    """
    if array.size and (array.min() < 0 or array.max() > np.iinfo(dtype).max):
        raise ValueError(f"ids {array.min()} … {array.max()} do not fit into {dtype}")
    payload = np.ascontiguousarray(array, dtype=dtype).tobytes()
    row_bytes = array.shape[-1] * np.dtype(dtype).itemsize
    alignment = _NPY_HEADER_BYTES
    if aligned and row_bytes and row_bytes & (row_bytes - 1) == 0 and row_bytes <= _PAGE_BYTES:
        alignment = max(alignment, _PAGE_BYTES if len(payload) >= _LARGE_ARRAY_BYTES else row_bytes)
    header_bytes = _NPY_HEADER_BYTES + -(start + _NPY_HEADER_BYTES) % alignment
    description = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {array.shape}, }}".encode()
    magic = b"\x93NUMPY\x01\x00" + (header_bytes - 10).to_bytes(2, "little")  # format version 1.0
    return magic + description.ljust(header_bytes - 11) + b"\n" + payload, header_bytes
