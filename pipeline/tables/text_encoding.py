"""The encoding of a source's text, told from samples of the whole source; and text decoded by it, or refused.

    encoding = encoding_of([b"\\xd2\\xbb\\xd6\\xbb\\xc3\\xa8", …])       # "gb18030"; None: no encoding fits clearly
    decoded(data, encoding)                                         # None: these bytes are not of that encoding

A single caption is too short to tell GB18030 from Big5: most bytes of one are legal in the other. So the samples of all
files are told together, and characters for private use are proof of a wrong guess. A byte-order mark speaks for its own
file, whatever the others have.
"""

import codecs
import re
from collections.abc import Iterable
from functools import lru_cache

ENCODINGS = ("utf-8", "gb18030", "big5", "utf-16-le", "utf-16-be")  # the values of `encoding:` in a recipe
SAMPLE_BYTES = 1 << 20

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_CODECS = {"big5": "big5hkscs"}  # Big5 as it is met has Hong Kong's additions
_MAX_BROKEN_SHARE = 0.01  # of the characters that are not ASCII; of a text in another encoding nearly all are broken
_MAX_NULS = 0.1  # share of the characters: UTF-16 has one for each letter of ASCII
_MIN_COMMON_SHARE = 0.1  # of the Han characters; in Chinese text about half are among the most common ones
_MIN_COMMON = 4  # different ones, of a text of 200 characters: the same character 200 times may be anything
_MIN_RATIO = 2.0  # between the share in the first and in the second of two encodings
_PRIVATE = re.compile(r"[\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
_NARROW = re.compile(r"[\x00-\x7f]+")
# The most frequent characters of modern Chinese, after Jun Da's list (2004); OpenCC adds the traditional forms.
_COMMON = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
    "经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知"
    "全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门"
    "任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接"
    "必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住"
    "告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运图猫狗花红蓝绿黄黑照片杯只男孩站坐穿桌草树街车跑吃戴"
)


def encoding_of(samples: Iterable[bytes]) -> str | None:
    """Return one of ENCODINGS: that of nearly all samples together. None: no encoding fits, or two fit alike.

    ASCII alone is UTF-8. Samples with a byte-order mark do not count.
    """
    unmarked = [sample for sample in samples if mark_of(sample) is None]
    texts = [sample for sample in unmarked if not sample.isascii() or b"\0" in sample]
    if not texts or _is_utf8(texts):
        return "utf-8"
    return _best({name: _common_share(texts, name) for name in ENCODINGS if name != "utf-8"})


def fits(sample: bytes, encoding: str) -> bool:
    """Return whether most characters of a sample can be of this encoding; a byte-order mark says so itself."""
    text = _decode([sample], encoding)
    wide, broken = _wide_and_broken(text)
    return mark_of(sample) is not None or broken <= wide / 2


def decoded(data: bytes, encoding: str) -> str | None:
    """Return the text without its byte-order mark, which overrides `encoding`. None: a byte is not of the encoding."""
    mark = mark_of(data)
    try:
        text = data.decode(codec_of(_MARKS[mark] if mark else encoding))
    except UnicodeDecodeError:
        return None
    return text.removeprefix("\ufeff") if mark else text


def mark_of(data: bytes) -> bytes | None:
    return next((mark for mark in _MARKS if data.startswith(mark)), None)


def encoding_of_mark(mark: bytes) -> str:
    return _MARKS[mark]


def codec_of(encoding: str) -> str:
    """Return Python's name of an encoding."""
    return _CODECS.get(encoding, encoding)


def is_private(text: str) -> bool:
    """Return whether a character shows that the text was decoded wrongly: for private use, or U+FFFD."""
    return _PRIVATE.search(text) is not None


def _is_utf8(texts: list[bytes]) -> bool:
    text = _decode(texts, "utf-8")
    wide, broken = _wide_and_broken(text)
    if broken > _MAX_BROKEN_SHARE * wide or text.count("\0") > _MAX_NULS * len(text):
        return False
    # Some Han of GB18030 and Big5 are two bytes that are a Greek or Arabic letter in UTF-8, 猫 for one.
    return 2 * wide < len(text) or max(text.replace("\ufffd", ""), default="") >= "\u0800"


def _common_share(samples: list[bytes], encoding: str) -> float:
    """Return the share of common ones among the characters that are not ASCII; 0 if too much is not of the encoding."""
    text = _decode(samples, encoding)
    wide, broken = _wide_and_broken(text)
    common = set(text) & _common()
    if broken > _MAX_BROKEN_SHARE * wide or len(common) < min(_MIN_COMMON, wide // 50):
        return 0.0
    return sum(text.count(character) for character in common) / max(wide, 1)


def _decode(samples: list[bytes], encoding: str) -> str:
    """The text of all samples, with U+FFFD for what is not of the encoding. A sample may end inside a character."""
    return "".join(codecs.getincrementaldecoder(codec_of(encoding))("replace").decode(sample) for sample in samples)


def _wide_and_broken(text: str) -> tuple[int, int]:
    """The number of characters that are not ASCII, and of those that show a wrong guess."""
    return len(_NARROW.sub("", text)), len(_PRIVATE.findall(text))


def _best(shares: dict[str, float]) -> str | None:
    (best, share), (_, second), *_ = sorted(shares.items(), key=lambda item: -item[1])
    return best if share >= _MIN_COMMON_SHARE and share >= _MIN_RATIO * second else None


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    from opencc import OpenCC  # 0.1 s, and most sources are UTF-8

    return frozenset(_COMMON + OpenCC("s2t").convert(_COMMON) + "，。、！？：；“”（）《》「」")
