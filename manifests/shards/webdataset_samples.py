"""Block shards as samples for webdataset: a stage that stands where `wds.tarfile_to_samples()` would.

    shards = wds.SimpleShardList("runs/emoji/shards/train-{00000..00007}.tar")
    samples = wds.DataPipeline(shards, wds.split_by_node, wds.split_by_worker, tuwen_samples("runs/emoji/shards"))
    batches = wds.FluidWrapper(samples).shuffle(1000).to_tuple("codes.npy", "txt", "json").batched(64)

Comes in: {"url"} of each shard; behind `wds.cache.FileCache`, {"url", "stream"}. Goes out: the rows, as the decoded
samples of `tuwen manifest export --layout sample`. They need no `.decode()`; `.decode(partial=True)` keeps them.
Stages before this one split, shuffle or resample shards; stages behind it shuffle and batch rows.

Behind `wds.WebDataset(…)` the stage is refused: that class drops `__shard__`, and ends a shard at a bad tar header
without an error, so that nothing behind it can tell what is missing. wids cannot read rows of block shards: it gives
a block an index, and its transforms return one item for one. The export has an index for wids.
"""

import io
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypedDict, cast
from urllib.parse import unquote

import numpy as np
import webdataset as wds
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from ..documents import ShardEntry
from ..errors import BadInput, CheckFailed
from ..manifest import Manifest, load_manifest
from .block_shard import HEADER

Json = dict[str, Any]  # as webdataset decodes a member `.json`
Source = dict[str, Any]  # as webdataset's shard lists and caches give it: url, stream
Sample = TypedDict(
    "Sample",
    {
        "__key__": str,  # of the pair: 32 hex digits
        "__url__": str,  # of its shard
        "codes.npy": NDArray[Any],  # (h, w) uint16, or uint32 above 65,536 codes; the row's own memory
        "json": Json,  # caption, source, license, crop, …, and text_ids: the caption ids without padding
        "txt": str,  # the caption
    },
)
Stage = Callable[[Iterable[Source]], Iterator[Sample]]

_ARRAYS = ("codes.npy", "text.npy", "text_ptr.npy", "text_len.npy")
_RAGGED = ("codes.npy", "meta.jsonl", "text.npy", "text_ptr.npy")  # the members of a block, in order
_PADDED = (*_RAGGED[:3], "text_len.npy")
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"{'descr': '(?P<dtype><u[24])', 'fortran_order': False, 'shape': \((?P<shape>\d+,(?: \d+)?)\), } *\n",
    re.DOTALL,
)
_CURE = "restore it from a copy, run `tuwen tokenize` again, or take it out with `tuwen manifest quarantine`"


def tuwen_samples(manifest: Path | str | None = None) -> Stage:
    """Return a stage that yields the rows of each shard as they lie there, with one block in memory at a time.

    With the manifest (a folder, its file or a URL) no wrong byte goes on: a shard must have the size and the
    `__shard__` of its entry before its first row is given, and a block the crc32 of its entry. Without it the stage
    proves what a lone shard can prove: every tar header, the end of the archive, all blocks in their places, all
    members and rows of a block, and ids that are in range. A bit flipped in a code that stays in range is not found.

    Raises CheckFailed with shard, block and cure, whatever `handler` other stages have; a DataLoader passes it on from
    its worker as RuntimeError with the same text. Raises BadInput for what is no block shard, or not in the manifest.

    `__shard__` comes last and is read first: a stream that cannot seek (pipe:, http:) is copied to a temporary file.
    """
    return partial(_samples, listed=None if manifest is None else _Listed(load_manifest(manifest, "shards")))


def _samples(sources: Iterable[Source], listed: "_Listed | None") -> Iterator[Sample]:
    for source in sources:
        if "url" not in source:
            raise BadInput(
                f"tuwen_samples was given {sorted(source)[:4]} and needs the URL of a shard",
                cure="put it in place of wds.tarfile_to_samples() in a wds.DataPipeline",
            )
        url = source["url"]
        entry = listed and listed.find(url)
        with _open(source) as file:
            header = listed.header(url, file, entry) if listed and entry else _lone_header(url, file)
            for block, (start, stop) in enumerate(pairwise(header.block_offsets)):
                file.seek(start)
                data = file.read(stop - start)
                if listed and entry and zlib.crc32(data) != entry.crc32[block]:
                    raise listed.fault(url, file, entry, block)
                yield from _rows(url, block, data, header)


def _open(source: Source) -> BinaryIO:
    """A local file as it is, anything else as a temporary file."""
    try:
        stream = source.get("stream") or wds.gopen(source["url"])
        if isinstance(stream, io.IOBase) and stream.seekable():
            return cast(BinaryIO, stream)
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile())
            with closing(stream):  # raises if it is that of a command which failed
                shutil.copyfileobj(stream, copy)
            stack.pop_all()
            return copy
    except OSError as error:
        why = error.strerror or error
        raise CheckFailed(f"{source['url']}: no block from 0 on can be read: {why}", cure=_CURE) from None


# --- what is known of a shard before its rows are read ----------------------------------------------


class _Codes(BaseModel):
    shape: list[int]  # h, w
    codebook: int


class _Text(BaseModel):
    vocab: int


class _Schema(BaseModel):
    codes: _Codes
    text: _Text


class _Header(BaseModel):
    """What `__shard__` says, as far as it is needed here."""

    layout: str
    samples: int
    block_rows: int = Field(gt=0)
    block_offsets: list[int] = Field(min_length=1)
    content: _Schema | None = Field(None, alias="schema")

    @property
    def num_blocks(self) -> int:
        return -(-self.samples // self.block_rows)


class _Listed:
    """The shards of a manifest, by the last part of the places where they may lie."""

    def __init__(self, manifest: Manifest) -> None:
        self._id, self._shards = manifest.id, manifest.shards
        self._by_name: defaultdict[str, list[tuple[PurePosixPath, ShardEntry]]] = defaultdict(list)
        for shard in self._shards:
            for place in map(PurePosixPath, dict.fromkeys((shard.name, *shard.urls))):
                self._by_name[place.name].append((place, shard))

    def find(self, url: str) -> ShardEntry:
        """The entry that a URL means. Of two with one file name (merged manifests), that which shares more folders."""
        words = [PurePosixPath(unquote(word)) for word in re.split(r"[\s?#&='\"]+", url)]  # of a URL, or of a command
        places = [(word, *found) for word in words for found in self._by_name.get(word.name, [])]
        found = [(_common_end(word, place), shard) for word, place, shard in places]
        most = max((length for length, _ in found), default=0)
        best = {shard.name: shard for length, shard in found if length == most}
        if len(best) != 1:
            known = f"could be {' or '.join(best)}" if best else "is no shard"
            raise BadInput(f"{url}: {known} of the manifest {self._id}", cure="give the manifest that lists it")
        return best.popitem()[1]

    def header(self, url: str, file: BinaryIO, entry: ShardEntry) -> "_Header":
        """Raises CheckFailed unless the size and the tail are those of the entry."""
        num_bytes, tail = file.seek(0, io.SEEK_END), entry.block_offsets[-1]
        if num_bytes == entry.bytes and _crc32(file, tail, num_bytes) == entry.tail_crc32:
            _, start, stop = next(_members(file, tail))
            return _parsed(url, file, start, stop)
        blocks = zip(pairwise(entry.block_offsets), entry.crc32, strict=True)
        holds = [_crc32(file, start, stop) == crc for (start, stop), crc in blocks]
        raise self.fault(url, file, entry, [*holds, False].index(False))

    def fault(self, url: str, file: BinaryIO, entry: ShardEntry, block: int) -> CheckFailed:
        """The first block that is wrong, or the number of blocks for the tail."""
        num_bytes = file.seek(0, io.SEEK_END)
        owner = self._owner(file, num_bytes)
        if owner not in (None, entry.name):
            return CheckFailed(f"{url}: holds the bytes of {owner}, from block 0 on", cure=_CURE)
        size = f"{num_bytes} bytes instead of {entry.bytes}: " if num_bytes != entry.bytes else ""
        where = f"block {block}" if block < entry.num_blocks else f"`{HEADER}`, behind block {block - 1},"
        return CheckFailed(f"{url}: {size}{where} is {'cut or ' if size else ''}corrupt", cure=_CURE)

    def _owner(self, file: BinaryIO, num_bytes: int) -> str | None:
        """The name of the shard whose size and first block a file has."""
        crcs: dict[int, int] = {}
        for shard in self._shards:
            stop = shard.block_offsets[1]
            if shard.bytes == num_bytes:
                if stop not in crcs:
                    crcs[stop] = _crc32(file, 0, stop)
                if crcs[stop] == shard.crc32[0]:
                    return shard.name
        return None


def _common_end(one: PurePosixPath, other: PurePosixPath) -> int:
    """How many of their last parts are equal."""
    pairs = zip(reversed(one.parts), reversed(other.parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _crc32(file: BinaryIO, start: int, stop: int) -> int:
    file.seek(start)
    return zlib.crc32(file.read(stop - start))


def _lone_header(url: str, file: BinaryIO) -> _Header:
    """What `__shard__` says, where the members before it and the end of the file agree with it."""
    num_bytes = file.seek(0, io.SEEK_END)
    starts: list[int] = []  # of the members
    for name, start, stop in _members(file):
        block, is_not_first = divmod(len(starts), len(_RAGGED))
        if name == HEADER:
            header = _parsed(url, file, start, stop)
            offsets = [*starts[:: len(_RAGGED)], start - tarfile.BLOCKSIZE]
            if is_not_first or header.block_offsets != offsets or header.num_blocks != len(offsets) - 1:
                raise CheckFailed(f"{url}: block {block - 1} is not the last that `{HEADER}` lists", cure=_CURE)
            file.seek(stop + -stop % tarfile.BLOCKSIZE)
            end = file.read(2 * tarfile.RECORDSIZE)
            if len(end) < 2 * tarfile.BLOCKSIZE or end.strip(b"\0") or num_bytes % tarfile.RECORDSIZE:
                raise CheckFailed(f"{url}: the end of the archive behind block {block - 1} is cut", cure=_CURE)
            return header
        if not name.startswith(f"b{block:06d}."):
            if not starts:
                raise BadInput(
                    f"{url}: begins with {name}, so it is no block shard", cure="use wds.tarfile_to_samples()"
                )
            break
        if stop > num_bytes:
            break
        starts.append(start - tarfile.BLOCKSIZE)
    raise CheckFailed(f"{url}: block {len(starts) // len(_RAGGED)} is missing, cut or corrupt", cure=_CURE)


def _members(file: BinaryIO, at: int = 0) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of the members from `at` on, up to the first place without a valid tar header."""
    while True:
        file.seek(at)
        try:
            info = tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        except tarfile.TarError:
            return
        start = at + tarfile.BLOCKSIZE
        yield info.name, start, start + info.size
        at = start + info.size + -info.size % tarfile.BLOCKSIZE


def _parsed(url: str, file: BinaryIO, start: int, stop: int) -> _Header:
    file.seek(start)
    try:
        header = _Header.model_validate_json(file.read(stop - start))
    except ValidationError:
        raise CheckFailed(f"{url}: its `{HEADER}`, behind the last block, is cut or corrupt", cure=_CURE) from None
    if header.layout != "block":
        raise BadInput(f"{url}: layout `{header.layout}`", cure="read it with wds.tarfile_to_samples()")
    return header


# --- the rows of a block ----------------------------------------------------------------------------


def _rows(url: str, block: int, data: bytes, header: _Header) -> Iterator[Sample]:
    num_rows = min(header.block_rows, header.samples - block * header.block_rows)
    try:
        members = _block_members(block, data)
        arrays = {name: _array(members[name]) for name in _ARRAYS if name in members}
        codes = _codes(arrays["codes.npy"], num_rows, header.content)  # (rows, h, w)
        captions = _captions(arrays, num_rows, header.content)
        metas = _metas(members["meta.jsonl"], num_rows)
    except ValueError as error:
        raise CheckFailed(f"{url}: block {block} is corrupt: {error}", cure=_CURE) from None
    for row, (meta, ids) in enumerate(zip(metas, captions, strict=True)):
        # A copy: as a view, one row in a shuffle buffer would keep the whole block in memory.
        yield {"__key__": meta["key"], "__url__": url, "codes.npy": codes[row].copy(),
               "json": {**meta, "text_ids": ids}, "txt": meta["caption"]}  # fmt: skip


def _block_members(block: int, data: bytes) -> dict[str, memoryview]:
    """By name, without the number of the block. Raises ValueError unless they are those of a block, and fill it."""
    found, end = {}, 0
    for name, start, stop in _members(cast(BinaryIO, io.BytesIO(data))):
        found[name.removeprefix(f"b{block:06d}.")] = memoryview(data)[start:stop]
        end = stop + -stop % tarfile.BLOCKSIZE
    if tuple(found) not in (_RAGGED, _PADDED) or end != len(data):
        raise ValueError("a tar header is wrong")
    return found


def _array(member: memoryview) -> NDArray[Any]:
    """Raises ValueError for a .npy file that is not as block shards have it, down to the spaces of its header."""
    found = _NPY.match(member)
    if not found or found.end() != 10 + int.from_bytes(found["length"], "little"):
        raise ValueError("the header of a .npy file is wrong")
    shape = [int(side) for side in found["shape"].split(b",") if side]
    return np.frombuffer(member, found["dtype"].decode(), offset=found.end()).reshape(shape)


def _codes(codes: NDArray[Any], num_rows: int, schema: _Schema | None) -> NDArray[Any]:
    if codes.ndim != 2 or len(codes) != num_rows:
        raise ValueError(f"codes {codes.dtype} {codes.shape} instead of {num_rows} rows")
    if schema is None:  # a shard that was not written by `tuwen tokenize`
        return codes[:, None]
    if codes.size and codes.max() >= schema.codes.codebook:
        raise ValueError(f"code {codes.max()} of {schema.codes.codebook}")
    return codes.reshape(num_rows, *schema.codes.shape)


def _captions(arrays: dict[str, NDArray[Any]], num_rows: int, schema: _Schema | None) -> list[list[int]]:
    """The caption ids of each row."""
    text = arrays["text.npy"]
    if schema is not None and text.size and text.max() >= schema.text.vocab:
        raise ValueError(f"caption id {text.max()} of {schema.text.vocab}")
    if "text_len.npy" in arrays:
        lengths = arrays["text_len.npy"]
        if text.ndim != 2 or len(text) != num_rows or lengths.shape != (num_rows,) or lengths.max() > text.shape[1]:
            raise ValueError("caption lengths that do not fit their ids")
        return [ids[:length] for ids, length in zip(text.tolist(), lengths.tolist(), strict=True)]
    places = arrays["text_ptr.npy"].astype(np.int64)
    if text.ndim != 1 or places.shape != (num_rows + 1,) or places[0] or places[-1] != len(text) or (
        np.diff(places) < 0
    ).any():  # fmt: skip
        raise ValueError("captions that do not begin where the one before ends")
    flat = text.tolist()
    return [flat[start:stop] for start, stop in pairwise(places.tolist())]


def _metas(lines: memoryview, num_rows: int) -> list[Json]:
    """A block is parsed as one JSON array: canonical JSON has no line break within a line."""
    metas: list[Json] = json.loads(b"[" + bytes(lines).rstrip(b"\n").replace(b"\n", b",") + b"]")
    if len(metas) != num_rows or not all(
        isinstance(meta, dict) and isinstance(meta.get("key"), str) and isinstance(meta.get("caption"), str)
        for meta in metas
    ):
        raise ValueError(f"its meta.jsonl has not {num_rows} rows with key and caption")
    return metas
