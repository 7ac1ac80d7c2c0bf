"""Which pictures are near: what a pass over many tasks finds is what comparing every two would find."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tuwen.pipeline.duplicates import near_pictures as near_pictures_module
from tuwen.pipeline.duplicates.components import components
from tuwen.pipeline.duplicates.near_pictures import Pictures, near_pictures
from tuwen.pipeline.duplicates.same_picture import SIGNATURE_BYTES, difference, transposed
from tuwen.pipeline.pictures.signatures import signatures

from ...conftest import COLOURS, SHAPES, draw

NOTHING = np.empty((0, 2), np.int64)


def measured(pictures: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, 8) and signatures (n, SIGNATURE_BYTES)."""
    found = [signatures(picture) for picture in pictures]
    codes = np.array([[each["phash64"], *each["phash64_flips"]] for each in found], np.uint64)
    seen = np.stack([np.frombuffer(each["thumbnail"] + each["luminance"], np.uint8) for each in found])
    return codes, seen


def given(codes: np.ndarray, seen: np.ndarray, folder: Path, rank: np.ndarray | None = None) -> Pictures:
    @contextmanager
    def file(rows: np.ndarray) -> Iterator[Path]:
        path = folder / "signatures"
        path.write_bytes(seen[rows].tobytes())
        yield path

    rank = np.arange(len(codes)) if rank is None else rank
    return Pictures(codes, rank, np.zeros(len(codes), np.bool_), NOTHING, file)


def one_by_one(codes: np.ndarray, seen: np.ndarray, rank: np.ndarray, radius: int) -> tuple[list[int], list[int]]:
    """Leaders and components by looking at every two pictures, in every flip and rotation."""
    count = len(codes)
    how = np.full((count, count), np.inf)
    for way in range(codes.shape[1]):
        near = np.bitwise_count(codes[:, way][:, None] ^ codes[:, 0][None, :]) <= radius
        a, b = np.nonzero(near & (rank[:, None] < rank[None, :]))
        how[a, b] = np.minimum(how[a, b], difference(transposed(seen[a], way - 1), seen[b]))
    leader = np.arange(count)
    for picture in np.argsort(rank).tolist():
        better = [other for other in np.flatnonzero(how[:, picture] <= 1).tolist() if leader[other] == other]
        if better:
            leader[picture] = min(better, key=lambda other: (how[other, picture], rank[other]))
    return leader.tolist(), components(count, np.argwhere(how <= 1)).tolist()


def many_pictures(generator: np.random.Generator) -> list[Image.Image]:
    """Shapes at jittered positions and sizes, some of them flipped, rotated or scaled."""
    found = []
    for colour in COLOURS:
        for shape in SHAPES:
            for _ in range(6):
                at = int(generator.integers(0, 4))
                picture = draw(colour, shape, int(generator.integers(40, 44)), at=at)
                method = int(generator.integers(-1, 7))
                picture = picture if method < 0 else picture.transpose(Image.Transpose(method))
                side = int(generator.integers(64, 160))
                found.append(picture.resize((side, side), Image.Resampling.BICUBIC))
    return found


@pytest.mark.parametrize("width", [1, 8])
@pytest.mark.parametrize("radius", [0, 4, 8])
def test_many_small_tasks_find_what_looking_at_every_two_finds(
    tmp_path: Path, generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch, width: int, radius: int
) -> None:
    monkeypatch.setattr(near_pictures_module, "_TASK_PICTURES", 10)
    codes, seen = measured(many_pictures(generator))
    codes, rank = codes[:, :width], generator.permutation(len(codes))
    found = near_pictures(given(codes, seen, tmp_path, rank), radius)
    leader, component = one_by_one(codes, seen, rank, radius)
    assert found.leader.tolist() == leader
    assert components(len(codes), found.ties).tolist() == component
    assert 10 < len(set(leader)) < len(codes)


def flag(*stripes: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGB", (240, 160))
    for number, colour in enumerate(stripes):
        picture.paste(colour, (80 * number, 0, 80 * number + 80, 160))
    return picture


def test_a_luminance_hash_merges_flags_but_colour_does_not(tmp_path: Path) -> None:
    """Two flags of equal luminance: the hash calls them one, the signatures do not."""
    red_ish = flag((200, 60, 60), (255, 255, 255), (40, 40, 160))
    green_ish = flag((20, 152, 60), (255, 255, 255), (40, 40, 160))
    codes, seen = measured([red_ish, green_ish, red_ish.resize((480, 320), Image.Resampling.NEAREST)])
    codes = codes[:, :1]
    assert np.bitwise_count(codes[0] ^ codes[1]) <= 4
    assert near_pictures(given(codes, seen, tmp_path), radius=4).leader.tolist() == [0, 1, 0]


def test_duplicates_that_embeddings_vouch_for_need_no_near_hash(tmp_path: Path, generator: np.random.Generator) -> None:
    codes = generator.integers(0, 2**63, (4, 1), dtype=np.uint64)
    seen = generator.integers(0, 256, (4, SIGNATURE_BYTES), dtype=np.uint8)
    pictures = given(codes, seen, tmp_path)
    sure = Pictures(pictures.codes, pictures.rank, pictures.protected, np.array([[1, 3]]), pictures.signatures)
    found = near_pictures(sure, radius=4)
    assert found.leader.tolist() == [0, 1, 2, 1]
    assert np.isnan(found.difference[3])


def test_no_picture_and_one_picture_are_nobodys_duplicates(tmp_path: Path, generator: np.random.Generator) -> None:
    for count in (0, 1):
        codes = generator.integers(0, 2**63, (count, 1), dtype=np.uint64)
        found = near_pictures(given(codes, np.zeros((count, SIGNATURE_BYTES), np.uint8), tmp_path), radius=4)
        assert found.leader.tolist() == list(range(count))
        assert not len(found.ties)


def test_very_many_pictures_under_one_hash_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(near_pictures_module, "_CROWD", 5)
    pictures = given(np.zeros((6, 1), np.uint64), np.zeros((6, SIGNATURE_BYTES), np.uint8), tmp_path)
    assert near_pictures(pictures, radius=4).leader.tolist() == [0] * 6
    assert "6 pictures have one hash" in capsys.readouterr().err
