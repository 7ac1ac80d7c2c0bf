"""The kinds of source, one row each: the section of a recipe, where its pictures lie, and how it is cut into parts.

    kind = KINDS[section.kind]
    source = kind.locate(section, base=recipe.base, gathered=Path("runs/x/corpus/pictures/photos"))
    listing = list_source(section, source)

To add a kind: a module in `sources/` with its section and these functions, and its row here. The module that
`PictureRoot.reader` names has `read_part` and `read_picture`, which `sources/reader` finds by that name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..manifests.errors import BadInput
from ..manifests.recipe.recipe import Recipe
from ..manifests.recipe.sources import SourceSection
from .executor.stage import StageRun
from .fetch import urls_source
from .fetch.urls_section import UrlsSource
from .sources import emoji
from .sources.archives import list_archives
from .sources.chinese_clip import list_chinese_clip
from .sources.folders import list_folder
from .sources.source import OpenSource, SourceListing
from .sources.tables import list_tables


@dataclass(frozen=True)
class SourceKind:
    section: type[SourceSection]
    locate: Callable[[Any, Path, Path], OpenSource]  # (section, base of its paths, folder of gathered pictures)
    list_source: Callable[[Any, OpenSource], SourceListing]
    # Draws or fetches the pictures: (section, recipe, folder of gathered pictures, run); None: they lie there.
    gather: Callable[[Any, Recipe, Path, StageRun], None] | None = None
    check: Callable[[Any, Path], None] | None = None  # (section, base): what can be known before anything is fetched


KINDS: dict[str, SourceKind] = {
    "folder": SourceKind(list_folder.FolderSource, list_folder.locate, list_folder.list_source),
    "webdataset": SourceKind(list_archives.WebDatasetSource, list_archives.locate, list_archives.list_source),
    "parquet": SourceKind(list_tables.ParquetSource, list_tables.locate, list_tables.list_source),
    "chinese-clip": SourceKind(
        list_chinese_clip.ChineseClipSource, list_chinese_clip.locate, list_chinese_clip.list_source
    ),
    "urls": SourceKind(UrlsSource, urls_source.locate, urls_source.list_source, urls_source.gather, urls_source.check),
    "emoji": SourceKind(emoji.EmojiSource, emoji.locate, list_archives.list_gathered, emoji.gather),
}


def list_source(section: SourceSection, source: OpenSource) -> SourceListing:
    """Raises BadInput when the source is missing or holds nothing to read."""
    if not source.path.exists():
        raise BadInput(
            f"source {source.name}: {source.path} does not exist",
            cure="paths are relative to the recipe; correct `path`",
        )
    return KINDS[section.kind].list_source(section, source)
