"""What a request may ask for, and its refusals in the shape that OpenAI's clients read.

asked = ImagesRequest(prompt="一只蜜蜂", n=2, size="128x128", seed=7)
prompt = checked_prompt(asked.prompt, limits)           # Refused: empty, too long, a word that is refused
side = checked_side(asked.size, side_px=64)             # 128
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ...manifests.errors import BadInput
from ...pipeline.captions.text import normalise

_LARGEST_SIDE = 1024


@dataclass(frozen=True)
class Limits:
    prompt_characters: int = 1000
    pictures: int = 10  # of a request
    best_of: int = 8  # samples of which one is kept
    body_bytes: int = 65_536
    body_seconds: float = 10.0  # until a body must be here
    rate: int = 60  # requests a minute of an address
    at_once: int = 8  # requests of an address
    waiting: int = 128  # samples that are accepted and not painted yet
    seconds: float = 120.0  # until a request is given up
    refused_words: tuple[str, ...] = ()


class Refused(Exception):
    """A request that gets no picture: its HTTP status, and why."""

    def __init__(self, status: int, message: str, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.retry_after = status, message, param, retry_after

    def document(self) -> "ErrorDocument":
        kinds = {429: "rate_limit_error", 503: "server_error", 504: "server_error"}
        kind = kinds.get(self.status, "invalid_request_error")
        return ErrorDocument(error=ErrorDetails(message=self.message, type=kind, param=self.param, code=None))


class ErrorDetails(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorDocument(BaseModel):
    """What OpenAI's clients read of a refusal."""

    error: ErrorDetails


class ImagesRequest(BaseModel):
    """The body of `POST /v1/images/generations`. Keys of OpenAI's other models are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)

    prompt: str = Field(
        min_length=1, description="At least one letter or digit, in Chinese if it should be understood."
    )
    model: str | None = Field(default=None, description="As /v1/models has it.")
    n: int = Field(default=1, ge=1)
    size: str | None = Field(default=None, description="`auto`, or a square: the run's side, or a multiple of it.")
    seed: int | None = Field(default=None, ge=0, lt=2**53)  # JavaScript's whole numbers
    temperature: float = Field(default=0.7, ge=0, le=10)  # 1 samples as trained, and less sure
    response_format: Literal["b64_json", "url"] | None = None
    quality: Literal["auto", "standard", "low", "medium", "high", "hd"] | None = None  # best of 1, 2, 4, 8
    stream: bool | None = None
    partial_images: int | None = Field(default=None, ge=0, le=64)

    @property
    def best_of(self) -> int:
        return {"medium": 2, "high": 4, "hd": 8}.get(self.quality or "auto", 1)


def checked_prompt(prompt: str, limits: Limits) -> str:
    """The prompt as captions are written. Raises Refused."""
    if len(prompt) > limits.prompt_characters:
        message = f"the prompt has {len(prompt):,} characters, and at most {limits.prompt_characters:,} are read"
        raise Refused(400, message, "prompt")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise Refused(400, "the prompt has half of a character", "prompt") from None
    read: str = normalise(prompt, simplify=True)
    if not any(character.isalnum() for character in read):
        raise Refused(400, "the prompt says nothing: write what the picture should show", "prompt")
    if any(word in read for word in limits.refused_words):
        raise Refused(400, "the prompt has a word that is refused here", "prompt")
    return read


def refused_words(file: Path) -> tuple[str, ...]:
    """One a line, as captions are written. Raises BadInput when there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: {error}", cure="name a text file in UTF-8, a word a line") from None
    return tuple(word for word in (normalise(line, simplify=True) for line in lines) if word)


def checked_side(size: str | None, side_px: int) -> int:
    """The side of the picture in pixels: the run's own, or a multiple of it. Raises Refused."""
    if size in (None, "auto"):
        return side_px
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(size))
    side = int(found[1]) if found and found[1] == found[2] else 0
    if not side or side % side_px or side > max(_LARGEST_SIDE, side_px):
        allowed = ", ".join(f"{each}x{each}" for each in (side_px * 2**k for k in range(8)) if each <= _LARGEST_SIDE)
        raise Refused(400, f"size {size!r}: give a square that is a multiple of {side_px}: {allowed}", "size")
    return side
