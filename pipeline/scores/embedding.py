"""The embedding of a picture by a copy-detection model: a vector of length 1, by which crops and borders are found.

    run_score(SCORES["embedding"], recipe, parts, corpus, run)     # inputs: measures, model, maybe judged

Comes in: a part's measures, its verdicts of `judge`, its pictures, read again, and a TorchScript or an ONNX file.
Goes out: `PART.parquet` with `embedding`, one row a pair, as many float32 as the model gives; null where a rule had
dropped the pair before, where there is no picture, and where the model gave no number.
"""

import importlib.util
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from ...manifests.canonical import sha256_of_file
from ...manifests.errors import BadInput
from ..corpus_files.stage_tables import WRITTEN, read_stage_table
from ..executor.part import InputFile, Part
from ..pictures.measured_pictures import LOCATION_COLUMNS, in_batches, measured_pictures

if TYPE_CHECKING:
    from ...manifests.recipe.recipe import Recipe

TORCH_ENDINGS, ONNX_ENDING = (".pt", ".pth", ".ts"), ".onnx"
_BATCH = 8  # a batch is always filled up to this: a model's sums may depend on how many rows it gets

Floats = NDArray[np.float32]


class EmbeddingConfig(TypedDict):
    """How a picture becomes the model's input."""

    size: int  # px
    shape: str  # squash, or crop: the middle square
    mean: list[float]  # of RGB in 0 … 1
    std: list[float]


def is_asked(recipe: "Recipe") -> bool:
    return recipe.duplicates.embedding.model is not None


def config_of(recipe: "Recipe") -> EmbeddingConfig:
    rules = recipe.duplicates.embedding
    return EmbeddingConfig(size=rules.size, shape=rules.shape, mean=[*rules.mean], std=[*rules.std])


def model_of(recipe: "Recipe") -> InputFile:
    rules = recipe.duplicates.embedding
    return checked_model(recipe.base / str(rules.model), rules.size)


def checked_model(file: Path, size: int) -> InputFile:
    """The model's file, after a batch of noise went through it. Raises BadInput when it cannot be used."""
    _refuse_unreadable(file)
    model = InputFile(str(file.resolve()), sha256_of_file(file))
    _load(model, size)
    return model


def embed(part: Part[None], config: EmbeddingConfig, folder: Path) -> dict[str, int]:
    measured = read_stage_table(part.input_path("measures"), columns=[*LOCATION_COLUMNS, "problem"])
    is_embedded = pc.is_null(measured["problem"]).to_numpy()
    if "judged" in part.inputs:  # evaluation pictures have no verdict: no rule drops them
        judged = read_stage_table(part.input_path("judged"), columns=["reason"])
        is_embedded = is_embedded & pc.equal(judged["reason"], "").to_numpy()
    alive = np.flatnonzero(is_embedded)
    _one_thread()
    model = _load(part.inputs["model"], config["size"])
    vectors = np.full((len(measured), model.width), np.nan, np.float32)
    pictures = measured_pictures(measured.take(alive), part.roots)
    for batch in in_batches(((rows, _pixels(picture, config)) for rows, picture in pictures), model.batch):
        batch_vectors = unit_vectors(model, np.stack([pixels for _, pixels in batch]))
        for (rows, _), vector in zip(batch, batch_vectors, strict=True):
            vectors[alive[rows]] = vector
    none = np.isnan(vectors).any(axis=1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), model.width, mask=pa.array(none))
    pq.write_table(pa.table({"embedding": column}), folder / f"{part.name}.parquet", **WRITTEN)
    return {"pairs": len(measured), "width": model.width}


def unit_vectors(model: "_Model", pixels: Floats) -> Floats:
    """(n, 3, size, size) in at most one batch → (n, d) of length 1, not a number where the model gave none."""
    filled = np.zeros((model.batch, *pixels.shape[1:]), np.float32)
    filled[: len(pixels)] = pixels
    vectors = model(filled)[: len(pixels)].astype(np.float64)
    with np.errstate(all="ignore"):  # of a vector of zeros: 0 / 0
        unit = vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    unit[~np.isfinite(unit).all(axis=1)] = np.nan
    unit_float32: Floats = unit.astype(np.float32)
    return unit_float32


def read_vectors(files: list[Path], rows: NDArray[np.int64], target: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Vectors (n, d) of `rows` (sorted, counted through all files), and those rows that have one.

    File by file into `target`, then mapped from it: the memory holds the vectors of one part, however large the corpus.
    """
    first, width, known_rows = 0, 0, [np.empty(0, np.int64)]
    with target.open("wb") as raw:
        for file in files:
            column = read_stage_table(file, columns=["embedding"])["embedding"].combine_chunks()
            here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + len(column))]
            column, first = column.take(pa.array(here - first)), first + len(column)
            known_rows.append(here[column.is_valid().to_numpy(zero_copy_only=False)])
            width = column.type.list_size
            raw.write(column.drop_null().flatten().to_numpy(zero_copy_only=False).tobytes())
    with_vector = np.concatenate(known_rows)
    if not len(with_vector):  # nothing can be mapped from an empty file
        return np.empty((0, width), np.float32), with_vector
    return np.memmap(target, np.float32, "r", shape=(len(with_vector), width)), with_vector


def _pixels(picture: Image.Image, config: EmbeddingConfig) -> Floats:
    """(3, size, size), as torchvision's `Resize` and `Normalize` make them of a Pillow picture."""
    if config["shape"] == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    small = picture.resize((config["size"], config["size"]), Image.Resampling.BILINEAR)
    mean, std = np.array(config["mean"], np.float32), np.array(config["std"], np.float32)
    scaled = np.asarray(small, np.float32) / np.float32(255)
    pixels: Floats = ((scaled - mean) / std).transpose(2, 0, 1)
    return pixels


class _Model(Protocol):
    batch: int  # rows that it is always given
    width: int  # of a vector

    def __call__(self, pixels: Floats) -> Floats: ...


@lru_cache(maxsize=1)
def _load(source: InputFile, size: int) -> _Model:
    """The model. Raises BadInput when it gives no vector of finite numbers for a picture of noise.

    A worker outlives a run: in the next one the file of that name may be another, so the hash is part of the key.
    """
    file = source.path
    model: _Model = (_Onnx if file.endswith(ONNX_ENDING) else _TorchScript)(file, size)
    noise = np.random.default_rng(0).standard_normal((model.batch, 3, size, size), np.float32)
    try:
        vectors = model(noise)
    except Exception as error:  # torch and onnxruntime raise whatever the model's own code raises
        raise BadInput(
            f"{_NAME}: {file} cannot run on pictures of {size} px: {_last_line(error)}", cure=_EXPORT
        ) from None
    shape = getattr(vectors, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != model.batch:
        what = f"an array of shape {tuple(shape)}" if shape is not None else f"a {type(vectors).__name__}"
        raise BadInput(f"{_NAME}: {file} gives {what} for {model.batch} pictures", cure=_EXPORT)
    if not shape[1]:
        raise BadInput(f"{_NAME}: {file} gives vectors of no dimension", cure=_EXPORT)
    if not np.isfinite(vectors).all():
        raise BadInput(f"{_NAME}: {file} gives numbers that are not finite", cure="export it in float32")
    model.width = shape[1]
    other_company = np.concatenate([noise[:1], 3 * noise[1:]])
    if not np.array_equal(model(other_company)[0], vectors[0]):
        model.batch = 1  # int8 models scale all pictures of a batch by the largest value of any
    return model


class _TorchScript:
    batch = _BATCH
    width = 0

    def __init__(self, file: str, size: int) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its own format old; models such as SSCD come in no other
            try:
                self._model = torch.jit.load(file, map_location="cpu").float()  # type: ignore[no-untyped-call]
            except (RuntimeError, ValueError) as error:
                raise BadInput(f"{_NAME}: {file} is no TorchScript: {_last_line(error)}", cure=_EXPORT) from None
            if hasattr(self._model, "training"):  # a frozen one has no such thing
                self._model.train(False)

    def __call__(self, pixels: Floats) -> Floats:
        import torch

        with torch.inference_mode():
            vectors = self._model(torch.from_numpy(pixels))
        return vectors.numpy() if isinstance(vectors, torch.Tensor) else vectors


class _Onnx:
    width = 0

    def __init__(self, file: str, size: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no class that it exports
            raise BadInput(f"{_NAME}: {file} is no ONNX model: {_last_line(error)}", cure=_EXPORT) from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)":
            raise BadInput(f"{_NAME}: {file} has not one float32 input and one output", cure=_EXPORT)
        rows, _, *sides = inputs[0].shape if len(inputs[0].shape) == 4 else [None] * 4
        fixed = [side for side in sides if isinstance(side, int)]
        if any(side != size for side in fixed) and len(set(fixed)) == 1 and fixed[0] >= 16:
            raise BadInput(
                f"{_NAME}: {file} takes pictures of {fixed[0]} px", cure=f"set `duplicates.embedding.size: {fixed[0]}`"
            )
        self._input = inputs[0].name
        self.batch = rows if isinstance(rows, int) else _BATCH

    def __call__(self, pixels: Floats) -> Floats:
        vectors: Floats = self._session.run(None, {self._input: pixels})[0]
        return vectors


_NAME = "duplicates.embedding.model"
_EXPORT = "export it as (n, 3, size, size) float32 in, (n, d) out, to a TorchScript or an ONNX file"


def _refuse_unreadable(file: Path) -> None:
    if not file.is_file():
        raise BadInput(f"{_NAME}: {file} is no file", cure="name the model's TorchScript or ONNX file")
    if file.suffix not in (*TORCH_ENDINGS, ONNX_ENDING):
        endings = ", ".join((*TORCH_ENDINGS, ONNX_ENDING))
        raise BadInput(f"{_NAME}: {file} ends in none of {endings}", cure=_EXPORT)
    if file.suffix == ONNX_ENDING and importlib.util.find_spec("onnxruntime") is None:
        raise BadInput(f"{_NAME}: {file.name} needs onnxruntime", cure="pip install 'tuwen[safety]', which brings it")


def _last_line(error: Exception) -> str:
    """The last line of torch's message: the lines before it are a trace through the model."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _one_thread() -> None:
    """Make torch use one thread: a task has one CPU, and sums depend on the number of threads."""
    import torch

    torch.set_num_threads(1)
