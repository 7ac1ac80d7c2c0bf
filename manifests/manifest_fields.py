"""The arguments of `new_manifest`: typed documents, lists of them, or the plain JSON objects that they stand for.

    fields = ManifestFields(files=[FileEntry(name="a", bytes=1, sha256="sha256:…")], totals={"bytes": 1})
    plain_json(fields)["files"]        # [{"name": "a", "bytes": 1, "sha256": "sha256:…"}]

Each may be left out or be None; `documents` describes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pydantic import BaseModel

from .documents import (
    ArraySchema,
    FileEntry,
    ImageTokenizer,
    Leakage,
    License,
    MixtureDocument,
    ShardEntry,
    Split,
    SplitRule,
    Step,
    TextTokenizer,
    Tombstone,
)

Plain = Mapping[str, Any]  # the JSON object of a document


class LineageFields(TypedDict, total=False):
    """A lineage without `tool`, `environment` and `recipe_sha256`, which `new_manifest` adds."""

    parents: Sequence[str]  # ids
    recipe: Plain | None
    steps: Sequence[Step | Plain]
    image_tokenizer: ImageTokenizer | Plain | None
    text_tokenizer: TextTokenizer | Plain | None
    also: Mapping[str, ImageTokenizer | Plain] | None
    signatures: int | None
    vectors: Plain | None
    kept_measures: Mapping[str, int] | None
    run: Plain | None


class ManifestFields(TypedDict, total=False):
    schema: ArraySchema | Plain
    splits: Mapping[str, Split | Plain]
    split_rule: SplitRule | Plain
    leakage: Leakage | Plain | None
    licenses: Sequence[License | Plain]
    shards: Sequence[ShardEntry | Plain]
    files: Sequence[FileEntry | Plain]
    totals: Mapping[str, int | str]
    tombstones: Sequence[Tombstone | Plain]
    mixture: MixtureDocument | Plain | None
    contaminated: FileEntry | Plain | None


def plain_json(value: Any) -> Any:
    """Return `value` with each document in it as the JSON object that it stands for."""
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_none=True)
    if isinstance(value, Mapping):
        return {key: plain_json(inner) for key, inner in value.items()}
    return [plain_json(inner) for inner in value] if isinstance(value, list | tuple) else value
