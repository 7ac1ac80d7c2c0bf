"""What a recipe will do, before it is done: `tuwen corpus RECIPE --explain`.

    print(explain(load_recipe("emoji")))
    explained(recipe)["images"]["rules"]      # [{"rule": "min_side", "value": 64, "from": "recipe"}, …]

Everything is read off the recipe and its models, in the order in which the stages act, so that a rule that is added
there is explained here. A rule is said to come from the preset, or from the default, when it has their value.
"""

import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.cells import cell_len

from ..manifests.pair import MEASURES
from ..manifests.recipe.presets import CAPTIONS, IMAGES, PRESETS, Rules
from ..manifests.recipe.recipe import Recipe
from .scores.scores import asked_scores

_WIDTH, _NARROWEST = 100, 40  # of a line, of its last cell
_NO_LIMIT = 1_000_000  # a default maximum of this or more limits nothing
_SECTIONS = (
    "images",
    "captions",
    "similarity",
    "evaluation",
    "earlier",
    "duplicates",
    "split",
    "export",
)  # as the stages act


def explained(recipe: Recipe) -> dict[str, Any]:
    """For programs; `explain` prints it."""
    return {
        "recipe": recipe.name,
        "sources": [_source(source) for source in recipe.sources],
        "measured": _measured(recipe),
        "images": explained_rules(recipe.images.resolved(), IMAGES, "images"),
        "captions": explained_rules(recipe.captions.resolved(), CAPTIONS, "captions"),
        "similarity": explained_rules(recipe.similarity.resolved(), {}, "similarity"),
        "evaluation": [_source(source) for source in recipe.evaluation],
        "earlier": [{"name": Path(path).name, "kind": "corpus", "path": path} for path in recipe.earlier],
        **{name: explained_rules(getattr(recipe, name), {}, name) for name in ("duplicates", "split", "export")},
    }


def explained_rules(section: BaseModel, defaults: Rules, name: str) -> dict[str, Any]:
    """`section` must be `resolved()`; `defaults` are what holds where neither recipe nor preset says anything."""
    said: dict[str, Any] = {}
    published: Rules = {}
    if preset := getattr(section, "preset", ""):
        published = getattr(PRESETS[preset], name)
        said = {"preset": preset, "source": PRESETS[preset].source, "not_done": PRESETS[preset].not_done}
    rules: list[dict[str, Any]] = []
    off: list[str] = []
    for rule, field in type(section).model_fields.items():
        value, default = getattr(section, rule), defaults.get(rule, field.default)
        if rule == "preset":
            continue
        if isinstance(value, BaseModel) and value != default:
            inner = explained_rules(value, {}, name)
            rules += [{**said, "rule": f"{rule}.{said['rule']}"} for said in inner["rules"]]
        elif isinstance(value, BaseModel) or (value == default and _is_off(rule, value)):
            off.append(rule)
        else:
            origin = "default" if value == default else f"preset {preset}" if published.get(rule) == value else "recipe"
            rules.append({"rule": rule, "value": value, "from": origin})
    return {**said, "rules": rules, "off": off}


def explain(recipe: Recipe) -> str:
    """Plain text, a fact a line, in columns."""
    said = explained(recipe)
    lines: list[tuple[str, ...]] = [("recipe", said["recipe"])]
    lines += _headed("sources", [_source_line(source) for source in said["sources"]])
    lines += _headed("measured", [(", ".join(said["measured"]),)])
    for name in _SECTIONS:
        section = said[name]
        rows = [_source_line(source) for source in section] if isinstance(section, list) else _rule_lines(section)
        lines += _headed(name, rows or [("none",)])
    return _aligned(lines)


def _measured(recipe: Recipe) -> list[str]:
    """Every picture is decoded once, and these are written down; rules only read them."""
    columns = MEASURES.names[MEASURES.names.index("image_sha256") :]
    return [*columns, *(score.name for score in asked_scores(recipe))]


def _is_off(rule: str, value: Any) -> bool:
    """Does a default let everything pass?"""
    if value in (None, "keep", "", []) or value is False:
        return True
    if rule.startswith("min_"):
        return value in (0, 1)
    return rule.startswith("max_") and rule != "max_pixels" and (value >= _NO_LIMIT or value == 1.0)


def _source(source: BaseModel) -> dict[str, Any]:
    """Its settings flat: `fetch.robots: obey`."""
    flat: dict[str, Any] = {}
    for key, value in source.model_dump().items():
        inner = {f"{key}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
        flat |= {name: part for name, part in inner.items() if part not in (None, "", [])}
    return flat


def _source_line(source: dict[str, Any]) -> tuple[str, ...]:
    told = ("name", "kind", "path", "artwork", "license")
    place = str(source.get("path") or source.get("artwork") or "")
    more = ", ".join(f"{key} {_shown(value)}" for key, value in source.items() if key not in told)
    return source["name"], source["kind"], place, f"licence {source['license']}" if "license" in source else "", more


def _rule_lines(section: dict[str, Any]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = [(rule["rule"], _shown(rule["value"]), rule["from"]) for rule in section["rules"]]
    if section["off"]:
        lines.append(("off", ", ".join(section["off"])))
    for key in ("source", "not_done"):
        if section.get(key) and section["preset"] != "none":
            lines.append((key.replace("_", " "), section[key]))
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "all"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _headed(title: str, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(title if number == 0 else "", *row) for number, row in enumerate(rows)]


def _aligned(lines: list[tuple[str, ...]]) -> str:
    """Columns two spaces apart, in which Han take two places; the last cell of a line goes on below itself."""
    columns = range(max(map(len, lines)))
    widths = [max((cell_len(line[n]) for line in lines if len(line) > n + 1), default=0) for n in columns]
    printed = []
    for *cells, last in lines:
        head = "".join(cell + " " * (widths[n] - cell_len(cell) + 2) for n, cell in enumerate(cells))
        below = textwrap.wrap(last, max(_NARROWEST, _WIDTH - cell_len(head))) or [""]
        printed += [(head + below[0]).rstrip(), *(" " * cell_len(head) + words for words in below[1:])]
    return "\n".join(printed)
