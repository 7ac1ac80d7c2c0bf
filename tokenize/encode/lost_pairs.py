"""The pairs whose pictures were lost after the corpus was made: `lost.parquet` beside the shards.

lost = lost_pairs(splits, results)          # key, split, source, origin, reason, problem
write_lost_pairs(folder, lost)              # ["lost.parquet"], or [] and no file when nothing was lost
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.atomic import whole_file
from ...manifests.run_folders import LOST, ShardsFolder
from ...pipeline.executor.part import PartResult
from .encode_shard import ShardSummary

_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "split", "source", "origin", "reason", "problem")])


def lost_pairs(splits: Mapping[str, pa.Table], results: Sequence[PartResult[ShardSummary]]) -> pa.Table:
    """In the order of the splits. `splits` are the pairs that were to be encoded."""
    lost = {pair["key"]: pair for result in results for pair in result.summary["lost"]}
    keys = pa.array(list(lost), pa.string())
    rows = [
        {**pair, **lost[pair["key"]], "split": split}
        for split, table in splits.items()
        for pair in table.filter(pc.is_in(table["key"], keys)).select(["key", "source", "origin"]).to_pylist()
    ]
    return pa.Table.from_pylist(rows, _SCHEMA)


def without_lost(rows: pa.Table, lost: pa.Table) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["key"], lost["key"].combine_chunks())))


def write_lost_pairs(folder: ShardsFolder, lost: pa.Table) -> list[str]:
    """The name of the file that lists them, if there is one."""
    if not len(lost):
        folder.lost.unlink(missing_ok=True)
        return []
    with whole_file(folder.lost) as temporary:
        pq.write_table(lost, temporary)
    return [LOST]
