"""What a previous run left of a part, its tar and its ledger, and which of it is still valid.

    previous = PreviousRun(folder, "wukong-…-00003")
    previous.valid_row(12, "https://…", rules)       # its LedgerRow; None: the picture has to be fetched
    previous.picture(ledger_row)

A kill may fall between the two files, and a disk may rot: a picture is valid only if its bytes are in the tar as the
ledger says. When the rules have changed, only the rows that they concern are fetched again.
"""

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from ...manifests.canonical import sha256_of_file
from .ledger import LedgerRow, Rules, ledger_facts, read_ledger

_RULE_OF_PROBLEM = {
    "too_many_bytes": "max_bytes",
    "robots_disallowed": "robots",
    "robots_tag": "robots_tag",
    "private_address": "allow_addresses",
}


class PreviousRun:
    def __init__(self, folder: Path, part: str) -> None:
        self._tar, self._ledger = folder / f"{part}.tar", folder / f"{part}.parquet"
        facts = ledger_facts(self._ledger) if self._tar.is_file() else None
        self._facts = facts
        self._rows = {row.row: row for row in read_ledger(self._ledger)} if facts else {}
        self._members = _members(self._tar) if facts else {}
        self._is_whole = facts is not None and sha256_of_file(self._tar) == facts["tar"]

    def valid_row(self, row: int, url: str | None, rules: Rules) -> LedgerRow | None:
        """The row of the ledger, unless it has to be fetched again."""
        known = self._rows.get(row)
        if self._facts is None or known is None or known.url != url or known.retriable or known.time is None:
            return None
        if _rules_concern(known, self._facts["rules"], rules):
            return None
        return known if known.problem or self._has_picture(known) else None

    def retriable_row(self, row: int, url: str | None) -> LedgerRow | None:
        """The row of the ledger, if it is a failure that is now tried again."""
        known = self._rows.get(row)
        return known if known and known.url == url and known.retriable else None

    def picture(self, row: LedgerRow) -> bytes | None:
        if member_name(row) not in self._members:
            return None
        offset, num_bytes = self._members[member_name(row)]
        with self._tar.open("rb") as file:
            file.seek(offset)
            return file.read(num_bytes)

    def was_made_of(self, slice_sha256: str, rules: Rules) -> bool:
        """Whether tar and ledger are whole, of this very slice, and fetched by these rules."""
        facts = self._facts if self._is_whole else None
        return facts is not None and facts["slice"] == slice_sha256 and facts["rules"] == rules

    def link(self, tar_or_ledger: Path) -> None:
        """The very file, with its time, under another name: it need not be measured again."""
        same = self._tar if tar_or_ledger.suffix == ".tar" else self._ledger
        tar_or_ledger.unlink(missing_ok=True)
        try:
            os.link(same, tar_or_ledger)
        except OSError:  # a file system without links
            shutil.copy2(same, tar_or_ledger)

    def has_tar(self, sha256: str) -> bool:
        return self._facts is not None and self._is_whole and self._facts["tar"] == sha256

    def _has_picture(self, row: LedgerRow) -> bool:
        if self._is_whole:
            return member_name(row) in self._members
        data = self.picture(row)
        return data is not None and hashlib.sha256(data).hexdigest() == row.sha256


def member_name(row: LedgerRow) -> str:
    return f"{row.row:09d}.{row.ending}"


def _rules_concern(row: LedgerRow, old: Rules, new: Rules) -> bool:
    """Whether the row might have another result under the new rules."""
    if row.problem:
        rule = _RULE_OF_PROBLEM.get(row.problem, "")
        return bool(old.get(rule) != new.get(rule))
    obeys_more = any(old[rule] == "ignore" and new[rule] == "obey" for rule in ("robots", "robots_tag"))
    reaches_less = not set(old["allow_addresses"]) <= set(new["allow_addresses"])
    return obeys_more or reaches_less or row.bytes > new["max_bytes"]


def _members(tar: Path) -> dict[str, tuple[int, int]]:
    """Name → offset and bytes of each member; empty when the tar cannot be read."""
    try:
        with tarfile.open(tar, mode="r:") as opened:
            return {member.name: (member.offset_data, member.size) for member in opened}
    except tarfile.TarError:
        return {}
