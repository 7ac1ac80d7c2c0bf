"""What `tuwen evaluate` has found of a run, as the page shows it: evaluation.json, and the closest pictures.

section = judged_section(run.train)         # None until it has run
"""

import json
from dataclasses import dataclass
from typing import Any

from ...manifests.run_folders import TrainFolder
from .thumbnails import file_uri


@dataclass(frozen=True)
class JudgedSection:
    found: dict[str, Any]  # evaluation.json, with numbers that have a fraction as decimal strings
    picture: str  # data URI: painted ones, and below each the training picture that it is nearest to


def judged_section(folder: TrainFolder) -> JudgedSection | None:
    if not folder.evaluation.is_file():
        return None
    return JudgedSection(json.loads(folder.evaluation.read_bytes()), file_uri(folder.closest))
