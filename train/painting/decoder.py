"""A model that has read some prompts of equal length and continues them, one token a row at a time.

    decoder = Decoder(model, ids_RL, positions_RL, num_new=64)
    logits_RV = decoder.logits_RV()
    decoder.append(logits_RV.argmax(dim=-1))

What was read is kept as keys and values, so that a token costs one pass over itself. Shapes: R rows, L tokens of a
prompt, V vocabulary.
"""

from torch import Tensor

from ..transformer.model import Transformer


class Decoder:
    """`num_new` tokens at most."""

    def __init__(self, model: Transformer, ids_RL: Tensor, positions_RL: Tensor, num_new: int) -> None:
        self.model, self.new_ids, self.new_positions = model, ids_RL, positions_RL
        self.cache = model.new_cache(ids_RL.shape[1] + num_new - 1)

    def logits_RV(self) -> Tensor:
        """Of the next token; to be called once after each `append`."""
        logits_RLV: Tensor = self.model(self.new_ids, self.new_positions, self.cache)
        return logits_RLV[:, -1]

    def append(self, ids_R: Tensor) -> None:
        self.new_ids, self.new_positions = ids_R[:, None], self.new_positions[:, -1:] + 1

    def take_rows(self, rows_R: Tensor) -> None:
        """Go on with what has been read in each of `rows_R`, some perhaps several times, in that order."""
        self.cache.take_rows(rows_R.to(self.new_ids.device))
