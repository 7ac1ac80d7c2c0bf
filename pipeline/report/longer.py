"""What longer trainings than this run's gave, as figures that were measured once and are shipped.

parts = longer_parts(run.train)         # empty, unless the demo has put them there
"""

import json
from dataclasses import dataclass
from typing import Any

from ...manifests.run_folders import TrainFolder
from .thumbnails import file_uri


@dataclass(frozen=True)
class LongerPart:
    """One subject: a table, and a picture below it."""

    title: str
    text: str
    columns: list[str]
    rows: list[list[str]]
    caption: str  # of the picture
    command: str  # that makes such a thing
    picture: str  # data URI


def longer_parts(folder: TrainFolder) -> list[LongerPart]:
    if not folder.longer_figures.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(folder.longer_figures.read_bytes())
    return [LongerPart(**{**entry, "picture": file_uri(folder.longer / entry["picture"])}) for entry in entries]
