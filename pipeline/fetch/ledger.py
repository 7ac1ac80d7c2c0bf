"""The ledger of a fetched part: one row for each address, with its result; `PART.parquet` beside `PART.tar`.

    write_ledger(path, rows, {"slice": …, "tar": …, "run": 2, "rules": {…}})
    read_ledger(path)          # the rows
    ledger_facts(path)         # the facts alone, from the footer

`problem` is the verdict, which stands in the tar too; `latest` is the problem of the latest attempt. They differ when a
retry failed in another way that may pass: the verdict, and so the tar, change only when a retry has a final result.
"""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.atomic import whole_file

LEDGER = pa.schema(
    [
        ("row", pa.int64()),  # in the list
        ("url", pa.string()),
        ("problem", pa.string()),  # a reason of the stage `fetch`; empty: the picture is in the tar
        ("latest", pa.string()),
        ("retriable", pa.bool_()),
        ("status", pa.int16()),  # HTTP's, of the latest answer
        ("ending", pa.string()),  # jpg, png, …, by content
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("final_url", pa.string()),  # after all redirects
        ("attempts", pa.int32()),  # in all runs
        ("time", pa.timestamp("ms", "UTC")),  # of the latest attempt; null: none was made
        ("seconds", pa.float32()),  # that its requests took
        ("detail", pa.string()),  # for people: the error's own text
    ]
)
_FACTS = b"tuwen.fetch"


class Rules(TypedDict):
    """What may be fetched at all: under another rule the same address may have another result."""

    robots: str
    robots_tag: str
    max_bytes: int
    allow_addresses: list[str]


class FetchCounts(TypedDict):
    """How many rows of a part have which result."""

    rows: int
    pictures: int
    may_pass: int  # failures that another run may mend
    not_asked: int  # rows for which no request is made: broken, not wanted, or fallen already
    problems: dict[str, int]


class LedgerFacts(FetchCounts):
    """The footer of a ledger."""

    slice: str  # sha256 of the slice that was fetched
    tar: str  # sha256
    run: int  # see SlicePart.run
    rules: Rules


@dataclass(frozen=True)
class LedgerRow:
    row: int
    url: str | None
    problem: str
    latest: str
    retriable: bool
    status: int | None
    ending: str
    bytes: int
    sha256: str
    final_url: str
    attempts: int
    time: datetime | None  # None: it was not asked for
    seconds: float
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "time": self.time.isoformat() if self.time else None}


def from_json(document: dict[str, Any]) -> LedgerRow:
    time = datetime.fromisoformat(document["time"]) if document["time"] else None
    return LedgerRow(**{**document, "time": time})


def not_asked(row: int, url: str | None, problem: str) -> LedgerRow:
    """The row of an address for which no request is made: the list itself has the problem."""
    return LedgerRow(row, url, problem, problem, False, None, "", 0, "", "", 0, None, 0.0, "")


def write_ledger(path: Path, rows: list[LedgerRow], facts: LedgerFacts) -> None:
    table = pa.Table.from_pylist([vars(row) for row in rows], schema=LEDGER)
    table = table.replace_schema_metadata({_FACTS: json.dumps(facts, sort_keys=True)})
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def ledger_facts(path: Path) -> LedgerFacts | None:
    """The footer; None when there is no ledger, or none that can be read: its part is then fetched anew."""
    try:
        footer = (pq.read_metadata(path).metadata or {}).get(_FACTS)
    except (OSError, pa.ArrowException):
        return None
    return cast(LedgerFacts, json.loads(footer)) if footer else None


def read_ledger(path: Path) -> list[LedgerRow]:
    table = pq.read_table(path)
    columns = [table[field.name].to_pylist() for field in fields(LedgerRow)]
    return [LedgerRow(*values) for values in zip(*columns, strict=True)]
