"""Codes that wait are decoded together, and each picture is what its codes alone give."""

from pathlib import Path

import numpy as np
import pytest

from tuwen.tokenize.image_codes import Codes, ImageCodes, Pictures
from tuwen.train.run.run import open_run
from tuwen.train.serving.decoding_pool import DecodingPool


class Counted:
    """An image tokenizer that counts the pictures of each call."""

    def __init__(self, image_codes: ImageCodes) -> None:
        self.identity, self.batch, self.encode = image_codes.identity, image_codes.batch, image_codes.encode
        self._decode, self.calls = image_codes.decode, list[int]()

    def decode(self, codes: Codes) -> Pictures:
        self.calls.append(len(codes))
        return self._decode(codes)


@pytest.fixture
def tokenizer() -> Counted:
    return Counted(open_run(Path("emoji")).image_codes)


def test_what_waits_is_decoded_in_one_call_to_the_same_pictures(tokenizer: Counted) -> None:
    codes = np.random.default_rng(0).integers(0, 1024, (20, 64))
    pool = DecodingPool(tokenizer)
    futures = [pool.add(each.tolist()) for each in codes]
    assert pool
    pool.decode_all()
    assert not pool
    assert tokenizer.calls == [16, 4]  # its own batch
    for each, future in zip(codes, futures, strict=True):
        alone = tokenizer.decode(each.reshape(1, 8, 8))[0]
        np.testing.assert_array_equal(future.result(timeout=0), alone)


def test_codes_that_nobody_waits_for_any_more_are_not_decoded(tokenizer: Counted) -> None:
    pool = DecodingPool(tokenizer)
    pool.add([0] * 64).cancel()
    pool.decode_all()
    assert tokenizer.calls == []


def test_what_cannot_be_decoded_is_told_to_who_asked(tokenizer: Counted) -> None:
    pool = DecodingPool(tokenizer)
    future = pool.add([5000] * 64)
    pool.decode_all()
    with pytest.raises(IndexError):
        future.result(timeout=0)
    good = pool.add([0] * 64)
    pool.decode_all()
    assert good.result(timeout=0).shape == (64, 64, 3)
