"""What counts as the same picture: copies pass, other colours and other words do not, whichever comes first."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tuwen.pipeline.duplicates import same_picture
from tuwen.pipeline.duplicates.same_picture import SIGNATURE_BYTES, difference, transposed
from tuwen.pipeline.pictures.decode import decode
from tuwen.pipeline.pictures.signatures import signatures
from tuwen.pipeline.sources.draw_emoji import _draw, artwork_folder

Change = Callable[[Image.Image], Image.Image]


def signature(*pictures: Image.Image) -> NDArray[np.uint8]:
    measured = [signatures(picture) for picture in pictures]
    rows = b"".join(each["thumbnail"] + each["luminance"] for each in measured)
    return np.frombuffer(rows, np.uint8).reshape(-1, SIGNATURE_BYTES)


def apart(a: Image.Image, b: Image.Image) -> float:
    return float(difference(signature(a), signature(b))[0])


def landscape(seed: int = 0) -> Image.Image:
    """Smooth hills of colour with texture, as a photograph has."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 220, (6, 8, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )
    grain = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )
    return Image.blend(coarse, grain, 0.2)


def emoji(code: str) -> Image.Image:
    picture = decode(_draw(artwork_folder("twemoji") / f"{code}.svg", 256), 10**6).picture
    assert picture is not None
    return picture


def encoded(kind: str, quality: int) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, kind, quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def scaled(across: float, down: float) -> Change:
    return lambda picture: picture.resize((round(picture.width * across), round(picture.height * down)))


def by_levels(curve: Callable[[float], float]) -> Change:
    levels = [min(255, round(255 * curve(level / 255))) for level in range(256)]
    return lambda picture: picture.point(levels * 3)


COPIES = {
    "JPEG 30": encoded("JPEG", 30),
    "WebP 50": encoded("WEBP", 50),
    "half as large": scaled(0.5, 0.5),
    "twice as large": scaled(2, 2),
    "squashed": scaled(1, 0.6),
    "darker": by_levels(lambda level: 0.8 * level),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("original", [landscape(), emoji("1f41d")], ids=["landscape", "bee"])
def test_a_copy_is_the_same_picture(original: Image.Image, change: Change) -> None:
    assert apart(original, change(original)) <= 1


@pytest.mark.parametrize("gamma", [0.8, 1.25])
def test_a_photograph_by_another_gamma_is_the_same_picture(gamma: float) -> None:
    assert apart(landscape(), by_levels(lambda level: level**gamma)(landscape())) <= 1


OTHERS = {
    "skin of a hand": ("1f44b-1f3fb", "1f44b-1f3fc"),
    "skin of a strong arm": ("1f4aa-1f3fc", "1f4aa-1f3fd"),
    "red and blue heart": ("2764", "1f499"),
    "France and Guinea": ("1f1eb-1f1f7", "1f1ec-1f1f3"),
    "three and four o'clock": ("1f552", "1f553"),
    "keys 6 and 8": ("36-20e3", "38-20e3"),
    "red and blue dot": ("1f534", "1f535"),
}


@pytest.mark.parametrize("codes", OTHERS.values(), ids=OTHERS)
def test_another_colour_or_another_number_is_another_picture(codes: tuple[str, str]) -> None:
    assert apart(*map(emoji, codes)) > 1


@pytest.mark.parametrize("original", [landscape(), emoji("2764")], ids=["landscape", "heart"])
def test_a_grey_copy_is_another_picture_since_a_caption_may_name_its_colour(original: Image.Image) -> None:
    assert apart(original, original.convert("L").convert("RGB")) > 1


def chat(*lines: str) -> Image.Image:
    page = Image.new("RGB", (390, 600), "white")
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.rounded_rectangle((20, 20 + 90 * number, 320, 90 + 90 * number), 12, fill=(149, 236, 105))
        pen.text((40, 40 + 90 * number), line, fill="black", font_size=26)
    return page


def test_a_screenshot_with_other_words_is_another_picture() -> None:
    lines = ["where are you now", "at the station", "which platform", "number seventeen", "see you there", "good night"]
    assert apart(chat(*lines), chat(*lines[:3], "left on Wednesday", *lines[4:])) > 1
    assert apart(chat(*lines), encoded("JPEG", 50)(chat(*lines))) <= 1


def test_it_does_not_matter_which_of_the_two_comes_first_nor_how_many_are_asked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = [landscape(), landscape(1), emoji("2764"), emoji("1f499")]
    originals = signature(*[picture for picture in pictures for _ in COPIES])
    copies = signature(*[change(picture) for picture in pictures for change in COPIES.values()])
    together = difference(originals, copies)
    np.testing.assert_array_equal(together, difference(copies, originals))
    monkeypatch.setattr(same_picture, "_STRIP_PAIRS", 5)
    np.testing.assert_array_equal(together, difference(originals, copies))
    alone = [difference(originals[row : row + 1], copies[row : row + 1])[0] for row in range(len(copies))]
    np.testing.assert_array_equal(together, alone)
    assert difference(originals[:0], copies[:0]).shape == (0,)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 40, 255]))
@settings(max_examples=40, deadline=None)
def test_every_signature_is_its_own_duplicate_and_the_measure_is_symmetric(seed: int, noise: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (3, SIGNATURE_BYTES), dtype=np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-noise, noise + 1, a.shape), 0, 255).astype(np.uint8)
    assert (difference(a, a) == 0).all()
    np.testing.assert_array_equal(difference(a, b), difference(b, a))


@pytest.mark.parametrize("method", list(Image.Transpose), ids=lambda method: method.name)
def test_a_transposed_signature_is_that_of_the_transposed_picture(method: Image.Transpose) -> None:
    there = transposed(signature(landscape()), method)
    assert difference(there, signature(landscape().transpose(method)))[0] <= 0.2
    assert difference(there, signature(landscape()))[0] > 1
    np.testing.assert_array_equal(transposed(there, -1), there)
    assert transposed(there[:0], method).shape == (0, SIGNATURE_BYTES)
