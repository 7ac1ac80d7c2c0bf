"""A subset file of DataComp: the 128-bit uids of samples, sorted, as two uint64 each. It is read where it lies.

uids = Uids(path)                 # baseline_basic.npy
"0012b8a3…" in uids          # 32 hex digits, as `uid` in the .json of a sample has them
"""

from pathlib import Path

import numpy as np

from ....manifests.errors import BadInput

_LAYOUT = np.dtype("u8,u8")
_CHECKED_ROWS = 1 << 20


class Uids:
    def __init__(self, path: Path) -> None:
        """Raises BadInput when the file has another layout."""
        try:
            rows = np.load(path, mmap_mode="r")
            pairs = rows if rows.dtype == _LAYOUT else rows.view(np.uint64).view(_LAYOUT).reshape(-1)
        except (ValueError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise _no_uids(path) from None
        if rows.dtype != _LAYOUT and (rows.dtype != np.uint64 or rows.shape[1:] != (2,)):
            raise _no_uids(path)
        self._path, self._pairs = path, pairs

    def check_order(self) -> None:
        """Raises BadInput when the uids are not sorted: they could not be found."""
        for start in range(0, len(self._pairs), _CHECKED_ROWS):
            rows = self._pairs[start : start + _CHECKED_ROWS + 1]
            high, low = rows["f0"], rows["f1"]
            if not np.all((high[:-1] < high[1:]) | ((high[:-1] == high[1:]) & (low[:-1] <= low[1:]))):
                raise BadInput(f"{self._path}: the uids are not sorted", cure="np.save(path, np.sort(np.load(path)))")

    def __contains__(self, uid: str) -> bool:
        try:
            wanted = divmod(int(uid, 16), 1 << 64)
        except ValueError:
            return False
        low, high = 0, len(self._pairs)
        while low < high:  # bisect would ask for a copy of the column
            middle = (low + high) // 2
            row = self._pairs[middle]
            if (int(row[0]), int(row[1])) < wanted:
                low = middle + 1
            else:
                high = middle
        return low < len(self._pairs) and tuple(map(int, self._pairs[low])) == wanted


def _no_uids(path: Path) -> BadInput:
    return BadInput(
        f"{path}: no uids as DataComp has them", cure='name a .npy file of the type "u8,u8": the two halves of each uid'
    )
