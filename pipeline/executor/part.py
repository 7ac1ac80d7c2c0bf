"""A part: the unit of work of every stage, and of what is read from a source.

Part("photos-00003", identity={"tar": "3.tar", "bytes": 1024, …}, place={"root": "/data"})
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """`identity` is hashed; `place` (paths of this machine) is only handed over."""

    name: str
    identity: dict[str, Any]
    place: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PartResult:
    name: str
    files: list[dict[str, Any]]  # name, bytes, sha256
    summary: dict[str, Any]
