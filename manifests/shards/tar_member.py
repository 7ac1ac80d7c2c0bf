"""One member of a tar whose bytes depend on nothing but its name and its data.

add_member(tar, "000123.txt", "一只蜜蜂".encode())
"""

import io
import tarfile


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Owner, group and time are 0, and the mode is 0444."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o444
    info.mtime = 0  # an integer: a float would add a 1 KiB PAX record to every member
    tar.addfile(info, io.BytesIO(data))
