"""Tables that stages hand on: an altered byte is found by whoever reads its column."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuwen.manifests.errors import CheckFailed
from tuwen.pipeline.corpus_files.stage_tables import WRITTEN, read_stage_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    columns = {name: [random.bytes(100) for _ in range(200)] for name in ("first", "second")}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", **WRITTEN)
    return tmp_path / "t.parquet"


def test_columns_are_read_as_they_were_written(table: Path) -> None:
    assert read_stage_table(table, ["second"]).equals(pq.read_table(table, columns=["second"]))
    assert read_stage_table(table).column_names == ["first", "second"]


@pytest.mark.parametrize("at", [500, 9_000, 15_000])
def test_one_flipped_bit_is_found_where_its_column_is_read_and_harms_no_other(table: Path, at: int) -> None:
    data = bytearray(table.read_bytes())
    assert len(data) > 40_000  # two columns of random bytes: the first half of the file is the first column
    data[at] ^= 4
    table.write_bytes(data)
    with pytest.raises(CheckFailed, match=r"t.parquet: missing, or altered since it was made .* --recheck"):
        read_stage_table(table, ["first"])
    assert read_stage_table(table, ["second"]).num_rows == 200


@pytest.mark.parametrize("left", [0, 3, 20_000])
def test_a_cut_table_is_refused(table: Path, left: int) -> None:
    table.write_bytes(table.read_bytes()[:left])
    with pytest.raises(CheckFailed, match="altered since it was made"):
        read_stage_table(table)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="missing"):
        read_stage_table(tmp_path / "none.parquet")
