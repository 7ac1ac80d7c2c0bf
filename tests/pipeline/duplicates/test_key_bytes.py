"""Keys, hashes and texts as 16 bytes each: what is equal stays equal, what is ordered stays in order."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tuwen.pipeline.duplicates.key_bytes import KEY, digests, hex_of_keys, key_bytes, key_column, keys_of_hex

KEYS = st.lists(st.none() | st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=40)


@given(keys=KEYS, start=st.integers(0, 5))
def test_hex_digits_come_back_also_of_a_slice_and_where_there_is_none(keys: list[str | None], start: int) -> None:
    column = pa.chunked_array([pa.array(keys[:7], pa.string()), pa.array(keys[7:], pa.string())]).slice(start)
    packed = keys_of_hex(column)
    assert packed.type == KEY
    assert packed.null_count == column.null_count
    assert hex_of_keys(packed).to_pylist() == column.to_pylist()
    assert hex_of_keys(packed.slice(1)).to_pylist() == column.to_pylist()[1:]
    assert [None if key is None else key.hex() for key in packed.to_pylist()] == column.to_pylist()


@given(keys=st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex), min_size=1, unique=True, max_size=40))
def test_bytes_sort_as_their_hex_digits_do(keys: list[str]) -> None:
    names = key_bytes(keys_of_hex(pa.array(keys)))
    assert [keys[at] for at in names.argsort()] == sorted(keys)
    assert hex_of_keys(key_column(names)).to_pylist() == keys


def test_of_longer_hashes_the_first_sixteen_bytes_stay() -> None:
    sha256 = "0123456789abcdef" * 4
    assert hex_of_keys(keys_of_hex(pa.array([sha256, None]))).to_pylist() == [sha256[:32], None]


@given(texts=st.lists(st.none() | st.text(max_size=5), max_size=40))
def test_texts_have_equal_digests_exactly_where_they_are_equal(texts: list[str | None]) -> None:
    found = digests(texts).to_pylist()
    for text, digest in zip(texts, found, strict=True):
        assert [other == digest for other in found] == [other == text for other in texts]


def test_nothing_is_nothing() -> None:
    assert keys_of_hex(pa.array([], pa.string())).to_pylist() == []
    assert hex_of_keys(pa.array([], KEY)).to_pylist() == []
    assert keys_of_hex(pa.array([None, None], pa.string())).to_pylist() == [None, None]
