"""The documents of a manifest, typed: what is said of a file, a shard, a split, a step, a licence.

FileEntry(name="verdicts/photos.parquet", bytes=1024, sha256="sha256:…", rows=12)
"""

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class FileEntry(Document):
    """A file that is not a shard."""

    name: str  # relative to the folder of the manifest
    bytes: int
    sha256: str
    rows: int | None = None  # of a table
    measures_sha256: str | None = None  # of the measures that a part of the decision table was made from


class Step(Document):
    """What one stage of the funnel took in, let through, and dropped by reason."""

    name: str
    pairs_in: int = Field(alias="in")
    out: int
    dropped: dict[str, int]

    @classmethod
    def of(cls, name: str, pairs_in: int, dropped: dict[str, int]) -> "Step":
        return cls.model_validate(
            {"name": name, "in": pairs_in, "out": pairs_in - sum(dropped.values()), "dropped": dropped}
        )


class Split(Document):
    samples: int
    shards: list[str]


class License(Document):
    source: str
    license: str
    attribution: str
    samples: int
