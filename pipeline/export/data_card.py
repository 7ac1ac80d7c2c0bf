"""The README.md of an export: its content and origin, what was dropped by which rules, and whom to ask.

    text = data_card(manifest.document, recipe, endings=["jpg", "png"])

Its head is what the Hugging Face hub reads of a data set; the rest (`cards/`) is for people.
"""

from pathlib import Path

import jinja2

from ...manifests.catalogues.card_head import card_head
from ...manifests.documents import Json
from ...manifests.recipe.recipe import Recipe
from ..explain import explain
from .formats import FORMATS

_SIZES = {
    1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M",
    100_000_000: "10M<n<100M", 1_000_000_000: "100M<n<1B",
}  # fmt: skip


def data_card(document: Json, recipe: Recipe, endings: list[str]) -> str:
    """The card. `document` is the export's manifest; `endings` are those of its pictures."""
    body = _template().render(
        name=recipe.name,
        format=recipe.export.format,
        unit=FORMATS[recipe.export.format].unit,
        totals=document["totals"],
        endings=endings,
        original=recipe.export.pictures == "original",
        splits=document["splits"],
        licenses=document["licenses"],
        steps=document["lineage"]["steps"],
        rules=explain(recipe).strip(),
        personal=recipe.captions.personal,
        contact=recipe.export.contact,
        parent=document["lineage"]["parents"][0],
        version=document["lineage"]["tool"]["version"],
    )
    return "\n".join([*_head(document, recipe.export.format), "", body])


def _head(document: Json, format_: str) -> list[str]:
    size = next((words for most, words in _SIZES.items() if document["totals"]["pairs"] < most), "n>1B")
    metadata = ["language:", "- zh", "task_categories:", "- text-to-image", "size_categories:", f"- {size}"]
    licenses = {_hub_license(entry["license"]) for entry in document["licenses"]}
    names = {split: listed["shards"] for split, listed in document["splits"].items()}
    if hub_files := FORMATS[format_].hub_files:
        names = {split: hub_files[split] for split, listed in names.items() if listed}
    return card_head(names, [*metadata, f"license: {licenses.pop() if len(licenses) == 1 else 'other'}"])


def _hub_license(words: str) -> str:
    """The licence as the hub names it: by its SPDX identifier in small letters, else `other`."""
    return words.lower() if words.lower().startswith(("cc-", "cc0-", "apache-")) else "other"


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "cards")
    pages = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    pages.filters["cell"] = _cell
    return pages.get_template("card.md")


def _cell(text: str) -> str:
    """The text on one line and without `|`, so that it does not end a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
