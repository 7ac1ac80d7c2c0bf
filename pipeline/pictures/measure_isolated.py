"""Pictures measured in a process of its own, so that a decoder's crash or hang costs one picture, not the part.

    for item, measured in measure_isolated(part, config):      # the item without its bytes
        measured["problem"]                                    # "decoder_crashed", "decoder_hung"

The child reads and decodes, this process writes. A child that dies is followed by another, which begins with the
picture that killed it; when that one kills again, it is refused and the next one goes on. A hang is ended by the
kernel: each picture has a timer of CPU seconds (ITIMER_PROF), whose signal kills whatever a decoder is doing.
"""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from typing import TypedDict

from ..executor.part import Part
from ..sources.passed_over import PassedFile
from ..sources.reader import read_part
from ..sources.source import SourceItem, SourcePart
from .measure_picture import Measured, measure_picture

_TRIES = 2  # a death may come from outside (a kill, a full memory): only a picture that kills twice is to blame


class MeasureConfig(TypedDict):
    max_pixels: int  # a larger picture is refused from its header
    max_seconds: float  # of CPU for one picture


Answer = tuple[SourceItem, Measured] | PassedFile


def measure_isolated(part: Part[SourcePart], config: MeasureConfig) -> Iterator[Answer]:
    """Each item of the part with its measures, and what is passed over. Raises what reading the part raises."""
    done, deaths, refuse = 0, 0, ""
    while True:
        child = _child()
        try:
            child.connection.send((part, config, done, refuse))
            while (answer := child.connection.recv()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
                done, deaths, refuse = done + 1, 0, ""
            return
        except (EOFError, ConnectionError):
            hung = child.bury() == -signal.SIGPROF
            deaths += 1
            refuse = "decoder_hung" if hung else "decoder_crashed" if deaths >= _TRIES else ""
        except GeneratorExit:  # the reader stopped in the middle: what is in the pipe is of no use to the next part
            child.bury()
            raise


class _Child:
    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        # Found by the same names as here, wherever Ray has put the package; its numpy must not start threads.
        paths = os.pathsep.join(dict.fromkeys([*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]))
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, **threads, "PYTHONPATH": paths.strip(os.pathsep)},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        try:
            self.connection.recv()  # it is ready: from now on its death is a picture's doing
        except EOFError:
            raise RuntimeError(f"the process that decodes did not start: exit code {self._process.wait()}") from None

    def bury(self) -> int:
        """End the child if it is alive. Returns its exit code: minus the signal that killed it."""
        self.connection.close()
        if self._process.poll() is None and not _ended_soon(self._process):
            self._process.kill()
        _child.cache_clear()
        return self._process.wait()


def _ended_soon(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the process ended by itself: its end of the pipe closes a moment before its exit can be seen."""
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


@cache
def _child() -> _Child:
    """The child of this process: it serves part after part, and ends when the pipe closes."""
    child = _Child()
    atexit.register(child.connection.close)
    return child


def _serve(connection: Connection) -> None:
    connection.send("ready")
    while True:
        part, config, done, refuse = connection.recv()
        try:
            for answer in _measure(part, config, done, refuse):
                connection.send(answer)
            connection.send(None)
        except ConnectionError:
            raise
        except Exception as error:  # the user's or ours: it is raised over there, and never blamed on a picture
            connection.send(error)


def _measure(part: Part[SourcePart], config: MeasureConfig, done: int, refuse: str) -> Iterator[Answer]:
    max_pixels = config["max_pixels"]
    for number, item in enumerate(islice(read_part(part), done, None)):
        if isinstance(item, PassedFile):
            yield item
            continue
        without_bytes = replace(item, data=None)
        if refuse and number == 0:
            measured = {**measure_picture(without_bytes, max_pixels), "bytes": len(item.data or b"")}
            measured["problem"] = refuse
        else:
            signal.setitimer(signal.ITIMER_PROF, config["max_seconds"])
            measured = measure_picture(item, max_pixels)
            signal.setitimer(signal.ITIMER_PROF, 0)
        yield without_bytes, measured


if __name__ == "__main__":
    try:
        _serve(Connection(int(sys.argv[1])))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        os._exit(0)
