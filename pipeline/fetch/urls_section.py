"""`kind: urls` of a recipe's sources: lists of addresses, and how politely their pictures are fetched.

{name: web, kind: urls, path: lists/, preset: wukong, fetch: {contact: https://example.com/us}}
{…, captions: [alt_text, recaption], where: {language: zh, similarity: ">= 0.3", NSFW: {not: NSFW}}}
"""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ...manifests.recipe.section import Section
from ...manifests.recipe.sources import FileSource
from .where import Condition, check_condition


def _as_network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError("must be a network, such as 10.1.0.0/16, or one address") from None


Network = Annotated[str, AfterValidator(_as_network)]


class Fetch(Section):
    """How pictures are downloaded: politely, and from public addresses only."""

    contact: Annotated[str, Field(pattern=r"^(https?://\S+|(mailto:)?\S+@\S+\.\S+)$")]  # for a site's owner
    in_flight: Annotated[int, Field(ge=1, le=4096)] = 256  # requests at a time, of one task
    per_host_in_flight: Annotated[int, Field(ge=1)] = 4
    per_host_per_second: Annotated[float, Field(gt=0)] = 10.0
    deadline_seconds: Annotated[float, Field(gt=0)] = 60.0  # of one attempt, redirects and body together
    max_bytes: Annotated[int, Field(ge=1)] = 32 * 1024**2
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    robots: Literal["obey", "ignore"] = "obey"  # robots.txt
    robots_tag: Literal["obey", "ignore"] = "obey"  # X-Robots-Tag: noai, noimageai, noindex
    allow_addresses: list[Network] = Field(default=[])  # not public, yet allowed, such as 10.1.0.0/16


class UrlsSource(FileSource):
    """Lists of addresses with captions (Parquet, Arrow, .csv .tsv .jsonl .json, also .gz); the pictures are fetched."""

    kind: Literal["urls"]
    preset: Literal["wukong", "laion", "zero", "coyo", "danqing", "wit"] | None = None  # whose column names
    columns: list[str] = Field(default=[])  # names of all columns of CSV and TSV without a line of names
    url: str | None = None  # column; None: the preset's
    caption: str | None = None
    captions: list[str] = Field(default=[])  # columns of which each text is a caption, beside `caption`
    license_column: str | None = None
    width_column: str | None = None  # px; what the list says of a picture is judged before it is fetched
    height_column: str | None = None
    where: dict[str, Annotated[Condition, AfterValidator(check_condition)]] = Field(
        default={}
    )  # column → what it holds
    fetch: Fetch
