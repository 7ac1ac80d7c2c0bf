"""The text tokenizer of the captions that are imported."""

from pathlib import Path

import pytest

from tuwen.manifests.canonical import canonical_json

from .others_files import LETTERS


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    path = tmp_path / "text.json"
    path.write_bytes(canonical_json({"kind": "characters", "characters": LETTERS}))
    return path
