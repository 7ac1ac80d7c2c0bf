"""The manifest: what a folder of results is, where it came from, and the two hashes that hold it.

`id` says what the data is: equal bytes give equal ids, whoever made them, wherever and whenever. `seal`
covers the whole document but itself, so that no field can be altered unseen.

    save_manifest(folder, new_manifest("corpus", schema={…}, files=[…], lineage={…}))
    manifest = load_manifest("runs/emoji/shards")       # a folder or the file itself; checks both hashes

Written last and by rename: a folder without its manifest is unfinished.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .atomic import whole_file
from .canonical import canonical_json, exact, sha256_of, sha256_of_file
from .documents import (
    ArraySchema,
    FileEntry,
    License,
    Lineage,
    MixtureDocument,
    ShardEntry,
    Split,
    Tombstone,
)
from .environment import environment, tool
from .errors import BadInput, CheckFailed
from .remote.download import download, is_remote, join
from .remote.file_cache import cache_folder, cached, locked
from .shard_table import MOST_IN_JSON, read_shard_table, write_shard_table

FORMAT = "tuwen/manifest"
VERSION = 1
FILE_NAME = "manifest.json"

_IDENTITY_KEYS = ("format", "version", "kind", "schema", "splits", "split_rule", "tombstones", "mixture")
_IDENTITY_OF_SHARD = ("name", "bytes", "sha256", "samples", "arrays")


@dataclass(frozen=True)
class Manifest:
    """Shards and files are named relative to `base`: the folder itself, or the URL that the folder mirrors.

    `document` is the JSON as it lies on the disk, which the hashes are over. Read it through the typed views, which are
    made when they are asked for.
    """

    folder: Path
    document: dict[str, Any]
    url: str | None = None

    @cached_property
    def base(self) -> str:
        return self.url or str(self.folder.resolve())

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @cached_property
    def lineage(self) -> Lineage:
        return Lineage.model_validate(self.document["lineage"])

    @cached_property
    def files(self) -> list[FileEntry]:
        return [FileEntry.model_validate(entry) for entry in self.document.get("files", [])]

    @cached_property
    def shards(self) -> list[ShardEntry]:
        return [ShardEntry.model_validate(entry) for entry in self.document.get("shards", [])]

    @cached_property
    def splits(self) -> dict[str, Split]:
        return {name: Split.model_validate(split) for name, split in self.document.get("splits", {}).items()}

    @cached_property
    def licenses(self) -> list[License]:
        return [License.model_validate(entry) for entry in self.document.get("licenses", [])]

    @cached_property
    def arrays(self) -> ArraySchema:
        """What a sample is; of shards alone."""
        return ArraySchema.model_validate(self.document["schema"])

    @cached_property
    def mixture(self) -> MixtureDocument | None:
        return MixtureDocument.model_validate(self.document["mixture"]) if "mixture" in self.document else None

    @cached_property
    def tombstones(self) -> list[Tombstone]:
        return [Tombstone.model_validate(stone) for stone in self.document["tombstones"]]

    @property
    def totals(self) -> dict[str, int]:
        return dict(self.document.get("totals", {}))

    def entries(self) -> list[FileEntry | ShardEntry]:
        """Everything that is listed with its bytes and its hash."""
        return [*self.shards, *self.files]

    def shards_of(self, split: str) -> list[ShardEntry]:
        if split not in self.splits:
            raise BadInput(f"{self.folder}: no split `{split}`", cure=f"it has {', '.join(self.splits) or 'none'}")
        names = set(self.splits[split].shards)
        return [shard for shard in self.shards if shard.name in names]


def new_manifest(kind: str, *, lineage: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A sealed document; floats in it become decimal strings."""
    lineage, fields = _as_json(lineage), _as_json(fields)
    document: dict[str, Any] = exact(
        {
            "format": FORMAT,
            "version": VERSION,
            "kind": kind,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "urls": ["."],
            "lineage": {"tool": tool(), "environment": environment(), **lineage},
            "tombstones": [],
            **fields,
        }
    )
    if "recipe" in document["lineage"]:
        document["lineage"]["recipe_sha256"] = sha256_of(document["lineage"]["recipe"])
    document["id"] = identity(document)
    document["seal"] = seal(document)
    return document


def _as_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_none=True)  # a key without a value is not written
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list) else value


def identity(document: dict[str, Any]) -> str:
    """The hash of what the data is: nothing of place, time, workers or tool versions goes in."""
    lineage = document.get("lineage", {})
    content: dict[str, Any] = {key: document[key] for key in _IDENTITY_KEYS if key in document}
    for name in ("image_tokenizer", "text_tokenizer"):
        if name in lineage:
            content[name] = {key: lineage[name][key] for key in ("sha256", "config_sha256") if key in lineage[name]}
    if "shards" in document:
        content["shards"] = [{key: shard[key] for key in _IDENTITY_OF_SHARD} for shard in document["shards"]]
    if "files" in document:
        content["files"] = document["files"]
    return sha256_of(content)


def seal(document: dict[str, Any]) -> str:
    """The seal of the document as it lies on the disk: a long list of shards lies in a table, whose hash is in it."""
    elsewhere = ("seal", "shards") if "shard_table" in document else ("seal",)
    return sha256_of({key: value for key, value in document.items() if key not in elsewhere})


def file_entry(folder: Path, name: str, rows: int | None = None) -> FileEntry:
    """What a manifest says of a file that is not a shard."""
    path = folder / name
    return FileEntry(name=name, bytes=path.stat().st_size, sha256=sha256_of_file(path), rows=rows)


def drop_manifest(folder: Path) -> None:
    """Before the first change to a folder: what is half old and half new must not look whole."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def save_manifest(folder: Path, document: dict[str, Any]) -> Manifest:
    if len(document.get("shards", [])) > MOST_IN_JSON:
        document = {**document, "shard_table": write_shard_table(folder, document["shards"])}
        document["seal"] = seal(document)
        del document["shards"]
    with whole_file(folder / FILE_NAME) as temporary:
        temporary.write_bytes(canonical_json(document) + b"\n")
    return load_manifest(folder)


def load_manifest(place: Path | str, kind: str | None = None) -> Manifest:
    """`place` is a folder, the file itself, or the URL of a folder. What lies at a URL is mirrored, but for the shards.

    Raises BadInput if there is none or it is of another kind, CheckFailed if a field was altered.
    """
    if is_remote(str(place)):
        if "?" in str(place):
            raise BadInput(f"{place}: a URL with a query", cure="name a folder whose files need none")
        return _mirrored(str(place).removesuffix(FILE_NAME).rstrip("/"), kind)
    path = Path(place)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise BadInput(f"{path}: no manifest there", cure="run the stage that makes it, or name its folder")
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        raise CheckFailed(f"{path}: not JSON, so it was cut or altered", cure="run the stage again") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f"{path}: not a manifest of tuwen", cure="name a folder that a stage left")
    if document.get("version") != VERSION:
        raise BadInput(f"{path}: version {document.get('version')!r}", cure=f"this tuwen reads version {VERSION}")
    _check_hashes(path, document)
    if kind is not None and document["kind"] != kind:
        raise BadInput(f"{path}: a manifest of kind `{document['kind']}`", cure=f"name one of kind `{kind}`")
    manifest = Manifest(folder=path.parent, document=document)
    _ = manifest.base  # found now, not after another chdir
    return manifest


def _mirrored(url: str, kind: str | None) -> Manifest:
    """The manifest at a URL with its small files; the shards stay where they are until their rows are asked for."""
    folder = cache_folder() / "manifests" / hashlib.blake2b(url.encode(), digest_size=16).hexdigest()
    with locked(folder.with_suffix(".lock")):
        with whole_file(folder / FILE_NAME) as temporary:
            download(join(url, FILE_NAME), temporary)
        try:
            document = json.loads((folder / FILE_NAME).read_bytes())
            _check_names(document)
            table = [document["shard_table"]] if "shard_table" in document else []
            small = [(file["name"], file["sha256"], file["bytes"]) for file in [*table, *document.get("files", [])]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckFailed(
                f"{join(url, FILE_NAME)}: not a manifest of tuwen", cure="name a folder that has one"
            ) from None
        for name, sha256, num_bytes in small:
            with whole_file(folder / name) as temporary:
                shutil.copyfile(cached(join(url, name), sha256, num_bytes), temporary)
        return replace(load_manifest(folder, kind), url=url)


def _check_names(document: dict[str, Any]) -> None:
    """Names become paths: none may lead out of the folder."""
    listed = [*document.get("shards", []), *document.get("files", [])]
    for name in (str(entry["name"]) for entry in listed):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckFailed(f"the file name {name} leads out of its folder", cure="do not use this manifest")


def _check_hashes(path: Path, document: dict[str, Any]) -> None:
    cure = "restore it from a copy, or run the stage again"
    try:
        if document.get("seal") != seal(document):
            raise CheckFailed(f"{path}: the seal does not hold, so a field was altered", cure=cure)
        if "shard_table" in document:
            document["shards"] = read_shard_table(path.parent, document["shard_table"])
        _check_names(document)
        if document.get("id") != identity(document):
            raise CheckFailed(f"{path}: the id is not that of its content", cure=cure)
    except (TypeError, KeyError, AttributeError):
        raise CheckFailed(f"{path}: a field is missing or of the wrong kind, so it was altered", cure=cure) from None
