"""Vectors that are near: exactly, or with a recall that was measured; and whether colours allow what vectors say."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tuwen.manifests.errors import BadInput
from tuwen.pipeline.duplicates.colours_overall import same_colours_overall
from tuwen.pipeline.duplicates.cosine_join import cosine_join

Floats = NDArray[np.float32]


def unit(vectors: NDArray[np.float64]) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def crowd() -> Floats:
    """3,000 of 64 dimensions around 100 centres, 500 of them duplicates of others."""
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((3_000, 64)) + chance.standard_normal((100, 64))[chance.integers(0, 100, 3_000)]
    duplicates = vectors[:500] + 0.6 * chance.standard_normal((500, 64))
    return unit(np.concatenate([vectors[:2_500], duplicates])[chance.permutation(3_000)])


def by_definition(vectors: Floats, min_cosine: float) -> list[list[int]]:
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    return np.argwhere(np.triu(exact >= min_cosine, 1)).tolist()


@pytest.mark.parametrize("min_cosine", [0.5, 0.75, 0.95])
def test_every_pair_above_the_cosine_is_found_and_no_other(crowd: Floats, min_cosine: float) -> None:
    pairs, cosines, how = cosine_join(crowd, min_cosine)
    assert pairs.tolist() == by_definition(crowd, min_cosine)
    assert how == {"index": "exact"}
    assert cosines == pytest.approx((crowd[pairs[:, 0]] * crowd[pairs[:, 1]]).sum(axis=1), abs=1e-6)


def test_equal_vectors_have_the_cosine_1_whatever_their_sums_round_to() -> None:
    vectors = unit(np.random.default_rng(1).standard_normal((50, 37)))
    pairs, cosines, _ = cosine_join(np.concatenate([vectors, vectors]), 1.0)
    assert pairs.tolist() == [[row, row + 50] for row in range(50)]
    assert (cosines == 1).all()


def test_an_index_says_the_recall_that_it_has(crowd: Floats, capfd: pytest.CaptureFixture[str]) -> None:
    exact = {tuple(pair) for pair in cosine_join(crowd, 0.75)[0].tolist()}
    pairs, _, how = cosine_join(crowd, 0.75, exact_up_to=1_000)
    found = {tuple(pair) for pair in pairs.tolist()}
    assert pairs.tolist() == sorted(pairs.tolist())
    assert found <= exact
    assert len(exact) > 450
    assert len(found) / len(exact) == pytest.approx(how["recall"], abs=0.02)
    assert how["recall"] >= 0.99
    assert {"index": "ivf", "nlist": 219, "sample": 2_000}.items() <= how.items()
    assert f"{how['nprobe']} of 219 lists searched" in capfd.readouterr().err


def test_where_lists_do_not_help_all_are_looked_into_and_nothing_is_missed() -> None:
    """Noise has no lists: a vector's neighbours at 0.2 lie everywhere."""
    vectors = unit(np.random.default_rng(2).standard_normal((1_500, 32)))
    pairs, _, how = cosine_join(vectors, 0.3, exact_up_to=10)
    assert how["recall"] >= 0.99
    assert how["nprobe"] > 50
    assert len(pairs) >= 0.98 * len(by_definition(vectors, 0.3))


@pytest.mark.parametrize("exact_up_to", [10, 1_000_000])
def test_the_number_of_threads_changes_nothing(crowd: Floats, exact_up_to: int) -> None:
    found = []
    before = faiss.omp_get_max_threads()
    for threads in (1, 2, 3):
        faiss.omp_set_num_threads(threads)
        found.append(cosine_join(crowd, 0.7, exact_up_to=exact_up_to))
    faiss.omp_set_num_threads(before)
    for pairs, cosines, how in found[1:]:
        assert np.array_equal(pairs, found[0][0])
        assert np.array_equal(cosines, found[0][1])
        assert how == found[0][2]


@pytest.mark.parametrize("exact_up_to", [10, 1_000_000])
def test_a_model_that_calls_everything_the_same_is_refused_before_memory_runs_out(exact_up_to: int) -> None:
    vectors = unit(1 + 0.1 * np.random.default_rng(3).standard_normal((3_000, 16)))
    with pytest.raises(BadInput, match=r"more than 1,000,000 pairs of pictures.*raise `min_cosine`"):
        cosine_join(vectors, 0.75, exact_up_to=exact_up_to, max_pairs=1_000_000)


def test_few_vectors_and_mapped_ones_are_taken_as_they_come(crowd: Floats, tmp_path: Path) -> None:
    for few in (crowd[:0], crowd[:1]):
        pairs, cosines, _ = cosine_join(few, 0.5)
        assert pairs.shape == (0, 2)
        assert cosines.shape == (0,)
    crowd[:500].tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float32, "r", shape=(500, 64))
    assert np.array_equal(cosine_join(mapped, 0.5)[0], cosine_join(crowd[:500], 0.5)[0])


def drawing(first: str, second: str) -> Image.Image:
    """A disc and a bar on white."""
    picture = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((30, 40, 180, 190), fill=first)
    draw.rectangle((150, 180, 240, 230), fill=second)
    return picture


def framed(picture: Image.Image, colour: str) -> Image.Image:
    frame = Image.new("RGB", (picture.width + 50, picture.height + 50), colour)
    frame.paste(picture, (25, 25))
    return frame


def alike(one: Image.Image, other: Image.Image) -> bool:
    small = (picture.resize((32, 32), Image.Resampling.BILINEAR) for picture in (one, other))
    thumbnails = [np.asarray(picture).reshape(1, -1) for picture in small]
    both_ways = [bool(same_colours_overall(*order)[0]) for order in (thumbnails, thumbnails[::-1])]
    assert both_ways[0] == both_ways[1]
    return both_ways[0]


CHANGES = {
    "cut": lambda picture: picture.crop((20, 15, 240, 245)),
    "framed in black": lambda picture: framed(picture, "black"),
    "framed in white": lambda picture: framed(picture, "white"),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated": lambda picture: picture.rotate(90),
    "rotated a little": lambda picture: picture.rotate(7, Image.Resampling.BICUBIC, fillcolor="white"),
    "small": lambda picture: picture.resize((60, 60), Image.Resampling.LANCZOS),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_that_was_moved_keeps_its_colours(change: str) -> None:
    picture = drawing("red", "royalblue")
    assert alike(picture, CHANGES[change](picture))


def test_another_colour_on_a_small_part_is_another_picture_even_if_moved() -> None:
    picture = drawing("red", "royalblue")
    for other in (drawing("red", "green"), drawing("orange", "royalblue"), drawing("red", "navy")):
        assert not alike(picture, other)
        for change in CHANGES.values():
            assert not alike(picture, change(other))


def test_a_thin_drawing_in_another_colour_is_another_picture_and_in_the_same_it_is_not() -> None:
    """At 32 px its lines are mixtures with white: of those the hue tells."""

    def lines(colour: str) -> Image.Image:
        picture = Image.new("RGB", (256, 256), "white")
        draw = ImageDraw.Draw(picture)
        for step in range(5):
            draw.line((40, 60 + 30 * step, 210, 40 + 32 * step), fill=colour, width=4)
        return picture

    for change in CHANGES.values():
        assert alike(lines("crimson"), change(lines("crimson")))
        assert not alike(lines("crimson"), change(lines("seagreen")))


def test_stripes_at_the_edges_are_no_frame() -> None:
    def flag(*colours: str) -> Image.Image:
        picture = Image.new("RGB", (240, 160))
        for number, colour in enumerate(colours):
            picture.paste(colour, (80 * number, 0, 80 * number + 80, 160))
        return picture

    france = flag("blue", "white", "red")
    assert alike(france, flag("blue", "white", "red"))
    assert not alike(france, flag("green", "white", "red"))  # Italy
    assert not alike(france, flag("red", "yellow", "green"))  # Guinea
    assert not alike(france, flag("blue", "yellow", "red"))  # Romania
