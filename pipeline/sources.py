"""Where pairs come from: a source is cut into parts, and a part is read as a stream of found pictures.

    for part in list_parts(opened):                 # opened = OpenSource("photos", "folder", Path("data/photos"), …)
        for found in read_part(part):
            found.origin, found.data, found.captions

One picture is in memory at a time, whatever the source. A caption without its picture, and a picture without a
caption, are found too: they get a verdict like all others.
"""

from collections.abc import Iterator
from pathlib import Path

from ..manifests.errors import BadInput
from . import folder_source, parquet_source, tar_source
from .part import Part
from .source import Found, OpenSource, on_disk

_LIST = {
    "folder": folder_source.list_parts,
    "webdataset": tar_source.list_parts,
    "fetched": tar_source.list_parts,
    "parquet": parquet_source.list_parts,
}
_READ = {
    "folder": folder_source.read_part,
    "webdataset": tar_source.read_part,
    "fetched": tar_source.read_part,
    "parquet": parquet_source.read_part,
}


def list_parts(source: OpenSource) -> list[Part]:
    """Raises BadInput when the source is missing or holds nothing to read."""
    if not source.root.exists():
        raise BadInput(
            f"source {source.name}: {source.root} does not exist",
            cure="paths are relative to the recipe; correct `path`",
        )
    return _LIST[source.kind](source)


def read_part(part: Part) -> Iterator[Found]:
    return _READ[part.identity["kind"]](part)


def read_picture(root: Path, origin: str, offset: int, num_bytes: int) -> bytes:
    """The bytes of one picture again, by what the decision table says of its place."""
    if parquet_source.is_place(origin):
        return parquet_source.read_picture(root, origin, offset)
    path = on_disk(root, origin)
    path = path if path.is_file() else tar_source.container(root, origin)
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(num_bytes)
    if len(data) != num_bytes:
        raise BadInput(f"{path}: shorter than when it was measured", cure="run `tuwen corpus` again")
    return data
