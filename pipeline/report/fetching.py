"""A chart of when the pictures of a corpus were fetched, from the ledgers that fetching leaves.

    chart = fetching_chart(corpus)      # None when nothing was fetched

A ledger lies beside its tar in `pictures/SOURCE/`. It has a row for each address that was tried, with `time` (a
timestamp) and `sha256` (null or empty where no picture came).
"""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...manifests.manifest import Manifest
from ...manifests.run_folders import CorpusFolder
from .charts import Chart, timeline

_MOST_BARS = 72
_SPANS_HOURS = (1, 2, 3, 6, 12, 24, 7 * 24, 28 * 24)


def fetching_chart(corpus: Manifest) -> Chart | None:
    """Fetched and failed addresses by the hour, or by the shortest span that needs at most 72 bars."""
    hours: Counter[tuple[int, bool]] = Counter()  # hours since 1970, was a picture fetched
    for path in sorted(CorpusFolder(corpus.folder).pictures("").glob("*/**/*.parquet")):
        hours.update(_hours(path))
    if not hours:
        return None
    first, last = min(hour for hour, _ in hours), max(hour for hour, _ in hours)
    span = next((span for span in _SPANS_HOURS if (last - first) // span < _MOST_BARS), _SPANS_HOURS[-1])
    heights = np.zeros(((last - first) // span + 1, 2), np.int64)
    for (hour, is_fetched), count in hours.items():
        heights[(hour - first) // span, int(is_fetched)] += count
    starts = [datetime.fromtimestamp(3600 * (first + bar * span), UTC) for bar in range(len(heights))]
    words = [
        f"{int(heights[:, 1].sum()):,} of {int(heights.sum()):,} fetched, the others in orange",
        "by the hour" if span == 1 else f"bars of {span} hours",
    ]
    return timeline(heights, [f"{start:%m-%d %H:00}" for start in starts], "时 · time of fetching", words)


def _hours(path: Path) -> Counter[tuple[int, bool]]:
    """The rows of a ledger; nothing of a table that is no ledger."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if not {"time", "sha256"} <= set(schema.names) or not pa.types.is_timestamp(schema.field("time").type):
            return Counter()
        table = file.read(columns=["time", "sha256"])
    seconds = table["time"].cast(pa.timestamp("s", "UTC"), safe=False).cast(pa.int64())
    is_fetched = pc.fill_null(pc.not_equal(table["sha256"], ""), False)
    rows = pa.table({"hour": pc.divide(seconds, 3600), "is_fetched": is_fetched}).drop_null()
    counts = rows.group_by(["hour", "is_fetched"]).aggregate([([], "count_all")])
    return Counter({(row["hour"], row["is_fetched"]): row["count_all"] for row in counts.to_pylist()})
