"""The manifest of a folder of results: what the results are, how they were made, and the two hashes that protect them.

    document = new_manifest("corpus", files=[file_entry(folder, "verdicts/photos.parquet")], lineage={"recipe": recipe})
    save_manifest(folder, document)
    manifest = load_manifest("runs/emoji/shards")       # a folder, the file itself, or a URL; both hashes are checked
    manifest.splits["train"].samples                    # the typed views of the document: `documents`

`manifest.json` is written last, by rename: a folder without one is unfinished.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, Unpack

from pydantic import TypeAdapter, ValidationError

from .atomic import whole_file
from .canonical import canonical_json, exact, sha256_of, sha256_of_file
from .documents import (
    ArraySchema,
    FileEntry,
    Json,
    Leakage,
    License,
    Lineage,
    MixtureDocument,
    ShardEntry,
    Split,
    Tombstone,
)
from .environment import environment, tool
from .errors import BadInput, CheckFailed
from .manifest_fields import LineageFields, ManifestFields, plain_json
from .manifest_hashes import identity, seal
from .remote.download import download, is_remote, join
from .remote.file_cache import cache_folder, cached, locked
from .shard_table import MOST_IN_JSON, read_shard_table, write_shard_table
from .validation_words import plain_errors

FORMAT = "tuwen/manifest"
VERSION = 1
FILE_NAME = "manifest.json"

View = TypeVar("View")


@dataclass(frozen=True)
class Manifest:
    """A loaded manifest. `document` is its JSON, over which the hashes are taken; product code reads the typed views.

    Each view is validated on first use, so loading a manifest of 50,000 shards costs nothing for them. A view raises
    CheckFailed for keys that this version of tuwen does not know.
    """

    folder: Path
    document: Json
    url: str | None = None  # of the folder that `folder` mirrors, for a manifest that was loaded from a URL

    @cached_property
    def base(self) -> str:
        """The folder or URL to which the names of shards and files are relative."""
        return self.url or str(self.folder.resolve())

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def seal(self) -> str:
        return str(self.document["seal"])

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def created(self) -> str:
        return str(self.document["created"])

    @property
    def urls(self) -> list[str]:
        """Base folders or URLs of the shards, in the order in which they are tried, relative to `base`."""
        return list(self.document["urls"])

    @cached_property
    def lineage(self) -> Lineage:
        return self._view("lineage", Lineage)

    @cached_property
    def files(self) -> list[FileEntry]:
        return self._view("files", list[FileEntry], [])

    @cached_property
    def shards(self) -> list[ShardEntry]:
        return self._view("shards", list[ShardEntry], [])

    @cached_property
    def splits(self) -> dict[str, Split]:
        return self._view("splits", dict[str, Split], {})

    @cached_property
    def leakage(self) -> Leakage | None:
        return self._view("leakage", Leakage) if "leakage" in self.document else None

    @cached_property
    def licenses(self) -> list[License]:
        return self._view("licenses", list[License], [])

    @cached_property
    def sample_schema(self) -> ArraySchema:
        """The `schema` of a manifest of shards: the arrays of a sample."""
        return self._view("schema", ArraySchema)

    @cached_property
    def mixture(self) -> MixtureDocument | None:
        return self._view("mixture", MixtureDocument) if "mixture" in self.document else None

    @cached_property
    def tombstones(self) -> list[Tombstone]:
        return self._view("tombstones", list[Tombstone], [])

    @cached_property
    def contaminated(self) -> FileEntry | None:
        """The table of a corpus' pairs that were dropped as near-duplicates of evaluation pictures."""
        return self._view("contaminated", FileEntry) if "contaminated" in self.document else None

    @cached_property
    def totals(self) -> dict[str, int]:
        """The counts among the totals; the digest of a training run is no count."""
        totals = self._view("totals", dict[str, int | str], {})
        return {name: total for name, total in totals.items() if isinstance(total, int)}

    def entries(self) -> list[FileEntry | ShardEntry]:
        """Return shards, then files: everything that is listed with its bytes and its hash."""
        return [*self.shards, *self.files]

    def shards_of(self, split: str) -> list[ShardEntry]:
        """Return the shards of a split in the manifest's order. Raises BadInput for an unknown split."""
        if split not in self.splits:
            raise BadInput(f"{self.folder}: no split `{split}`", cure=f"it has {', '.join(self.splits) or 'none'}")
        names = set(self.splits[split].shards)
        return [shard for shard in self.shards if shard.name in names]

    def _view(self, key: str, kind: type[View], default: Any = None) -> View:
        value = self.document.get(key, default)
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            problem = plain_errors(error, value, f"{key}.")[0].problem
            raise CheckFailed(
                f"{self.folder}: {problem}", cure="read it with the version of tuwen that wrote it"
            ) from None


def new_manifest(kind: str, *, lineage: LineageFields | Json, **fields: Unpack[ManifestFields]) -> Json:
    """Return a sealed document. Floats become decimal strings; fields and keys of `lineage` that are None are left out.

    Tool, environment and the hash of the recipe are added to `lineage`.
    """
    document: Json = exact(
        {
            "format": FORMAT,
            "version": VERSION,
            "kind": kind,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "urls": ["."],
            "lineage": {"tool": tool(), "environment": environment(), **_stated(lineage)},
            "tombstones": [],
            **_stated(fields),
        }
    )
    if "recipe" in document["lineage"]:
        document["lineage"]["recipe_sha256"] = sha256_of(document["lineage"]["recipe"])
    document["id"] = identity(document)
    document["seal"] = seal(document)
    return document


def _stated(fields: Mapping[str, Any]) -> Json:
    return {name: plain_json(value) for name, value in fields.items() if value is not None}


def file_entry(folder: Path, name: str, rows: int | None = None) -> FileEntry:
    """Return the entry of the file `name` in `folder`; its bytes are hashed."""
    path = folder / name
    return FileEntry(name=name, bytes=path.stat().st_size, sha256=sha256_of_file(path), rows=rows)


def drop_manifest(folder: Path) -> None:
    """Delete the manifest before the first change to a folder: a folder that is half old must not look finished."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def save_manifest(folder: Path, document: Json) -> Manifest:
    """Write `manifest.json`, with the shards in a table of their own above 50,000, and load it again."""
    if len(document.get("shards", [])) > MOST_IN_JSON:
        entry = write_shard_table(folder, document["shards"])
        document = {**document, "shard_table": plain_json(entry)}
        document["seal"] = seal(document)
        del document["shards"]
    with whole_file(folder / FILE_NAME) as temporary:
        temporary.write_bytes(canonical_json(document) + b"\n")
    return load_manifest(folder)


def load_manifest(location: Path | str, kind: str | None = None) -> Manifest:
    """Load a manifest from a folder, from the file itself, or from the URL of a folder.

    From a URL the manifest and its files are copied into the cache; shards stay there until their rows are read.

    Raises BadInput if there is no manifest or it is of another kind, CheckFailed if a field was altered.
    """
    if is_remote(str(location)):
        if "?" in str(location):
            raise BadInput(f"{location}: a URL with a query", cure="name a folder whose files need none")
        return _mirrored(str(location).removesuffix(FILE_NAME).rstrip("/"), kind)
    path = Path(location)
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
    _ = manifest.base  # resolved now: after a chdir a relative path would mean another folder
    return manifest


def _mirrored(url: str, kind: str | None) -> Manifest:
    """Copy the manifest and the files at a URL into the cache, and load it from there."""
    folder = cache_folder() / "manifests" / hashlib.blake2b(url.encode(), digest_size=16).hexdigest()
    with locked(folder.with_suffix(".lock")):
        with whole_file(folder / FILE_NAME) as temporary:
            download(join(url, FILE_NAME), temporary)
        try:
            document = json.loads((folder / FILE_NAME).read_bytes())
            _check_names(document)
            table = [document["shard_table"]] if "shard_table" in document else []
            files = [FileEntry.model_validate(entry) for entry in [*table, *document.get("files", [])]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckFailed(
                f"{join(url, FILE_NAME)}: not a manifest of tuwen", cure="name a folder that has one"
            ) from None
        for file in files:
            with whole_file(folder / file.name) as temporary:
                shutil.copyfile(cached(join(url, file.name), file.sha256, file.bytes), temporary)
        return replace(load_manifest(folder, kind), url=url)


def _check_names(document: Json) -> None:
    """Raise CheckFailed if the name of a shard or file, which becomes a path, leads out of the folder."""
    table = [document["shard_table"]] if "shard_table" in document else []
    listed = [*table, *document.get("shards", []), *document.get("files", [])]
    for name in (str(entry["name"]) for entry in listed):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CheckFailed(f"the file name {name} leads out of its folder", cure="do not use this manifest")


def _check_hashes(path: Path, document: Json) -> None:
    cure = "restore it from a copy, or run the stage again"
    try:
        if document.get("seal") != seal(document):
            raise CheckFailed(f"{path}: the seal does not hold, so a field was altered", cure=cure)
        if "shard_table" in document:
            document["shards"] = read_shard_table(path.parent, document["shard_table"]["sha256"])
        _check_names(document)
        if document.get("id") != identity(document):
            raise CheckFailed(f"{path}: the id is not that of its content", cure=cure)
    except (TypeError, KeyError, AttributeError):
        raise CheckFailed(f"{path}: a field is missing or of the wrong kind, so it was altered", cure=cure) from None
