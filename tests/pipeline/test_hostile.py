"""All that a crawl brings home: each kind gets the verdict that the README of its room promises, and costs no other."""

import io
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tuwen.pipeline.corpus_files.verdicts import read_verdicts
from tuwen.pipeline.load_recipe import load_recipe
from tuwen.pipeline.pictures import measure_isolated
from tuwen.pipeline.pictures.decode import decode
from tuwen.pipeline.sources.folders.list_folder import FolderSource, list_source, locate

from ..conftest import encoded, write_recipe
from ..stages import build_corpus
from .captions.hostile import HOSTILE
from .hostile import BROKEN_METADATA, PICTURES, picture, saved, write_hostile_corpus

ROOMS = {"picture": "pictures", "caption": "captions"}
PIPELINE = Path(__file__).parents[2] / "pipeline"
LIMITS: dict[str, Any] = {"max_pixels": 50_000_000, "max_seconds": 30.0}


def promised(what: str) -> dict[str, str]:
    """Kind → reason (empty: kept), from the rows `| kind, kind | verdict | … |` of the README."""
    text = (PIPELINE / ROOMS[what] / "README.md").read_text(encoding="utf-8")
    section = text.split(f"## What becomes of each kind of {what}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| (kept|`\w+`) \|", section, flags=re.M)
    return {
        kind: "" if verdict == "kept" else verdict.strip("`")
        for kinds, verdict in rows
        for kind in re.findall(r"`(\w+)`", kinds)
    }


def test_every_hostile_kind_gets_the_verdict_that_the_readme_promises(tmp_path: Path) -> None:
    kinds = write_hostile_corpus(tmp_path / "pictures")
    assert len(kinds) >= 60
    recipe = load_recipe(str(write_recipe(tmp_path, duplicates="{images: none}")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    reasons = {Path(row["origin"]).stem: row["reason"] for row in rows}
    assert reasons == promised("picture")
    assert set(reasons) == set(kinds)
    measured = pa.concat_tables(pq.read_table(path) for path in (tmp_path / "corpus" / "measures").glob("*.parquet"))
    faults = dict(zip(measured["origin"].to_pylist(), measured["metadata"].to_pylist(), strict=True))
    broken = {kind: word for kind, (_, _, _, word) in BROKEN_METADATA.items() if word}
    assert {Path(name).stem: word for name, word in faults.items() if word} == {
        **broken, "jpeg_exif_of_nowhere": "broken_exif"
    }  # fmt: skip


def pixels_of(kind: str) -> tuple[np.ndarray[Any, Any], Any]:
    decoded = decode(PICTURES[kind][1](), 10**8)
    assert decoded.picture is not None
    return np.asarray(decoded.picture).astype(int), decoded


def test_a_colour_profile_is_heeded() -> None:
    """The profile exchanges red and green; without it the picture would be far from what its maker saw."""
    pixels, decoded = pixels_of("jpeg_icc")
    plain = np.asarray(Image.open(io.BytesIO(PICTURES["jpeg_icc"][1]()))).astype(int)
    assert decoded.upright.icc
    swapped = plain[..., [1, 0, 2]]
    assert np.abs(pixels - swapped).mean() < 12 < np.abs(pixels - plain).mean()


@pytest.mark.parametrize("kind", ["tiff_turned", "jpeg_turned"])
def test_a_turned_picture_stands_upright(kind: str) -> None:
    pixels, decoded = pixels_of(kind)
    seed = {"tiff_turned": 69, "jpeg_turned": 5}[kind]
    upright = np.asarray(picture(seed, 128, 64).transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert decoded.upright.orientation == 6
    assert np.abs(pixels - upright).mean() < 8


def test_lab_cmyk_and_deep_pictures_look_as_they_should() -> None:
    for kind, seed, tolerance in (("tiff_lab", 67, 3), ("png_animated", 31, 1), ("gif_animated", 41, 25)):
        assert np.abs(pixels_of(kind)[0] - np.asarray(picture(seed)).astype(int)).mean() < tolerance, kind
    grey = np.asarray(picture(29).convert("L")).astype(int)
    assert np.abs(pixels_of("png_grey_16_bit")[0][..., 0] - grey).max() <= 1


def test_an_animation_is_dropped_where_the_recipe_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for kind in ("gif_animated", "webp_animated", "png_animated", "tiff_of_pages", "gif"):
        (folder / f"{kind}.x.{PICTURES[kind][0]}").write_bytes(PICTURES[kind][1]())
        (folder / f"{kind}.x.txt").write_text("一张图", encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, images="{animated: drop}", duplicates="{images: none}")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert {row["origin"].split(".")[0]: row["reason"] for row in rows} == {
        "gif_animated": "animated", "webp_animated": "animated", "png_animated": "animated",
        "tiff_of_pages": "", "gif": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "reason", "bad"),
    [
        ("min_bytes: 20000", "few_bytes", lambda: saved(picture(2), "JPEG", quality=30)),
        (
            "min_entropy: 3",
            "low_entropy",
            lambda: encoded(Image.linear_gradient("L").point(lambda v: v // 64 * 64), "PNG"),
        ),
        ("min_sharpness: 50", "blurred", lambda: encoded(Image.radial_gradient("L").convert("RGB"), "PNG")),
        ("min_std: 20", "low_std", lambda: encoded(picture(2).point(lambda v: 100 + v // 16), "PNG")),
        ("max_border: 0.5", "wide_border", lambda: encoded(framed(), "PNG")),
        ("min_jpeg_quality: 40", "low_jpeg_quality", lambda: saved(picture(2), "JPEG", quality=20)),
    ],
)
def test_each_rule_on_pictures_drops_what_it_names(tmp_path: Path, rule: str, reason: str, bad: Any) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    good = saved(picture(1, 256, 256), "JPEG", quality=95)
    for name, data in {"good.jpg": good, "bad.jpg": bad()}.items():
        (folder / name).write_bytes(data)
        (folder / name).with_suffix(".txt").write_text("一张图", encoding="utf-8")
    recipe = load_recipe(str(write_recipe(tmp_path, images=f"{{{rule}}}")))
    rows = read_verdicts(build_corpus(recipe, tmp_path / "corpus")).to_pylist()
    assert {row["origin"]: row["reason"] for row in rows} == {"good.jpg": "", "bad.jpg": reason}


def stripes() -> Image.Image:
    return Image.linear_gradient("L").point(lambda grey: grey // 64 * 64)


def framed() -> Image.Image:
    frame = Image.new("RGB", (256, 256), "white")
    frame.paste(picture(2), (64, 64))
    return frame


# --- a decoder that crashes or hangs ----------------------------------------------------------------

BAD_DECODER = """
import os, signal, PIL.Image
sound = PIL.Image.open
def bad(file, *more, **named):
    data = file.getvalue()
    if b"CRASH" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    while b"HANG" in data:
        pass
    return sound(file, *more, **named)
PIL.Image.open = bad
"""


@pytest.fixture
def a_fresh_child() -> Any:
    measure_isolated._child.cache_clear()
    yield
    measure_isolated._child().bury()


def part_of(folder: Path, *pictures: bytes) -> Any:
    folder.mkdir()
    for number, data in enumerate(pictures):
        (folder / f"{number}.jpg").write_bytes(data)
    section = FolderSource(name="s", kind="folder", path=str(folder))
    return list_source(section, locate(section, Path(), folder)).parts[0]


def problems(part: Any, **limits: Any) -> list[str]:
    return [measured["problem"] for _, measured in measure_isolated.measure_isolated(part, LIMITS | limits)]


@pytest.mark.usefixtures("a_fresh_child")
def test_a_decoder_that_crashes_or_hangs_costs_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sitecustomize.py").write_text(BAD_DECODER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "bad"))
    good = saved(picture(1), "JPEG")
    part = part_of(tmp_path / "p", good, good + b"CRASH", good, good + b"HANG", good)
    assert problems(part, max_seconds=0.5) == [None, "decoder_crashed", None, "decoder_hung", None]


@pytest.mark.usefixtures("a_fresh_child")
def test_a_real_picture_that_takes_too_long_is_a_hang(tmp_path: Path) -> None:
    slow = encoded(Image.new("RGB", (9000, 9000), "red"), "PNG")
    good = saved(picture(1), "JPEG")
    assert problems(part_of(tmp_path / "p", good, slow, good), max_seconds=0.15, max_pixels=10**8) == [
        None,
        "decoder_hung",
        None,
    ]


@pytest.mark.usefixtures("a_fresh_child")
def test_a_child_that_is_killed_from_outside_loses_no_picture(tmp_path: Path) -> None:
    part = part_of(tmp_path / "p", *(saved(picture(seed), "JPEG") for seed in range(4)))
    undisturbed = list(measure_isolated.measure_isolated(part, LIMITS))
    measured = []
    for each in measure_isolated.measure_isolated(part, LIMITS):
        if len(measured) == 1:
            os.kill(measure_isolated._child()._process.pid, signal.SIGKILL)
        measured.append(each)
    assert measured == undisturbed


@pytest.mark.usefixtures("a_fresh_child")
def test_a_reader_that_stops_in_the_middle_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    first = part_of(tmp_path / "a", *(saved(picture(seed), "JPEG") for seed in range(4)))
    second = part_of(tmp_path / "b", b"")
    reading = measure_isolated.measure_isolated(first, LIMITS)
    next(reading)
    reading.close()
    assert problems(second) == ["empty_file"]


def test_a_child_that_cannot_start_is_a_bug_and_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_isolated._child.cache_clear()
    monkeypatch.setattr(measure_isolated.sys, "executable", "/bin/false")  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="did not start"):
        problems(part_of(tmp_path / "p", b"x"))


def test_the_table_of_captions_in_the_readme_is_the_one_that_is_tested() -> None:
    assert promised("caption") == {kind: row[1] for kind, row in HOSTILE.items()}
