"""A caption as it was found → as a model should read it, or the reason to drop it.

    clean_caption("  ＡＢＣ１２３　紅色的車，很快！ ", rules)      # ("ABC123 红色的车，很快！", "")

NFKC turns full-width ，！？ into ASCII and … into three dots; Chinese punctuation is meant, so it is kept.
Length counts characters. The share of Han counts letters and digits only: punctuation has no language.
"""

import re
import unicodedata
from functools import cache

from opencc import OpenCC

from ..manifests.recipe import Captions

_KEPT_PUNCTUATION = "，。！？：；（）、《》〈〉「」『』【】“”‘’…—～·￥％＋－"
_SEGMENTS = re.compile(f"([{_KEPT_PUNCTUATION}]+)")
_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_FILE_NAME = re.compile(r"^[\w\-. ()（）]*\.(jpe?g|png|gif|webp|bmp|tiff?|avif)$", re.IGNORECASE)
# 000.jpg and its kin: CogView's and Wukong's authors both met captions that are nothing but a file's name.


def clean_caption(raw: str | None, rules: Captions) -> tuple[str, str]:
    """(caption, reason): the reason is empty when the caption stays. `rules` must be `resolved()`."""
    if raw is None:
        return "", "no_caption"
    caption = normalise(raw, simplify=bool(rules.simplify))
    return caption, caption_problem(caption, rules)


def normalise(raw: str, simplify: bool) -> str:
    text = "".join(
        part if _SEGMENTS.fullmatch(part) else unicodedata.normalize("NFKC", part) for part in _SEGMENTS.split(raw)
    )
    text = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Co", "Cs", "Cn"))
    text = " ".join(text.split())
    return _simplifier().convert(text) if simplify else text


def caption_problem(caption: str, rules: Captions) -> str:
    assert rules.min_length is not None and rules.max_length is not None and rules.min_han_share is not None
    if not caption:
        return "empty_caption"
    if len(caption) < rules.min_length:
        return "caption_too_short"
    if len(caption) > rules.max_length:
        return "caption_too_long"
    if _FILE_NAME.match(caption):
        return "file_name"
    if han_share(caption) < rules.min_han_share:
        return "too_little_han"
    return ""


def han_share(caption: str) -> float:
    letters = [char for char in caption if char.isalnum()]
    return sum(bool(_HAN.match(char)) for char in letters) / len(letters) if letters else 0.0


@cache
def _simplifier() -> OpenCC:
    return OpenCC("t2s")
