"""The text of a caption, repaired and in one spelling.

    normalise("  &nbsp;ＡＢＣ１２３　紅色的車，很快！<br>", simplify=True)      # "ABC123 红色的车，很快！"

In this order: text decoded wrongly, HTML, emoji, what cannot be seen, NFKC, spaces, traditional → simplified. Each step
can make work for an earlier one (&lt;br&gt;, ＆ａｍｐ；), so they are repeated until nothing changes: normalising a
normalised text changes nothing.
"""

import html
import re
import unicodedata
from functools import cache

import ftfy
from opencc import OpenCC

from .language import HAN, is_japanese

# NFKC turns full-width ，！？ into ASCII, … into three dots, m² into m2; all of these are meant.
_KEPT = "，。！？：；（）、《》〈〉「」『』【】“”‘’…—～·￥％＋－²³™"
_PLAIN = re.compile(f"[0-9A-Za-z\u3007\u4e00-\u9fff{_KEPT}!?,.:()%/+-]+(?: [0-9A-Za-z\u3007\u4e00-\u9fff{_KEPT}]+)*")
_BETWEEN_ASCII = re.compile("(?<=[0-9A-Za-z/])[：－](?=[0-9A-Za-z/])|＋(?=[0-9])")  # ｈｔｔｐ：／／, 10：30, ＋86

# A character that stands for emoji by default (Unicode's Emoji_Presentation, blocks taken whole), and ❤.
_DEFAULT = (
    "\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be"
    "\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757"
    "\u2764\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f18e\U0001f191-\U0001f19a\U0001f201"
    "\U0001f21a\U0001f22f\U0001f232-\U0001f236\U0001f238-\U0001f23a\U0001f250\U0001f251\U0001f300-\U0001f64f"
    "\U0001f680-\U0001f6ff\U0001f7e0-\U0001f7ff\U0001f90c-\U0001f9ff\U0001fa70-\U0001faff"
)
_SYMBOL = "\u203c\u2049\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"  # emoji when U+FE0F follows
_TONE = "\U0001f3fb-\U0001f3ff"
_EMOJI = (
    "[0-9#*]\ufe0f?\u20e3"  # keycaps
    "|[\U0001f1e6-\U0001f1ff]{1,2}"  # flags
    f"|(?:[{_DEFAULT}]|[{_SYMBOL}](?=[\ufe0f\u200d{_TONE}]))[\ufe0f{_TONE}]*[\U000e0020-\U000e007f]*"
    f"(?:\u200d[{_SYMBOL}][\ufe0f{_TONE}]*)*"  # families, professions
)
_INVISIBLE = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SEGMENTS = re.compile(f"((?:[{_KEPT}]|{_EMOJI})+)")
_EMOJI_OR_INVISIBLE = re.compile(f"({_EMOJI})|{_INVISIBLE}")

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});|&nbsp", re.IGNORECASE)
_SCRIPT = re.compile(r"<!--.*?-->|<(script|style)\b[^>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(
    r"</?(?:(br|p|div|li|ul|ol|tr|td|th|table|tbody|h[1-6]|hr|img|section|center|blockquote|pre|body|html|input|video)|"
    r"a|abbr|b|big|cite|code|em|font|i|label|mark|s|small|span|strike|strong|sub|sup|u)(?:\s[^<>]*|\s*/?)>",
    re.IGNORECASE,
)  # known names only: 3<5, <3 and <人名> are no tags

# UTF-8 that was read as Latin-1 or Windows-1252: a leading byte and its followers, each shown as a letter or sign.
_FOLLOWERS = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_READ_AS_LATIN = re.compile(f"[\u00c2-\u00df][{_FOLLOWERS}]|[\u00e0-\u00ef][{_FOLLOWERS}][{_FOLLOWERS}\ufffd]")


def _characters_of_gbk_pairs() -> str:
    """The characters whose GBK bytes are the first two of a Han character in UTF-8; nearly all of them are rare."""
    pairs = (bytes((lead, trail)).decode("gb18030") for lead in range(0xE4, 0xEA) for trail in range(0x80, 0xC0))
    return "".join(pairs)


_READ_AS_GBK = re.compile(f"[{_characters_of_gbk_pairs()}]")
_ROUNDS = 50  # of 52,000 captions that people wrote, 51,000 took one, and the others two


def normalise(raw: str, simplify: bool, emoji: str = "keep") -> str:
    """The normalised text. `emoji`: "keep" or "remove". Japanese is not simplified."""
    text = raw
    for _ in range(_ROUNDS):
        before = text
        if not _PLAIN.fullmatch(text) or _READ_AS_GBK.search(text):
            text = _in_one_spelling(text, emoji)
        if simplify and not is_japanese(text):
            text = _simplifier().convert(text)
        if text == before:
            break
    return text


def _in_one_spelling(text: str, emoji: str) -> str:
    text = _without_html(_decoded(text))
    text = _EMOJI_OR_INVISIBLE.sub(lambda match: (match[1] or "") if emoji == "keep" else "", text)
    text = "".join(
        part if _SEGMENTS.fullmatch(part) else unicodedata.normalize("NFKC", part)
        for part in _SEGMENTS.split(text.replace("㎡", "m²").replace("㎥", "m³"))
    )
    text = _BETWEEN_ASCII.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return " ".join("".join(map(_printable, text)).split())


def _printable(char: str) -> str:
    """A space for a control character, nothing for a character that no font shows, else the character."""
    if " " <= char <= "~" or "\u4e00" <= char <= "\u9fff" or "\U0001f000" <= char <= "\U0001faff":
        return char  # the last block: emoji younger than this Python's tables
    category = unicodedata.category(char)
    return " " if category in ("Cc", "Zl", "Zp") else "" if category in ("Co", "Cs", "Cn") else char


def _decoded(text: str) -> str:
    """The text, decoded anew where UTF-8 was read as Latin-1 or GBK. ftfy takes 8 µs, so it runs only on those."""
    if _READ_AS_LATIN.search(text):
        text = ftfy.fix_encoding(text)
    if _READ_AS_GBK.search(text):
        try:
            decoded = text.encode("gb18030").decode("utf-8")
        except UnicodeError:
            return text
        if re.fullmatch(f"[{HAN}{_KEPT} -~]{{2,}}", decoded):
            return decoded
    return text


def _without_html(text: str) -> str:
    if "&" in text:
        before = ""
        while before != text:
            before = text
            text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text:
        text = _SCRIPT.sub(" ", text)
        text = _TAG.sub(lambda match: " " if match[1] else "", text)
    return text


@cache
def _simplifier() -> OpenCC:
    return OpenCC("t2s")
