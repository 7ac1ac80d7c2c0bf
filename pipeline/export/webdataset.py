"""WebDataset: a part of an export as a tar, a sample for each picture.

    KEY.jpg   the picture: its bytes as in the source, or encoded anew as the recipe says
    KEY.txt   its captions, one a line
    KEY.json  {"key", "keys", "captions", "source", "origin", "license", "url", "width", "height", "sha256", …}

Comes in: a part whose rows lie in a small Parquet file (`plan`). Goes out: `PART.tar`, the same for the same rows.
The key is that of the picture's first kept pair; `keys` has that of each caption, by which `tuwen why` finds it again.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...manifests.canonical import canonical_json
from ...manifests.shards.tar_member import add_member
from ..executor.part import Part
from .exported_picture import ExportConfig, ExportedPicture, ExportSummary, exported_pictures

if TYPE_CHECKING:
    from .plan import PlannedRows


def tars(plan: "list[PlannedRows]") -> list[tuple[str, None]]:
    """The name of each part; its rows say all of it."""
    return [(rows.name, None) for rows in plan]


def write_tar(part: Part[None], config: ExportConfig, folder: Path) -> ExportSummary:
    """Raises CheckFailed if a picture has changed since it was measured."""
    pairs, pictures, endings = 0, 0, set[str]()
    with (
        (folder / f"{part.name}.tar").open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for picture in exported_pictures(part, config):
            for name, data in _members(picture):
                add_member(tar, name, data)
            pairs, pictures = pairs + len(picture.rows), pictures + 1
            endings.add(picture.ending)
    return ExportSummary(pairs=pairs, pictures=pictures, endings=sorted(endings))


def _members(picture: ExportedPicture) -> Iterator[tuple[str, bytes]]:
    rows, first = picture.rows, picture.first
    captions = [row["caption"] for row in rows]
    metadata = {name: first.get(name) for name in ("key", "source", "origin", "license", "url", "format", "cluster")}
    metadata |= {"width": picture.width, "height": picture.height, "sha256": first["image_sha256"]}
    metadata |= {"captions": captions, "keys": [row["key"] for row in rows], "masked": [row["masked"] for row in rows]}
    yield picture.name, picture.data
    yield f"{first['key']}.json", canonical_json(metadata)
    yield f"{first['key']}.txt", "\n".join(captions).encode()
