"""When a corpus' pictures were fetched, hour by hour, from the ledgers that fetching leaves.

    chart = fetching_chart(corpus)      # None when nothing was fetched

A ledger lies beside its tar in `pictures/SOURCE/`: a row for each address that was asked, with `time` (a timestamp) and
`sha256` (null or empty where no picture came).
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
    hours: Counter[tuple[int, bool]] = Counter()  # hours since 1970, did a picture come
    for path in sorted(CorpusFolder(corpus.folder).pictures("").glob("*/**/*.parquet")):
        hours.update(_hours(path))
    if not hours:
        return None
    first, last = min(hour for hour, _ in hours), max(hour for hour, _ in hours)
    span = next((span for span in _SPANS_HOURS if (last - first) // span < _MOST_BARS), _SPANS_HOURS[-1])
    heights = np.zeros(((last - first) // span + 1, 2), np.int64)
    for (hour, came), count in hours.items():
        heights[(hour - first) // span, int(came)] += count
    names = [
        f"{datetime.fromtimestamp(3600 * (first + place * span), UTC):%m-%d %H:00}" for place in range(len(heights))
    ]
    fetched, asked = int(heights[:, 1].sum()), int(heights.sum())
    words = [
        f"{fetched:,} of {asked:,} fetched, the others in orange",
        "by the hour" if span == 1 else f"bars of {span} hours",
    ]
    return timeline(heights, names, "时 · time of fetching", words)


def _hours(path: Path) -> Counter[tuple[int, bool]]:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if not {"time", "sha256"} <= set(schema.names) or not pa.types.is_timestamp(schema.field("time").type):
            return Counter()  # a table of something else
        table = file.read(columns=["time", "sha256"])
    seconds = table["time"].cast(pa.timestamp("s", "UTC"), safe=False).cast(pa.int64())
    came = pc.fill_null(pc.not_equal(table["sha256"], ""), False)
    counts = (
        pa.table({"hour": pc.divide(seconds, 3600), "came": came})
        .group_by(["hour", "came"])
        .aggregate([([], "count_all")])
    )
    return Counter(
        {(row["hour"], row["came"]): row["count_all"] for row in counts.to_pylist() if row["hour"] is not None}
    )
