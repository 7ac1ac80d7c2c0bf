"""What `tuwen import` cannot know is asked for with its option, and what cannot be is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuwen.manifests.errors import BadInput, CheckFailed
from tuwen.tokenize.import_codes.asked import parse_grid

from .others_files import FACTS, cogdata_ids, dalle_mini, imported, random_codes, save_npy, write_bin


def a_bin(folder: Path) -> Path:
    write_bin(folder / "merge.bin", [cogdata_ids("红圆")], random_codes(1, 1024, 8192))
    return folder / "merge.bin"


def a_parquet(folder: Path) -> Path:
    dalle_mini(folder / "x.parquet")
    return folder / "x.parquet"


def a_folder_of_npy(folder: Path) -> Path:
    save_npy(folder / "npy" / "0.npy", np.zeros((1, 16), np.int64))
    return folder / "npy"


def a_mixture(folder: Path) -> Path:
    dalle_mini(folder / "mixed" / "x.parquet")
    save_npy(folder / "mixed" / "0.npy", np.zeros((1, 16), np.int64))
    return folder / "mixed"


def half_a_bin(folder: Path) -> Path:
    a_bin(folder).write_bytes(b"\0" * 100)
    return folder / "merge.bin"


@pytest.mark.parametrize(
    ("make", "facts", "refusal"),
    [
        (a_parquet, {"grid": parse_grid("16x16")}, "how many codes there are; say --codebook 16384"),
        (a_parquet, {"codebook": 16384}, "how its codes lie in a picture; say --grid 32x32"),
        (a_parquet, {"caption_column": "图"}, "no column `图`; say --caption-column with one of caption, encoding"),
        (a_folder_of_npy, FACTS, "has no 0.txt beside 0.npy; say --captions FILE"),
        (a_bin, {"text_model": None}, "holds no text tokenizer; say --text-model FILE"),
        (a_bin, {"text_model": Path("none.model")}, "none.model: no such file; correct --text-model"),
        (a_bin, {"tokenizer": "compact-64"}, r"gives 8×8 codes of 1,024, not 32×32 of 8,192; correct --grid"),
        (a_bin, {"tokenizer": "{kind: llamagen, size: 256}"}, r"`kind: llamagen` needs the model; write it as"),
        (a_bin, {"text_offset": 0}, r"\(1 text_id_beyond_vocabulary\); give the --text-model that the ids are of"),
        (a_bin, {"codebook": 10, "text_offset": 8192}, r"\(1 code_beyond_codebook\); correct --codebook"),
        (a_bin, {"kind": "llamagen"}, "is not a folder of .npy; correct --kind"),
        (half_a_bin, {}, "100 bytes are no rows of 64 text ids and 32 × 32 codes; say --grid"),
        (a_mixture, FACTS, "holds parquet and llamagen; say --kind parquet"),
        (lambda folder: folder / "none", {}, "none: does not exist; name a file or a folder of codes"),
        (lambda folder: folder / "text.json", {}, r"text.json: holds no codes that are known"),
    ],
)  # fmt: skip
def test_what_is_missing_is_asked_for_with_its_option(
    tmp_path: Path, text_model: Path, make: Callable[[Path], Path], facts: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(BadInput, match=refusal):
        imported(make(tmp_path), tmp_path / "out", **{"text_model": text_model, **facts})
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_parquet_file_that_is_cut_stops_the_import(tmp_path: Path, text_model: Path) -> None:
    path = a_parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckFailed, match="restore the file, or take it out"):
        imported(path, tmp_path / "out", text_model, codebook=16384, grid=parse_grid("16x16"))


@pytest.mark.parametrize("text", ["", "0x3", "3x", "3x3x3", "8x8+16", "2x3+4x4", "-1"])
def test_what_is_no_grid_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="write "):
        parse_grid(text)
