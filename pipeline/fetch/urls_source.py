"""Lists of addresses with captions: the pictures are fetched into tars, and read from those.

{name: web, kind: urls, path: lists/, preset: wukong, fetch: {contact: https://example.com/us}}
"""

from pathlib import Path
from typing import Any

from ..executor.part import Part
from ..executor.stage import StageRun
from ..sources import tar
from ..sources.source import OpenSource, file_source
from .gather import gather_urls
from .urls_section import UrlsSource


def locate(section: UrlsSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "tar", gathered)


def gather(section: UrlsSource, base: Path, gathered: Path, run: StageRun) -> None:
    gather_urls(section, base / section.path, gathered, run)


def list_parts(section: UrlsSource, source: OpenSource) -> list[Part[Any]]:
    return tar.list_parts(section, source, key_by_row=True)
