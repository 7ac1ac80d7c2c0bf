"""What a recipe will do, before it is done: `tuwen corpus RECIPE --explain`.

    print(explain(load_recipe("emoji")))
    explained(recipe)["images"]["rules"]      # [{"rule": "min_side", "value": 64, "from": "recipe"}, …]

Everything is read from the recipe and its models, in the order of the stages, so a rule that is added to them is
explained here. A rule whose value is that of the preset, or the default, counts as coming from there.
"""

import textwrap
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from pydantic import BaseModel
from rich.cells import cell_len

from ..manifests.pair import MEASURES
from ..manifests.recipe.presets import CAPTIONS, IMAGES, PRESETS, Rules
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.tokenizing import ImageTokenizer
from .scores.scores import asked_scores

_WIDTH, _NARROWEST = 100, 40  # of a line, of its last cell
_NO_LIMIT = 1_000_000  # a default maximum of this or more limits nothing

Line = tuple[str, ...]  # cells
Settings = dict[str, Any]  # of a source, flat: {"name": …, "fetch.robots": "obey"}
ExplainedRule = TypedDict("ExplainedRule", {"rule": str, "value": Any, "from": str})


class ExplainedSection(TypedDict):
    """A section of the recipe: the rules that can drop something, and the names of those that are off."""

    preset: NotRequired[str]
    source: NotRequired[str]  # where the preset's numbers were published
    not_done: NotRequired[str]  # what the publication did, and the preset does not
    rules: list[ExplainedRule]
    off: list[str]


class Explanation(TypedDict):
    recipe: str
    sources: list[Settings]
    measured: list[str]  # columns
    images: ExplainedSection
    captions: ExplainedSection
    similarity: ExplainedSection
    evaluation: list[Settings]
    earlier: list[Settings]
    duplicates: ExplainedSection
    split: ExplainedSection
    export: ExplainedSection
    tokenize: list[Settings]  # of each tokenizer, of the crops, and of the quality gate


def explained(recipe: Recipe) -> Explanation:
    """The explanation for programs; `explain` is the one for people."""
    return {
        "recipe": recipe.name,
        "sources": [_settings(source) for source in recipe.sources],
        "measured": _measured(recipe),
        "images": explained_rules(recipe.images.resolved(), IMAGES, "images"),
        "captions": explained_rules(recipe.captions.resolved(), CAPTIONS, "captions"),
        "similarity": explained_rules(recipe.similarity.resolved(), {}, "similarity"),
        "evaluation": [_settings(source) for source in recipe.evaluation],
        "earlier": [{"name": Path(path).name, "kind": "corpus", "path": path} for path in recipe.earlier],
        "duplicates": explained_rules(recipe.duplicates, {}, "duplicates"),
        "split": explained_rules(recipe.split, {}, "split"),
        "export": explained_rules(recipe.export, {}, "export"),
        "tokenize": [
            {"of": "image", **_image_tokenizer(recipe.tokenize.image)},
            *({"of": f"also {name}", **_image_tokenizer(each)} for name, each in recipe.tokenize.also.items()),
            {"of": "text", **_settings(recipe.tokenize.text)},
            {"of": "crops", **_settings(recipe.tokenize.crops)},
            {"of": "quality", "kind": "gate", **_settings(recipe.tokenize.quality)},
        ],
    }


def explained_rules(section: BaseModel, defaults: Rules, name: str) -> ExplainedSection:
    """The rules of a section, which must be `resolved()`.

    `defaults` are the values of rules that neither the recipe nor its preset sets; `name` is the preset's field.
    """
    explained: ExplainedSection = {"rules": [], "off": []}
    published: Rules = {}
    if preset := getattr(section, "preset", ""):
        published = getattr(PRESETS[preset], name)
        source, not_done = PRESETS[preset].source, PRESETS[preset].not_done
        explained = {"preset": preset, "source": source, "not_done": not_done, "rules": [], "off": []}
    for rule, field in type(section).model_fields.items():
        value, default = getattr(section, rule), defaults.get(rule, field.default)
        if rule == "preset":
            continue
        if isinstance(value, BaseModel) and value != default:
            inner = explained_rules(value, {}, name)["rules"]
            explained["rules"] += [{**each, "rule": f"{rule}.{each['rule']}"} for each in inner]
        elif isinstance(value, BaseModel) or (value == default and _is_off(rule, value)):
            explained["off"].append(rule)
        else:
            origin = "default" if value == default else f"preset {preset}" if published.get(rule) == value else "recipe"
            explained["rules"].append({"rule": rule, "value": value, "from": origin})
    return explained


def explain(recipe: Recipe) -> str:
    """The explanation as plain text, one fact a line, in columns."""
    explanation = explained(recipe)
    sections = (
        ("recipe", [(explanation["recipe"],)]),
        ("sources", _source_lines(explanation["sources"])),
        ("measured", [(", ".join(explanation["measured"]),)]),
        ("images", _rule_lines(explanation["images"])),
        ("captions", _rule_lines(explanation["captions"])),
        ("similarity", _rule_lines(explanation["similarity"])),
        ("evaluation", _source_lines(explanation["evaluation"])),
        ("earlier", _source_lines(explanation["earlier"])),
        ("duplicates", _rule_lines(explanation["duplicates"])),
        ("split", _rule_lines(explanation["split"])),
        ("export", _rule_lines(explanation["export"])),
        ("tokenize", [_tokenizer_line(settings) for settings in explanation["tokenize"]]),
    )
    lines: list[Line] = []
    for title, cells in sections:
        lines += [("" if index else title, *line) for index, line in enumerate(cells or [("none",)])]
    return _aligned(lines)


def _image_tokenizer(asked: ImageTokenizer) -> Settings:
    """What encodes the pictures: the compact VQ by its name, or the model that the recipe names."""
    if asked.kind == "compact":
        return {"kind": "compact", "tokenizer": asked.tokenizer}
    settings = {**_settings(asked), "resize": asked.resampling}
    left_out = ("training", "tokenizer", "antialias")  # `resize` says the last
    return {key: value for key, value in settings.items() if not key.startswith(left_out)}


def _tokenizer_line(settings: Settings) -> Line:
    name = str(settings.get("kind") or settings["tokenizer"])
    more = ", ".join(f"{key} {_shown(value)}" for key, value in settings.items() if key not in ("of", "kind"))
    return str(settings["of"]), name, more


def _measured(recipe: Recipe) -> list[str]:
    """The columns that one decode of a picture yields, and the scores of the recipe; rules only read them."""
    columns = MEASURES.names[MEASURES.names.index("image_sha256") :]
    return [*columns, *(score.name for score in asked_scores(recipe))]


def _is_off(rule: str, value: Any) -> bool:
    """True if this default lets everything pass."""
    if value in (None, "keep", "", []) or value is False:
        return True
    if rule.startswith("min_"):
        return value in (0, 1)
    return rule.startswith("max_") and rule != "max_pixels" and (value >= _NO_LIMIT or value == 1.0)


def _settings(source: BaseModel) -> Settings:
    """The settings that are not empty."""
    flat: Settings = {}
    for key, value in source.model_dump().items():
        inner = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        flat |= {name: each for name, each in inner.items() if each not in (None, "", [])}
    return flat


def _source_lines(sources: list[Settings]) -> list[Line]:
    return [_source_line(source) for source in sources]


def _source_line(source: Settings) -> Line:
    columns = ("name", "kind", "path", "artwork", "license")
    path = str(source.get("path") or source.get("artwork") or "")
    more = ", ".join(f"{key} {_shown(value)}" for key, value in source.items() if key not in columns)
    return source["name"], source["kind"], path, f"licence {source['license']}" if "license" in source else "", more


def _rule_lines(section: ExplainedSection) -> list[Line]:
    lines: list[Line] = [(rule["rule"], _shown(rule["value"]), rule["from"]) for rule in section["rules"]]
    if section["off"]:
        lines.append(("off", ", ".join(section["off"])))
    if section.get("preset", "none") != "none":
        lines += [
            (key, text) for key, text in (("source", section["source"]), ("not done", section["not_done"])) if text
        ]
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "all"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _aligned(lines: list[Line]) -> str:
    """Columns two spaces apart, in which a Han character is two wide; the last cell of a line wraps below itself."""
    columns = range(max(map(len, lines)))
    widths = [max((cell_len(line[n]) for line in lines if len(line) > n + 1), default=0) for n in columns]
    printed = []
    for *cells, last in lines:
        head = "".join(cell + " " * (widths[n] - cell_len(cell) + 2) for n, cell in enumerate(cells))
        wrapped = textwrap.wrap(last, max(_NARROWEST, _WIDTH - cell_len(head))) or [""]
        printed += [(head + wrapped[0]).rstrip(), *(" " * cell_len(head) + words for words in wrapped[1:])]
    return "\n".join(printed)
