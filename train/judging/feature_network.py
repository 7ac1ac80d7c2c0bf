"""A network of the user's that gives pictures features: a TorchScript file or an ONNX file.

    network = open_network(Path("inception.ts"))
    features_ND, logits_NC = network(pictures)          # uint8 (N, side, side, 3); logits are None of a network without

The network takes float32 (n, 3, side, side) in 0 … 1, of whatever side the run paints, and gives features (n, D), or
features and logits (n, C) of classes, for IS. It resizes and normalises by itself: wrap it so before it is scripted.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from ...tokenize.image_codes import Pictures

_BATCH = 32
Answers = tuple[NDArray[np.float32], NDArray[np.float32] | None]
Network = Callable[[Pictures], Answers]
_Net = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


def open_network(path: Path) -> Network:
    """Raises BadInput when the file is no network, or when what runs it is not installed."""
    if not path.is_file():
        raise BadInput(f"--features: {path} is no file", cure="name a TorchScript file (.pt, .ts) or an .onnx file")
    net = _onnx(path) if path.suffix == ".onnx" else _torchscript(path)

    def answers(pictures: Pictures) -> Answers:
        parts = [net(_pixels(pictures[start : start + _BATCH])) for start in range(0, len(pictures), _BATCH)]
        features, *logits = (np.concatenate(each) for each in zip(*parts, strict=True))
        if features.ndim != 2:
            raise BadInput(
                f"--features: {path} gives {features.ndim} dimensions", cure="let it give (pictures, numbers)"
            )
        return features, logits[0] if logits else None

    return answers


def _pixels(pictures: Pictures) -> NDArray[np.float32]:
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def _torchscript(path: Path) -> _Net:
    try:
        module: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise BadInput(f"--features: {path} is no TorchScript file", cure="save it with torch.jit.save") from None

    module.eval()

    @torch.no_grad()
    def net(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        answer = module(torch.from_numpy(pixels))
        return [each.float().numpy() for each in (answer if isinstance(answer, tuple) else (answer,))]

    return net


def _onnx(path: Path) -> _Net:
    try:
        import onnxruntime
    except ImportError:
        raise BadInput("--features with an .onnx file needs onnxruntime", cure="pip install onnxruntime") from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds, all without a common base
        said = str(error).splitlines()[0]
        raise BadInput(
            f"--features: {path} is no ONNX file ({said})", cure="export it with torch.onnx.export"
        ) from None
    (given,) = session.get_inputs()

    def net(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [np.asarray(each, np.float32) for each in session.run(None, {given.name: pixels})]

    return net
