"""An iterator whose items are made by a thread, a few of them ahead.

for chunk in in_background(chunks, ahead=2):
    …          # meanwhile the next chunk is fetched and stacked
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_background(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """What `items` raises comes out here. The thread ends with the iterator, also when that is left early."""
    made: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(ahead)
    left = threading.Event()

    def put(item: Item | None, error: BaseException | None, is_last: bool) -> None:
        while not left.is_set():
            try:
                made.put((item, error, is_last), timeout=0.1)
                return
            except queue.Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(item, None, False)
                if left.is_set():
                    return
            put(None, None, True)
        except BaseException as error:
            put(None, error, True)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            item, error, is_last = made.get()
            if error is not None:
                raise error
            if is_last:
                return
            yield item  # type: ignore[misc]  # None comes with `is_last` alone
    finally:
        left.set()
