"""The block shard: rows of codes and caption ids ↔ the bytes of a tar that any WebDataset reader opens.

A block of B rows is four members, sorted: `b000000.codes.npy` (B, h·w), `b000000.meta.jsonl` (key, caption,
source, licence, crop box), and the ragged caption ids as `b000000.text.npy` with `b000000.text_ptr.npy` (B + 1).
The last member, `__shard__`, repeats the header, so that a lone shard explains itself. USTAR, everything that
could differ between two runs set to zero: the same rows always give the same bytes.

    entry = write_shard(path, blocks, header={"codebook": 1024})
    codes, text, lengths = ShardReader(path, entry).rows(np.array([5, 0, 4097]))
"""

import hashlib
import io
import json
import mmap
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import whole_file
from .canonical import canonical_json, sha256_of_file
from .errors import CheckFailed
from .manifest import ArrayPlace, ShardEntry

_NPY_HEADER_BYTES = 128  # what np.save writes for these arrays; checked when written


@dataclass(frozen=True)
class Block:
    codes: NDArray[Any]  # (rows, h·w) unsigned
    text: list[list[int]]  # caption ids of each row
    meta: list[dict[str, Any]]  # of each row: key, caption, source, license, crop


def code_dtype(num_ids: int) -> str:
    """uint16 holds 0 … 65,535; never int16, which would turn code 40,000 negative."""
    return "<u2" if num_ids <= 1 << 16 else "<u4"


def write_shard(
    path: Path, blocks: Iterable[Block], *, block_rows: int, codebook: int, vocab: int, header: dict[str, Any]
) -> ShardEntry:
    """Every block but the last has exactly `block_rows` rows. `header` goes into `__shard__`."""
    writer = _ShardWriter(block_rows, code_dtype(codebook), code_dtype(vocab))
    with whole_file(path) as temporary:
        with temporary.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for block in blocks:
                writer.add(tar, block)
            writer.end(tar, header)
        return writer.entry(path.name, temporary)


class _ShardWriter:
    def __init__(self, block_rows: int, codes_dtype: str, text_dtype: str) -> None:
        self.block_rows = block_rows
        self.dtypes = {"codes": codes_dtype, "text": text_dtype, "text_ptr": "<u4"}
        self.offsets: dict[str, list[int]] = {name: [] for name in (*self.dtypes, "meta")}
        self.block_offsets: list[int] = []
        self.samples = self.tokens = self.codes_per_row = 0
        self.keys = hashlib.sha256()

    def add(self, tar: tarfile.TarFile, block: Block) -> None:
        rows = len(block.meta)
        if not 0 < rows <= self.block_rows or self.samples % self.block_rows:
            raise ValueError(
                f"a block of {rows} rows after {self.samples}: only the last may differ from {self.block_rows}"
            )
        self.block_offsets.append(tar.offset)
        lengths = np.array([len(ids) for ids in block.text], dtype=np.int64)
        arrays = {
            "codes": block.codes,
            "text": np.array([token for ids in block.text for token in ids], dtype=np.int64),
            "text_ptr": np.concatenate([[0], np.cumsum(lengths)]),
        }
        lines = b"".join(canonical_json(row) + b"\n" for row in block.meta)
        number = len(self.block_offsets) - 1
        self._member(tar, "codes", f"b{number:06d}.codes.npy", _npy(arrays["codes"], self.dtypes["codes"]))
        self._member(tar, "meta", f"b{number:06d}.meta.jsonl", lines)
        for name in ("text", "text_ptr"):
            self._member(tar, name, f"b{number:06d}.{name}.npy", _npy(arrays[name], self.dtypes[name]))
        self.samples += rows
        self.tokens += int(lengths.sum())
        self.codes_per_row = block.codes.shape[1]
        for row in block.meta:
            self.keys.update(row["key"].encode())

    def end(self, tar: tarfile.TarFile, header: dict[str, Any]) -> None:
        self.block_offsets.append(tar.offset)
        facts = {"samples": self.samples, "layout": "block", "block_rows": self.block_rows, "arrays": self._arrays()}
        _add_member(tar, "__shard__", canonical_json({**header, **facts}))

    def entry(self, name: str, file: Path) -> ShardEntry:
        data = np.memmap(file, dtype=np.uint8, mode="r")
        edges = [*self.block_offsets, data.size]
        crcs = [zlib.crc32(data[start:stop].data) for start, stop in pairwise(edges)]
        return ShardEntry(
            name=name,
            bytes=data.size,
            sha256=sha256_of_file(file),
            samples=self.samples,
            layout="block",
            block_rows=self.block_rows,
            arrays={key: ArrayPlace(**place) for key, place in self._arrays().items()},
            block_offsets=self.block_offsets,
            crc32=crcs[:-1],
            tail_crc32=crcs[-1],
            keys_sha256="sha256:" + self.keys.hexdigest(),
            stats={"text_tokens": self.tokens},
        )

    def _arrays(self) -> dict[str, dict[str, Any]]:
        widths = {"codes": self.codes_per_row, "text": 1, "text_ptr": 1}
        places: dict[str, dict[str, Any]] = {
            name: {"dtype": dtype, "stride": widths[name] * np.dtype(dtype).itemsize}
            for name, dtype in self.dtypes.items()
        }
        places["meta"] = {"dtype": "jsonl", "stride": 0}
        for name, place in places.items():
            place |= {"offset": self.offsets[name][0], "blocks": self.offsets[name]}
        return places

    def _member(self, tar: tarfile.TarFile, array: str, name: str, data: bytes) -> None:
        header_bytes = 0 if array == "meta" else _NPY_HEADER_BYTES
        self.offsets[array].append(tar.offset + tarfile.BLOCKSIZE + header_bytes)
        _add_member(tar, name, data)


def _add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o444
    info.mtime = 0  # an integer: a float would add a 1 KiB PAX record to every member
    tar.addfile(info, io.BytesIO(data))


def _npy(array: NDArray[Any], dtype: str) -> bytes:
    if array.size and (array.min() < 0 or array.max() > np.iinfo(dtype).max):
        raise ValueError(f"ids {array.min()} … {array.max()} do not fit into {dtype}")
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=dtype), allow_pickle=False)
    data = buffer.getvalue()
    if len(data) - array.size * np.dtype(dtype).itemsize != _NPY_HEADER_BYTES:
        raise ValueError(f"np.save wrote a header that is not {_NPY_HEADER_BYTES} bytes")
    return data


class ShardReader:
    """Random access to the rows of one shard through a memory map.

    verify: `off`, `block` (crc32 of a block when it is first touched), `always` (at every touch).
    """

    def __init__(self, path: Path, entry: ShardEntry, verify: str = "block") -> None:
        self.path, self.entry, self.verify = path, entry, verify
        self._verified: set[int] = set()
        if not path.is_file():
            raise CheckFailed(f"{path}: the shard is missing", cure="restore it, or run `tuwen tokenize` again")
        if path.stat().st_size != entry.bytes:
            raise CheckFailed(
                f"{path}: {path.stat().st_size} bytes instead of {entry.bytes}",
                cure="restore it, or run `tuwen tokenize` again",
            )

    @cached_property
    def _map(self) -> mmap.mmap:
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def rows(self, rows: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """codes (n, h·w), caption ids (n, longest) padded with 0, caption lengths (n,)."""
        blocks, places = np.divmod(rows.astype(np.int64), self.entry.block_rows)
        self._check(blocks)
        codes = self._gather("codes", blocks, places, self._width("codes"))
        start = self._gather("text_ptr", blocks, places, 1)[:, 0].astype(np.int64)
        stop = self._gather("text_ptr", blocks, places + 1, 1)[:, 0].astype(np.int64)
        lengths = stop - start
        text = np.zeros((len(rows), int(lengths.max(initial=0))), dtype=self.entry.arrays["text"].dtype)
        column = np.arange(text.shape[1])
        taken = column < lengths[:, None]
        source = self._first("text", blocks)[:, None] + start[:, None] + column
        text[taken] = self._view("text")[source[taken]]
        return codes, text, lengths

    def meta(self, row: int) -> dict[str, Any]:
        return self.block_meta(row // self.entry.block_rows)[row % self.entry.block_rows]

    def block_meta(self, block: int) -> list[dict[str, Any]]:
        self._check(np.array([block]))
        start = self.entry.arrays["meta"].blocks[block]
        size = int(
            self._map[start - tarfile.BLOCKSIZE + 124 : start - tarfile.BLOCKSIZE + 135], 8
        )  # USTAR's size field
        return [json.loads(line) for line in self._map[start : start + size].splitlines()]

    def _width(self, array: str) -> int:
        place = self.entry.arrays[array]
        return place.stride // np.dtype(place.dtype).itemsize

    def _view(self, array: str) -> NDArray[Any]:
        """The whole file as items of the array's type; members begin at multiples of 512, so items are aligned."""
        dtype = np.dtype(self.entry.arrays[array].dtype)
        return np.frombuffer(self._map, dtype=dtype, count=len(self._map) // dtype.itemsize)

    def _first(self, array: str, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the array of each block begins, in items."""
        place = self.entry.arrays[array]
        return np.array(place.blocks, dtype=np.int64)[blocks] // np.dtype(place.dtype).itemsize

    def _gather(self, array: str, blocks: NDArray[np.int64], places: NDArray[np.int64], width: int) -> NDArray[Any]:
        start = self._first(array, blocks) + places * width
        return self._view(array)[start[:, None] + np.arange(width)]  # type: ignore[no-any-return]

    def _check(self, blocks: NDArray[np.int64]) -> None:
        if self.verify == "off":
            return
        for block in np.unique(blocks).tolist():
            if self.verify == "block" and block in self._verified:
                continue
            start, stop = self.entry.block_offsets[block : block + 2]
            if zlib.crc32(memoryview(self._map)[start:stop]) != self.entry.crc32[block]:
                raise CheckFailed(
                    f"{self.path}: block {block} is corrupt", cure="restore the shard, or run `tuwen tokenize` again"
                )
            self._verified.add(block)
