"""The encoding of a source is told right, or it is not told: never is a caption decoded by a wrong guess."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from opencc import OpenCC

from tuwen.pipeline.tables.text_encoding import ENCODINGS, codec_of, decoded, encoding_of, fits

NATURAL = (
    "一只橘色的猫坐在窗台上，看着外面的雨。小女孩穿着红色的裙子，在公园的草地上放风筝。中国的长城在秋天的阳光下，"
    "两个老人站在城墙上照相。桌子上放着一碗热气腾腾的牛肉面，旁边是一双筷子和一杯茶。黑白照片里，一家人在老房子前面合影。"
    "蓝天下的雪山，湖水很清。他们骑着自行车穿过城市的街道，路边的树都开花了。这是我们学校新建的图书馆，有三层楼。"
)
TRADITIONAL = OpenCC("s2t").convert(NATURAL)
HAN = [chr(code) for code in range(0x4E00, 0x9FA6)]


def can_hold(text: str, encoding: str) -> bool:
    try:
        return text.encode(codec_of(encoding)).decode(codec_of(encoding)) == text
    except UnicodeError:
        return False


@pytest.mark.parametrize("text", [NATURAL, TRADITIONAL], ids=["simplified", "traditional"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_natural_text_is_told_in_all_encodings_that_hold_it(encoding: str, text: str) -> None:
    if can_hold(text, encoding):
        assert encoding_of([text.encode(codec_of(encoding))]) == encoding


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from(HAN), min_size=200, max_size=400), st.sampled_from(ENCODINGS))
@example("联通" * 100, "gb18030")  # of which Windows' editor once thought that it is UTF-8
@example("猫" * 200, "gb18030")
@example("腔" * 200, "big5")
@example("的" * 200, "gb18030")
def test_any_two_hundred_han_are_told_right_or_refused(text: str, encoding: str) -> None:
    assume(can_hold(text, encoding))
    assert encoding_of([text.encode(codec_of(encoding))]) in (encoding, None)


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from(NATURAL + TRADITIONAL + "abc 0123,\n"), min_size=200, max_size=300),
    st.sampled_from(ENCODINGS),
)
def test_text_of_common_characters_is_told_right_or_refused(text: str, encoding: str) -> None:
    assume(can_hold(text, encoding))
    assert encoding_of([text.encode(codec_of(encoding))]) in (encoding, None)


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-8"])
def test_one_damaged_row_does_not_hide_the_encoding_of_the_others(encoding: str) -> None:
    text = (TRADITIONAL if encoding == "big5" else NATURAL) * 3
    data = text.encode(codec_of(encoding))
    for fault in (b"\0", b"\xff\xff", b"\x81\x20"):
        assert encoding_of([data[:400] + fault + data[400:]]) == encoding


def test_short_texts_are_told_together_where_each_alone_could_be_another() -> None:
    captions = [character.encode("gb18030") for character in NATURAL]
    assert encoding_of(captions) == "gb18030"
    assert any(encoding_of([caption]) is None for caption in captions)


def test_files_of_two_encodings_are_not_told_as_one() -> None:
    assert encoding_of([NATURAL.encode("gb18030"), NATURAL.encode()]) is None
    assert encoding_of([NATURAL.encode("gb18030"), TRADITIONAL.encode("big5hkscs")]) is None


def test_ascii_and_marks_say_nothing_of_the_other_files() -> None:
    assert encoding_of([b"url,caption\n", NATURAL.encode("utf-16"), NATURAL.encode("gb18030")]) == "gb18030"
    assert encoding_of([b"url,caption\n", b""]) == "utf-8"
    assert encoding_of(["https://example.com/1.jpg,это кот".encode()]) == "utf-8"


def test_a_sample_fits_its_encoding_and_not_another() -> None:
    assert fits(NATURAL.encode(), "utf-8") and fits(b"ascii", "utf-8") and fits(b"ascii", "gb18030")
    assert not fits(NATURAL.encode("gb18030"), "utf-8")
    assert fits(NATURAL.encode("utf-16"), "utf-8")  # its mark speaks for it


def test_decoded_refuses_what_is_not_of_the_encoding() -> None:
    assert decoded("猫".encode("gb18030"), "gb18030") == "猫"
    assert decoded("狗".encode("gb18030"), "utf-8") is None
    assert decoded("猫".encode("utf-16"), "utf-8") == "猫"


def test_a_sample_that_ends_inside_its_only_character_is_no_error() -> None:
    """Found by the fuzz: what is decoded is then empty."""
    assert encoding_of([b"\xef\xbf"]) in (None, "utf-8")
