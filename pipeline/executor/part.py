"""A part: the unit of work of every stage, and of what is read from a source.

    Part("photos-00003", spec={"source": "photos", "tar": "3.tar", …}, roots={"photos": PictureRoot("tar", "/data")})
    Part("photos-00003", spec=None, inputs={"measures": InputFile("/runs/…/photos-00003.parquet", "sha256:…")})

What is hashed says what the part is: its spec, and its inputs by their content. Where things lie on this machine is
only handed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:  # a stage's fingerprint must not hold every document of a manifest
    from ...manifests.documents import FileEntry

Spec = TypeVar("Spec")
Summary = TypeVar("Summary")


@dataclass(frozen=True)
class InputFile:
    """A file, or a folder, that a part reads. Only `sha256` is hashed; folders have the hash of their files."""

    path: str
    sha256: str
    is_result: bool = False  # another stage wrote it, perhaps long ago: it is hashed again before it is read


@dataclass(frozen=True)
class PictureRoot:
    """Where the pictures of a source lie, and the module of `sources/` that reads one of them."""

    reader: str
    path: str  # of the folder, or of the one file, that `origin` is relative to
    column: str | None = None  # of tables: the column of the pictures, where the recipe names it


@dataclass(frozen=True)
class Part(Generic[Spec]):
    name: str
    spec: Spec  # JSON: what the part is, where its inputs do not say it all
    inputs: Mapping[str, InputFile] = field(default_factory=dict)
    roots: Mapping[str, PictureRoot] = field(default_factory=dict)  # by source name; not hashed
    modules: tuple[str, ...] = ()  # of tuwen, that this part needs besides the stage's function
    scratch: str = ""  # of stages with `scratch`: the folder for what a killed attempt leaves to the next one

    def input_path(self, name: str) -> Path:
        return Path(self.inputs[name].path)

    def with_inputs(self, **inputs: InputFile) -> "Part[Spec]":
        return replace(self, inputs={**self.inputs, **inputs})


@dataclass(frozen=True)
class PartResult(Generic[Summary]):
    name: str
    files: "list[FileEntry]"
    summary: Summary  # JSON: what the stage's function returned
    kept_from: str | None = None  # `--keep-measures` accepted it: the hash of the code and libraries that made it

    def file(self, folder: Path) -> InputFile:
        """The one file of a result, as an input of the stage that follows."""
        (entry,) = self.files
        return InputFile(str((folder / entry.name).resolve()), entry.sha256, is_result=True)
