"""Lists of addresses with captions: the pictures are fetched into tars, and read from those.

{name: web, kind: urls, path: lists/, preset: wukong, fetch: {contact: https://example.com/us}}
"""

from pathlib import Path

from ..executor.stage import StageRun
from ..sources import list_archives
from ..sources.source import OpenSource, SourceListing, file_source
from .gather import gather_urls
from .urls_section import UrlsSource


def locate(section: UrlsSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "tar", gathered)


def gather(section: UrlsSource, base: Path, gathered: Path, run: StageRun) -> None:
    gather_urls(section, base / section.path, gathered, run)


def list_source(section: UrlsSource, source: OpenSource) -> SourceListing:
    return list_archives.list_gathered(section, source, key_by_row=True)
