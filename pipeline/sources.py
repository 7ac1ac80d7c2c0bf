"""Where pairs come from: a source is cut into parts, and a part is read as a stream of found pictures.

    for part in list_parts(opened):                 # opened = OpenSource("photos", "folder", Path("data/photos"), …)
        for found in read_part(part):
            found.origin, found.data, found.captions

`folder`: pictures anywhere below it, with `captions.tsv` (file TAB caption, no header), `captions.jsonl`
({"file", "caption"}), or a `.txt` beside each. `webdataset`: tars in which a picture, its `.txt` (one caption a
line) and its `.json` ({"caption"}) share a key. A caption without its picture, and a picture without a
caption, are found too: they get a verdict like all others.
"""

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webdataset.tariterators import base_plus_ext

from ..manifests.errors import BadInput
from .stage import Part

PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "svg", "heic", "jfif"})
_FOLDER_PART_PICTURES = 1000


@dataclass(frozen=True)
class OpenSource:
    """A source whose pictures lie on disk: a folder's own, or what was gathered into tars."""

    name: str
    kind: str  # folder | webdataset
    root: Path
    license: str
    attribution: str


@dataclass(frozen=True)
class Found:
    origin: str
    captions: list[str]
    data: bytes | None = None  # None: there is a caption but no picture
    offset: int = 0


def list_parts(source: OpenSource) -> list[Part]:
    """Raises BadInput when the source is missing or holds nothing to read."""
    if not source.root.exists():
        raise BadInput(
            f"source {source.name}: {source.root} does not exist",
            cure="paths are relative to the recipe; correct `path`",
        )
    if source.kind == "folder" and not source.root.is_dir():
        raise BadInput(
            f"source {source.name}: {source.root} is not a folder", cure="name the folder that holds the pictures"
        )
    return _folder_parts(source) if source.kind == "folder" else _tar_parts(source)


def read_part(part: Part) -> Iterator[Found]:
    return _read_files(part) if part.identity["kind"] == "folder" else _read_tar(part)


def read_picture(root: Path, origin: str, offset: int, num_bytes: int) -> bytes:
    """The bytes of one picture again, by what the decision table says of its place."""
    path = root / origin if (root / origin).is_file() else _container(root, origin)
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise BadInput(f"{path}: shorter than when it was measured", cure="run `tuwen corpus` again")
    return data


def _container(root: Path, origin: str) -> Path:
    """`shards/0.tar/000123.jpg` lies in root/shards/0.tar, or in root itself when root is that tar."""
    if root.is_file():
        return root
    tar, _, _ = origin.partition(".tar/")
    path = root / f"{tar}.tar"
    if not path.is_file():
        raise BadInput(f"{root / origin}: gone since it was measured", cure="restore it, or run `tuwen corpus` again")
    return path


# --- folder ---------------------------------------------------------------------------------------


def _folder_parts(source: OpenSource) -> list[Part]:
    pictures = sorted(_walk(source.root))
    captions = _caption_files(source)
    origins = sorted(set(pictures) | set(captions))
    if not pictures:
        raise BadInput(
            f"source {source.name}: no pictures below {source.root}",
            cure=f"known endings: {', '.join(sorted(PICTURES))}",
        )
    parts = []
    for start in range(0, len(origins), _FOLDER_PART_PICTURES):
        items = [
            _folder_item(source.root, origin, captions) for origin in origins[start : start + _FOLDER_PART_PICTURES]
        ]
        name = f"{source.name}-{start // _FOLDER_PART_PICTURES:05d}"
        parts.append(_part(source, name, {"items": items}))
    return parts


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if Path(name).suffix[1:].lower() in PICTURES and not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _folder_item(root: Path, origin: str, captions: dict[str, list[str]]) -> dict[str, Any]:
    """What one picture of a folder is known by before it is read: size and time stand for its bytes."""
    path = root / origin
    said = captions.get(origin)
    if said is None:
        beside = path.with_suffix(".txt")
        said = _lines(beside) if beside.is_file() else []
    stat = path.stat() if path.is_file() else None
    return {
        "origin": origin,
        "captions": said,
        "bytes": stat.st_size if stat else None,
        "mtime_ns": stat.st_mtime_ns if stat else None,
    }


def _caption_files(source: OpenSource) -> dict[str, list[str]]:
    """Picture → captions, from captions.tsv and captions.jsonl together."""
    captions: dict[str, list[str]] = {}
    tsv, jsonl = source.root / "captions.tsv", source.root / "captions.jsonl"
    for number, line in enumerate(_lines(tsv) if tsv.is_file() else [], start=1):
        file, tab, caption = line.partition("\t")
        if not tab:
            raise BadInput(f"{tsv}: line {number} has no tab", cure="each line is file TAB caption")
        captions.setdefault(_origin(file), []).append(caption)
    for number, line in enumerate(_lines(jsonl) if jsonl.is_file() else [], start=1):
        try:
            row = json.loads(line)
            captions.setdefault(_origin(str(row["file"])), []).append(str(row["caption"]))
        except (ValueError, KeyError, TypeError):
            raise BadInput(
                f"{jsonl}: line {number} is not one", cure='each line is {"file": …, "caption": …}'
            ) from None
    return captions


def _origin(file: str) -> str:
    return Path(file.strip()).as_posix()


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


def _read_files(part: Part) -> Iterator[Found]:
    for item in part.identity["items"]:
        path = Path(part.place["root"]) / item["origin"]
        yield Found(item["origin"], item["captions"], path.read_bytes() if path.is_file() else None)


# --- webdataset -----------------------------------------------------------------------------------


def _tar_parts(source: OpenSource) -> list[Part]:
    tars = [source.root] if source.root.is_file() else sorted(source.root.rglob("*.tar"))
    if not tars:
        raise BadInput(
            f"source {source.name}: no tars below {source.root}", cure="name a folder with .tar files, or one tar"
        )
    parts = []
    for number, tar in enumerate(tars):
        relative = tar.name if tar == source.root else tar.relative_to(source.root).as_posix()
        stat = tar.stat()
        identity = {"tar": relative, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        parts.append(_part(source, f"{source.name}-{number:05d}", identity, tar=str(tar)))
    return parts


def _read_tar(part: Part) -> Iterator[Found]:
    """Members of one sample may stand anywhere in the tar (shuffled keys are found together too)."""
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(part.place["tar"], mode="r:") as tar:
            for member in tar:
                key, ending = base_plus_ext(member.name)
                if member.isfile() and key is not None and not Path(key).name.startswith("__"):
                    samples.setdefault(key, {})[ending.lower()] = member
            for key in sorted(samples):
                yield _found_in_tar(tar, part.identity["tar"], samples[key])
    except tarfile.TarError as error:
        raise BadInput(
            f"{part.place['tar']}: not a whole tar ({error})", cure="restore it, or take it out of the source"
        ) from None


def _found_in_tar(tar: tarfile.TarFile, tar_name: str, members: dict[str, tarfile.TarInfo]) -> Found:
    picture = next((ending for ending in sorted(members) if ending.rpartition(".")[2] in PICTURES), None)
    stem = picture.rpartition(".")[0] if picture else ""
    captions = _captions_of(tar, members, stem)
    if picture is None:
        return Found(f"{tar_name}/{next(iter(members.values())).name}", captions)
    member = members[picture]
    return Found(f"{tar_name}/{member.name}", captions, _read_member(tar, member), member.offset_data)


def _captions_of(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], stem: str) -> list[str]:
    """From the .txt, else the .json, of the picture's own name (`a.0.png`, `a.0.txt`), else of the key."""
    texts = [ending for ending in (f"{stem}.txt", "txt") if ending in members]
    if texts:
        text = _read_member(tar, members[texts[0]]).decode("utf-8-sig", errors="replace")
        return [line for line in text.splitlines() if line.strip()]
    for ending in (f"{stem}.json", "json"):
        if ending in members:
            try:
                caption = json.loads(_read_member(tar, members[ending])).get("caption")
            except (ValueError, AttributeError):
                return []
            return [caption] if isinstance(caption, str) else []
    return []


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _part(source: OpenSource, name: str, identity: dict[str, Any], **place: str) -> Part:
    about = {"source": source.name, "kind": source.kind, "license": source.license}
    return Part(name, {**about, **identity}, {"root": str(source.root), **place})
