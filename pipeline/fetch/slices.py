"""One slice of a list → a tar of pictures, and its ledger: the function of the stage `gather`.

    PART.tar       000000012.jpg 000000012.json   {"captions", "license", "url"}, in the order of the list
                   000000013.json                 {…, "problem": "http_404"}: not had, and why
    PART.parquet   the ledger

What was had is kept. Called again for the same slice (a kill, another recipe, a new version, problems that may pass),
it takes from the earlier tar and from what a killed try left whatever still holds, and asks the web for the rest
alone. A tar whose bytes did not change stays the very same file.
"""

import asyncio
import hashlib
import resource
import tarfile
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from ...manifests.canonical import canonical_json, sha256_of_file
from ...manifests.shards.tar_member import add_member
from ..executor.part import Part
from .earlier import Earlier, member_name
from .ledger import FetchCounts, LedgerFacts, LedgerRow, Rules, write_ledger
from .polite_http import Answer, Pace, PoliteClient, Politeness
from .spool import Spool
from .url_lists import ListRow, read_slice

_OPEN_FILES = 65_536
_IN_MEMORY_BYTES = 1 << 20  # of a picture that is on its way; more goes to the disk


class SlicePart(TypedDict):
    run: int  # counted up as long as something in the part may pass


class FetchConfig(TypedDict):
    rules: Rules
    pace: Pace  # how fast; it changes no result
    earlier: str  # the folder that holds what earlier runs fetched
    spool: str


def fetch_slice(part: Part[SlicePart], config: FetchConfig, folder: Path) -> FetchCounts:
    """Fetches what is missing of the input `slice`."""
    slice_, rules = part.inputs["slice"], config["rules"]
    rows = read_slice(Path(slice_.path))
    earlier = Earlier(Path(config["earlier"]), part.name)
    ledger = {row.row: said for row in rows if (said := earlier.still_holds(row.row, row.url, rules))}
    tar, table = folder / f"{part.name}.tar", folder / f"{part.name}.parquet"
    if len(ledger) == len(rows) and earlier.is_of(slice_.sha256, rules):
        earlier.link(tar)
        earlier.link(table)
        return _counts(list(ledger.values()))
    spool = Spool(Path(config["spool"]), part.name, rules)
    urls = {row.row: row.url for row in rows}
    ledger |= {row: said for row, said in spool.held.items() if row not in ledger and urls.get(row) == said.url}
    wanted = [row for row in rows if row.row not in ledger]
    ledger |= _fetch(wanted, Politeness(**config["pace"], **rules), spool, earlier, folder)
    in_order = _doubted([ledger[row.row] for row in rows])
    _write_tar(tar, rows, in_order, spool, earlier)
    sha256 = sha256_of_file(tar)
    if earlier.has_tar(sha256):
        earlier.link(tar)
    counts = _counts(in_order)
    facts = LedgerFacts(slice=slice_.sha256, tar=sha256, run=part.spec["run"], rules=rules, **counts)
    write_ledger(table, in_order, facts)
    spool.remove()
    return counts


def _fetch(
    wanted: list[ListRow], politeness: Politeness, spool: Spool, earlier: Earlier, folder: Path
) -> dict[int, LedgerRow]:
    _allow_open_files()
    done: dict[int, LedgerRow] = {}

    async def fetch_one(client: PoliteClient, row: ListRow) -> None:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(folder)) as file:
            answer = await client.fetch(row.url or "", file) if not row.problem else Answer(row.problem)
            said = _ledger_row(row, answer, earlier.may_pass(row.row, row.url))
            if not said.retriable and said.problem != "dns_failed":
                spool.add(said, file)
            done[row.row] = said

    async def fetch_all() -> None:
        async with PoliteClient(politeness) as client, asyncio.TaskGroup() as group:
            for row in wanted:
                group.create_task(fetch_one(client, row))

    try:
        asyncio.run(fetch_all())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # a full disk is to be told as that
    return done


def _doubted(ledger: list[LedgerRow]) -> list[LedgerRow]:
    """A part in which nobody at all answered says more of this machine's network than of hosts that are gone."""
    if any(said.status for said in ledger):
        return ledger
    return [replace(said, retriable=said.retriable or said.problem == "dns_failed") for said in ledger]


def _ledger_row(row: ListRow, answer: Answer, before: LedgerRow | None) -> LedgerRow:
    """A problem that may pass and met another one that may pass keeps its name, so that the tar keeps its bytes."""
    stays = before is not None and answer.retriable
    had = not answer.problem
    return LedgerRow(
        row=row.row,
        url=row.url,
        problem=before.problem if before and stays else answer.problem,
        latest=answer.problem,
        retriable=answer.retriable,
        status=answer.status,
        ending=answer.ending if had else "",
        bytes=answer.bytes if had else 0,
        sha256=answer.sha256 if had else "",
        final_url=answer.final_url if had else "",
        attempts=answer.attempts + (before.attempts if before else 0),
        time=datetime.now(UTC),
        seconds=answer.seconds,
        detail=answer.detail,
    )


def _write_tar(path: Path, rows: list[ListRow], ledger: list[LedgerRow], spool: Spool, earlier: Earlier) -> None:
    with tarfile.open(path, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, said in zip(rows, ledger, strict=True):
            about = {"captions": row.captions, "license": row.license, "url": row.url, "problem": said.problem}
            if not said.problem:
                add_member(tar, member_name(said), _body(said, spool, earlier))
            document = {key: value for key, value in about.items() if value}
            add_member(tar, f"{said.row:09d}.json", canonical_json(document))


def _body(said: LedgerRow, spool: Spool, earlier: Earlier) -> bytes:
    for data in (spool.body(said.row), earlier.body(said)):  # of both there may be one of another run
        if data is not None and hashlib.sha256(data).hexdigest() == said.sha256:
            return data
    raise OSError(f"row {said.row} was altered on the disk while its tar was written")


def _counts(ledger: list[LedgerRow]) -> FetchCounts:
    problems = Counter(row.problem for row in ledger if row.problem)
    return {
        "rows": len(ledger),
        "pictures": len(ledger) - problems.total(),
        "may_pass": sum(row.retriable for row in ledger),
        "problems": dict(sorted(problems.items())),
    }


def _allow_open_files() -> None:
    """A connection is an open file, and 1,024 of them, the usual soft limit, are soon used up."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
