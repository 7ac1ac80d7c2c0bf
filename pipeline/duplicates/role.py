"""Where a row of the match comes from: this corpus, an evaluation set, or an earlier corpus."""

from enum import IntEnum


class Role(IntEnum):
    """The column `role`. The smaller number is kept when two rows are duplicates."""

    EVALUATION = 0
    EARLIER = 1  # an earlier corpus kept it
    HERE = 2
    EARLIER_DROPPED = 3  # an earlier corpus dropped it as a duplicate: it only holds its cluster together


NAME_OF_PROTECTED = {Role.EVALUATION: "evaluation", Role.EARLIER: "earlier"}  # the stage at which it drops others
