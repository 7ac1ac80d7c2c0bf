"""What an earlier run left of a part, its tar and its ledger, and which of it still holds.

    earlier = Earlier(folder, "wukong-…-00003")
    earlier.still_holds(12, "https://…", rules)      # its LedgerRow, or None: ask the web
    earlier.body(ledger_row)

A kill may fall between the two files, and a disk may rot: a picture holds only if its bytes are in the tar as the
ledger says. Other rules than those it was fetched by are heeded where they matter to a row.
"""

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from ...manifests.canonical import sha256_of_file
from .ledger import LedgerRow, Rules, ledger_facts, read_ledger

_RULE_BEHIND = {
    "too_many_bytes": "max_bytes",
    "robots_disallowed": "robots",
    "robots_tag": "robots_tag",
    "private_address": "allow_addresses",
}


class Earlier:
    def __init__(self, folder: Path, part: str) -> None:
        self._tar, self._ledger = folder / f"{part}.tar", folder / f"{part}.parquet"
        facts = ledger_facts(self._ledger) if self._tar.is_file() else None
        self._facts = facts
        self._rows = {row.row: row for row in read_ledger(self._ledger)} if facts else {}
        self._places = _places(self._tar) if facts else {}
        self._is_whole = facts is not None and sha256_of_file(self._tar) == facts["tar"]

    def still_holds(self, row: int, url: str | None, rules: Rules) -> LedgerRow | None:
        said = self._rows.get(row)
        if (
            self._facts is None
            or said is None
            or said.url != url
            or said.retriable
            or _would_differ(said, self._facts["rules"], rules)
        ):
            return None
        return said if said.problem or self._has(said) else None

    def may_pass(self, row: int, url: str | None) -> LedgerRow | None:
        """What was said of a row that is tried again."""
        said = self._rows.get(row)
        return said if said and said.url == url and said.retriable else None

    def body(self, row: LedgerRow) -> bytes | None:
        if member_name(row) not in self._places:
            return None
        start, size = self._places[member_name(row)]
        with self._tar.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def is_of(self, slice_sha256: str, rules: Rules) -> bool:
        facts = self._facts if self._is_whole else None
        return facts is not None and facts["slice"] == slice_sha256 and facts["rules"] == rules

    def link(self, tar_or_ledger: Path) -> None:
        """The very file, with its time, under another name: whoever measured it need not do so again."""
        same = self._tar if tar_or_ledger.suffix == ".tar" else self._ledger
        tar_or_ledger.unlink(missing_ok=True)
        try:
            os.link(same, tar_or_ledger)
        except OSError:  # a file system without links
            shutil.copy2(same, tar_or_ledger)

    def has_tar(self, sha256: str) -> bool:
        return self._facts is not None and self._is_whole and self._facts["tar"] == sha256

    def _has(self, said: LedgerRow) -> bool:
        if self._is_whole:
            return member_name(said) in self._places
        data = self.body(said)
        return data is not None and hashlib.sha256(data).hexdigest() == said.sha256


def member_name(row: LedgerRow) -> str:
    return f"{row.row:09d}.{row.ending}"


def _would_differ(said: LedgerRow, old: Rules, new: Rules) -> bool:
    if said.problem:
        rule = _RULE_BEHIND.get(said.problem, "")
        return bool(old.get(rule) != new.get(rule))
    obeys_more = any(old[rule] == "ignore" and new[rule] == "obey" for rule in ("robots", "robots_tag"))
    reaches_less = not set(old["allow_addresses"]) <= set(new["allow_addresses"])
    return obeys_more or reaches_less or said.bytes > new["max_bytes"]


def _places(tar: Path) -> dict[str, tuple[int, int]]:
    try:
        with tarfile.open(tar, mode="r:") as opened:
            return {member.name: (member.offset_data, member.size) for member in opened}
    except tarfile.TarError:
        return {}
