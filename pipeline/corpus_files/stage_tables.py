"""The tables that stages hand on: written with a checksum in every page, which is verified where a page is read.

    pq.write_table(table, path, **WRITTEN)
    table = read_stage_table(path, ["key", "caption"])      # CheckFailed when a byte of these columns was altered

So a few columns of a huge table are read without hashing all of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.errors import CheckFailed

WRITTEN: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def read_stage_table(path: Path | str, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns and list(columns), page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        cure = "give the command again with --recheck, which makes it anew"
        raise CheckFailed(f"{path}: missing, or altered since it was made ({_first_line(error)})", cure=cure) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
