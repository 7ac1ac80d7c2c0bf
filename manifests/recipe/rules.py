"""`captions:`, `images:`, `similarity:` and `duplicates:` of a recipe: the rules that a kept pair meets.

Captions(preset="wukong").resolved().max_han        # 31: an open rule comes from the preset, else the default
"""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from .presets import CAPTIONS, IMAGES, PRESETS, Rules
from .section import Section, Share

PresetName = Literal["none", "wukong", "danqing", "coyo", "laion", "datacomp-basic", "cogview"]

SomeSection = TypeVar("SomeSection", bound=Section)


def _filled(rules: SomeSection, defaults: Rules) -> SomeSection:
    """Return `rules` with each open rule taken from `defaults`."""
    return rules.model_copy(update={name: value for name, value in defaults.items() if getattr(rules, name) is None})


class Captions(Section):
    """The rules for captions. A rule that is None is left open: the preset states it (`presets`)."""

    preset: PresetName = "none"
    simplify: bool | None = None  # traditional → simplified
    emoji: Literal["remove", "keep"] | None = None
    min_length: Annotated[int, Field(ge=1)] | None = None  # characters
    max_length: Annotated[int, Field(ge=1)] | None = None
    min_words: Annotated[int, Field(ge=0)] | None = None  # as jieba cuts them
    max_words: Annotated[int, Field(ge=1)] | None = None
    min_nouns: Annotated[int, Field(ge=0)] | None = None
    min_han: Annotated[int, Field(ge=0)] | None = None  # Han characters
    max_han: Annotated[int, Field(ge=1)] | None = None
    min_han_share: Share | None = None  # of the letters and digits
    languages: list[Literal["zh", "ja", "ko", "other"]] | None = None  # languages that are kept; empty: all
    boilerplate: Literal["drop", "keep"] | None = None  # file names, 点击查看大图, advertisements
    max_repetition: Share | None = None  # share of the caption that one repeated piece may cover
    max_count: Annotated[int, Field(ge=1)] | None = None  # a caption seen more often than this in the corpus is dropped
    personal: Literal["mask", "drop", "keep"] = "mask"  # mobile, ID card, bank card, e-mail, QQ, WeChat, URL, IP
    word_list: str | None = None  # a file of words, one a line; a caption that holds one is dropped

    @model_validator(mode="after")
    def _some_caption_can_pass(self) -> "Captions":
        rules = self.resolved()
        for what in ("length", "words", "han"):
            least, most = getattr(rules, f"min_{what}"), getattr(rules, f"max_{what}")
            if least > most:
                raise ValueError(
                    f"min_{what} {least} is above max_{what} {most}, so no caption could pass; change one of them"
                )
        return self

    def resolved(self) -> "Captions":
        """Return the rules with each open one taken from the preset, else from the defaults."""
        return _filled(self, {**CAPTIONS, **PRESETS[self.preset].captions})


class Images(Section):
    """The rules for pictures. A rule that is None is left open: the preset states it (`presets`)."""

    preset: PresetName = "none"
    min_side: Annotated[int, Field(ge=1)] | None = None  # px
    max_ratio: Annotated[float, Field(ge=1)] | None = None
    min_bytes: Annotated[int, Field(ge=0)] | None = None
    min_std: Annotated[float, Field(ge=0)] | None = None  # of 255, of the channel that varies most
    min_entropy: Annotated[float, Field(ge=0, le=8)] | None = None  # bits, of the luminance
    min_sharpness: Annotated[float, Field(ge=0)] | None = None  # variance of the Laplacian, shorter side at 256 px
    max_border: Share | None = None  # of the area, in rows and columns of one colour at the edges
    min_jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None
    max_nsfw: Share | None = None  # needs the extra `safety`
    single_colour: Literal["drop", "keep"] = "drop"
    animated: Literal["first", "drop"] = "first"  # first: an animation is represented by its first frame
    max_pixels: Annotated[int, Field(ge=1)] = 50_000_000  # refused from the header; so many take at most 0.9 GB (WebP)
    max_seconds: Annotated[float, Field(gt=0)] = 30.0  # of CPU time for one picture; more counts as a hang

    def resolved(self) -> "Images":
        return _filled(self, {**IMAGES, **PRESETS[self.preset].images})


class Similarity(Section):
    """The similarity of picture and caption: the cosine of a Chinese CLIP of the user's. Needs the extra `clip`."""

    preset: PresetName = "none"
    model: str | None = None  # folder of a transformers model; None: not measured
    min: Annotated[float, Field(ge=-1, le=1)] | None = None
    max: Annotated[float, Field(ge=-1, le=1)] | None = None

    @model_validator(mode="after")
    def _has_a_model(self) -> "Similarity":
        if self.model is None and (self.min is not None or self.max is not None):
            raise ValueError("a threshold needs a model to measure with; name its folder as `model`")
        return self

    def resolved(self) -> "Similarity":
        return self if self.model is None else _filled(self, PRESETS[self.preset].similarity)


class Embedding(Section):
    """Near-duplicates by the vectors of a model of the user's, which match crops, borders, watermarks and mirrors.

    For photographs only: such a model takes cards, screenshots and drawings that differ in a detail for one picture.
    """

    model: str | None = None  # a TorchScript or ONNX file: (n, 3, size, size) float32 → (n, d); None: no vectors
    min_cosine: Annotated[float, Field(gt=0, le=1)] = 0.75  # SSCD's own figure for "the same picture"
    size: Annotated[int, Field(ge=16, le=1024)] = 288  # px
    shape: Literal["squash", "crop"] = "squash"  # crop: the middle square of the picture
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in 0 … 1
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Duplicates(Section):
    """The duplicates among pictures and captions, and the pairs of them that are kept."""

    images: Literal["none", "exact", "near"] = "near"
    radius: Annotated[int, Field(ge=0, le=8)] = 4  # hash bits of 64: proposes; signatures decide
    flips: bool = False  # mirrored pictures, and those rotated by quarters, are near-duplicates, too
    embedding: Embedding = Embedding()
    captions: Literal["none", "exact", "near"] = "none"
    min_jaccard: Annotated[float, Field(gt=0, le=1)] = 0.8  # of the character 2-grams of captions that are near
    pairs: Literal["own_captions", "pair", "image", "image_topk", "keep_all_captions"] = "own_captions"
    top_k: Annotated[int, Field(ge=1)] = 3  # captions a picture, with `pairs: image_topk`
    keep: Literal["largest", "first"] = "largest"
