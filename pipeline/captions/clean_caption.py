"""A caption as it should be read by a model, or the reason to drop it.

    cleaner = CaptionCleaner(Captions(preset="wukong").resolved())
    cleaner("  紅色的車，加微信：abc_1990 ")       # Cleaned("红色的车，加微信：〈微信〉", "wechat", "")

A caption is normalised, then masked, then judged. The first rule that it breaks is the reason, and the rules that tell
the user most come first: an English caption is in a foreign language before it is too long. No rule on language or
length counts the tokens of masked data.

To add a rule: a function in a file of its own, an `if` here at its position, its key in `Captions`
(`manifests/recipe/rules.py`), its row in `reasons.py`.
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

_READ_AT_MOST = (
    20_000  # characters, or four times captions.max_length; longer captions are pages and are dropped unread
)


@dataclass(frozen=True)
class Cleaned:
    caption: str
    masked: str = ""  # the kinds of personal data that were found: "mobile,url"
    reason: str = ""  # of the stage `caption` in `pipeline.reasons`; empty if the caption is kept


class CaptionCleaner:
    """Cleans captions. `rules` must be `resolved()`; `words` are those of the user's list."""

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
        return _language_problem(words, rules) or _content_problem(caption, rules) or _length_problem(words, rules)


def _language_problem(text: str, rules: "Captions") -> str:
    if rules.languages and language(text) not in (*rules.languages, "none"):
        return "foreign_language"
    if rules.min_han_share and han_share(text) < rules.min_han_share:
        return "too_little_han"
    if rules.min_han and len(han_of(text)) < rules.min_han:
        return "too_few_han"
    return ""


def _content_problem(caption: str, rules: "Captions") -> str:
    assert rules.max_repetition is not None
    if rules.boilerplate == "drop" and is_boilerplate(caption):
        return "boilerplate"
    if rules.max_repetition < 1 and repetition(caption, rules.max_repetition) > rules.max_repetition:
        return "repetitive"
    return ""


def _length_problem(text: str, rules: "Captions") -> str:
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
    """The share of Han among letters and digits: punctuation has no language."""
    letters = sum(map(str.isalnum, caption))
    return len(han_of(caption)) / letters if letters else 0.0
