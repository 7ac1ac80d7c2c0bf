"""One slice of a list → a tar of pictures, and its ledger: the function of the stage `fetch`.

    PART.tar       000000012.jpg 000000012.json   {"captions", "license", "url"}, in the order of the list
                   000000013.json                 {…, "problem": "http_404"}: no picture, and why
    PART.parquet   the ledger

A row that has a problem in its slice is not asked for. Called again for the same slice (a kill, another recipe, a new
version, failures that may pass), it takes whatever is still valid from the tar of the previous run, from the spool of a
killed try, and from what was set aside, and fetches the rest alone. A tar whose bytes did not change stays the very
same file.
"""

import asyncio
import hashlib
import io
import resource
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from ...manifests.canonical import canonical_json, sha256_of_file
from ...manifests.shards.tar_member import add_member
from ..executor.part import Part
from .ledger import FetchCounts, LedgerFacts, LedgerRow, Rules, not_asked, write_ledger
from .polite_http import Answer, Pace, PoliteClient, Politeness
from .previous_run import PreviousRun, member_name
from .slice_file import ListRow, read_slice
from .spool import Spool

ASIDE = ".aside"  # the folder of what was fetched and is not wanted any more
Pictures = Callable[[LedgerRow], bytes | None]

_OPEN_FILES = 65_536
_IN_MEMORY_BYTES = 1 << 20  # of a picture that is on its way; more goes to the disk


class SlicePart(TypedDict):
    run: int  # counted up as long as something in the part may pass


class FetchConfig(TypedDict):
    rules: Rules
    pace: Pace  # how fast; it changes no result
    previous: str  # the folder that holds what previous runs fetched
    spool: str


def fetch_slice(part: Part[SlicePart], config: FetchConfig, folder: Path) -> FetchCounts:
    """Fetch what is missing of the input `slice`, and write its tar and ledger."""
    slice_, rules = part.inputs["slice"], config["rules"]
    rows = read_slice(Path(slice_.path))
    previous = PreviousRun(Path(config["previous"]), part.name)
    asked = [row for row in rows if not row.problem]
    ledger = {row.row: not_asked(row.row, row.url, row.problem) for row in rows if row.problem}
    ledger |= {row.row: known for row in asked if (known := previous.valid_row(row.row, row.url, rules))}
    tar, table = folder / f"{part.name}.tar", folder / f"{part.name}.parquet"
    if len(ledger) == len(rows) and previous.was_made_of(slice_.sha256, rules):
        previous.link(tar)
        previous.link(table)
        return _counts(list(ledger.values()))
    aside = _set_aside(rows, part.name, config, previous)
    spool = Spool(Path(config["spool"]), part.name, rules)
    for kept in (aside.rows, spool.rows):
        ledger |= {row.row: kept[row.row] for row in asked if row.row not in ledger and _is_of(row, kept)}
    missing = [row for row in asked if row.row not in ledger]
    ledger |= _fetch(missing, Politeness(**config["pace"], **rules), spool, previous, folder)
    in_order = _doubted([ledger[row.row] for row in rows])
    _write_tar(tar, rows, in_order, (spool.picture_of, previous.picture, aside.picture_of))
    sha256 = sha256_of_file(tar)
    if previous.has_tar(sha256):
        previous.link(tar)
    counts = _counts(in_order)
    facts = LedgerFacts(slice=slice_.sha256, tar=sha256, run=part.spec["run"], rules=rules, **counts)
    write_ledger(table, in_order, facts)
    spool.remove()
    aside.close()
    return counts


def _set_aside(rows: list[ListRow], part: str, config: FetchConfig, previous: PreviousRun) -> Spool:
    """What was fetched once and is not wanted now, with what this run adds: the tar does not hold it."""
    aside = Spool(Path(config["previous"]) / ASIDE, part, config["rules"])
    known = aside.rows
    for row in rows:
        if row.problem and row.row not in known and (old := previous.valid_row(row.row, row.url, config["rules"])):
            aside.add(old, io.BytesIO(previous.picture(old) or b""))
    return aside


def _is_of(row: ListRow, kept: dict[int, LedgerRow]) -> bool:
    return row.row in kept and kept[row.row].url == row.url


def _fetch(
    rows: list[ListRow], politeness: Politeness, spool: Spool, previous: PreviousRun, folder: Path
) -> dict[int, LedgerRow]:
    _allow_open_files()
    ledger: dict[int, LedgerRow] = {}

    async def fetch_one(client: PoliteClient, row: ListRow) -> None:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(folder)) as file:
            answer = await client.fetch(row.url or "", file)
            fetched = _ledger_row(row, answer, previous.retriable_row(row.row, row.url))
            if not fetched.retriable and fetched.problem != "dns_failed":
                spool.add(fetched, file)
            ledger[row.row] = fetched

    async def fetch_all() -> None:
        async with PoliteClient(politeness) as client, asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(fetch_one(client, row))

    try:
        asyncio.run(fetch_all())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # a full disk is reported as that
    return ledger


def _doubted(ledger: list[LedgerRow]) -> list[LedgerRow]:
    """The ledger, with names that are unknown made retriable if no host at all answered.

    Then this machine's network is more likely to be down than all hosts are to be gone.
    """
    if any(row.status for row in ledger):
        return ledger
    return [replace(row, retriable=row.retriable or row.problem == "dns_failed") for row in ledger]


def _ledger_row(row: ListRow, answer: Answer, previous: LedgerRow | None) -> LedgerRow:
    """A failure keeps its name when the retry fails too, in a way that may pass: so the tar keeps its bytes."""
    keeps_problem = previous is not None and answer.retriable
    has_picture = not answer.problem
    return LedgerRow(
        row=row.row,
        url=row.url,
        problem=previous.problem if previous and keeps_problem else answer.problem,
        latest=answer.problem,
        retriable=answer.retriable,
        status=answer.status,
        ending=answer.ending if has_picture else "",
        bytes=answer.bytes if has_picture else 0,
        sha256=answer.sha256 if has_picture else "",
        final_url=answer.final_url if has_picture else "",
        attempts=answer.attempts + (previous.attempts if previous else 0),
        time=datetime.now(UTC),
        seconds=answer.seconds,
        detail=answer.detail,
    )


def _write_tar(path: Path, rows: list[ListRow], ledger: list[LedgerRow], pictures: tuple[Pictures, ...]) -> None:
    with tarfile.open(path, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, fetched in zip(rows, ledger, strict=True):
            if not fetched.problem:
                add_member(tar, member_name(fetched), _picture(fetched, pictures))
            document = {"captions": row.captions, "license": row.license, "url": row.url, "problem": fetched.problem}
            filled = {key: value for key, value in document.items() if value}
            add_member(tar, f"{row.row:09d}.json", canonical_json(filled))


def _picture(row: LedgerRow, pictures: tuple[Pictures, ...]) -> bytes:
    for data in (picture_of(row) for picture_of in pictures):  # each may hold the picture of another run
        if data is not None and hashlib.sha256(data).hexdigest() == row.sha256:
            return data
    raise OSError(f"row {row.row} was altered on the disk while its tar was written")


def _counts(ledger: list[LedgerRow]) -> FetchCounts:
    problems = Counter(row.problem for row in ledger if row.problem)
    return {
        "rows": len(ledger),
        "pictures": len(ledger) - problems.total(),
        "may_pass": sum(row.retriable for row in ledger),
        "not_asked": sum(row.time is None for row in ledger),
        "problems": dict(sorted(problems.items())),
    }


def _allow_open_files() -> None:
    """Raise this process's limit: a connection is an open file, and the usual soft limit is 1,024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
