"""All peers: how each writes and reads, and what its orders mean.

Those named *-block store BLOCK_ROWS rows as one sample of their library; their shuffle is the library's, over blocks,
and a permutation of the rows inside each block.
"""

import functools

from raw import BATCH_ROWS, BLOCK_ROWS, Peer
from stores import (
    STREAMING_BLOCK,
    litdata_blocks,
    litdata_samples,
    read_arrow,
    read_grain_blocks,
    read_grain_samples,
    read_litdata_blocks,
    read_litdata_samples,
    read_memcpy,
    read_memmap,
    read_streaming_blocks,
    read_streaming_samples,
    write_arrow,
    write_block_records,
    write_copy,
    write_litdata,
    write_sample_records,
    write_streaming_blocks,
    write_streaming_samples,
)
from tars import (
    SHUFFLE_BLOCKS,
    SHUFFLE_BUFFER,
    TAR_BLOCKS,
    TAR_SAMPLES,
    block_members,
    raw_sample_members,
    read_datasets_webdataset,
    read_energon_blocks,
    read_energon_samples,
    read_webdataset_blocks,
    read_webdataset_samples,
    sample_members,
    write_energon,
    write_tars,
)

BLOCK_FILE_ORDER = f"rows in file order, in batches of {BATCH_ROWS} out of blocks of {BLOCK_ROWS}"
BLOCK_PERMUTATION = f"rows permuted inside each block of {BLOCK_ROWS}, in batches of {BATCH_ROWS}"
BATCHES_IN_FILE_ORDER = f"rows in file order, in batches of {BATCH_ROWS}"
SAMPLES_IN_FILE_ORDER = "one sample at a time in file order"
STREAMING_SHUFFLE = f"py1e: shards permuted, samples spread over blocks of about {STREAMING_BLOCK}, the default"
PEERS: dict[str, Peer] = {
    "webdataset-sample": Peer(
        package="webdataset",
        write=functools.partial(write_tars, sample_members, TAR_SAMPLES),
        read=read_webdataset_samples,
        file_order=SAMPLES_IN_FILE_ORDER,
        shuffled=f"one sample at a time: shards permuted, then a shuffle buffer of {SHUFFLE_BUFFER} samples",
    ),
    "webdataset-block": Peer(
        package="webdataset",
        write=functools.partial(write_tars, block_members, TAR_BLOCKS),
        read=read_webdataset_blocks,
        file_order=BLOCK_FILE_ORDER,
        shuffled=f"shards permuted, then a shuffle buffer of {SHUFFLE_BLOCKS} blocks, {BLOCK_PERMUTATION}",
        batched=True,
    ),
    "litdata": Peer(
        package="litdata",
        write=functools.partial(write_litdata, litdata_samples),
        read=read_litdata_samples,
        file_order=SAMPLES_IN_FILE_ORDER,
        shuffled="one sample at a time: chunks of 64 MB permuted, runs of 256 samples permuted inside a chunk, "
        "samples permuted inside a run",
    ),
    "litdata-block": Peer(
        package="litdata",
        write=functools.partial(write_litdata, litdata_blocks),
        read=read_litdata_blocks,
        file_order=BLOCK_FILE_ORDER,
        shuffled=f"chunks of 64 MB permuted, blocks permuted inside a chunk, {BLOCK_PERMUTATION}",
        batched=True,
    ),
    "mosaicml-streaming": Peer(
        package="mosaicml-streaming",
        write=write_streaming_samples,
        read=read_streaming_samples,
        file_order=f"{SAMPLES_IN_FILE_ORDER}, by index",
        shuffled=f"one sample at a time, by index: {STREAMING_SHUFFLE}",
    ),
    "mosaicml-streaming-block": Peer(
        package="mosaicml-streaming",
        write=write_streaming_blocks,
        read=read_streaming_blocks,
        file_order=f"{BLOCK_FILE_ORDER}, by index",
        shuffled=f"a permutation of all blocks (py1e), by index, {BLOCK_PERMUTATION}",
        batched=True,
    ),
    "energon": Peer(
        package="megatron-energon",
        write=functools.partial(write_energon, sample_members, TAR_SAMPLES),
        read=read_energon_samples,
        file_order=f"samples in file order (get_val_dataset), in lists of {BATCH_ROWS}",
        shuffled=f"get_train_dataset: shards permuted, then a shuffle buffer of {SHUFFLE_BUFFER} samples, in lists of "
        f"{BATCH_ROWS}",
    ),
    "energon-block": Peer(
        package="megatron-energon",
        write=functools.partial(write_energon, block_members, TAR_BLOCKS),
        read=read_energon_blocks,
        file_order=f"get_val_dataset: {BLOCK_FILE_ORDER}",
        shuffled=f"get_train_dataset: shards permuted, then a shuffle buffer of {SHUFFLE_BLOCKS} blocks, "
        f"{BLOCK_PERMUTATION}",
        batched=True,
    ),
    "hf-datasets": Peer(
        package="datasets",
        write=write_arrow,
        read=read_arrow,
        file_order=f"{BATCHES_IN_FILE_ORDER}, Arrow tables turned into numpy arrays",
        shuffled=f"a permutation of all rows, in batches of {BATCH_ROWS}, Arrow tables turned into numpy arrays",
        batched=True,
    ),
    "hf-datasets-webdataset": Peer(
        package="datasets",
        write=functools.partial(write_tars, raw_sample_members, TAR_SAMPLES),
        read=read_datasets_webdataset,
        file_order=SAMPLES_IN_FILE_ORDER,
        shuffled=f"one sample at a time: shards permuted, then a shuffle buffer of {SHUFFLE_BUFFER} samples",
    ),
    "grain": Peer(
        package="grain",
        write=write_sample_records,
        read=read_grain_samples,
        file_order=f"samples in file order, read in batches of {BLOCK_ROWS}",
        shuffled=f"a permutation of all rows (grain's shuffle of the keys), read in batches of {BLOCK_ROWS}",
    ),
    "grain-block": Peer(
        package="grain",
        write=write_block_records,
        read=read_grain_blocks,
        file_order=BLOCK_FILE_ORDER,
        shuffled=f"a permutation of all blocks, {BLOCK_PERMUTATION}",
        batched=True,
    ),
    "memmap": Peer(
        package="numpy",
        write=write_copy,
        read=read_memmap,
        file_order=f"{BATCHES_IN_FILE_ORDER}, copied out of the map",
        shuffled=f"a permutation of all rows, fancy-indexed in batches of {BATCH_ROWS}",
        batched=True,
    ),
    "memcpy": Peer(
        package="numpy",
        write=write_copy,
        read=read_memcpy,
        file_order=f"codes alone, contiguous batches of {BATCH_ROWS} rows copied from 512 MiB of memory into fresh "
        "arrays",
        shuffled=None,
        batched=True,
    ),
}
