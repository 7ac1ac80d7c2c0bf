"""A view of a picture as pixels, resized as the tokenizer was trained.

rendered(picture, view, side_px=256, resize="bicubic")        # uint8 (256, 256, 3)

`bicubic`, `lanczos`, `bilinear`, `box`, `hamming`, `nearest`: Pillow's; all but the last average over what they shrink.
`bicubic-aliased`, `bilinear-aliased`, `nearest-aliased`: torch.nn.functional.interpolate without antialiasing, in
float32, rounded: torchvision's way with tensors and `antialias=False`. OpenCV's differ by one level of 255 at most.
`adm`: halved by `box` while twice as large, then `bicubic`, then cropped: ADM, DiT, LlamaGen.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageColor

from ..image_codes import Pictures
from .boxes import Box, View

_ALIASED = "-aliased"


def rendered(picture: Image.Image, view: View, side_px: int, resize: str, fill: str = "#ffffff") -> Pictures:
    """Return the view as uint8 (side, side, 3). `fill` is the colour of what lies beyond the picture."""
    left, top, right, bottom = view.box
    visible = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
    if visible != view.box:
        square = _on_bars(picture.crop(visible), side_px, resize, fill)
    elif resize == "adm":
        square = _cut_from_halved(picture, view.box, side_px)
    else:
        # Not Pillow's `resize(box=…)`, whose filter would look beyond the box.
        square = _scaler(resize)(picture.crop(view.box), (side_px, side_px))
    pixels = np.asarray(square, dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, ::-1]) if view.mirrored else pixels


def _on_bars(picture: Image.Image, side_px: int, resize: str, fill: str) -> Image.Image:
    """The whole picture in the middle of a square, as ImageOps.pad places it."""
    width, height = (max(1, round(length * side_px / max(picture.size))) for length in picture.size)
    square = Image.new("RGB", (side_px, side_px), ImageColor.getrgb(fill))
    scaled = _scaler(resize)(picture, (width, height))
    square.paste(scaled, (round((side_px - width) / 2), round((side_px - height) / 2)))
    return square


def _scaler(resize: str) -> Callable[[Image.Image, tuple[int, int]], Image.Image]:
    if resize == "adm":
        return lambda picture, size: _halved(picture, min(size)).resize(size, Image.Resampling.BICUBIC)
    if resize.endswith(_ALIASED):
        return lambda picture, size: _aliased(picture, size, resize.removesuffix(_ALIASED))
    return lambda picture, size: picture.resize(size, Image.Resampling[resize.upper()])


def _aliased(picture: Image.Image, size: tuple[int, int], mode: str) -> Image.Image:
    import torch  # here, as decoding processes that need none of it start sooner

    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(pixels, size=size[::-1], mode=mode)
    return Image.fromarray(scaled[0].round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())


def _cut_from_halved(picture: Image.Image, box: Box, side_px: int) -> Image.Image:
    """ADM's center_crop_arr for the centre square; a smaller box is cut from a larger picture, as its random crops are.

    The whole picture is resized and then cut at whole pixels, so the filter looks beyond the box.
    """
    edge = box[2] - box[0]
    short = side_px * min(picture.size) // edge
    halved = _halved(picture, short)
    scale = short / min(halved.size)
    scaled = halved.resize((round(halved.width * scale), round(halved.height * scale)), Image.Resampling.BICUBIC)
    left = _place(box[0], picture.width - edge, scaled.width - side_px)
    top = _place(box[1], picture.height - edge, scaled.height - side_px)
    return scaled.crop((left, top, left + side_px, top + side_px))


def _halved(picture: Image.Image, short_px: int) -> Image.Image:
    while min(picture.size) >= 2 * short_px:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    return picture


def _place(start: int, room: int, scaled_room: int) -> int:
    """Where a box begins whose `start` was one of 0 … room. What was in the middle stays there to the pixel."""
    return scaled_room // 2 if start == room // 2 else round(start * scaled_room / room)
