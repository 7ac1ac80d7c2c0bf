"""The matrix products of a training step, and how fast this machine does them alone: the model FLOPs utilisation.

    products = matrix_products(model, rows=16, tokens=90)        # of the forward and the backward pass of a micro-batch
    alone = seconds_alone(products, torch.bfloat16, device)      # these very shapes, one after the other
    utilisation = alone * micro_batches / seconds_of_a_step     # where no token of them is padding

The peak is the machine's own with the model's shapes, flops(products) / alone, and not a number of its maker: what
remains to 100% is what a step does besides its products.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .model import Transformer

_ROUNDS, _SECONDS = 5, 0.02  # at least so many and so long, of which the fastest counts: the first ones are slow


@dataclass(frozen=True)
class Product:
    """`batch` products of an (m, k) and a (k, n) matrix."""

    batch: int
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.k * self.n

    def operands(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        shapes = ((self.m, self.k), (self.k, self.n))
        a, b = (torch.randn(self.batch, *shape, device=device).to(dtype) for shape in shapes)
        return (a, b) if self.batch > 1 else (a[0], b[0])


def matrix_products(model: Transformer, rows: int, tokens: int) -> Counter[Product]:
    """Each product and how often it occurs in the passes over `rows` sequences of `tokens` tokens."""
    config = model.config
    each: list[Product] = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            each += _passes(1, rows * tokens, layer.in_features, layer.out_features)
    if model.head is None:  # the embedding is the head, too
        each += _passes(1, rows * tokens, config.width, config.vocab_size)
    heads, head_width = rows * config.heads, config.head_width
    for _ in range(config.depth):
        each += _passes(heads, tokens, head_width, tokens)  # scores
        each += _passes(heads, tokens, tokens, head_width)  # the weighted sum of values
    return Counter(each)


def _passes(batch: int, m: int, k: int, n: int) -> Iterator[Product]:
    """The product itself, and those of the gradients of its left and of its right factor."""
    yield Product(batch, m, k, n)
    yield Product(batch, m, n, k)
    yield Product(batch, k, m, n)


def flops(products: Counter[Product]) -> int:
    return sum(product.flops * count for product, count in products.items())


def seconds_alone(products: Counter[Product], dtype: torch.dtype, device: torch.device) -> float:
    """How long all products take, each timed by itself."""
    return sum(_fastest(product, dtype, device) * count for product, count in products.items())


def _fastest(product: Product, dtype: torch.dtype, device: torch.device) -> float:
    a, b = product.operands(dtype, device)
    seconds: list[float] = []
    while len(seconds) < _ROUNDS or sum(seconds) < _SECONDS:
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
