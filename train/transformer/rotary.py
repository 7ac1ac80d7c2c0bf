"""Rotary positions in two axes: a code is turned by its row and its column, a token of text by its index in both.

    turns = turns_of(positions_BL, grid, head_width=128)          # cosines and sines, once for all blocks
    q_BLHE, k_BLHE = turned(q_BLHE, turns), turned(k_BLHE, turns)

The score of two codes then depends on how many rows and columns lie between them. Half of a head's width is turned by
each axis. The codes of a picture begin at the coordinates (first, first), behind those of the longest caption.

Shapes: B rows, L tokens, H heads, E width of a head, F = E/2 planes in which it is turned.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

# Turns from 1 to 1/100 radian a step: no caption or grid has more than 600 steps, so none comes round at the slowest.
SLOWEST = 100.0

Turns = tuple[Tensor, Tensor]  # cosines and sines, (B, L, 1, F) each


class CodeGrid(BaseModel):
    """Where a layout that is aligned puts the codes of a picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_position: int = Field(ge=0)  # of the first code
    columns: int = Field(gt=0)
    codebooks: int = Field(default=1, gt=0)  # codes at each place of the grid


def turns_of(positions_BL: Tensor, grid: CodeGrid, head_width: int) -> Turns:
    """The turns of tokens at these positions; computed anew at each call, so that a model has no buffers."""
    place_BL = (positions_BL - grid.first_position).div(grid.codebooks, rounding_mode="floor")
    row_BL, column_BL = place_BL.div(grid.columns, rounding_mode="floor"), place_BL % grid.columns
    axes_BL2 = torch.stack((row_BL, column_BL), dim=-1) + grid.first_position
    is_code_BL1 = (positions_BL >= grid.first_position)[..., None]
    axes_BL2 = torch.where(is_code_BL1, axes_BL2, positions_BL[..., None])
    shares = torch.arange(head_width // 4, device=positions_BL.device) / (head_width // 4)
    angles_BL2f = axes_BL2[..., None] * SLOWEST**-shares
    angles_BL1F = angles_BL2f.flatten(-2)[:, :, None]
    return angles_BL1F.cos(), angles_BL1F.sin()


def turned(x_BLHE: Tensor, turns: Turns) -> Tensor:
    """Numbers f and f + F of a head are the two coordinates in plane f."""
    cosines_BL1F, sines_BL1F = turns
    a_BLHF, b_BLHF = x_BLHE.chunk(2, dim=-1)
    out = (a_BLHF * cosines_BL1F - b_BLHF * sines_BL1F, b_BLHF * cosines_BL1F + a_BLHF * sines_BL1F)
    return torch.cat(out, dim=-1)
