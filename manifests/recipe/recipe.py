"""The recipe: the declared inputs of a run, from the sources to the settings of the trainer.

    recipe = read_recipe("emoji", kinds, overrides=["train.minutes=4"])     # kinds: those of `pipeline.load_recipe`
    recipe.document()     # as a manifest records it: every default is stated, floats are strings

A recipe is a YAML file, or the name of a shipped one. Unknown keys and bad values are refused with the file, the key,
the value and the cure.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, PrivateAttr, SerializeAsAny, ValidationError, model_validator

from ..canonical import exact
from ..documents import Json
from ..errors import BadInput
from ..validation_words import shown_value
from .read_yaml import read_yaml
from .refusal import refusal, with_new_names
from .rules import Captions, Duplicates, Images, Similarity
from .section import Name, Section, Share
from .sources import CorpusSource, SourceKinds, SourceSection
from .tokenizing import Tokenize
from .training import Train

SHIPPED = Path(__file__).parent / "shipped"


class Split(Section):
    validation: Share = 0.02


class Export(Section):
    """What `tuwen export` writes."""

    format: Literal["webdataset", "chinese-clip", "huggingface", "imagefolder"] = "webdataset"
    pictures: Literal["original", "jpeg", "webp", "png"] = "original"  # original: the source's bytes
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    max_side: Annotated[int, Field(ge=1)] | None = None  # px; larger pictures are scaled down (not with `original`)
    tar_pairs: Annotated[int, Field(ge=1)] = 5000  # of a file: a tar, a Parquet file, a folder
    contact: str = ""  # address for requests to remove a picture, printed in the data card

    @model_validator(mode="after")
    def _scales_what_it_encodes(self) -> "Export":
        if self.pictures == "original" and self.max_side is not None:
            raise ValueError("original bytes cannot be scaled; use `pictures: jpeg`, webp or png")
        return self


class Recipe(Section):
    name: Name
    sources: Annotated[list[SerializeAsAny[SourceSection]], Field(min_length=1)]
    captions: Captions = Captions()
    images: Images = Images()
    similarity: Similarity = Similarity()
    duplicates: Duplicates = Duplicates()
    # Pictures that are near-duplicates of any of these are dropped from the corpus.
    evaluation: list[SerializeAsAny[SourceSection]] = Field(default=[])
    # Folders of earlier corpora: near-duplicates of their kept pictures are dropped.
    earlier: list[str] = Field(default=[])
    split: Split = Split()
    export: Export = Export()
    tokenize: Tokenize = Tokenize()
    train: Train = Train()

    _base: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _names_differ(self) -> "Recipe":
        names = [source.name for source in [*self.sources, *self.evaluation]]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources share a name among {names}; keys are made of it, so give each its own")
        return self

    @property
    def base(self) -> Path:
        """The folder of the recipe, to which its relative paths refer."""
        return self._base

    def document(self) -> Json:
        """Return every key, defaults and the numbers of presets included, ready for canonical JSON."""
        resolved = {name: getattr(self, name).resolved() for name in ("captions", "images", "similarity")}
        document: Json = exact(self.model_copy(update=resolved).model_dump(mode="json"))
        return document


def recorded_recipe(document: Any, kinds: SourceKinds, overrides: list[str] | None = None) -> Recipe:
    """Return the recipe that a manifest recorded, with some keys changed. Its relative paths are no longer valid."""
    return _recipe("the recipe of the manifest", with_new_names(document), kinds, overrides)


def read_recipe(name_or_path: str, kinds: SourceKinds, overrides: list[str] | None = None) -> Recipe:
    """Raises BadInput for a missing file, broken YAML, an unknown key or a bad value."""
    path = _find(name_or_path)
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise BadInput(f"{path}: not a recipe", cure="a recipe is a mapping with `name:` and `sources:`")
    recipe = _recipe(str(path), document, kinds, overrides)
    recipe._base = path.parent.resolve()
    return recipe


def _recipe(where: str, document: Json, kinds: SourceKinds, overrides: list[str] | None) -> Recipe:
    for override in overrides or []:
        _override(document, override)
    kinds_of: dict[str, SourceKinds] = {"sources": kinds, "evaluation": {**kinds, "corpus": CorpusSource}}
    sections = {
        name: [_source(where, f"{name}.{number}", value, of) for number, value in enumerate(document[name])]
        for name, of in kinds_of.items()
        if isinstance(document.get(name), list)
    }
    try:
        return Recipe.model_validate({**document, **sections})
    except ValidationError as error:
        raise refusal(where, error, Recipe, document) from None


def _source(where: str, key: str, value: Any, kinds: SourceKinds) -> SourceSection:
    """Return a source as the section of its kind. `key` is its path in the recipe: "sources.0"."""
    known = ", ".join(sorted(kinds))
    if not isinstance(value, dict):
        raise BadInput(
            f"{where}: `{key}` is {shown_value(value)}", cure="write a source as {name: …, kind: …, path: …}"
        )
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        problem = f"is {shown_value(kind)}" if "kind" in value else "is missing"
        raise BadInput(f"{where}: `{key}.kind` {problem}", cure=f"say one of {known}")
    section = kinds[kind]
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise refusal(where, error, section, value, f"{key}.") from None


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = SHIPPED / f"{name_or_path}.yaml"
    if re.fullmatch(r"[A-Za-z0-9-]+", name_or_path) and shipped.is_file():
        return shipped
    names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
    raise BadInput(
        f"{name_or_path}: no such recipe", cure=f"give a YAML file, or the name of one that is shipped: {names}"
    )


def _override(document: Json, override: str) -> None:
    """Apply one `a.b.c=value`. The value is YAML; a number in the path is an index into a list."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise BadInput(f"--set {override}: not an assignment", cure="write --set section.key=value")
    *parents, last = path.split(".")
    try:
        node: Any = document
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
        value = yaml.safe_load(text)
        node[int(last) if isinstance(node, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        raise BadInput(f"--set {override}: no such key in the recipe", cure="check the path") from None
