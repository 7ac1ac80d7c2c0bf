"""−log p(caption | picture) a piece: how well pictures say their captions, to a model that has learned `reverse`.

    losses_PS = caption_losses(model, layout, texts, codes_PSN, torch.float32)      # the least is the best

CogView chooses among its samples by it (arXiv 2105.13290). Here the end of a caption counts as a piece, so that 男医生
and the beginning of 男医生，中等肤色 differ. Captions of equal length share batches of a fixed size, so that the loss
of a picture does not depend on what else is judged in the same call.

Shapes: P captions, S pictures of each, N codes of a picture, R rows of a batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...tokenize.sequence import SequenceLayout
from ..transformer.micro_batch import MicroBatch
from ..transformer.model import Transformer
from .sampling import batches_of_equal_length


@torch.no_grad()
def caption_losses(
    model: Transformer,
    layout: SequenceLayout,
    texts: Sequence[Sequence[int]],
    codes_PSN: NDArray[np.int64],
    dtype: torch.dtype,
) -> NDArray[np.float32]:
    """Nats per piece (P, S) of the captions `texts`, cut where the layout cuts them; `dtype` is of matrix products."""
    texts = [text[: layout.text_max] for text in texts]
    losses_PS = np.zeros(codes_PSN.shape[:2], np.float32)
    for rows, num_real in batches_of_equal_length(texts, codes_PSN.shape[1]):
        p_R, s_R = (list(indices) for indices in zip(*rows, strict=True))
        text = np.array([texts[p] for p in p_R], np.int64)
        codes_text_lengths = codes_PSN[p_R, s_R], text, np.full(len(rows), text.shape[1])
        device = next(model.parameters()).device
        batch = MicroBatch.of(codes_text_lengths, layout, device, is_reversed=True)
        nats_R = batch.nats_B2(model, dtype)[:, 0].cpu().numpy() / batch.counts_B2[:, 0]
        losses_PS[p_R[:num_real], s_R[:num_real]] = nats_R[:num_real]
    return losses_PS
