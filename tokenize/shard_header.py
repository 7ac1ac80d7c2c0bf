"""What every shard says of itself in its last member, `__shard__`, and what it says of each row.

    schema = sample_schema(image_codes.identity, caption_ids.vocab, text_width=None)
    schema["codes"]                     # {"dtype": "<u2", "shape": [8, 8], "codebook": 1024}
    header = shard_header(schema, image_codes.identity.document(), caption_ids.sha256)

The schema stands in the manifest too. Nothing here depends on the rows.
"""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from ..manifests.shards.block_shard import code_dtype
from ..manifests.shards.row_meta import RowMeta
from .image_codes import ImageTokenizerDocument, ImageTokenizerIdentity


class CodesSchema(TypedDict):
    dtype: str  # "<u2" or "<u4"
    shape: list[int]  # (h, w), or (n,), each with a last axis where there are several codebooks
    codebook: int
    codebooks: NotRequired[int]  # where there are several


class TextSchema(TypedDict):
    dtype: str
    ragged: bool
    vocab: int
    width: NotRequired[int]  # ids of a padded caption


class MetaSchema(TypedDict):
    encoding: str
    fields: list[str]


class SampleSchema(TypedDict):
    """What a sample has."""

    codes: CodesSchema
    text: TextSchema
    meta: MetaSchema
    also: NotRequired[dict[str, CodesSchema]]  # by array: codes of further tokenizers


class ShardHeader(TypedDict):
    format: str
    version: int
    schema: SampleSchema
    image_tokenizer: ImageTokenizerDocument
    text_tokenizer: str  # sha256
    also: NotRequired[dict[str, ImageTokenizerDocument]]  # by array: further image tokenizers


def sample_schema(
    image_tokenizer: ImageTokenizerIdentity,
    vocab: int,
    text_width: int | None,
    also: Mapping[str, ImageTokenizerIdentity] | None = None,
) -> SampleSchema:
    """Captions are padded to `text_width` ids, or ragged if it is None. `also` has further tokenizers, by array."""
    text = TextSchema(dtype=code_dtype(vocab), ragged=text_width is None, vocab=vocab)
    if text_width is not None:
        text["width"] = text_width
    schema = SampleSchema(
        codes=codes_schema(image_tokenizer),
        text=text,
        meta=MetaSchema(encoding="jsonl", fields=list(RowMeta.__annotations__)),
    )
    if also:
        schema["also"] = {array: codes_schema(identity) for array, identity in also.items()}
    return schema


def codes_schema(identity: ImageTokenizerIdentity) -> CodesSchema:
    schema = CodesSchema(dtype=code_dtype(identity.codebook), shape=list(identity.shape), codebook=identity.codebook)
    if identity.codebooks > 1:
        schema["codebooks"] = identity.codebooks
    return schema


def shard_header(
    schema: SampleSchema,
    image_tokenizer: ImageTokenizerDocument,
    text_tokenizer: str,
    also: Mapping[str, ImageTokenizerDocument] | None = None,
) -> ShardHeader:
    """`text_tokenizer` is its sha256."""
    header = ShardHeader(
        format="tuwen/shard",
        version=1,
        schema=schema,
        image_tokenizer=image_tokenizer,
        text_tokenizer=text_tokenizer,
    )
    if also:
        header["also"] = dict(also)
    return header
