"""Files of codes as cogdata, dalle-mini and LlamaGen leave them, and what an import makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuwen.manifests.manifest import Manifest
from tuwen.manifests.run_folders import ShardsFolder
from tuwen.manifests.shards.split_reader import SplitReader
from tuwen.tokenize.import_codes.asked import Asked, parse_grid
from tuwen.tokenize.import_codes.import_codes import import_codes

LETTERS = "红圆蓝方绿三角黄"
PIECES = {letter: number + 4 for number, letter in enumerate(LETTERS)}
CAPTIONS = ["红圆", "蓝方", "绿三角", "黄圆"]


def ids_of(caption: str) -> list[int]:
    return [PIECES[letter] for letter in caption]


def random_codes(rows: int, number: int, codebook: int) -> Any:
    return np.random.default_rng(rows).integers(0, codebook, (rows, number))


def imported(path: Path, out: Path, text_model: Path | None, **facts: Any) -> Manifest:
    return import_codes(
        Asked(path=path, name="theirs", text_model=text_model, **{"validation": 0.0, **facts}), ShardsFolder(out)
    )


def rows_of(manifest: Manifest, split: str = "train") -> list[tuple[list[int], list[int], Any]]:
    reader = SplitReader(manifest, split)
    codes, text, lengths = reader.rows(np.arange(len(reader)))
    return [
        (codes[row].tolist(), text[row, : lengths[row]].tolist(), meta) for row, meta in enumerate(reader.all_meta())
    ]


def refused_of(manifest: Manifest) -> dict[str, str]:
    table = pq.read_table(manifest.folder / "refused.parquet")
    return dict(zip(table["place"].to_pylist(), table["reason"].to_pylist(), strict=True))


def write_bin(path: Path, texts: list[list[int]], codes: Any, length: int = 64) -> None:
    """As cogdata's BinarySaver does: text ids filled up with −1, then codes, as int32."""
    rows = np.full((len(texts), length + codes.shape[1]), -1, np.int32)
    for row, ids in enumerate(texts):
        rows[row, : len(ids)] = ids
    rows[:, length:] = codes
    path.write_bytes(rows.tobytes())


def cogdata_ids(caption: str) -> list[int]:
    return [piece + 8192 for piece in ids_of(caption)]


def dalle_mini(path: Path, rows: int = 4, codes: Any = None, **columns: Any) -> Any:
    codes = random_codes(rows, 256, 16384) if codes is None else codes
    table = {"caption": (CAPTIONS * rows)[:rows], "encoding": codes.tolist(), **columns}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(table), path, row_group_size=3)
    return codes


FACTS_256 = {"codebook": 16384, "grid": parse_grid("16x16")}


def save_npy(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


FACTS = {"codebook": 16384, "grid": parse_grid("4x4")}
