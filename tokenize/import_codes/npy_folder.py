"""A folder of `.npy` as LlamaGen's extract_codes scripts leave it: a picture a file.

    t2i   CODES/LIST/17.npy (1, n)                  the caption is line 17 of LIST.jsonl: --captions FOLDER
    c2i   imagenet256_codes/17.npy (1, views, n)    imagenet256_labels/17.npy (1,): --captions FILE, a class name a line
    else  17.npy beside 17.txt, or --captions FILE, of which line 17 is the caption

`views` are crops of one picture: each becomes a row, and all of them are in one split.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from .asked import Asked
from .caption_lines import CaptionLines
from .code_rows import BrokenRow, CodeFiles, CodeRow, Rows

CaptionOf = Callable[[str], str | None]  # by the name of the .npy


def open_npy_folder(asked: Asked) -> CodeFiles:
    """Raises BadInput when nothing says what the captions are."""
    folder, labels = _codes_and_labels(asked.path)
    names = sorted(npy_names(folder), key=_natural)
    caption_of = _captions(asked, folder, labels, names[0])

    def rows(known: Asked) -> Rows:
        num_codes = known.num_codes
        for name in names:
            codes = _read(folder / name)
            if codes is None:
                yield BrokenRow(name, "unreadable")
                continue
            caption = caption_of(name) or ""
            is_views = codes.size > num_codes and codes.shape[-1] == num_codes
            for view, of_view in enumerate(codes.reshape(-1, num_codes) if is_views else codes.reshape(1, -1)):
                yield CodeRow(name, of_view, caption, view=view)

    return CodeFiles("llamagen", asked, folder, names, rows, len(names))


def npy_names(folder: Path) -> Iterator[str]:
    """Names relative to `folder`, of files in it and in its folders."""
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*.npy"))


def _codes_and_labels(path: Path) -> tuple[Path, Path | None]:
    """The folder of codes, and that of labels where there is one: `NAME_codes` and `NAME_labels`."""
    found = sorted(path.glob("*_codes"))
    folder = found[0] if len(found) == 1 else path
    labels = folder.with_name(f"{folder.name.removesuffix('_codes')}_labels")
    return folder, labels if folder.name.endswith("_codes") and labels.is_dir() else None


def _natural(name: str) -> tuple[str, int, str]:
    """10.npy stands after 9.npy."""
    path = Path(name)
    return path.parent.as_posix(), int(path.stem) if path.stem.isdecimal() else -1, path.stem


def _captions(asked: Asked, folder: Path, labels: Path | None, first: str) -> CaptionOf:
    given = asked.captions
    if labels is not None:
        if given is None:
            raise BadInput(f"{labels}: labels are numbers", cure="say --captions FILE with the name of a class a line")
        names = CaptionLines(given, asked.caption_column)
        return lambda name: _of_label(names, _read(labels / name))
    if given is not None and given.is_dir():
        lists: dict[str, CaptionLines] = {}
        return lambda name: _of_list(lists, given, name, asked.caption_column)
    if given is not None:
        lines = CaptionLines(given, asked.caption_column)
        return lambda name: _of_number(lines, name)
    if not (folder / first).with_suffix(".txt").is_file():
        raise BadInput(
            f"{folder}: has no {Path(first).stem}.txt beside {first}",
            cure="say --captions FILE, of which line N is the caption of N.npy, or LlamaGen's folder of .jsonl",
        )
    return lambda name: _of_text_beside(folder / name)


def _of_label(names: CaptionLines, label: NDArray[Any] | None) -> str | None:
    return names[int(label.reshape(-1)[0])] if label is not None and label.size else None


def _of_list(lists: dict[str, CaptionLines], folder: Path, name: str, column: str | None) -> str | None:
    """The caption in the list that the folder of the .npy is called after."""
    stem = Path(name).parent.name or folder.name
    if stem not in lists:
        lists[stem] = CaptionLines(folder / f"{stem}.jsonl", column)
    return _of_number(lists[stem], name)


def _of_number(lines: CaptionLines, name: str) -> str | None:
    stem = Path(name).stem
    return lines[int(stem)] if stem.isdecimal() else None


def _of_text_beside(path: Path) -> str | None:
    try:
        return path.with_suffix(".txt").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _read(path: Path) -> NDArray[Any] | None:
    """The array of a .npy file; None when it is missing, cut, empty, or holds no integers."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.size and array.dtype.kind in "iu" else None
