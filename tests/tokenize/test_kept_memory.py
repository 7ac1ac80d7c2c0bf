"""Memory that a process frees stays with it."""

import ctypes

import psutil
import pytest
import torch

from tuwen.tokenize.devices import keep_freed_memory


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_the_memory_of_an_array_that_is_freed_stays_with_the_process() -> None:
    keep_freed_memory()
    array = torch.ones(16 * 2**20)  # 64 MB
    held = psutil.Process().memory_info().rss
    del array
    assert held - psutil.Process().memory_info().rss < 2**20
