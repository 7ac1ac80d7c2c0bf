"""The type of the matrix products of a training: bfloat16, float16 or float32.

    with autocast(device, matmul_dtype("auto", device)):
        …

`auto` is bfloat16 where that is fast: on CUDA, and on CPUs with AMX tiles (14 times as fast as float32 there) or with
AVX-512's bfloat16 products (2 times); else float32. Weights stay float32. Encoding into data sets does not use this: it
is float32 on every machine.
"""

from typing import Literal

import torch

Precision = Literal["auto", "bfloat16", "float16", "float32"]


def matmul_dtype(name: Precision, device: torch.device) -> torch.dtype:
    """Return the type that a recipe's `precision` means on `device`."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" or _cpu_has_bfloat16() else torch.float32
    return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return a context in which matrix products are of `dtype`; for float32 it changes nothing."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def _cpu_has_bfloat16() -> bool:
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
