"""All rows of one split, counted through its shards in the manifest's order.

    reader = SplitReader(load_manifest("runs/emoji/shards"), "train")
    codes, text, lengths = reader.rows(np.array([7000, 3, 3]))

Rows are verified before they are returned. A fault raises an error that names the shard, the block and the cure; no
row is skipped.

    off      checks sizes only
    first    checks the sha256 of a shard on first use, once for each file and host
    block    checks the crc32 of a block on first use, and again after its file has changed (tested every second)
    always   checks the crc32 of a block on every use, over the copy from which the rows are then taken

`off`, `first` and `block` read through one range of mapped addresses. `always` reads whole blocks into memory of its
own, so that even a file that is overwritten or cut at that moment cannot give a wrong row.
"""

import errno
import json
import logging
import tarfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..documents import ShardEntry
from ..errors import BadInput, CheckFailed
from ..manifest import Manifest
from ..remote.file_cache import forget
from .buffer_pool import BufferPool
from .mapped_files import MappedFiles
from .row_index import Memory, Numbers, RowIndex
from .row_meta import RowMeta
from .shard_locations import find_shard, has_remote_location, sha256_holds

Verify = Literal["off", "first", "block", "always"]
Rows = tuple[NDArray[Any], NDArray[Any], Numbers]  # codes, caption ids, caption lengths

_log = logging.getLogger("tuwen")
STALE_SECONDS = 1.0
_CURE = "restore it from a copy, run `tuwen tokenize` again, or take it out with `tuwen manifest quarantine`"
_TEXT_SLACK_BYTES = 1 << 18  # the longest caption: 65,535 ids of four bytes
_MOST_REPAIRS = 5  # of one shard, before a disk that corrupts it again and again is given up
Result = TypeVar("Result")


class SplitReader:
    """Threads may share a reader."""

    def __init__(self, manifest: Manifest, split: str, verify: Verify = "block", codes: str = "codes") -> None:
        """`codes` is the array that rows have: "codes", or "codes_NAME" of a further tokenizer.

        Raises BadInput when a shard's layout is not `block`, or has no such array. A file is opened when its rows are
        first read.
        """
        self.manifest, self.split, self.verify = manifest, split, verify
        self.shards = manifest.shards_of(split)
        for shard in self.shards:
            if shard.layout != "block":
                raise BadInput(
                    f"{shard.name}: layout `{shard.layout}` is for other loaders",
                    cure="train from the shards that it was exported from",
                )
            if codes not in shard.arrays:
                held = ", ".join(sorted(name for name in shard.arrays if name.startswith("codes")))
                raise BadInput(f"{shard.name}: has no array `{codes}`", cure=f"name one that it has: {held}")
        if len({_strides(shard) for shard in self.shards}) > 1:
            raise BadInput(
                f"{manifest.folder}: shards of `{split}` store their rows in different widths",
                cure="tokenize all of them with the same `tokenize` section",
            )
        self.source = f"{manifest.id}/{split}"
        self._files = MappedFiles([shard.bytes for shard in self.shards])
        self._index = RowIndex(self.shards, self._files.starts, codes)
        self._buffers = BufferPool()
        self._ready = np.zeros(self._index.num_blocks, dtype=bool)  # mapped and verified
        self._stamps: dict[int, tuple[int, ...]] = {}  # mapped shard → its file and the time of its last change
        self._paths: dict[int, Path] = {}
        self._repairs: Counter[int] = Counter()  # shard → cached copies that were dropped
        self._repairing = threading.Lock()
        self._generation = 0  # counts invalidations
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._index.num_rows

    @property
    def first_rows(self) -> Numbers:
        """Return the first row of each shard."""
        return self._index.row_starts

    def rows(self, rows: Numbers) -> Rows:
        """Return codes (n, h·w), caption ids (n, longest) padded with 0, and caption lengths (n,), in that order."""
        return next(self.batches(rows, max(1, len(rows))))

    def batches(self, rows: Numbers, size: int) -> Iterator[Rows]:
        """Yield `rows` in batches of `size`. Blocks are verified, and caption ids read, for all batches at once.

        The codes of a batch are copied when its turn comes: 1 MB that is used at once stays in the processor's cache,
        and its memory serves the next batch; 16 MB at once take twice as long.
        """
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} … {rows.max()} of a split of {len(self)}")
        blocks, offsets = self._index.locate(rows)
        parts = [slice(start, start + size) for start in range(0, max(1, len(rows)), size)]
        if self.verify == "always":
            yield from (self._rows_of_copies(blocks[part], offsets[part]) for part in parts)
            return
        starts = self._index.shard_starts(blocks)
        memory = np.asarray(self._files)
        # Two steps: a length that is read from addresses while they are unmapped may be any number.
        text_starts, lengths = self._copied(blocks, partial(self._index.text_spans, memory, blocks, offsets, starts))
        text = self._copied(blocks, partial(self._index.text, memory, text_starts, lengths))
        for part in parts:
            located = memory, blocks[part], offsets[part], starts[part]
            codes = self._copied(blocks[part], partial(self._index.codes, *located, self._buffers))
            longest = int(lengths[part].max(initial=0))
            yield codes, text[part, :longest], lengths[part]

    def _copied(self, blocks: Numbers, copy: Callable[[], Any]) -> Any:
        """Return `copy()`, made while all blocks were mapped and valid from its beginning to its end."""
        while True:
            self._prepare(blocks)
            generation = self._generation
            if self._ready[blocks].all():
                copied = copy()
                if generation == self._generation:
                    return copied

    def block_meta(self, block: int) -> list[RowMeta]:
        """Return the metadata of each row of a block. Blocks are counted through all shards."""
        data = self._copy(block)
        start = self._index.array_start("meta", block)
        size = int(bytes(data[start - tarfile.BLOCKSIZE + 124 : start - tarfile.BLOCKSIZE + 135]), 8)  # USTAR's size
        return [json.loads(line) for line in bytes(data[start : start + size]).splitlines()]

    def meta(self, row: int) -> RowMeta:
        return self.metas(np.array([row]))[0]

    def metas(self, rows: Numbers) -> list[RowMeta]:
        """Return the metadata of any rows, in the order of `rows`; each block is read once."""
        blocks, offsets = self._index.locate(rows)
        metas: dict[int, RowMeta] = {}
        for block in np.unique(blocks).tolist():
            lines = self.block_meta(block)
            metas |= {int(number): lines[offsets[number]] for number in np.flatnonzero(blocks == block)}
        return [metas[number] for number in range(len(rows))]

    def all_meta(self) -> Iterator[RowMeta]:
        for block in range(self._index.num_blocks):
            yield from self.block_meta(block)

    def find(self, key: str) -> int | None:
        """Return the row of a key, or None. Reads the metadata of one block after the other."""
        return next((row for row, line in enumerate(self.all_meta()) if line["key"] == key), None)

    def _prepare(self, blocks: Numbers) -> None:
        """Map and verify the blocks that are not ready. Downloads and checksums run without the lock, side by side."""
        self._invalidate_changed_files()
        while not self._ready[blocks].all():
            generation = self._generation
            missing = np.unique(blocks[~self._ready[blocks]])
            needed = set(np.unique(self._index.shard_of_block[blocks]).tolist())
            for shard in np.unique(self._index.shard_of_block[missing]).tolist():
                self._open(shard, needed)
            if self.verify == "block":
                for block in missing.tolist():
                    self._verify_mapped(block, generation)
            with self._lock:
                if generation == self._generation:
                    self._ready[missing] = True

    def _open(self, shard: int, needed: set[int]) -> None:
        if shard in self._stamps:
            return
        entry = self.shards[shard]

        def map_it() -> None:
            path = find_shard(self.manifest, entry)
            stamp = _stamp(path)
            if self.verify == "first" and not sha256_holds(path, entry):
                raise CheckFailed(f"{path}: its bytes were altered (sha256 differs)", cure=_CURE)
            with self._lock:
                if shard in self._stamps:  # another thread has mapped it, and may have verified it
                    return
                if self._files.is_full:
                    self._make_room(needed)
                self._files.map(shard, path)
                self._paths[shard], self._stamps[shard] = path, stamp

        self._retried(shard, map_it)

    def _verify_mapped(self, block: int, generation: int) -> None:
        """Raises CheckFailed for a corrupt block. A cached copy is dropped instead, and the caller tries again."""
        if self._mapped_holds(block):
            return
        with self._repairing:
            if generation != self._generation:  # invalidated meanwhile: the bytes that were checked are gone
                return
            shard = int(self._index.shard_of_block[block])
            stamp = self._stamps.get(shard)
            if stamp is None or _stamp(self._paths[shard])[:5] != stamp[:5]:  # replaced since it was mapped
                with self._lock:
                    self._invalidate([shard])
                return
            self._repairs[shard] += 1
            if self._repairs[shard] > _MOST_REPAIRS or not forget(self._paths[shard]):
                raise self._corrupt(block)
            _log.warning("%s; fetched again", self._corrupt(block).problem)
            with self._lock:
                self._invalidate([shard])

    def _mapped_holds(self, block: int) -> bool:
        start = int(self._files.starts[self._index.shard_of_block[block]])
        first, last = self._index.edges(block)
        crc = zlib.crc32(np.asarray(self._files)[start + first : start + last].data)
        return crc == int(self._index.crc32[block])

    def _corrupt(self, block: int) -> CheckFailed:
        shard = int(self._index.shard_of_block[block])
        number = block - int(self._index.first_block[shard])
        name, path = self.shards[shard].name, self._paths[shard]
        where = str(path) if path.name == name else f"{name} ({path})"
        return CheckFailed(f"{where}: block {number} is corrupt", cure=_CURE)

    def _invalidate_changed_files(self) -> None:
        if time.monotonic() - self._looked < STALE_SECONDS:
            return
        with self._lock:
            self._looked = time.monotonic()
            self._invalidate([shard for shard, stamp in self._stamps.items() if _stamp(self._paths[shard]) != stamp])

    def _make_room(self, needed: set[int]) -> None:
        """Unmap the half that was mapped first, except shards that are `needed`. The caller holds the lock."""
        old = [shard for shard in self._stamps if shard not in needed]
        if not old:
            raise BadInput(f"rows of more than {len(self._stamps)} shards at once", cure="ask for fewer rows at a time")
        self._invalidate(old[: max(1, len(old) // 2)])

    def _retried(self, shard: int, work: Callable[[], Result]) -> Result:
        """Return `work()`, tried again when a cached file disappears, as it does when the cache exceeds its cap.

        Raises CheckFailed when the file of a shard is missing, or cut, since it was found.
        """
        for left in reversed(range(_MOST_REPAIRS)):
            try:
                return work()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODATA):
                    raise
                if not left or not has_remote_location(self.manifest, self.shards[shard]):
                    name = self.shards[shard].name
                    raise CheckFailed(f"{name}: missing, or cut, since it was found", cure=_CURE) from None
        raise AssertionError("unreachable")

    def _invalidate(self, shards: list[int]) -> None:
        """Unmap shards, to be found, mapped and verified again before their next use. The caller holds the lock."""
        if shards:
            # In this order: a reader notes the generation, checks that its blocks are ready, copies, and compares the
            # generation. If addresses are unmapped while it copies, one of the two has changed.
            self._ready[np.isin(self._index.shard_of_block, shards)] = False
            self._generation += 1
            for shard in shards:
                self._stamps.pop(shard, None)
                self._files.unmap(shard)

    def _rows_of_copies(self, blocks: Numbers, offsets: Numbers) -> Rows:
        """Return `rows`, block by block, from copies that were verified after they were made."""
        codes = np.empty((len(blocks), self._index.num_codes), self._index.codes_dtype)
        text = np.zeros((len(blocks), 0), self._index.text_dtype)
        lengths = np.zeros(len(blocks), np.int64)
        for block in np.unique(blocks).tolist():
            here = np.flatnonzero(blocks == block)
            start = np.full(len(here), -self._index.edges(block)[0])
            located = self._copy(block), blocks[here], offsets[here], start
            codes[here] = self._index.codes(*located)
            text_starts, lengths[here] = self._index.text_spans(*located)
            block_text = self._index.text(located[0], text_starts, lengths[here])
            if block_text.shape[1] > text.shape[1]:
                text = np.pad(text, ((0, 0), (0, block_text.shape[1] - text.shape[1])))
            text[here, : block_text.shape[1]] = block_text
        return codes, text, lengths

    def _copy(self, block: int) -> Memory:
        """Return a copy of the bytes of a block, verified unless `off`, followed by zeros."""
        shard = int(self._index.shard_of_block[block])
        start, stop = self._index.edges(block)
        data = np.zeros(stop - start + _TEXT_SLACK_BYTES, np.uint8)

        def read() -> Path:
            path = find_shard(self.manifest, self.shards[shard])
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                done = 0
                while done < stop - start and (more := file.readinto(data[done : stop - start].data)):
                    done += more
            return path

        path = self._paths[shard] = self._retried(shard, read)
        if self.verify != "off" and zlib.crc32(data[: stop - start].data) != self._index.crc32[block]:
            self._repairs[shard] += 1
            if self._repairs[shard] > _MOST_REPAIRS or not forget(path):
                raise self._corrupt(block)
            _log.warning("%s; fetched again", self._corrupt(block).problem)
            return self._copy(block)
        return data


def _strides(shard: ShardEntry) -> tuple[tuple[str, str, int], ...]:
    return tuple((name, array.dtype, array.stride) for name, array in sorted(shard.arrays.items()))


def _stamp(path: Path) -> tuple[int, ...]:
    """Return six numbers that are equal for as long as `path` is the same, unchanged file.

    The sixth makes the stamp of a file that was changed within the last second differ from every other stamp: a second
    change within one tick of the clock would not change the file's times.
    """
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0, 0, 0, time.monotonic_ns())
    is_fresh = time.time_ns() - stat.st_ctime_ns < 1_000_000_000
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return (*identity, time.monotonic_ns() if is_fresh else 0)
