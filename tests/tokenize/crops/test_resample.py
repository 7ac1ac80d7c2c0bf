"""Views as pixels: as the named library makes them, in several sizes, with bars, mirrored only where asked."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydantic import ValidationError

from tuwen.manifests.recipe.tokenizing import Crops, ImageTokenizer
from tuwen.tokenize.crops.boxes import CENTER, View, crop_rule, views_of
from tuwen.tokenize.crops.cropped import fit_square
from tuwen.tokenize.crops.resample import rendered

FILTERS = ("bicubic", "lanczos", "bilinear", "box", "hamming", "nearest")
ALIASED = ("bicubic-aliased", "bilinear-aliased", "nearest-aliased")
NAMES = (*FILTERS, *ALIASED, "adm")

lengths = st.integers(1, 200)
sides = st.integers(1, 80)


def textured(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


def centre(picture: Image.Image) -> View:
    return views_of(picture.size, "", CENTER)[0]


@pytest.mark.parametrize("name", FILTERS)
@given(lengths, lengths, sides)
@settings(max_examples=25, deadline=None)
def test_a_filter_by_its_name_is_pillow_on_the_cropped_square(name: str, width: int, height: int, side: int) -> None:
    picture = textured(width, height)
    left, top, right, bottom = centre(picture).box
    again = picture.crop((left, top, right, bottom)).resize((side, side), Image.Resampling[name.upper()])
    square, box = fit_square(picture, side, name)
    assert box == [left, top, right, bottom]
    assert (square == np.asarray(again)).all()


@pytest.mark.parametrize("name", ALIASED)
def test_without_antialiasing_a_filter_is_interpolate_of_torch(name: str) -> None:
    picture = textured(150, 150)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(torch.float64)
    scaled = torch.nn.functional.interpolate(pixels, size=(40, 40), mode=name.removesuffix("-aliased"))
    expected = scaled[0].clamp(0, 255).permute(1, 2, 0).numpy()
    square = rendered(picture, centre(picture), 40, name)
    assert np.abs(square - expected).max() <= 0.501  # rounded, and nothing else
    assert (square != rendered(picture, centre(picture), 40, name.removesuffix("-aliased"))).any()


def test_adm_halves_by_box_resizes_the_whole_picture_and_cuts_its_middle() -> None:
    picture = textured(301, 523)
    halved = picture.resize((150, 261), Image.Resampling.BOX).resize((75, 130), Image.Resampling.BOX)
    scaled = halved.resize((64, 111), Image.Resampling.BICUBIC)
    expected = scaled.crop((0, 23, 64, 87))
    assert (rendered(picture, centre(picture), 64, "adm") == np.asarray(expected)).all()


@given(lengths, lengths, sides, st.sampled_from(NAMES), st.sampled_from(["center", "pad", "random", "ten"]))
@settings(deadline=None)
def test_a_view_has_its_side_whatever_the_picture_and_the_filter(
    width: int, height: int, side: int, name: str, kind: str
) -> None:
    assume(name != "adm" or max(width, height) <= 20 * min(width, height))
    crops = Crops.model_validate({"kind": kind, "zoom": 1.5 if kind == "ten" else 1, "min_share": 0.1})
    picture = textured(width, height)
    for view in views_of(picture.size, "a", crop_rule(crops)):
        assert rendered(picture, view, side, name).shape == (side, side, 3)


@given(lengths, lengths, sides, st.sampled_from(NAMES), st.integers(0, 1 << 30))
@settings(deadline=None)
def test_a_picture_of_one_colour_keeps_it_in_every_view(
    width: int, height: int, side: int, name: str, key: int
) -> None:
    picture = Image.new("RGB", (width, height), (200, 30, 70))
    for view in views_of(picture.size, str(key), crop_rule(Crops(kind="random", count=2, min_share=0.1))):
        assert (rendered(picture, view, side, name) == (200, 30, 70)).all()


@pytest.mark.parametrize("name", NAMES)
def test_several_sizes_show_the_same_box(name: str) -> None:
    picture = Image.linear_gradient("L").resize((240, 180)).convert("RGB")
    (view,) = views_of(picture.size, "b", crop_rule(Crops(kind="random", min_share=0.2)))
    large, small = (rendered(picture, view, side, name).astype(int) for side in (96, 48))
    averaged = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.abs(averaged - small).max() <= 3


@given(lengths, lengths, sides, st.sampled_from(FILTERS))
@settings(deadline=None)
def test_bars_are_where_pillow_pads(width: int, height: int, side: int, name: str) -> None:
    assume(max(width, height) <= side * min(width, height))  # Pillow refuses a picture without a pixel of height
    picture = textured(width, height)
    (view,) = views_of(picture.size, "", crop_rule(Crops(kind="pad")))
    expected = ImageOps.pad(picture, (side, side), Image.Resampling[name.upper()], color="#102030")
    assert (rendered(picture, view, side, name, fill="#102030") == np.asarray(expected)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_mirrored_view_is_the_view_read_from_right_to_left(name: str) -> None:
    picture = textured(90, 120)
    box = (10, 20, 80, 90)
    plain, mirrored = (rendered(picture, View(box, flag), 32, name) for flag in (False, True))
    assert (mirrored == plain[:, ::-1]).all()
    assert mirrored.flags.c_contiguous


def test_the_recipe_names_the_filter_and_refuses_what_no_library_does() -> None:
    def resampling(**keys: object) -> str:
        return ImageTokenizer.model_validate(keys).resampling

    assert resampling() == "bicubic"
    assert resampling(resize="area") == "box"
    assert resampling(resize="bilinear", antialias=False) == "bilinear-aliased"
    assert resampling(resize="adm") == "adm"
    with pytest.raises(ValidationError, match="write one of them in `resize`"):
        resampling(resize="lanczos", antialias=False)
