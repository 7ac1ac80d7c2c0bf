"""Lists of addresses with captions: the pictures are fetched into tars, and read from those.

{name: web, kind: urls, path: lists/, preset: wukong, fetch: {contact: https://example.com/us}}
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ..executor.stage import StageRun
from ..sources.archives import list_archives
from ..sources.source import OpenSource, SourceListing, file_source
from .gather import PairRules, check_lists, gather_urls
from .judge_rows import RowRules
from .listing_file import with_listing
from .urls_section import UrlsSource

if TYPE_CHECKING:
    from ...manifests.recipe.recipe import Recipe


def locate(section: UrlsSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "tar", gathered)


def check(section: UrlsSource, base: Path) -> None:
    check_lists(section, base / section.path)


def gather(section: UrlsSource, recipe: "Recipe", gathered: Path, run: StageRun) -> None:
    """Every picture of an evaluation source is fetched: it is known by its pixels, whatever its caption."""
    is_judged = any(section.name == source.name for source in recipe.sources)
    gather_urls(section, recipe.base / section.path, gathered, run, _pair_rules(recipe) if is_judged else None)


def list_source(section: UrlsSource, source: OpenSource) -> SourceListing:
    return with_listing(source.path, list_archives.list_gathered(section, source, key_by_row=True))


def _pair_rules(recipe: "Recipe") -> PairRules:
    words = (recipe.base / recipe.captions.word_list).resolve() if recipe.captions.word_list else None
    return PairRules(RowRules(captions=recipe.captions.resolved(), images=recipe.images.resolved()), words)
