"""Tuwen: Chinese image-text pairs to a corpus, to shards of VQ codes, to a trained text-to-image transformer.

Each room brings its own commands (`commands.py`). The result of a command goes to standard output (as JSON with
--json), progress and errors to standard error. Exit codes: 0 done, 1 what was checked does not hold, 2 the input is
wrong, 130 interrupted, 70 a bug.
"""

import errno
import os
import re
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from .manifests.commands import manifest_app
from .manifests.environment import tool
from .manifests.errors import TuwenError
from .pipeline.commands import pipeline_app
from .tokenize.commands import tokenize_app
from .train.commands import train_app
from .train.run_commands import run_app

_UsageError: Any = typer.BadParameter.__base__  # click's, whichever copy of it typer brings
BUG = 70  # sysexits.h: internal software error; an uncaught exception would exit with 1, which means something here

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__.split("\n")[0]
)
for room in (pipeline_app, tokenize_app, train_app, run_app):
    app.add_typer(room)
app.add_typer(manifest_app, name="manifest")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tuwen {tool()['version']}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script: every error that is not a bug becomes one line and an exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    # libgomp's threads spin while they wait: beside any other busy process two trainer threads then take 40 times as
    # long. A short spin costs 3% on a quiet machine. To be set before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else C++ prints its stack when another rank is gone
    try:
        sys.exit(app(prog_name="tuwen", standalone_mode=False))
    except _UsageError as error:
        _stop_usage(error)
    except TuwenError as error:
        _stop(str(error), error.exit_code)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _stop(f"{error.filename or 'the disk'}: no space left; free some, then give the same command again", 2)
        if error.errno in (errno.EACCES, errno.EROFS):
            _stop(f"{error.filename}: may not be written or read; change its rights, or give another --out", 2)
        _stop(traceback.format_exc() + "this is a bug of tuwen", BUG)
    except Exception:
        _stop(traceback.format_exc() + "this is a bug of tuwen", BUG)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Ends at once: what lies on the disk is whole at any moment, and a local Ray cluster dies with this process.

    An exception would be raised wherever Ray's C++ threads happen to be, and they abort, or crash, now and then.
    """
    print("tuwen: interrupted; the same command continues from here", file=sys.stderr, flush=True)
    os._exit(130)


def _stop_usage(error: Any) -> NoReturn:
    """A command without arguments shows its help; any other mistake is one line."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(error.exit_code)
    problem = error.format_message().replace("Value error, ", "").rstrip(".")
    problem = re.sub(
        r"Input should be (.*?)(, unable to parse .*)?$", r"it must be \1", problem
    )  # pydantic's, in typer
    command = error.ctx.command_path if error.ctx else "tuwen"
    _stop(f"{problem}; see `{command} --help`", error.exit_code)


def _stop(line: str, code: int) -> NoReturn:
    print(f"tuwen: {line}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
