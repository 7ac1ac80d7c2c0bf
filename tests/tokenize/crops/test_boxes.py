"""The squares of a picture: inside it, of the share that was asked for, and the same for the same key, always."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tuwen.manifests.recipe.tokenizing import Crops
from tuwen.tokenize.crops.boxes import View, crop_rule, views_of

Size = tuple[int, int]

sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
keys = st.text("0123456789abcdef", min_size=32, max_size=32)
zooms = st.floats(1.01, 4)
randoms = st.builds(
    Crops,
    kind=st.just("random"),
    count=st.integers(1, 8),
    min_share=st.floats(0.01, 1),
    mirror=st.booleans(),
    seed=st.integers(0, 1 << 40),
)
rules = st.one_of(
    randoms,
    st.builds(Crops, kind=st.just("ten"), zoom=zooms, mirror=st.booleans()),
    st.builds(Crops, kind=st.just("center"), zoom=zooms, mirror=st.booleans()),
    st.builds(Crops, kind=st.just("pad"), mirror=st.booleans()),
)


def views(size: Size, key: str = "a", **crops: object) -> list[View]:
    return views_of(size, key, crop_rule(Crops.model_validate(crops)))


def boxes(size: Size, **crops: object) -> list[tuple[int, ...]]:
    return [view.box for view in views(size, **crops)]


@given(sizes, keys, rules)
def test_there_are_as_many_views_as_the_recipe_says_and_each_is_a_square(size: Size, key: str, crops: Crops) -> None:
    made = views_of(size, key, crop_rule(crops))
    assert len(made) == crops.views
    assert all(right - left == bottom - top >= 1 for (left, top, right, bottom), _ in made)


@given(sizes, keys, rules)
def test_every_view_but_a_padded_one_lies_inside_the_picture(size: Size, key: str, crops: Crops) -> None:
    assume(crops.kind != "pad")
    for (left, top, right, bottom), _ in views_of(size, key, crop_rule(crops)):
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


@given(sizes, keys, randoms)
def test_a_random_view_has_at_least_its_share_of_the_centre_square(size: Size, key: str, crops: Crops) -> None:
    for (left, _, right, _), _ in views_of(size, key, crop_rule(crops)):
        assert (right - left) ** 2 >= crops.min_share * min(size) ** 2 * (1 - 1e-12)


@given(sizes, keys, randoms)
def test_the_first_random_views_do_not_depend_on_how_many_are_drawn(size: Size, key: str, crops: Crops) -> None:
    one = crops.model_copy(update={"count": 1})
    assert views_of(size, key, crop_rule(crops))[:1] == views_of(size, key, crop_rule(one))


@given(sizes, keys, rules)
def test_nothing_is_mirrored_unless_asked(size: Size, key: str, crops: Crops) -> None:
    plain = views_of(size, key, crop_rule(crops.model_copy(update={"mirror": False})))
    assert not any(view.mirrored for view in plain)
    if crops.kind != "random" and crops.mirror:
        made = views_of(size, key, crop_rule(crops))
        assert made == [View(box, mirrored) for mirrored in (False, True) for box, _ in plain]


def test_random_views_are_the_same_in_every_release() -> None:
    made = views((640, 480), "0123456789abcdef" * 2, kind="random", count=3, min_share=0.25, mirror=True, seed=7)
    assert made == [
        View((249, 44, 630, 425), mirrored=True),
        View((131, 0, 575, 444), mirrored=True),
        View((4, 39, 407, 442), mirrored=True),
    ]


def test_random_views_differ_by_key_seed_and_number_and_are_spread_evenly() -> None:
    rule = crop_rule(Crops(kind="random", count=2, min_share=0.25, mirror=True))
    drawn = [view for key in range(2000) for view in views_of((4096, 4096), f"{key:032x}", rule)]
    other_seed = views_of((4096, 4096), f"{0:032x}", {**rule, "seed": 1})
    assert len({view.box for view in [*drawn, *other_seed]}) >= 3990  # the largest are few
    shares = [((right - left) / 4096) ** 2 for (left, _, right, _), _ in drawn]
    assert sum(shares) / 4000 == pytest.approx(0.625, abs=0.02)  # uniform in 0.25 … 1
    lefts = Counter(4 * left // (4096 - (right - left) + 1) for (left, _, right, _), _ in drawn)
    assert all(count == pytest.approx(1000, abs=120) for count in lefts.values())
    assert sum(view.mirrored for view in drawn) == pytest.approx(2000, abs=130)


def test_the_centre_square_is_made_smaller_by_zoom() -> None:
    assert boxes((300, 100)) == [(100, 0, 200, 100)]
    assert boxes((101, 300), zoom=1.125) == [(5, 105, 95, 195)]
    assert boxes((1, 1), zoom=3) == [(0, 0, 1, 1)]


def test_a_padded_square_reaches_beyond_the_picture() -> None:
    assert boxes((300, 100), kind="pad") == [(0, -100, 300, 200)]
    assert boxes((100, 101), kind="pad") == [(-1, 0, 100, 101)]


def test_ten_crop_has_the_corners_and_the_middle_of_the_centre_square() -> None:
    corners = [(100, 0, 180, 80), (120, 0, 200, 80), (100, 20, 180, 100), (120, 20, 200, 100)]
    assert boxes((300, 100), kind="ten", zoom=1.25) == [*corners, (110, 10, 190, 90)]
    assert len(boxes((300, 100), kind="ten", zoom=1.25, mirror=True)) == 10


@pytest.mark.parametrize(
    ("crops", "cure"),
    [({"kind": "ten"}, "write `zoom: 1.1`"), ({"kind": "pad", "zoom": 2}, "write `kind: center`"),
     ({"kind": "ten", "zoom": 2, "count": 4}, "write `kind: random` with `count`")],
)  # fmt: skip
def test_crops_that_contradict_themselves_are_refused_with_the_cure(crops: dict[str, object], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        Crops.model_validate(crops)
