"""What every archive of pictures offers, whatever its format: its members, and the bytes of one of them.

    for member in archive.members():        # Member("000123.jpg", offset=1536, size=20480)
        archive.read(member.offset, member.size)

The offset finds the bytes again: of a tar it is that of the bytes in the file, of a zip that of the member's header.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from .byte_window import ReadableFile

HEAD_BYTES = 4096  # enough to tell what a member is


class Member(NamedTuple):
    name: str  # as UTF-8, with the names of the tars that it lies in; two members may have one name
    offset: int
    size: int
    passed: str | None = None  # the kind of what is no file: "folder", "symbolic link"


class Archive(Protocol):
    def members(self) -> Iterator[Member]:
        """In the order of the archive. Raises BadInput on one that is cut or damaged."""

    def read(self, offset: int, size: int) -> bytes:
        """The first `size` bytes of the member at `offset`, or fewer. Raises BrokenMember."""

    def open(self, member: Member) -> AbstractContextManager[ReadableFile]:
        """The bytes of a member that is too large for the memory. Raises BrokenMember, also while they are read."""

    def inside(self, member: Member) -> "Archive | None":
        """The tar that a member is, where it can be read in place: with the names and offsets of this archive."""

    def segment(self, offset: int) -> int:
        """The number of the tar that holds `offset`, in a file of several, one behind the other."""


class BrokenMember(ValueError):
    """The bytes of one member cannot be had; those of the others can."""
