"""The documents of a manifest, typed: what it says of a file, a shard, a split, a step, a licence, and of itself.

    FileEntry(name="verdicts/photos.parquet", bytes=1024, sha256="sha256:…", rows=12)
    Step.of("exact", pairs_in=8504, dropped={"same_bytes": 278})

A manifest is one of the five kinds at the end. `manifest.schema.json` is generated from them (`manifest_schema`). They
describe what is there and check types alone: the seal of a manifest is what holds its values. This module imports no
other of tuwen, since the fingerprints of stages hold it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Json = dict[str, Any]  # an object whose keys are not ours to name: a recipe, an environment
Sha256 = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"})]
Count = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0})]
Positive = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})]
Crc32 = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 4294967295})]
Dtype = Annotated[str, WithJsonSchema({"enum": ["<u2", "<u4", "jsonl"]})]
IdDtype = Annotated[str, WithJsonSchema({"enum": ["<u2", "<u4"]})]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class OpenDocument(BaseModel):
    """One to which versions and kinds add keys of their own."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class FileEntry(Document):
    """A file that is not a shard."""

    name: str  # relative to the folder of the manifest
    bytes: Count
    sha256: Sha256
    rows: Count | None = None  # of a table; of an export's tar its pairs
    measures_sha256: Sha256 | None = None  # of the measures that a part of the decision table was made from


class ArrayOffsets(Document):
    """Where the rows of one array lie in a shard: row r of block b begins at blocks[b] + r * stride."""

    dtype: Dtype
    offset: Count  # of block 0, in bytes from the start of the file
    stride: Count  # bytes from a row to the next; for ragged text, from a token to the next
    blocks: list[Count]


class ShardEntry(Document):
    """One shard of a manifest."""

    name: Annotated[str, WithJsonSchema({"type": "string", "minLength": 1})]
    bytes: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1024})]
    sha256: Sha256
    samples: Positive
    layout: Annotated[str, WithJsonSchema({"enum": ["block", "sample"]})]
    block_rows: Positive
    arrays: dict[str, ArrayOffsets]
    block_offsets: list[Count]  # where each block begins; the last number is where the tail begins
    crc32: list[Crc32]  # of each block, headers and padding included
    tail_crc32: Crc32  # of what follows the last block: `__shard__` and the end of the archive
    keys_sha256: Sha256
    stats: dict[str, Count]
    urls: list[str] = []  # locations of its own, tried before the manifest's

    @property
    def num_blocks(self) -> int:
        return len(self.crc32)


class Step(Document):
    """What one stage of the funnel took in, let through, and dropped by reason."""

    name: str
    pairs_in: Count = Field(alias="in")
    out: Count
    dropped: dict[str, Count]

    @classmethod
    def of(cls, name: str, pairs_in: int, dropped: dict[str, int]) -> "Step":
        return cls.model_validate(
            {"name": name, "in": pairs_in, "out": pairs_in - sum(dropped.values()), "dropped": dropped}
        )


class Split(Document):
    samples: Count
    shards: Annotated[list[str], WithJsonSchema({"type": "array", "items": {"type": "string"}, "uniqueItems": True})]


class License(OpenDocument):
    """Who must be named, and for how many samples."""

    license: str
    attribution: str
    samples: Count
    source: str = ""  # name in the recipe


class Tool(OpenDocument):
    version: str
    git_revision: str


class ImageTokenizer(OpenDocument):
    name: str
    sha256: Sha256  # of the weights
    config_sha256: Sha256
    codebook: Positive
    grid: Annotated[
        list[int],
        WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2}),
    ]  # (h, w)


class TextTokenizer(OpenDocument):
    name: str
    sha256: Sha256
    vocab: Positive


class Lineage(OpenDocument):
    """Where a result came from. Nothing of it is in the id but the hashes of the tokenizers."""

    tool: Tool
    environment: Json
    parents: list[Sha256] = []
    recipe: Json | None = None
    recipe_sha256: Sha256 | None = None
    steps: list[Step] = []
    image_tokenizer: ImageTokenizer | None = None
    text_tokenizer: TextTokenizer | None = None
    signatures: int | None = None  # of a corpus: version of its hashes and signatures
    vectors: Json | None = None  # of a corpus: how neighbours by embeddings were sought
    kept_measures: dict[str, Count] | None = None  # of a corpus: parts that another version measured, by its hash
    run: Json | None = None  # of a training: its run.json


class CodesSchema(OpenDocument):
    dtype: IdDtype
    shape: list[int]
    codebook: int


class TextSchema(OpenDocument):
    dtype: IdDtype
    ragged: bool
    vocab: int


class ArraySchema(OpenDocument):
    """What a sample of a shard is."""

    codes: CodesSchema
    text: TextSchema


class SplitRule(OpenDocument):
    by: str


class Leakage(OpenDocument):
    """What train and validation share: counts whose names end with `_in_both`."""

    rule: str
    checked: dict[str, Count]


class MixtureSource(OpenDocument):
    id: str
    shards: list[str]


class MixturePhase(Document):
    start: Count = Field(alias="from")  # the first position at which it holds
    weights: list[Count]


class MixtureDocument(Document):
    sources: Annotated[list[MixtureSource], Field(min_length=2)]
    phases: Annotated[list[MixturePhase], Field(min_length=1)]


class Tombstone(Document):
    """A shard that was taken out."""

    name: str
    sha256: Sha256
    samples: Count
    reason: str


class ManifestDocument(Document):
    """What every kind of manifest says."""

    format: Literal["tuwen/manifest"]
    version: Literal[1]
    id: Sha256  # of what the data is; equal for equal bytes, whoever made them, where and when
    seal: Sha256  # of the whole document but itself
    created: Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"})]
    urls: Annotated[list[str], Field(min_length=1)]  # base folders or URLs, tried in order, relative to the manifest
    lineage: Lineage
    tombstones: list[Tombstone]
    files: list[FileEntry] = []
    totals: dict[str, int | str] = {}


class CorpusManifest(ManifestDocument):
    kind: Literal["corpus"]
    columns: dict[str, str] = Field(default={}, alias="schema")  # of the decision table, with their types
    licenses: list[License] = []
    contaminated: FileEntry | None = None  # pairs that pictures of evaluation sets took away


class ExportManifest(ManifestDocument):
    kind: Literal["export"]
    splits: dict[str, Split]
    split_rule: SplitRule
    licenses: list[License]


class TokenizerManifest(ManifestDocument):
    kind: Literal["tokenizer"]


class ShardsManifest(ManifestDocument):
    kind: Literal["shards"]
    arrays: ArraySchema = Field(alias="schema")
    splits: dict[str, Split]
    split_rule: SplitRule
    leakage: Leakage
    licenses: list[License]
    totals: dict[str, int | str]
    mixture: MixtureDocument | None = None
    shards: list[ShardEntry] | None = None
    shard_table: FileEntry | None = None  # where the shards are listed when they are more than 50,000


class TrainManifest(ManifestDocument):
    kind: Literal["train"]
    licenses: list[License]


AnyManifest = Annotated[
    CorpusManifest | ExportManifest | TokenizerManifest | ShardsManifest | TrainManifest, Field(discriminator="kind")
]
