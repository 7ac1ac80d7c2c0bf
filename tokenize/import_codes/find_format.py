"""Which format of codes lies at a path, told by what is there.

    files = open_code_files(Asked(path=Path("merge.bin"), …))        # CodeFiles of kind `cogdata`

One row of FORMATS a format.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...manifests.errors import BadInput
from .asked import Asked, Kind
from .code_rows import CodeFiles
from .cogdata_bin import SUFFIXES, bin_names, open_cogdata
from .npy_folder import npy_names, open_npy_folder
from .parquet_codes import open_parquet, parquet_names


@dataclass(frozen=True)
class Format:
    open: Callable[[Asked], CodeFiles]
    is_file: Callable[[Path], bool]
    names_in: Callable[[Path], Iterator[str]]  # of its files in a folder
    words: str


FORMATS: dict[Kind, Format] = {
    "parquet": Format(
        open_parquet, lambda path: _begins_with(path, b"PAR1"), parquet_names, "Parquet of captions and codes"
    ),
    "cogdata": Format(open_cogdata, lambda path: path.suffix in SUFFIXES, bin_names, "a .bin of cogdata"),
    "llamagen": Format(open_npy_folder, lambda path: False, npy_names, "a folder of .npy"),
}


def open_code_files(asked: Asked) -> CodeFiles:
    """Raises BadInput when the path holds no codes, or those of several formats."""
    if not asked.path.exists():
        raise BadInput(f"{asked.path}: does not exist", cure="name a file or a folder of codes")
    found = [kind for kind, format_ in FORMATS.items() if _holds(format_, asked.path)]
    if asked.kind is not None:
        if asked.kind not in found and not (asked.kind == "cogdata" and asked.path.is_file()):
            raise BadInput(f"{asked.path}: is not {FORMATS[asked.kind].words}", cure="correct --kind or the path")
        return FORMATS[asked.kind].open(asked)
    if not found:
        known = ", ".join(format_.words for format_ in FORMATS.values())
        raise BadInput(f"{asked.path}: holds no codes that are known ({known})", cure="name one of these")
    if len(found) > 1:
        raise BadInput(f"{asked.path}: holds {' and '.join(found)}", cure=f"say --kind {found[0]}")
    return FORMATS[found[0]].open(asked)


def _holds(format_: Format, path: Path) -> bool:
    return format_.is_file(path) if path.is_file() else any(format_.names_in(path))


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
