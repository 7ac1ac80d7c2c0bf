"""Pictures that hashes cannot tell for the same, told by a model that the user names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tuwen.manifests.errors import BadInput

from ...conftest import draw, png
from .planted import build, plant, rows_of


class WhereverItLies(torch.nn.Module):
    """A vector of how much of each of 64 colours there is: the same wherever it lies in the picture."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        levels = (pixels * 3.999).long().clamp(0, 3)
        colours = (levels[:, 0] * 16 + levels[:, 1] * 4 + levels[:, 2]).flatten(1)
        return torch.nn.functional.one_hot(colours, 64).float().mean(dim=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "colours.pt"
    torch.jit.script(WhereverItLies()).save(str(path))
    return path


def section(model: Path, **more: Any) -> str:
    settings = {"model": str(model), "size": 32, "mean": [0, 0, 0], "std": [1, 1, 1], "min_cosine": 0.99, **more}
    return "{images: near, embedding: {" + ", ".join(f"{name}: {value}" for name, value in settings.items()) + "}}"


def moved(picture: Image.Image, by: int) -> Image.Image:
    """As in another frame: no hash knows it again."""
    found = Image.new("RGB", picture.size, "white")
    found.paste(picture, (by, by))
    return found


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A circle, the same circle elsewhere and smaller in pixels, and one of another colour there."""
    elsewhere = moved(draw("红", "圆", 40), 35)
    files = {
        "circle.png": png(draw("红", "圆", 40).resize((192, 192), Image.Resampling.NEAREST)),
        "moved.png": png(elsewhere),
        "blue.png": png(moved(draw("蓝", "圆", 40), 35)),
    }
    plant(tmp_path / "pictures", files, [(name, f"图片{name}的描述") for name in files])
    return tmp_path


def test_hashes_alone_keep_both_and_the_model_keeps_the_better_one(planted: Path, model: Path) -> None:
    captions = "{min_han_share: 0}"
    assert all(row["kept"] for row in rows_of(build(planted, captions=captions)).values())
    corpus = build(planted, captions=captions, duplicates=section(model))
    rows = rows_of(corpus)
    assert [name for name, row in rows.items() if not row["kept"]] == ["moved.png"]
    dropped = rows["moved.png"]
    assert (dropped["stage"], dropped["reason"]) == ("near", "near_picture")
    assert dropped["cosine"] >= 0.99
    assert dropped["difference"] is None
    assert dropped["cluster"] == rows["circle.png"]["cluster"] != rows["blue.png"]["cluster"]
    assert corpus.document["lineage"]["vectors"]["index"] == "exact"


def test_vectors_of_an_earlier_corpus_are_used_if_the_same_model_made_them(
    planted: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    captions = "{min_han_share: 0}"
    build(planted, captions=captions, duplicates=section(model))
    new = tmp_path / "new"
    plant(new / "pictures", {"again.png": png(moved(draw("红", "圆", 40), 20))}, [("again.png", "又来了一次的图")])
    plant(new / "more", {"star.png": png(draw("绿", "三角", 30))}, [("star.png", "绿色三角形")])
    sources = "[{name: a, kind: folder, path: pictures}, {name: b, kind: folder, path: more}]"
    earlier = f"[{planted / 'corpus'}]"
    rows = rows_of(build(new, sources=sources, duplicates=section(model), earlier=earlier))
    assert (rows["again.png"]["stage"], rows["again.png"]["kept"]) == ("earlier", False)
    assert rows["star.png"]["kept"]
    rows = rows_of(build(new, sources=sources, duplicates=section(model, size=48), earlier=earlier))
    assert rows["again.png"]["kept"], "vectors of another size of picture cannot be compared"
    assert "no vectors of this model" in capfd.readouterr().err


def test_vectors_of_an_earlier_corpus_that_were_altered_are_refused(planted: Path, model: Path) -> None:
    captions = "{min_han_share: 0}"
    build(planted, captions=captions, duplicates=section(model))
    for path in (planted / "corpus" / "embedding").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    plant(planted / "new" / "pictures", {"star.png": png(draw("绿", "三角", 30))}, [("star.png", "绿色三角形")])
    with pytest.raises(BadInput, match=r"embedding.*missing or altered"):
        build(planted / "new", duplicates=section(model), earlier=f"[{planted / 'corpus'}]")


def test_a_model_that_is_not_there_is_refused_before_any_picture_is_looked_at(planted: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.pt"):
        build(planted, captions="{min_han_share: 0}", duplicates=section(Path("nowhere.pt")))
    assert not (planted / "corpus").exists()
