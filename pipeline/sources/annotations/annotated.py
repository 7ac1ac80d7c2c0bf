"""What annotation files say of the pictures of one source, by the origin of the picture.

annotated = Annotated(PictureNames(["2021/cat.jpg"], root))
annotated.read("captions.tsv", root / "captions.tsv", AnnotationColumns())
annotated.check("photos")
annotated.captions["2021/cat.jpg"]       # ["一只猫"]; a picture that is missing has its captions, too
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ....manifests.errors import BadInput
from .annotations import AnnotationColumns, read_annotations
from .picture_names import PictureNames


@dataclass
class Annotated:
    names: PictureNames
    captions: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)  # address, licence
    broken: list[str] = field(default_factory=list)  # origins of rows that cannot be read
    reads: list[str] = field(default_factory=list)
    first_file: str = ""

    def read(self, name: str, path: Path, columns: AnnotationColumns) -> None:
        annotations, reads = read_annotations(path, columns)
        folder = PurePosixPath(name).parent.as_posix()
        for annotation in annotations:
            if annotation.problem:
                self.broken.append(f"{name}#{annotation.row}")
                continue
            origin = self.names.match(annotation.picture, "" if folder == "." else folder)
            self.captions.setdefault(origin, []).extend(annotation.captions)
            if annotation.url or annotation.license:
                self.facts[origin] = (annotation.url, annotation.license)
        self.reads.append(reads)
        self.first_file = self.first_file or name

    def check(self, source: str) -> None:
        """Raises BadInput when no annotation finds its picture, and says so when most do not."""
        missing, first = self.names.num_missing, self.names.first_missing
        if first is None or missing <= self.names.num_matched:
            return
        problem = (
            f"source {source}: {missing:,} of {missing + self.names.num_matched:,} captions find no picture; the "
            f"first names {first}, and the file with the nearest name is {self.names.nearest(first)}"
        )
        if not self.names.num_matched:
            raise BadInput(problem, cure=f"correct `path`, or the names in {self.first_file}")
        print(problem, file=sys.stderr, flush=True)
