"""The language of a caption: by its script, and by a model only where Latin words outnumber Han.

    language("穿红色连衣裙的女孩")        # "zh"
    language("東京の夜景を見る")          # "ja"; one lone の, as in 优の良品, is a Chinese brand's

Models fail on captions: of 14 short Chinese ones a model called 5 something else. Kana and hangul do not fail; Chinese
without a Latin word needs no model, and neither does a text without Han. Cantonese and Wu count as Chinese.
"""

import re
from typing import Literal

import py3langid

Language = Literal["zh", "ja", "ko", "other", "none"]

HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # with 々〆〇 and extensions A … I
_HIRAGANA, _KATAKANA = "\u3041-\u3096", "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
_KANA = re.compile(f"[{_HIRAGANA}{_KATAKANA}]")
_NOT_HAN = re.compile(f"[^{HAN}]+")
_HIRAGANA_IN_TEXT = re.compile(  # (づ｡◕‿‿◕｡)づ is a face; の and 丶 between Han are Chinese fashion
    f"[{_HIRAGANA}](?<!の)(?=[{HAN}{_HIRAGANA}{_KATAKANA}])|(?<=[{HAN}{_HIRAGANA}{_KATAKANA}])[{_HIRAGANA}](?<!の)"
)
_KATAKANA_IN_TEXT = re.compile(f"[{_KATAKANA}]{{2,}}")
_TOKEN = re.compile("〈[^〉]*〉")  # 〈人名〉 stands for a name or a number and has no language
_WORD = re.compile(f"[^\\W\\d_{HAN}]{{2,}}")
_CHINESE = ("zh", "yue", "wuu")


def han_of(text: str) -> str:
    """The Han characters of a text."""
    return _NOT_HAN.sub("", text)


def is_japanese(text: str) -> bool:
    """Whether the kana make a text Japanese: no Han, running hiragana, の with katakana, or more katakana than Han."""
    if not _KANA.search(text):
        return False
    han = len(han_of(_TOKEN.sub("", text)))
    if not han or len(_HIRAGANA_IN_TEXT.findall(text)) * 12 > han or text.count("の") > 1:
        return True
    katakana = sum(map(len, _KATAKANA_IN_TEXT.findall(text)))
    return 2 * katakana > han or (katakana > 0 and "の" in text)


def language(text: str) -> Language:
    """The language of a text; `none` if it has no letter."""
    if is_japanese(text):
        return "ja"
    han = len(han_of(text))
    if len(_HANGUL.findall(text)) > han:
        return "ko"
    if not han:
        return "other" if any(map(str.isalpha, text)) else "none"
    if han >= len(text) // 3 or han >= len(_WORD.findall(text)):
        return "zh"
    return "zh" if py3langid.classify(text)[0] in _CHINESE else "other"
