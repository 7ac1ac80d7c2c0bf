"""A caption as it was found → as a model should read it, or the reason to drop it.

    cleaner = CaptionCleaner(Captions(preset="wukong").resolved())
    cleaner("  紅色的車，加微信：abc_1990 ")       # Cleaned("红色的车，加微信：〈微信〉", "wechat", "")

Normalised first, then masked, then judged; the first rule that speaks against it is the reason, and those come first
that tell the user most: an English caption is in a foreign language before it is too long. Tokens of masked data are
the model's to read, but no rule on language or length counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..manifests.recipe import Captions
from .boilerplate import is_boilerplate, is_broken
from .caption_language import han_of, language
from .caption_text import normalise
from .caption_words import WordList, words_and_nouns
from .file_name import is_file_name
from .personal_data import mask_personal_data, without_tokens
from .repetition import repetition

# In the order in which they are tried.
CAPTION_REASONS = {
    "no_caption": "没有文字 · no caption",
    "empty_caption": "文字为空 · nothing left of the caption",
    "broken_text": "文字已损坏 · text that a wrong decoding destroyed",
    "file_name": "只是文件名 · nothing but a file name",
    "word_list": "含有词表中的词 · holds a word of the list",
    "personal_data": "含有个人信息 · personal data",
    "foreign_language": "不是所需语言 · in another language",
    "too_little_han": "汉字比例过低 · too small a share of Han",
    "too_few_han": "汉字太少 · too few Han characters",
    "boilerplate": "网页套话或广告 · boilerplate or advertisement",
    "repetitive": "反复重复 · says one thing again and again",
    "too_many_han": "汉字太多 · too many Han characters",
    "caption_too_short": "文字太短 · too short",
    "caption_too_long": "文字太长 · too long",
    "too_few_words": "词太少 · too few words",
    "too_many_words": "词太多 · too many words",
    "no_noun": "没有名词 · too few nouns",
    "caption_seen_too_often": "全库重复过多 · said of too many pairs",
}


@dataclass(frozen=True)
class Cleaned:
    caption: str
    masked: str = ""  # the kinds of personal data that were found: "mobile,url"
    reason: str = ""  # one of CAPTION_REASONS; empty when it stays


class CaptionCleaner:
    """`rules` must be `resolved()`; `words` are those of the user's list. Made once, used for every caption of a part."""

    def __init__(self, rules: Captions, words: Sequence[str] = ()) -> None:
        self._rules = rules
        self._words = WordList(self._normalised(word) for word in words)
        self._counts_words = (rules.min_words or 0) > 0 or (rules.min_nouns or 0) > 0 or rules.max_words is not None
