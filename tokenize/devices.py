"""The device that encodes, set so that the same batch gives the same codes every time.

    device = open_device("cuda")          # a torch.device; float32 means float32 there
    with computing(device, "bfloat16"):   # the network's products in bfloat16
        …

A CPU and a GPU, or two kinds of either, may differ in a few codes in a million: the sums have another order.
"""

import ctypes

import torch

from ..manifests.errors import BadInput


def open_device(name: str) -> torch.device:
    """`name` is cpu or cuda. Raises BadInput when there is no GPU."""
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise BadInput("no GPU is seen here", cure="encode with `tokenize.job.gpus: 0`")
        torch.backends.cudnn.allow_tf32 = False  # on by default: convolutions would round their factors to 10 bits
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = False  # would take the kernel that is fastest in this run
        torch.backends.cudnn.deterministic = True
    else:
        keep_freed_memory()
    return device


# glibc's numbers (malloc.h), and what they are set to: free memory is not given back, the heap grows by 256 MB, and no
# array is mapped for itself.
_MALLOPT = {-1: 2**31 - 1, -2: 256 << 20, -4: 0}


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees: a network asks for the same arrays at each batch.

    Else glibc maps each large array anew, and the kernel clears its pages: 69,000 page faults and 140 of 480 ms for a
    picture of 128 px through LlamaGen's VQ-16 on one core, and none of 335 ms with it, for 160 MB more.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # macOS has none
        for parameter, value in _MALLOPT.items():
            library.mallopt(parameter, value)


def computing(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which products are of that type, `float32`, `bfloat16` or `float16`. Weights stay float32."""
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")


def exact(device: torch.device) -> torch.autocast:
    """Return a context in which nothing is rounded: the search for codes runs in it, whatever the network's type."""
    return torch.autocast(device.type, enabled=False)
