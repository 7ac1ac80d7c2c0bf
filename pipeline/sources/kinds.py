"""Where pairs come from: a source is cut into parts, and a part is read as a stream of found pictures.

    for part in list_parts(opened):                 # opened = OpenSource("photos", "folder", Path("data/photos"), …)
        for found in read_part(part):
            found.origin, found.data, found.captions

One picture is in memory at a time, whatever the source. A caption without its picture, and a picture without a
caption, are found too: they get a verdict like all others.
"""

from collections.abc import Iterator
from pathlib import Path

from ...manifests.errors import BadInput
from ..executor.part import Part
from . import folder, parquet, tar
from .source import OpenSource, SourceItem, on_disk

_LIST = {
    "folder": folder.list_parts,
    "webdataset": tar.list_parts,
    "fetched": tar.list_parts,
    "parquet": parquet.list_parts,
}
_READ = {
    "folder": folder.read_part,
    "webdataset": tar.read_part,
    "fetched": tar.read_part,
    "parquet": parquet.read_part,
}


def list_parts(source: OpenSource) -> list[Part]:
    """Raises BadInput when the source is missing or holds nothing to read."""
    if not source.root.exists():
        raise BadInput(
            f"source {source.name}: {source.root} does not exist",
            cure="paths are relative to the recipe; correct `path`",
        )
    return _LIST[source.kind](source)


def read_part(part: Part) -> Iterator[SourceItem]:
    return _READ[part.identity["kind"]](part)


def read_picture(root: Path, origin: str, offset: int, num_bytes: int) -> bytes:
    """The bytes of one picture again, by what the decision table says of its place."""
    if parquet.is_place(origin):
        return parquet.read_picture(root, origin, offset)
    path = on_disk(root, origin)
    path = path if path.is_file() else tar.container(root, origin)
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise BadInput(f"{path}: shorter than when it was measured", cure="run `tuwen corpus` again")
    return data
