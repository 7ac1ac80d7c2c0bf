"""The presets: rules and numbers that others published for their corpora, with their source.

    PRESETS["wukong"].captions["max_han"]      # 31

A recipe takes each rule that it leaves open from its preset, and its manifest records them all. Published numbers are
kept with their units. `not_done` lists published rules that have no number, or that Tuwen does not have.
"""

from dataclasses import dataclass, field

Rules = dict[str, bool | int | float | str | list[str] | None]  # by the names of `Captions`, `Images`, `Similarity`


@dataclass(frozen=True)
class Preset:
    source: str  # where the numbers were published
    captions: Rules = field(default_factory=dict)
    images: Rules = field(default_factory=dict)
    similarity: Rules = field(default_factory=dict)
    not_done: str = ""  # published rules that the preset does not apply


# The rules where neither the recipe nor its preset states them.
CAPTIONS: Rules = {
    "simplify": True,
    "emoji": "keep",
    "min_length": 1,
    "max_length": 1000,
    "min_words": 0,
    "max_words": 1_000_000,
    "min_nouns": 0,
    "min_han": 0,
    "max_han": 1_000_000,
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
        source="Wukong (arXiv 2202.06767, section 3.1): both sides above 200 px, ratio at most 3; at least one and "
        "fewer than 32 Chinese characters; nothing like 000.jpg; no text of more than 10 pictures",
        captions={"languages": ["zh"], "min_han": 1, "max_han": 31, "boilerplate": "drop", "max_count": 10},
        images={"min_side": 201, "max_ratio": 3.0},
        not_done="names of persons are not replaced by 〈人名〉; their list of sensitive words is not public, so give "
        "yours as captions.word_list. The boilerplate that is dropped is ours: they relied on the count.",
    ),
    "danqing": Preset(
        source="DanQing (arXiv 2601.10305): 5 to 60 words, at least one noun, Chinese, made simplified; ratio at most "
        "3, edge above 100 px, standard deviation at least 2, Laplacian variance at least 1000, entropy at least 3; "
        "Chinese-CLIP cosine .231 to .438",
        captions={"languages": ["zh"], "simplify": True, "min_words": 5, "max_words": 60, "min_nouns": 1},
        images={"min_side": 101, "max_ratio": 3.0, "min_std": 2.0, "min_sharpness": 1000.0, "min_entropy": 3.0},
        similarity={"min": 0.231, "max": 0.438},
        not_done="entropy and safety of the text, and union-find over embeddings. Sharpness is measured at 256 px "
        "here; at which size they did is not published.",
    ),
    "coyo": Preset(
        source="COYO-700M (kakaobrain/coyo-dataset): at least 5 KB, ratio at most 3, shorter side at least 200 px, "
        "NSFW at most .5; 6 to 1000 characters, 3 to 256 words, a noun, no text seen more than 10 times",
        captions={
            "min_length": 6,
            "max_length": 1000,
            "min_words": 3,
            "max_words": 256,
            "min_nouns": 1,
            "max_count": 10,
        },
        images={"min_side": 200, "max_ratio": 3.0, "min_bytes": 5000, "max_nsfw": 0.5},
        not_done="English only: here every language stays, and words are jieba's, not cut at spaces; a second NSFW "
        "model; fixed phrases cut from the text; pictures of public evaluation sets: name those under `evaluation`.",
    ),
    "laion": Preset(
        source="LAION-5B (arXiv 2210.08402): at least 5 characters, at least 5 KB; cosine of a multilingual CLIP at "
        "least .26",
        captions={"min_length": 5},
        images={"min_bytes": 5000},
        similarity={"min": 0.26},
        not_done="languages by cld3; duplicates by address and text. The cosine .26 was chosen for their model "
        "(ViT-B/32 with a multilingual text tower), not for a Chinese one.",
    ),
    "datacomp-basic": Preset(
        source="DataComp (arXiv 2304.14108; baselines/apply_filter.py): more than 2 words, more than 5 characters; "
        "shorter side at least 200 px, ratio at most 3",
        captions={"min_length": 6, "min_words": 3},
        images={"min_side": 200, "max_ratio": 3.0},
        not_done="English only: here every language stays, and words are jieba's, not cut at spaces.",
    ),
    "cogview": Preset(
        source="CogView (arXiv 2105.13290): no filter and no threshold is published; watermarks and white edges were "
        "kept on purpose",
        not_done="half of their captions were translated from English by machine.",
    ),
}
