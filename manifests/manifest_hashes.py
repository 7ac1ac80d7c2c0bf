"""The two hashes of a manifest.

identity(document)      # hash of what the data is: equal bytes give equal ids, whoever made them, where and when
seal(document)          # hash of the whole document except the seal, so that a change of any field is found
"""

from .canonical import sha256_of
from .documents import Json

_IDENTITY_KEYS = ("format", "version", "kind", "schema", "splits", "split_rule", "tombstones", "mixture", "files")
_IDENTITY_KEYS_OF_SHARD = ("name", "bytes", "sha256", "samples", "arrays")
_IDENTITY_KEYS_OF_TOKENIZER = ("sha256", "config_sha256")


def identity(document: Json) -> str:
    """Return the id. Locations, times, workers and tool versions are not part of it."""
    lineage = document.get("lineage", {})
    content: Json = {key: document[key] for key in _IDENTITY_KEYS if key in document}
    for name in ("image_tokenizer", "text_tokenizer"):
        if name in lineage:
            content[name] = {key: lineage[name][key] for key in _IDENTITY_KEYS_OF_TOKENIZER if key in lineage[name]}
    if "shards" in document:
        content["shards"] = [{key: shard[key] for key in _IDENTITY_KEYS_OF_SHARD} for shard in document["shards"]]
    return sha256_of(content)


def seal(document: Json) -> str:
    """Return the seal of the document as `manifest.json` holds it.

    Shards that are listed in a table are not in that file: the sha256 of the table, in `shard_table`, covers them.
    """
    not_covered = ("seal", "shards") if "shard_table" in document else ("seal",)
    return sha256_of({key: value for key, value in document.items() if key not in not_covered})
