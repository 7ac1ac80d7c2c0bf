"""The base of every section of a recipe: frozen, without unknown keys. Names and shares have one form in all."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]

_MOST_CHARACTERS, _MOST_BYTES = 64, 192  # of a name; files are named by it, with more behind it, in 255 bytes


def _name(text: str) -> str:
    """The name in Unicode's composed form, in which equal names have equal bytes: keys are made of them."""
    text = unicodedata.normalize("NFC", text)
    is_of_letters = all(char.isalnum() or unicodedata.category(char)[0] == "M" or char in "._-" for char in text)
    if not text[:1].isalnum() or not is_of_letters:
        raise ValueError("give letters of any script, digits, `.`, `_` and `-`; the first is a letter or a digit")
    if len(text) > _MOST_CHARACTERS or len(text.encode()) > _MOST_BYTES:
        raise ValueError(f"give a shorter name: at most {_MOST_CHARACTERS} characters")
    return text


Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
