"""A caption as it was found → as a model should read it, or the reason to drop it.

    cleaner = CaptionCleaner(Captions(preset="wukong").resolved())
    cleaner("  紅色的車，加微信：abc_1990 ")       # Cleaned("红色的车，加微信：〈微信〉", "wechat", "")

Normalised first, then masked, then judged; the first rule that speaks against it is the reason, and those come first
that tell the user most: an English caption is in a foreign language before it is too long. Tokens of masked data are
the model's to read, but no rule on language or length counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .boilerplate import is_boilerplate, is_broken
from .file_name import is_file_name
from .language import han_of, language
from .personal_data import mask_personal_data, without_tokens
from .repetition import repetition
from .text import normalise
from .words import WordList, words_and_nouns

if TYPE_CHECKING:
    from ...manifests.recipe.rules import Captions

_READ_AT_MOST = 20_000  # characters, or four times captions.max_length; more is a page, and is not looked at


@dataclass(frozen=True)
class Cleaned:
    caption: str
    masked: str = ""  # the kinds of personal data that were found: "mobile,url"
    reason: str = ""  # of `pipeline.reasons`, of the stage `caption`; empty when it stays


class CaptionCleaner:
    """`rules` must be `resolved()`; `words` are those of the user's list. Made once, called for every caption."""

    def __init__(self, rules: "Captions", words: Sequence[str] = ()) -> None:
        self._rules = rules
        self._simplify, self._emoji = bool(rules.simplify), rules.emoji or "keep"
        self._read_at_most = max(_READ_AT_MOST, 4 * (rules.max_length or 0))
        self._words = WordList(normalise(word, self._simplify, self._emoji) for word in words)

    def __call__(self, raw: str | None) -> Cleaned:
        if raw is None:
            return Cleaned("", reason="no_caption")
        if len(raw) > self._read_at_most:
            return Cleaned("", reason="caption_too_long")
        text = normalise(raw, self._simplify, self._emoji)
        caption, kinds = (text, "") if self._rules.personal == "keep" else mask_personal_data(text)
        reason = "word_list" if self._words.holds(text) else self._problem(caption, kinds)
        return Cleaned(caption, kinds, reason)

    def _problem(self, caption: str, kinds: str) -> str:
        rules = self._rules
        if not caption:
            return "empty_caption"
        if rules.boilerplate == "drop" and is_broken(caption):
            return "broken_text"
        if rules.boilerplate == "drop" and is_file_name(caption):
            return "file_name"
        words = without_tokens(caption)
        if (kinds and rules.personal == "drop") or (words != caption and not any(map(str.isalnum, words))):
            return "personal_data"
        return _in_wrong_language(words, rules) or _says_nothing(caption, rules) or _in_wrong_measure(words, rules)


def _in_wrong_language(text: str, rules: "Captions") -> str:
    if rules.languages and language(text) not in (*rules.languages, "none"):
        return "foreign_language"
    if rules.min_han_share and han_share(text) < rules.min_han_share:
        return "too_little_han"
    if rules.min_han and len(han_of(text)) < rules.min_han:
        return "too_few_han"
    return ""


def _says_nothing(caption: str, rules: "Captions") -> str:
    assert rules.max_repetition is not None
    if rules.boilerplate == "drop" and is_boilerplate(caption):
        return "boilerplate"
    if rules.max_repetition < 1 and repetition(caption, rules.max_repetition) > rules.max_repetition:
        return "repetitive"
    return ""


def _in_wrong_measure(text: str, rules: "Captions") -> str:
    assert rules.min_length is not None and rules.max_length is not None and rules.max_han is not None
    if len(text) > rules.max_han and len(han_of(text)) > rules.max_han:
        return "too_many_han"
    if len(text) < rules.min_length:
        return "caption_too_short"
    if len(text) > rules.max_length:
        return "caption_too_long"
    assert rules.min_words is not None and rules.max_words is not None and rules.min_nouns is not None
    if rules.min_words or rules.min_nouns or len(text) > rules.max_words:  # cutting words takes 2 µs
        words, nouns = words_and_nouns(text)
        if words < rules.min_words:
            return "too_few_words"
        if words > rules.max_words:
            return "too_many_words"
        if nouns < rules.min_nouns:
            return "no_noun"
    return ""


def han_share(caption: str) -> float:
    """The share among letters and digits: punctuation has no language."""
    letters = sum(map(str.isalnum, caption))
    return len(han_of(caption)) / letters if letters else 0.0
