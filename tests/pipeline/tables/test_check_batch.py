"""Damaged Arrow is refused before a value is read: its reader believes every offset, and would end the process."""

import pyarrow as pa
import pytest

from tuwen.pipeline.tables.arrow_rows import UNREADABLE, arrow_rows
from tuwen.pipeline.tables.check_batch import checked

FAR = 1 << 30
TEXTS = pa.array(["猫", "狗"])


def int32(*numbers: int) -> pa.Buffer:
    return pa.array(numbers, pa.int32()).buffers()[1]


def batch(array: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([array], ["text"])


DAMAGED = {
    "text": lambda: pa.Array.from_buffers(pa.string(), 2, [None, int32(0, FAR, 6), TEXTS.buffers()[2]]),
    "list": lambda: pa.Array.from_buffers(pa.list_(pa.string()), 2, [None, int32(0, FAR, 2)], children=[TEXTS]),
    "list that goes back": lambda: pa.Array.from_buffers(
        pa.list_(pa.string()), 3, [None, int32(0, 2, 1, 2)], children=[TEXTS]
    ),
    "list of damaged text": lambda: pa.ListArray.from_arrays([0, 2], DAMAGED["text"]()),
    "list view": lambda: pa.Array.from_buffers(
        pa.list_view(pa.string()), 1, [None, int32(1), int32(FAR)], children=[TEXTS]
    ),
    "dictionary": lambda: pa.DictionaryArray.from_arrays(pa.array([0, FAR], pa.int32()), TEXTS, safe=False),
    "struct": lambda: pa.StructArray.from_arrays([DAMAGED["text"]()], ["a"]),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_an_offset_or_index_that_leads_elsewhere_is_refused(kind: str) -> None:
    with pytest.raises(pa.ArrowInvalid):
        checked(batch(DAMAGED[kind]()))


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"\xff", "猫".encode()], pa.binary()).view(pa.string()),
        pa.array([1 << 50, 86_400_000], pa.int64()).view(pa.date64()),
        pa.array([["猫", None], None]), pa.array(["猫", None]).dictionary_encode(), pa.array([{"a": ["猫"]}, None]),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())), pa.nulls(2),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_read_is_no_damage(array: pa.Array) -> None:
    assert len(list(arrow_rows(checked(batch(array))))) == 2
    assert len(list(arrow_rows(checked(batch(array.slice(1)))))) == 1


def test_one_cell_that_cannot_be_read_costs_no_other_and_a_map_is_no_text() -> None:
    broken = pa.array([b"\xff", "猫".encode()], pa.binary()).view(pa.string())
    assert [row["text"] for row in arrow_rows(batch(broken))] == [UNREADABLE, "猫"]
    maps = pa.array([[[("zh", "猫")]], None], pa.list_(pa.map_(pa.string(), pa.string())))
    assert [row["text"] for row in arrow_rows(batch(maps))] == [UNREADABLE, None]
