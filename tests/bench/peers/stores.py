"""Peers with a format of their own: LitData, mosaicml-streaming, Arrow, ArrayRecord; and plain arrays."""

import functools
import importlib.metadata
import itertools
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from raw import BATCH_ROWS, BLOCK_ROWS, CODES_PER_ROW, Batch, Block, Raw, Sample, block_rng
from tars import TAR_BLOCKS

ARRAY_RECORDS = 32_768
STREAMING_BLOCK = 4_000_000
MEMCPY_ROWS = 2**18


def litdata_samples(folder: Path, span: tuple[int, int]) -> Iterator[Sample]:
    """A generator function itself, as litdata takes no other iterator for many samples."""
    yield from Raw.open(folder).block(*span).samples()


def litdata_blocks(folder: Path, span: tuple[int, int]) -> Iterator[tuple[np.ndarray, ...]]:
    """Flat codes, as litdata stores arrays of one dimension without a header."""
    block = Raw.open(folder).block(*span)
    yield block.codes.reshape(-1), block.text, block.ptr


def write_litdata(
    samples: Callable[[Path, tuple[int, int]], Iterator[tuple[np.ndarray, ...]]], folder: Path, out: Path
) -> None:
    import litdata

    litdata.optimize(
        fn=functools.partial(samples, folder),
        inputs=Raw.open(folder).spans(),
        output_dir=str(out),
        chunk_bytes="64MB",
        num_workers=1,
        reorder_files=False,
        keep_data_ordered=True,
        start_method="fork",
        verbose=False,
    )


def read_litdata_samples(out: Path, shuffled: bool) -> Iterator[tuple[np.ndarray, ...]]:
    import litdata

    dataset = litdata.StreamingDataset(str(out), shuffle=shuffled)
    while True:
        yield from dataset


def read_litdata_blocks(out: Path, shuffled: bool) -> Iterator[Batch]:
    rng = block_rng(shuffled)
    for codes, text, ptr in read_litdata_samples(out, shuffled):
        yield from Block(codes.reshape(-1, CODES_PER_ROW), text, ptr).batches(rng)


def import_streaming() -> Any:
    """Streaming, with torchvision's compiled operators declared where only a CUDA torch could load them.

    Streaming imports torchvision, and the torchvision of PyPI does not import beside a CPU torch without these two.
    """
    import torch

    if torch.version.cuda is None and "+cpu" not in importlib.metadata.version("torchvision"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import streaming

    return streaming


def write_streaming(columns: dict[str, str], samples: Iterable[tuple[np.ndarray, ...]], out: Path) -> None:
    with import_streaming().MDSWriter(out=str(out), columns=columns, size_limit="64mb") as writer:
        for sample in samples:
            writer.write(dict(zip(columns, sample, strict=True)))


def write_streaming_samples(folder: Path, out: Path) -> None:
    columns = {"codes": f"ndarray:uint16:{CODES_PER_ROW}", "text": "ndarray:uint16"}
    write_streaming(columns, Raw.open(folder).samples(), out)


def write_streaming_blocks(folder: Path, out: Path) -> None:
    columns = {"codes": "ndarray:uint16", "text": "ndarray:uint16", "ptr": "ndarray:int64"}
    write_streaming(columns, Raw.open(folder).blocks(), out)


def streaming_items(out: Path, shuffled: bool) -> Iterator[dict[str, np.ndarray]]:
    """The items by index, in the library's own shuffle: iterating pays for two threads that prepare shards."""
    streaming = import_streaming()
    from streaming.base.shuffle import get_shuffle

    dataset = streaming.StreamingDataset(local=str(out), batch_size=BATCH_ROWS)
    for epoch in itertools.count():
        order: Iterable[int] = range(dataset.num_samples)
        if shuffled:
            shards = dataset.samples_per_shard
            order = map(int, get_shuffle("py1e", shards, 1, seed=0, epoch=epoch, block_size=STREAMING_BLOCK))
        yield from map(dataset.__getitem__, order)


def read_streaming_samples(out: Path, shuffled: bool) -> Iterator[Sample]:
    for item in streaming_items(out, shuffled):
        yield item["codes"], item["text"]


def read_streaming_blocks(out: Path, shuffled: bool) -> Iterator[Batch]:
    rng = block_rng(shuffled)
    for item in streaming_items(out, shuffled):
        yield from Block(**item).batches(rng)


def write_arrow(folder: Path, out: Path) -> None:
    import datasets
    import pyarrow as pa

    schema = pa.schema({"codes": pa.list_(pa.uint16(), CODES_PER_ROW), "text": pa.list_(pa.uint16())})
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        stream = str(Path(scratch) / "rows.arrow")
        with pa.ipc.new_stream(stream, schema) as writer:
            for block in Raw.open(folder).blocks():
                codes = pa.FixedSizeListArray.from_arrays(pa.array(block.codes.reshape(-1)), CODES_PER_ROW)
                text = pa.ListArray.from_arrays(pa.array(block.ptr.astype(np.int32)), pa.array(block.text))
                writer.write_batch(pa.record_batch([codes, text], schema=schema))
        datasets.Dataset.from_file(stream).save_to_disk(str(out))


def arrow_epochs(out: Path, shuffled: bool, **format_options: Any) -> Iterator[Any]:
    import datasets

    dataset = datasets.load_from_disk(str(out)).with_format(**format_options)
    for epoch in itertools.count():
        ordered = dataset.shuffle(seed=epoch, keep_in_memory=True) if shuffled else dataset
        yield from ordered.iter(batch_size=BATCH_ROWS)


def table_block(table: Any) -> Block:
    """The rows of an Arrow table as numpy views."""
    codes, text = (
        column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        for column in (table.column("codes"), table.column("text"))
    )
    ptr = text.offsets.to_numpy()
    return Block(codes.flatten().to_numpy().reshape(-1, CODES_PER_ROW), text.flatten().to_numpy(), ptr - ptr[0])


def read_arrow(out: Path, shuffled: bool) -> Iterator[Batch]:
    """Shuffled tables are gathered row by row, so they are copies already."""
    for table in arrow_epochs(out, shuffled, type="arrow"):
        block = table_block(table)
        if not shuffled:
            block = Block(block.codes.copy(), block.text.copy(), block.ptr)
        yield from block.batches(None)


def write_array_records(records: Iterable[bytes], records_per_file: int, out: Path) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    stream = iter(records)
    for index in itertools.count():
        batch = list(itertools.islice(stream, records_per_file))
        if not batch:
            return
        writer = ArrayRecordWriter(str(out / f"{index:06d}.array_record"), "group_size:1,uncompressed")
        for record in batch:
            writer.write(record)
        writer.close()


def write_sample_records(folder: Path, out: Path) -> None:
    records = (codes.tobytes() + text.tobytes() for codes, text in Raw.open(folder).samples())
    write_array_records(records, ARRAY_RECORDS, out)


def pack_block(block: Block) -> bytes:
    parts = (block.ptr, block.codes, block.text)
    return struct.pack("<q", len(block.codes)) + b"".join(part.tobytes() for part in parts)


def unpack_block(record: bytes) -> Block:
    (rows,) = struct.unpack_from("<q", record)
    ptr = np.frombuffer(record, np.int64, rows + 1, offset=8)
    ids = np.frombuffer(record, np.uint16, offset=8 + ptr.nbytes)
    codes, text = ids[: rows * CODES_PER_ROW], ids[rows * CODES_PER_ROW :]
    return Block(codes.reshape(rows, CODES_PER_ROW), text, ptr)


def write_block_records(folder: Path, out: Path) -> None:
    write_array_records(map(pack_block, Raw.open(folder).blocks()), TAR_BLOCKS, out)


def array_records(out: Path) -> Any:
    from grain.sources import ArrayRecordDataSource

    return ArrayRecordDataSource(sorted(str(path) for path in out.glob("*.array_record")))


def map_dataset(dataset: Any, shuffled: bool) -> Any:
    return (dataset.seed(0).shuffle() if shuffled else dataset).repeat()


def read_grain_samples(out: Path, shuffled: bool) -> Iterator[Sample]:
    """Keys in grain's order, whose records are then asked for in large batches: one by one takes over ten times as
    long. Indexing the data set keeps grain's default of sixteen prefetching threads away, which slow it down."""
    import grain

    source = array_records(out)
    keys = map_dataset(grain.MapDataset.range(len(source)), shuffled)
    batches = keys.batch(BLOCK_ROWS, batch_fn=list).map(source.__getitems__)
    for index in itertools.count():
        for record in batches[index]:
            ids = np.frombuffer(record, np.uint16)
            yield ids[:CODES_PER_ROW], ids[CODES_PER_ROW:]


def read_grain_blocks(out: Path, shuffled: bool) -> Iterator[Batch]:
    import grain

    rng = block_rng(shuffled)
    records = map_dataset(grain.MapDataset.source(array_records(out)), shuffled)
    for index in itertools.count():
        yield from unpack_block(records[index]).batches(rng)


def write_copy(folder: Path, out: Path) -> None:
    raw = Raw.open(folder)
    for name, array in (("codes", raw.codes), ("text", raw.text), ("text_ptr", raw.ptr)):
        np.save(out / f"{name}.npy", array)


def read_memmap(out: Path, shuffled: bool) -> Iterator[Batch]:
    rng = block_rng(shuffled)
    mapped = Raw.open(out)
    rows = Block(mapped.codes.view(np.ndarray), np.array(mapped.text), np.array(mapped.ptr))
    while True:
        for codes, captions in rows.batches(rng):
            yield codes if shuffled else codes.copy(), captions


def read_memcpy(out: Path, shuffled: bool) -> Iterator[tuple[np.ndarray]]:
    """Copies of the codes alone, out of 512 MiB that are filled with the first rows."""
    if shuffled:
        raise ValueError("memcpy has file order only")
    codes = Raw.open(out).codes
    source = np.empty((MEMCPY_ROWS, CODES_PER_ROW), np.uint16)
    for start in range(0, MEMCPY_ROWS, len(codes)):
        source[start : start + len(codes)] = codes[: MEMCPY_ROWS - start]
    while True:
        for start in range(0, MEMCPY_ROWS, BATCH_ROWS):
            batch = np.empty((BATCH_ROWS, CODES_PER_ROW), np.uint16)
            np.copyto(batch, source[start : start + BATCH_ROWS])
            yield (batch,)
