"""The device that encodes, set so that the same batch gives the same codes every time.

    device = open_device("cuda")          # a torch.device; float32 means float32 there
    with computing(device, "bfloat16"):   # the network's products in bfloat16
        …

A CPU and a GPU, or two kinds of either, may differ in a few codes in a million: the sums have another order.
"""

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
    return device


def computing(device: torch.device, precision: str) -> torch.autocast:
    """Return a context in which products are of that type, `float32`, `bfloat16` or `float16`. Weights stay float32."""
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")


def exact(device: torch.device) -> torch.autocast:
    """Return a context in which nothing is rounded: the search for codes runs in it, whatever the network's type."""
    return torch.autocast(device.type, enabled=False)
