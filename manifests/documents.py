"""The typed documents of a manifest: files, shards, splits, steps, licences, and the five kinds of manifest.

    FileEntry(name="verdicts/photos.parquet", bytes=1024, sha256="sha256:…", rows=12)
    Step.of("exact", pairs_in=8504, dropped={"same_bytes": 278}).out      # 8226

The models check types, not values: the seal of a manifest protects its values. `manifest.schema.json`, which checks
both, is generated from these models by `manifest_schema`. This module imports no other module of tuwen, because a
change in it changes the fingerprint of every stage that writes files.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Json = dict[str, Any]  # a JSON object whose keys others define: a recipe, an environment, a manifest as it is on disk
Sha256 = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"})]
Count = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0})]
Positive = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})]
Crc32 = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 4294967295})]
Dtype = Annotated[str, WithJsonSchema({"enum": ["<u2", "<u4", "jsonl"]})]
IdDtype = Annotated[str, WithJsonSchema({"enum": ["<u2", "<u4"]})]


class Document(BaseModel):
    """A frozen JSON object with exactly the declared keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class OpenDocument(BaseModel):
    """A frozen JSON object that may have more keys than the declared ones; they are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class FileEntry(Document):
    """A file of the manifest's folder that is not a shard."""

    name: str  # relative to the folder of the manifest
    bytes: Count
    sha256: Sha256
    rows: Count | None = None  # rows of a table, or pairs of an exported tar
    measures_sha256: Sha256 | None = None  # hash of the measures from which a part of the decision table was made


class ArrayOffsets(Document):
    """The offsets of one array in a shard, in bytes: row r of block b begins at blocks[b] + r * stride."""

    dtype: Dtype
    offset: Count  # first row of block 0, from the start of the file
    stride: Count  # from one row to the next; for ragged text, from one caption id to the next
    blocks: list[Count]  # first row of each block, from the start of the file


class ShardEntry(Document):
    """A shard: its file, its rows, and the offsets and checksums of its blocks."""

    name: Annotated[str, WithJsonSchema({"type": "string", "minLength": 1})]
    bytes: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1024})]
    sha256: Sha256
    samples: Positive
    layout: Annotated[str, WithJsonSchema({"enum": ["block", "sample"]})]
    block_rows: Positive
    arrays: dict[str, ArrayOffsets]
    block_offsets: list[Count]  # first byte of each block, then the first byte of the tail
    crc32: list[Crc32]  # one a block, tar headers and padding included
    tail_crc32: Crc32  # of the bytes after the last block: `__shard__` and the end of the archive
    keys_sha256: Sha256
    stats: dict[str, Count]
    urls: list[str] = []  # locations of this shard alone, tried before those of the manifest
    quality: Json = {}  # what the codes of each array keep of a sample of pictures; decimals are strings

    @property
    def num_blocks(self) -> int:
        return len(self.crc32)


class Step(Document):
    """The pairs that one stage of the funnel took in, passed on, and dropped by reason."""

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
    """The shards of a split (in an export its tars), in the order in which their rows are counted."""

    samples: Count
    shards: Annotated[list[str], WithJsonSchema({"type": "array", "items": {"type": "string"}, "uniqueItems": True})]


class License(OpenDocument):
    """A licence, the attribution that it requires, and the number of samples under it."""

    license: str
    attribution: str
    samples: Count
    source: str = ""  # name in the recipe
    splits: dict[str, Count] | None = None  # samples of each split; None: there are no splits, or they were not counted


class Tool(OpenDocument):
    """The version of tuwen that wrote the manifest."""

    version: str
    git_revision: str


class ImageTokenizer(OpenDocument):
    """The image tokenizer that made, and decodes, the codes."""

    name: str
    sha256: Sha256  # of the weights
    config_sha256: Sha256
    codebook: Positive  # number of codes
    grid: Annotated[
        list[int],
        WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2}),
    ]  # (h, w), or (n,) of a 1-D tokenizer
    codebooks: Positive = 1  # codes at each position of the grid


class TextTokenizer(OpenDocument):
    """The text tokenizer that made the caption ids."""

    name: str
    sha256: Sha256
    vocab: Positive  # number of ids


class PassedKind(Document):
    """Files, members or rows of one kind that are no pair and belong to none."""

    count: Positive
    examples: list[str]  # a few names


class SourceFacts(Document):
    """What was told of a source, and what of it was passed over."""

    encoding: str | None = None  # of its text; None: it has no text, or each file says its own
    reads: list[str] = []  # what was taken as what, for people
    passed_over: dict[str, PassedKind] = {}  # by kind


class Lineage(OpenDocument):
    """The origin of a result. Only the hashes of the tokenizers are part of the manifest's id."""

    tool: Tool
    environment: Json
    parents: list[Sha256] = []
    recipe: Json | None = None
    recipe_sha256: Sha256 | None = None
    steps: list[Step] = []
    image_tokenizer: ImageTokenizer | None = None
    text_tokenizer: TextTokenizer | None = None
    also: dict[str, ImageTokenizer] | None = None  # by array of codes: further image tokenizers
    sources: dict[str, SourceFacts] | None = None  # corpus: by name, those with something to say
    signatures: int | None = None  # corpus: version of its hashes and signatures
    vectors: Json | None = None  # corpus: the embedding model and the search for neighbours
    kept_measures: dict[str, Count] | None = None  # corpus: parts measured by another version, by that version's hash
    run: Json | None = None  # train: its run.json


class CodesSchema(OpenDocument):
    """The codes of a sample."""

    dtype: IdDtype
    shape: list[int]  # (h, w), or (n,), each with a last axis where there are several codebooks
    codebook: int  # codes are below it
    codebooks: int = 1  # codes at each position


class TextSchema(OpenDocument):
    """The caption ids of a sample."""

    dtype: IdDtype
    ragged: bool  # false: padded with 0 to one width
    vocab: int  # ids are below it


class ArraySchema(OpenDocument):
    """The arrays of a sample."""

    codes: CodesSchema
    text: TextSchema
    also: dict[str, CodesSchema] = {}  # by array: codes of further tokenizers


class SplitRule(OpenDocument):
    """The rule that assigned pairs to splits."""

    by: str  # "cluster": by the hash of the duplicate cluster


class Leakage(OpenDocument):
    """The check that train and validation share nothing."""

    rule: str
    checked: dict[str, Count]  # keys compared, by split

    @property
    def shared(self) -> dict[str, int]:
        """The counts found in both splits: {"key": 0, "picture": 0}."""
        extra = self.model_extra or {}
        return {name.removesuffix("_in_both"): count for name, count in extra.items() if name.endswith("_in_both")}


class MixtureSource(OpenDocument):
    """One source of a mixture: the manifest that was merged, and its shards by their names in the merged manifest."""

    id: str
    shards: list[str]


class MixturePhase(Document):
    """Weights that hold from a position on."""

    start: Count = Field(alias="from")  # position: samples read before
    weights: list[Count]  # one a source

    @classmethod
    def of(cls, start: int, weights: list[int]) -> "MixturePhase":
        return cls.model_validate({"from": start, "weights": weights})


class MixtureDocument(Document):
    """The sources and weights of a merged manifest."""

    sources: Annotated[list[MixtureSource], Field(min_length=2)]
    phases: Annotated[list[MixturePhase], Field(min_length=1)]


class Tombstone(Document):
    """A shard that was taken out of the manifest."""

    name: str
    sha256: Sha256
    samples: Count
    reason: str


class ManifestDocument(Document):
    """The keys that every kind of manifest has."""

    format: Literal["tuwen/manifest"]
    version: Literal[1]
    id: Sha256  # hash of the data's description: equal bytes give equal ids, whoever made them, where and when
    seal: Sha256  # hash of the whole document except the seal
    created: Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"})]
    urls: Annotated[list[str], Field(min_length=1)]  # base folders or URLs, tried in order, relative to the manifest
    lineage: Lineage
    tombstones: list[Tombstone]
    files: list[FileEntry] = []
    totals: dict[str, int | str] = {}


class CorpusManifest(ManifestDocument):
    """`tuwen corpus`: the decision table in `files`."""

    kind: Literal["corpus"]
    columns: dict[str, str] = Field(default={}, alias="schema")  # column of the decision table → Arrow type
    licenses: list[License] = []
    contaminated: FileEntry | None = None  # table of the pairs dropped as near-duplicates of evaluation pictures


class ExportManifest(ManifestDocument):
    """`tuwen export`: ordinary WebDataset tars in `files`."""

    kind: Literal["export"]
    splits: dict[str, Split]
    split_rule: SplitRule
    licenses: list[License]


class TokenizerManifest(ManifestDocument):
    """`tuwen tokenizer`: weights, configs and models in `files`."""

    kind: Literal["tokenizer"]


class ShardsManifest(ManifestDocument):
    """`tuwen tokenize`, `tuwen manifest merge`, `quarantine` and `export`: shards, and their tokenizers in `files`."""

    kind: Literal["shards"]
    sample_schema: ArraySchema = Field(alias="schema")
    splits: dict[str, Split]
    split_rule: SplitRule
    leakage: Leakage
    licenses: list[License]
    totals: dict[str, int | str]
    mixture: MixtureDocument | None = None
    shards: list[ShardEntry] | None = None
    shard_table: FileEntry | None = None  # the file that lists the shards when there are more than 50,000


class TrainManifest(ManifestDocument):
    """`tuwen train`: checkpoint, losses and tokenizers in `files`."""

    kind: Literal["train"]
    licenses: list[License]


AnyManifest = Annotated[
    CorpusManifest | ExportManifest | TokenizerManifest | ShardsManifest | TrainManifest, Field(discriminator="kind")
]
