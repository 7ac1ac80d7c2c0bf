"""In which type the matrix products of a training run.

    with autocast(device, matmul_dtype("auto", device)):
        …

`auto` is bfloat16 where that is fast, CUDA and CPUs with AMX tiles (14 times float32 there), else float32. Weights stay
float32. Encoding into data sets never comes here: it is float32 on every machine.
"""

from typing import Literal

import torch

Precision = Literal["auto", "bfloat16", "float32"]


def matmul_dtype(name: Precision, device: torch.device) -> torch.dtype:
    if name == "auto":
        fast = device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_amx_tile_supported())
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
