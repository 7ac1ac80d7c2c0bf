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
import re
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
_TAR_CURE = "restore it, or take it out of the source"


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
    url: str | None = None
    license: str | None = None  # where each picture has one; None: the source's
    problem: str | None = None  # why there is no picture; None: missing_picture


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
    path = _on_disk(root, origin)
    path = path if path.is_file() else _container(root, origin)
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise BadInput(f"{path}: shorter than when it was measured", cure="run `tuwen corpus` again")
    return data


def _as_text(name: str) -> str:
    """A file name that is not UTF-8 (GBK, from a zip made on Windows) has its bytes written out: `\\xd6\\xd0.jpg`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _on_disk(root: Path, origin: str) -> Path:
    """The path of an origin, written-out bytes put back when there is no file of that very name."""
    path = root / origin
    if path.is_file() or "\\x" not in origin:
        return path
    return root / re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(0xDC00 + int(found[1], 16)), origin)


def _container(root: Path, origin: str) -> Path:
    """`shards/0.tar/000123.jpg` lies in root/shards/0.tar, or in root itself when root is that tar."""
    if root.is_file():
        return root
    tar, _, _ = origin.partition(".tar/")
    path = _on_disk(root, f"{tar}.tar")
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
                yield _as_text((Path(folder) / name).relative_to(root).as_posix())


def _folder_item(root: Path, origin: str, captions: dict[str, list[str]]) -> dict[str, Any]:
    """What one picture of a folder is known by before it is read: size and time stand for its bytes."""
    path = _on_disk(root, origin)
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
            found = captions.setdefault(_origin(row["file"]), [])
            found += [_whole_text(row["caption"])] if row["caption"] is not None else []
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadInput(
                f"{jsonl}: line {number} is not one", cure='each line is {"file": …, "caption": …}'
            ) from None
    return captions


def _origin(file: str) -> str:
    return Path(file.strip()).as_posix()


def _lines(path: Path) -> list[str]:
    """Not empty, without their ends; only line feeds end a line, as captions may hold other separators."""
    return _text_lines(path.read_bytes())


def _text_lines(data: bytes) -> list[str]:
    text = data.decode("utf-8-sig", errors="replace")
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


def _whole_text(text: str) -> str:
    """JSON may hold half a surrogate pair, which no file can."""
    return text.encode("utf-8", "replace").decode()


def _read_files(part: Part) -> Iterator[Found]:
    for item in part.identity["items"]:
        path = _on_disk(Path(part.place["root"]), item["origin"])
        yield Found(item["origin"], item["captions"], path.read_bytes() if path.is_file() else None)


# --- webdataset -----------------------------------------------------------------------------------


def _tar_parts(source: OpenSource) -> list[Part]:
    found = [source.root] if source.root.is_file() else sorted(source.root.rglob("*.tar"))
    tars = [tar for tar in found if tar.is_file() and not tar.name.startswith("._")]  # ._x.tar is macOS's, no tar
    if not tars:
        raise BadInput(
            f"source {source.name}: no tars below {source.root}", cure="name a folder with .tar files, or one tar"
        )
    parts = []
    for number, tar in enumerate(tars):
        relative = tar.name if tar == source.root else tar.relative_to(source.root).as_posix()
        stat = tar.stat()
        identity = {"tar": _as_text(relative), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        parts.append(_part(source, f"{source.name}-{number:05d}", identity, tar=_as_text(str(tar))))
    return parts


def _read_tar(part: Part) -> Iterator[Found]:
    """Members of one sample may stand anywhere in the tar. Raises BadInput on a tar that is cut or damaged."""
    path = _on_disk(Path(), part.place["tar"])
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path, mode="r:") as tar:
            for member in tar:
                key, ending = base_plus_ext(member.name)
                if member.isfile() and key is not None and not Path(key).name.startswith(("__", "._")):
                    samples.setdefault(key, {})[ending.lower()] = member
            _check_end(path, tar)
            for key in sorted(samples):
                yield from _found_in_tar(tar, part.identity["tar"], samples[key])
    except tarfile.TarError as error:
        raise BadInput(f"{path}: not a whole tar ({error})", cure=_TAR_CURE) from None


def _check_end(path: Path, tar: tarfile.TarFile) -> None:
    """tarfile takes a damaged header, or a cut between two members, for the end; a whole tar ends with zeros."""
    with path.open("rb") as file:
        file.seek(tar.offset)
        rest = file.read(tarfile.BLOCKSIZE)
    if len(rest) < tarfile.BLOCKSIZE or rest.strip(b"\0"):
        raise BadInput(f"{path}: damaged or cut short at byte {tar.offset}", cure=_TAR_CURE)


def _found_in_tar(tar: tarfile.TarFile, tar_name: str, members: dict[str, tarfile.TarInfo]) -> Iterator[Found]:
    """Each picture of a key with its captions; a key without a picture is a caption without one."""
    pictures = [ending for ending in sorted(members) if ending.rpartition(".")[2] in PICTURES]
    for ending in pictures:
        member = members[ending]
        captions = _captions_of(tar, members, ending.rpartition(".")[0])
        yield Found(f"{tar_name}/{_as_text(member.name)}", captions, _read_member(tar, member), member.offset_data)
    if not pictures:
        yield Found(f"{tar_name}/{_as_text(next(iter(members.values())).name)}", _captions_of(tar, members, ""))


def _captions_of(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], stem: str) -> list[str]:
    """From the .txt, else the .json, of the picture's own name (`a.0.png`, `a.0.txt`), else of the key."""
    for ending in (f"{stem}.txt", "txt"):
        if ending in members:
            return _text_lines(_read_member(tar, members[ending]))
    for ending in (f"{stem}.json", "json"):
        if ending in members:
            try:
                caption = json.loads(_read_member(tar, members[ending])).get("caption")
            except (ValueError, AttributeError):
                return []
            return [_whole_text(caption)] if isinstance(caption, str) else []
    return []


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _part(source: OpenSource, name: str, identity: dict[str, Any], **place: str) -> Part:
    about = {"source": source.name, "kind": source.kind, "license": source.license}
    return Part(name, {**about, **identity}, {"root": str(source.root), **place})
