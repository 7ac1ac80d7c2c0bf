"""Counts of words and nouns in a caption, as jieba cuts it, and the user's list of words that drop a caption.

words_and_nouns("一个女孩在海边散步")        # (5, 2)
listed = WordList(["赌博", "ass"]); listed.holds("glass")      # False: an ASCII word must stand alone
"""

from collections.abc import Iterable
from pathlib import Path

import ahocorasick
import rjieba

from ...manifests.errors import BadInput


def words_and_nouns(caption: str) -> tuple[int, int]:
    """(words, nouns), without punctuation. Nouns: jieba's tags n… (things, persons, places) and eng (Latin letters)."""
    tags = [tag for word, tag in rjieba.tag(caption) if any(map(str.isalnum, word))]
    return len(tags), sum(tag.startswith("n") or tag == "eng" for tag in tags)


def read_words(path: Path) -> list[str]:
    """The words of a file, one a line, without empty lines and comments (#). Raises BadInput."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}: the word list cannot be read ({error})", cure="give a UTF-8 file of one word a line"
        ) from None
    words = [word for line in lines if (word := line.strip()) and not word.startswith("#")]
    if not words:
        raise BadInput(f"{path}: no word in it", cure="write one word a line, or leave captions.word_list out")
    return words


class WordList:
    """Aho-Corasick over all words at once. Words and captions must be normalised alike; case does not matter."""

    def __init__(self, words: Iterable[str]) -> None:
        self._automaton = ahocorasick.Automaton()
        for word in words:
            if lowered := word.lower():
                self._automaton.add_word(lowered, lowered)
        if len(self._automaton):
            self._automaton.make_automaton()

    def holds(self, caption: str) -> bool:
        if not len(self._automaton):
            return False
        lowered = caption.lower()
        return any(
            not word.isascii() or _stands_alone(lowered, end - len(word) + 1, end + 1)
            for end, word in self._automaton.iter(lowered)
        )


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isascii() and before.isalnum()) and not (after.isascii() and after.isalnum())
