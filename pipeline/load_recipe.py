"""Recipes with every kind of source that is read here: the whole of what a user declares.

recipe = load_recipe("emoji", overrides=["train.minutes=4"])
recipe = recorded_recipe(manifest.lineage.recipe)
"""

from typing import Any

from ..manifests.recipe.recipe import Recipe, read_recipe
from ..manifests.recipe.recipe import recorded_recipe as read_recorded
from ..manifests.recipe.sources import SourceSection
from .source_kinds import KINDS


def load_recipe(name_or_path: str, overrides: list[str] | None = None) -> Recipe:
    """Raises BadInput on a missing file, broken YAML, an unknown key or a bad value."""
    return read_recipe(name_or_path, _sections(), overrides)


def recorded_recipe(document: Any, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a manifest's lineage, with some keys changed. Its relative paths mean nothing any more."""
    return read_recorded(document, _sections(), overrides)


def _sections() -> dict[str, type[SourceSection]]:
    return {name: kind.section for name, kind in KINDS.items()}
