"""What `tuwen evaluate` has found of a run, as the page shows it: evaluation.json, and its pictures.

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
    # Data URIs; empty where there is none.
    closest: str  # painted pictures, and below each the training picture that it is nearest to
    refined: str  # held-out pictures: enlarged, refined, of their own finer codes, and themselves


def judged_section(folder: TrainFolder) -> JudgedSection | None:
    if not folder.evaluation.is_file():
        return None
    closest, refined = (file_uri(file) if file.is_file() else "" for file in (folder.closest, folder.refined))
    return JudgedSection(json.loads(folder.evaluation.read_bytes()), closest, refined)
