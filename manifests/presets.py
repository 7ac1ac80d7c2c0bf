"""What a preset's name stands for: the numbers that other people published for their corpora, with their source.

    PRESETS["wukong"].captions["max_length"]

A recipe takes from its preset each rule that it leaves open, and its manifest then names them all.
"""

from dataclasses import dataclass, field
from typing import Any

Rules = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    source: str  # where the numbers were published
    captions: Rules = field(default_factory=dict)  # by the names of `recipe.Captions`
    images: Rules = field(default_factory=dict)
    similarity: Rules = field(default_factory=dict)
    not_done: str = ""  # what they also did, and this preset does not


# What a rule is when neither the recipe nor its preset says anything.
CAPTIONS: Rules = {
    "simplify": True,
    "emoji": "keep",
    "min_length": 1,
    "max_length": 1000,
    "min_words": 0,
    "max_words": 1_000_000,
    "min_nouns": 0,
    "min_han": 0,
    "min_han_share": 0.0,
    "languages": [],
    "boilerplate": "keep",
    "max_repetition": 1.0,
    "max_count": 1_000_000_000,
}
IMAGES: Rules = {
    "min_side": 32,
    "max_ratio": 5.0,
    "min_bytes": 0,
    "min_std": 0.0,
    "min_entropy": 0.0,
    "min_sharpness": 0.0,
    "max_border": 1.0,
    "min_jpeg_quality": 1,
    "max_nsfw": None,
}

PRESETS: dict[str, Preset] = {
    "none": Preset(source="no rules but those that every corpus needs"),
    "wukong": Preset(
        source="Wukong (arXiv 2202.06767)",
        captions={"min_han": 1, "max_length": 31, "max_count": 10},
        images={"min_side": 200, "max_ratio": 3.0},
    ),
}
