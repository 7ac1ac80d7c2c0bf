"""A kind of source is one row: a module that reads it, and its line in KINDS; no stage knows its name."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tuwen.manifests.recipe.sources import FileSource
from tuwen.pipeline.executor.part import Part, PictureRoot
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.sources import folder
from tuwen.pipeline.sources.kinds import KINDS, SourceKind
from tuwen.pipeline.sources.reader import read_part, read_picture
from tuwen.pipeline.sources.source import OpenSource, SourceItem, files_below, part_of, root_of

from ..conftest import write_recipe
from .hostile import picture, saved


class CaptionInName(FileSource):
    """Pictures that are named by what they show: `一只猫.jpg`."""

    kind: Literal["caption_in_name"]


def locate(section: CaptionInName, base: Path, gathered: Path) -> OpenSource:
    root = PictureRoot("caption_in_name", str(base / section.path))
    return OpenSource(section.name, root, section.license, section.attribution)


def list_parts(section: CaptionInName, source: OpenSource) -> list[Part[Any]]:
    return [part_of(source, name, {"file": name}) for _, name in files_below(source, ".jpg")]


def read_named(part: Part[Any]) -> Iterator[SourceItem]:
    name = part.spec["file"]
    yield SourceItem(name, [Path(name).stem], (root_of(part) / name).read_bytes())


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("tuwen.pipeline.sources.caption_in_name")
    module.read_part, module.read_picture = read_named, folder.read_picture  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(KINDS, "caption_in_name", SourceKind(CaptionInName, locate, list_parts))


def test_a_kind_is_added_by_its_row_and_its_module(kind: None, tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    for number, caption in enumerate(["一只猫", "红色的圆"]):
        (tmp_path / "named" / f"{caption}.jpg").write_bytes(saved(picture(number), "JPEG"))
    sources = "[{name: named, kind: caption_in_name, path: named, license: CC0-1.0}]"
    recipe = load_recipe(str(write_recipe(tmp_path, sources=sources)))
    source = KINDS["caption_in_name"].locate(recipe.sources[0], recipe.base, tmp_path / "gathered")
    parts = KINDS["caption_in_name"].list_parts(recipe.sources[0], source)
    items = [item for part in parts for item in read_part(part)]
    assert sorted(item.captions[0] for item in items) == ["一只猫", "红色的圆"]
    assert {part.modules for part in parts} == {("pipeline/sources/caption_in_name.py",)}
    for item in items:
        assert item.data is not None
        assert read_picture(source.root, item.origin, item.offset, len(item.data)) == item.data
