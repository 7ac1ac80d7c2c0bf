"""The format of a file that holds pictures, by its content alone: names lie, as a gzip called `.tar`.

container_format(path)      # "tar", "gzip", "zip", "parquet", "arrow"; None: none of these
"""

from pathlib import Path

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # without members
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",  # a stream, as `save_to_disk` of Hugging Face writes it
}
_OTHERS = {
    b"Rar!\x1a\x07": "RAR", b"7z\xbc\xaf\x27\x1c": "7z", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
_TAR_BLOCK = 512


def container_format(path: Path) -> str | None:
    """Raises OSError when the file cannot be opened."""
    with path.open("rb") as file:
        return format_of(file.read(_TAR_BLOCK))


def format_of(head: bytes) -> str | None:
    """`head` is the first 512 bytes or more, or all."""
    magic = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    return magic or ("tar" if is_tar_header(head[:_TAR_BLOCK]) else None)


def other_archive(path: Path) -> str | None:
    """Return the name of an archive's format that is not read here: RAR, 7z, bzip2, xz, zstd."""
    with path.open("rb") as file:
        return other_archive_of(file.read(8))


def other_archive_of(head: bytes) -> str | None:
    return next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)


def is_tar_header(block: bytes) -> bool:
    """Return whether the 512 bytes are a header with the right checksum, or the zeros of a tar without members."""
    if len(block) < _TAR_BLOCK:
        return False
    if not block.strip(b"\0"):
        return True
    field = block[148:156].strip(b" \0")
    if not field.isdigit():
        return False
    unsigned = sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    return int(field, 8) == unsigned if field.translate(None, b"01234567") == b"" else False
