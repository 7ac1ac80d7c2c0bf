"""All shards of one split as a single array of rows.

    reader = SplitReader(load_manifest("runs/emoji/shards"), "train")
    codes, text, lengths = reader.rows(np.array([7000, 3, 3]))

Rows are counted through the shards in the manifest's order. What is read is verified, and a fault is an error that
names the shard, the block and the cure; no row is ever skipped.

    off      sizes only
    first    the sha256 of a shard when it is first touched, once for each file and host
    block    the crc32 of a block when it is first touched, and again when its file was changed (looked at each second)
    always   the crc32 of a block whenever it is touched, over the very copy that the rows are then taken from

`off`, `first` and `block` read through one range of mapped addresses. `always` reads whole blocks into memory of its
own, so that not even a file that is overwritten or cut in that moment can give a wrong row.
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
from .shard_locations import find_shard, has_remote_location, sha256_holds

Verify = Literal["off", "first", "block", "always"]
Rows = tuple[NDArray[Any], NDArray[Any], Numbers]  # codes, caption ids, caption lengths

_log = logging.getLogger("tuwen")
STALE_SECONDS = 1.0
_CURE = "restore it from a copy, run `tuwen tokenize` again, or take it out with `tuwen manifest quarantine`"
_TEXT_SLACK_BYTES = 1 << 18  # of the longest caption: 65,535 ids of four bytes
_MOST_REPAIRS = 5  # of one shard: a disk that spoils it again and again is given up
Result = TypeVar("Result")


class SplitReader:
    """Safe to be used by several threads."""

    def __init__(self, manifest: Manifest, split: str, verify: Verify = "block") -> None:
        """Raises BadInput when a shard's layout is not `block`. No file is opened before its rows are asked for."""
        self.manifest, self.split, self.verify = manifest, split, verify
        self.shards = manifest.shards_of(split)
        for shard in self.shards:
            if shard.layout != "block":
                raise BadInput(
                    f"{shard.name}: layout `{shard.layout}` is for other loaders",
                    cure="train from the shards that it was exported from",
                )
        if len({_strides(shard) for shard in self.shards}) > 1:
            raise BadInput(
                f"{manifest.folder}: shards of `{split}` store their rows in different widths",
                cure="tokenize all of them with the same `tokenize` section",
            )
        self.source = f"{manifest.id}/{split}"
        self._files = MappedFiles([shard.bytes for shard in self.shards])
        self._index = RowIndex(self.shards, self._files.starts)
        self._recycled = BufferPool()
        self._ready = np.zeros(self._index.num_blocks, dtype=bool)  # mapped, and verified as `verify` says
        self._stamps: dict[int, tuple[int, ...]] = {}  # of mapped shards: which file it was, and when it was changed
        self._paths: dict[int, Path] = {}
        self._repairs: Counter[int] = Counter()  # of cached copies
        self._repairing = threading.Lock()
        self._generation = 0  # counts the times that something was distrusted or unmapped
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._index.num_rows

    @property
    def first_rows(self) -> Numbers:
        """The first row of each shard."""
        return self._index.row_starts

    def rows(self, rows: Numbers) -> Rows:
        """codes (n, h·w), caption ids (n, longest) padded with 0, caption lengths (n,), in the order of `rows`."""
        return next(self.batches(rows, max(1, len(rows))))

    def batches(self, rows: Numbers, size: int) -> Iterator[Rows]:
        """As `rows`, in batches of `size`, with what has to be done but once done for all of them.

        The codes of each batch are copied when it is asked for: 1 MB that is used at once stays in the processor's
        cache, and its memory is used again for the next; 16 MB at once take twice as long.
        """
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} … {rows.max()} of a split of {len(self)}")
        blocks, places = self._index.locate(rows)
        parts = [slice(start, start + size) for start in range(0, max(1, len(rows)), size)]
        if self.verify == "always":
            yield from (self._rows_of_copies(blocks[part], places[part]) for part in parts)
            return
        starts = self._index.shard_starts(blocks)
        memory = np.asarray(self._files)
        # Two steps: a length that is taken from addresses in the moment in which they are unmapped may be any number.
        text_at, lengths = self._while_ready(blocks, partial(self._index.text_places, memory, blocks, places, starts))
        text = self._while_ready(blocks, partial(self._index.text, memory, text_at, lengths))
        for part in parts:
            found = memory, blocks[part], places[part], starts[part]
            codes = self._while_ready(blocks[part], partial(self._index.codes, *found, self._recycled))
            longest = int(lengths[part].max(initial=0))
            yield codes, text[part, :longest], lengths[part]

    def _while_ready(self, blocks: Numbers, copy: Callable[[], Any]) -> Any:
        """What `copy` takes out of the mapped blocks, none of which was unmapped or distrusted in the meantime."""
        while True:
            self._prepare(blocks)
            generation = self._generation
            if self._ready[blocks].all():
                copied = copy()
                if generation == self._generation:
                    return copied

    def block_meta(self, block: int) -> list[dict[str, Any]]:
        """Return key, caption, source, license and crop box of each row of a block, counted through all shards."""
        data = self._copy(block)
        start = self._index.in_block("meta", block)
        size = int(bytes(data[start - tarfile.BLOCKSIZE + 124 : start - tarfile.BLOCKSIZE + 135]), 8)  # USTAR's size
        return [json.loads(line) for line in bytes(data[start : start + size]).splitlines()]

    def meta(self, row: int) -> dict[str, Any]:
        return self.metas(np.array([row]))[0]

    def metas(self, rows: Numbers) -> list[dict[str, Any]]:
        """As `block_meta`, of any rows; each block is read once."""
        blocks, places = self._index.locate(rows)
        found: dict[int, dict[str, Any]] = {}
        for block in np.unique(blocks).tolist():
            lines = self.block_meta(block)
            found |= {int(at): lines[places[at]] for at in np.flatnonzero(blocks == block)}
        return [found[at] for at in range(len(rows))]

    def all_meta(self) -> Iterator[dict[str, Any]]:
        for block in range(self._index.num_blocks):
            yield from self.block_meta(block)

    def find(self, key: str) -> int | None:
        """The row of a key, or None; reads every block's meta until it is found."""
        return next((row for row, line in enumerate(self.all_meta()) if line["key"] == key), None)

    def _prepare(self, blocks: Numbers) -> None:
        """Map and verify what is not yet. Only short steps hold the lock: downloads and checksums run side by side."""
        self._distrust_changed_files()
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

        def open_it() -> None:
            path = find_shard(self.manifest, entry)
            stamp = _stamp(path)
            if self.verify == "first" and not sha256_holds(path, entry):
                raise CheckFailed(f"{path}: its bytes were altered (sha256 differs)", cure=_CURE)
            with self._lock:
                if shard in self._stamps:  # another thread was faster, and may have verified what it has mapped
                    return
                if self._files.is_full:
                    self._make_room(needed)
                self._files.map(shard, path)
                self._paths[shard], self._stamps[shard] = path, stamp

        self._found_again(shard, open_it)

    def _verify_mapped(self, block: int, generation: int) -> None:
        """Raises CheckFailed, but not of a cached copy that went bad: it is dropped, for the caller to look again."""
        if self._mapped_holds(block):
            return
        with self._repairing:
            if generation != self._generation:  # unmapped or dropped in the meantime: what was looked at is not there
                return
            shard = int(self._index.shard_of_block[block])
            stamp = self._stamps.get(shard)
            if stamp is None or _stamp(self._paths[shard])[:5] != stamp[:5]:  # it was replaced since it was mapped
                with self._lock:
                    self._distrust([shard])
                return
            self._repairs[shard] += 1
            if self._repairs[shard] > _MOST_REPAIRS or not forget(self._paths[shard]):
                raise self._corrupt(block)
            _log.warning("%s; fetched again", self._corrupt(block).problem)
            with self._lock:
                self._distrust([shard])

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

    def _distrust_changed_files(self) -> None:
        if time.monotonic() - self._looked < STALE_SECONDS:
            return
        with self._lock:
            self._looked = time.monotonic()
            self._distrust([shard for shard, stamp in self._stamps.items() if _stamp(self._paths[shard]) != stamp])

    def _make_room(self, needed: set[int]) -> None:
        """Unmap the half that was opened first, but for what the caller needs. The caller holds the lock."""
        old = [shard for shard in self._stamps if shard not in needed]
        if not old:
            raise BadInput(f"rows of more than {len(self._stamps)} shards at once", cure="ask for fewer rows at a time")
        self._distrust(old[: max(1, len(old) // 2)])

    def _found_again(self, shard: int, work: Callable[[], Result]) -> Result:
        """A file that was there a moment ago may be gone, or cut, now. One of the cache may have been deleted above
        its cap: it is fetched again."""
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

    def _distrust(self, shards: list[int]) -> None:
        """To be found, mapped and verified anew. The caller holds the lock."""
        if shards:
            # In this order: a reader takes the generation, looks whether its blocks are ready, copies, and looks at the
            # generation again. Whatever it took from addresses that are unmapped meanwhile, one of the two has changed.
            self._ready[np.isin(self._index.shard_of_block, shards)] = False
            self._generation += 1
            for shard in shards:
                self._stamps.pop(shard, None)
                self._files.unmap(shard)

    def _rows_of_copies(self, blocks: Numbers, places: Numbers) -> Rows:
        """As `rows`, block by block, each from a copy that was verified after it was made."""
        codes = np.empty((len(blocks), self._index.num_codes), self._index.codes_dtype)
        text = np.zeros((len(blocks), 0), self._index.text_dtype)
        lengths = np.zeros(len(blocks), np.int64)
        for block in np.unique(blocks).tolist():
            here = np.flatnonzero(blocks == block)
            start = np.full(len(here), -self._index.edges(block)[0])
            rows = self._copy(block), blocks[here], places[here], start
            codes[here] = self._index.codes(*rows)
            text_at, lengths[here] = self._index.text_places(*rows)
            found = self._index.text(rows[0], text_at, lengths[here])
            if found.shape[1] > text.shape[1]:
                text = np.pad(text, ((0, 0), (0, found.shape[1] - text.shape[1])))
            text[here, : found.shape[1]] = found
        return codes, text, lengths

    def _copy(self, block: int) -> Memory:
        """The bytes of a block in memory of our own, verified unless `off`, with zeros behind them."""
        shard = int(self._index.shard_of_block[block])
        start, stop = self._index.edges(block)
        data = np.zeros(stop - start + _TEXT_SLACK_BYTES, np.uint8)

        def read() -> Path:
            path = find_shard(self.manifest, self.shards[shard])
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                got = 0
                while got < stop - start and (more := file.readinto(data[got : stop - start].data)):
                    got += more
            return path

        path = self._paths[shard] = self._found_again(shard, read)
        if self.verify != "off" and zlib.crc32(data[: stop - start].data) != self._index.crc32[block]:
            self._repairs[shard] += 1
            if self._repairs[shard] > _MOST_REPAIRS or not forget(path):
                raise self._corrupt(block)
            _log.warning("%s; fetched again", self._corrupt(block).problem)
            return self._copy(block)
        return data


def _strides(shard: ShardEntry) -> tuple[tuple[str, str, int], ...]:
    return tuple((name, place.dtype, place.stride) for name, place in sorted(shard.arrays.items()))


def _stamp(path: Path) -> tuple[int, ...]:
    """Which file lies at `path`, and when it was changed: five numbers, and a sixth that makes the stamp of a file
    that was changed within the last second hold for this moment only, since a second change in the same tick of the
    clock would leave its times as they are."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0, 0, 0, time.monotonic_ns())
    is_fresh = time.time_ns() - found.st_ctime_ns < 1_000_000_000
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return (*identity, time.monotonic_ns() if is_fresh else 0)
