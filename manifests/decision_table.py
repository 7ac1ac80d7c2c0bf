"""The decision table: one row for each pair of the sources, kept or dropped, with the stage and the reason."""

import pyarrow as pa

from .pair import IDENTITY, PICTURE

VERDICTS = pa.schema(
    [
        *IDENTITY,
        ("caption", pa.string()),  # normalised; models are trained on it
        ("masked", pa.string()),  # kinds of personal data masked in it: "mobile,url"; empty if none
        *PICTURE,
        ("kept", pa.bool_()),
        ("stage", pa.string()),  # where it was dropped (`pipeline.reasons.FUNNEL`); empty if kept
        ("reason", pa.string()),
        ("keeper", pa.string()),  # key of the duplicate that was kept instead
        ("keeper_from", pa.string()),  # the evaluation set or earlier corpus that it stands in; null: this one
        ("picture", pa.string()),  # of a kept pair the key of the pair whose picture it is shown with; null: its own
        ("distance", pa.int32()),  # Hamming distance of its phash64 from its keeper's, or from that of `picture`
        ("difference", pa.float32()),  # of the two pictures; 1 is the largest that near-duplicates may have
        ("cosine", pa.float32()),  # of the two embeddings, where a model was named and looked at both
        ("cluster", pa.string()),  # smallest key among all its duplicates; splits go by this, never by key
    ]
)
