"""Whether a caption was written by a web page's code, a stock site or an advertiser: it does not describe the picture.

    is_boilerplate("点击查看大图")                      # True
    is_boilerplate("市民免费领取口罩，用手机下载应用")      # False: 免费 and 下载 describe

The patterns are in `boilerplate_patterns`. A pattern that may also describe a picture (头像, 加载中) must match
the whole caption; one that never does may match anywhere; words of shops and of pictures of shops (特价, 清仓) count
together.
"""

import re
from dataclasses import dataclass
from functools import cache

import ahocorasick

from .boilerplate_patterns import PATTERNS
from .language import HAN

_PLACEHOLDERS = {
    "<open>": r"(?:^|[\s，。！？：；、|~—_\-【】\[\]()（）…→↓>])",
    "<close>": r"(?:$|[\s，。！？：；、|~—_\-【】\[\]()（）…])",
    "<few>": "[^，。！？]{0,6}",
    "<stock>": "(?:图片|素材|模板|壁纸|海报|插画|背景|矢量图?|免抠图?|源文件|设计图?|字体|P[SNP][DGT]|[大原]?图|高清)",
    "<han>": f"[{HAN}]",
}
_SIGNS = re.compile(f"[^{HAN}A-Za-z0-9]+")
_WHOLE_AT_MOST = 24  # characters
_BROKEN = re.compile("\ufffd|锟斤拷|烫烫烫|屯屯屯")


@dataclass(frozen=True)
class _Patterns:
    whole: "re.Pattern[str]"
    anywhere: "list[re.Pattern[str]]"
    together: "re.Pattern[str]"  # one of the words
    side_by_side: "re.Pattern[str]"
    cues: "ahocorasick.Automaton"  # cue → the numbers of its patterns; -1: a word of `together`


def is_boilerplate(caption: str) -> bool:
    patterns = _patterns()
    if len(caption) <= _WHOLE_AT_MOST and patterns.whole.fullmatch(_SIGNS.sub("", caption)):
        return True
    numbers: set[int] = set()
    for _, of_cue in patterns.cues.iter(caption.lower()):  # 3 µs, where all patterns take 21
        numbers.update(of_cue)
    if -1 in numbers and _advertises(caption, patterns):
        return True
    return any(patterns.anywhere[number].search(caption) for number in numbers if number >= 0)


def is_broken(caption: str) -> bool:
    """Whether a wrong decoding destroyed some of the text for good."""
    return bool(_BROKEN.search(caption))


def _advertises(caption: str, patterns: _Patterns) -> bool:
    return bool(patterns.side_by_side.search(caption)) or len(set(patterns.together.findall(caption))) > 2


@cache
def _patterns() -> _Patterns:
    sections = _read()
    anywhere: list[re.Pattern[str]] = []
    cues: dict[str, list[int]] = {}
    for number, line in enumerate(sections["anywhere"]):
        words, _, pattern = line.partition(" = ")
        anywhere.append(_compiled(pattern))
        for cue in words.lower().split():
            cues.setdefault(cue, []).append(number)
    together = " ".join(sections["together"]).split()
    for word in together:
        cues.setdefault(word, []).append(-1)
    automaton = ahocorasick.Automaton()
    for cue, numbers in cues.items():
        automaton.add_word(cue, numbers)
    automaton.make_automaton()
    one = "|".join(together)
    side_by_side = _compiled(f"(?:{one})[^，。！？；\\s]{{0,2}}(?:{one})")
    return _Patterns(_compiled("|".join(sections["whole"])), anywhere, _compiled(one), side_by_side, automaton)


def _read() -> dict[str, list[str]]:
    """The lines of each section of the patterns, without comments."""
    sections: dict[str, list[str]] = {}
    for line in PATTERNS.splitlines():
        if heading := re.match(r"\[(\w+)\]", line):
            sections[heading[1]] = []
        elif line and not line.startswith("#"):
            list(sections.values())[-1].append(line)
    return sections


def _compiled(pattern: str) -> "re.Pattern[str]":
    for name, meaning in _PLACEHOLDERS.items():
        pattern = pattern.replace(name, meaning)
    return re.compile(pattern, re.IGNORECASE)
