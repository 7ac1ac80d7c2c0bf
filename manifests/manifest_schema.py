"""The JSON Schema of a manifest, generated from its typed documents.

write_schema()       # writes manifest.schema.json beside this file: `python -m tuwen.manifests.manifest_schema`
"""

import json
from pathlib import Path

from pydantic import TypeAdapter

from .documents import AnyManifest, Json

FILE = Path(__file__).with_name("manifest.schema.json")


def manifest_schema() -> Json:
    schema: Json = TypeAdapter(AnyManifest).json_schema(by_alias=True)
    for definition in schema["$defs"].values():
        definition.pop("title", None)
        for field in definition.get("properties", {}).values():
            field.pop("title", None)
            _drop_null(field)
    schema["$defs"]["ShardEntry"]["required"].append("urls")  # written even where empty
    shards = schema["$defs"]["ShardsManifest"]
    shards["anyOf"] = [{"required": ["shards"]}, {"required": ["shard_table"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tuwen:manifest:1",
        "title": "Manifest of tuwen, version 1",
        "description": "What the results in a folder are, how they were made, and the two hashes that protect them. "
        "Numbers with a fraction are decimal strings.",
        **schema,
    }


def _drop_null(field: Json) -> None:
    """Take null out of the types of an optional key: a manifest leaves the key out instead."""
    kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del field["anyOf"]
        field |= kinds[0]
    if field.get("default", ...) in (None, [], {}):
        del field["default"]


def write_schema() -> None:
    text = json.dumps(manifest_schema(), indent=2, ensure_ascii=False)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
