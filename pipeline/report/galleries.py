"""The galleries of a report: a sample of the kept pairs, and samples of the dropped ones, a group for each reason.

kept_tiles(samples, pictures), dropped_groups(recipe, numbers, samples, pictures)
"""

from dataclasses import dataclass

from ...manifests.recipe.recipe import Recipe
from ..reasons import rule_of, title_of
from .corpus_numbers import CorpusNumbers, most_first
from .samples import Samples
from .thumbnails import SmallPictures
from .tiles import Tile, tile_of

_OPEN = 8  # groups that are open when the page is loaded


@dataclass(frozen=True)
class DroppedGroup:
    reason: str
    title: str
    rule: str  # the limit; empty: none
    count: int  # pairs that were dropped for this reason
    is_open: bool
    examples: list[Tile]


def kept_tiles(samples: Samples, pictures: SmallPictures) -> list[Tile]:
    rows = samples.of("")
    pictures.add(rows)
    return [tile_of(row, pictures) for row in rows]


def dropped_groups(
    recipe: Recipe, numbers: CorpusNumbers, samples: Samples, pictures: SmallPictures
) -> list[DroppedGroup]:
    """The reason with the most pairs first."""
    counts = most_first(numbers.reasons)
    pictures.add([row for reason, _ in counts for row in samples.of(reason)])
    return [
        DroppedGroup(
            reason=reason,
            title=title_of(reason),
            rule=rule_of(reason, recipe),
            count=count,
            is_open=index < _OPEN,
            examples=[tile_of(row, pictures, numbers) for row in samples.of(reason)],
        )
        for index, (reason, count) in enumerate(counts)
    ]
