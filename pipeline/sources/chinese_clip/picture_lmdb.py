"""LMDB folders as Chinese-CLIP builds them: `imgs` (id → base64) and `pairs` (number → pickle), read only.

    picture_ids(folder)                  # every id
    picture_text(folder, "1076345")      # its base64, or None
    pair_rows(folder)                    # (image_id, text_id, text), or None: broken

The database is mapped into memory. One that is cut would end the process where it is read, so its size is checked.
Needs the extra `lmdb`: pip install 'tuwen[lmdb]'.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....manifests.errors import BadInput
from .plain_pickle import plain_tuple

DATA_FILE = "data.mdb"
_COUNTS = (b"num_images", b"num_samples")


def picture_ids(folder: Path) -> list[bytes]:
    with _opened(folder).begin() as transaction:
        return [bytes(key) for key in transaction.cursor().iternext(values=False) if key not in _COUNTS]


def picture_text(folder: Path, picture_id: str) -> bytes | None:
    with _opened(folder).begin() as transaction:
        value = transaction.get(picture_id.encode())
    return None if value is None else bytes(value)


def pair_rows(folder: Path) -> Iterator[tuple[str, tuple[Any, ...] | None]]:
    """The number of each pair, in their order, with its tuple; None if it is broken."""
    with _opened(folder).begin() as transaction:
        keys = [bytes(key) for key in transaction.cursor().iternext(values=False) if key not in _COUNTS]
        for key in sorted(keys, key=lambda key: (int(key) if key.isdigit() else len(keys), key)):
            pair = plain_tuple(bytes(transaction.get(key)))
            yield key.decode("utf-8", "backslashreplace"), pair if pair and len(pair) == 3 else None


def _opened(folder: Path) -> Any:
    if not (folder / DATA_FILE).is_file():
        raise FileNotFoundError(2, "no such file", str(folder / DATA_FILE))
    return _environment(str(folder))


@lru_cache(maxsize=8)
def _environment(folder: str) -> Any:
    try:
        import lmdb
    except ImportError:
        raise BadInput(f"{folder}: an LMDB needs the package lmdb", cure="pip install 'tuwen[lmdb]'") from None
    try:
        opened = lmdb.open(
            folder, readonly=True, lock=False, readahead=False, subdir=True
        )  # the folder may be read-only
        needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    except lmdb.Error as error:
        raise BadInput(f"{folder}: not a whole LMDB ({error})", cure="get it again, or build it anew") from None
    size = (Path(folder) / DATA_FILE).stat().st_size
    if size < needed:
        opened.close()
        raise BadInput(f"{folder}: cut short, {size:,} of {needed:,} bytes", cure="get it again, or build it anew")
    return opened
