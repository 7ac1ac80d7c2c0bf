"""Stretches of rows that a job has encoded, and that it finds again when it goes on."""

from pathlib import Path

import numpy as np

from tuwen.tokenize.encode.encoded_rows import EncodedRows, Facts, LostPair, forget_lost, read_facts, save_encoded


def test_only_stretches_that_lost_a_pair_are_forgotten_when_lost_pairs_are_tried_again(tmp_path: Path) -> None:
    lost = LostPair(key="0123", reason="gone", problem="no such file")
    for part in ("train-00000", "validation-00000"):
        (tmp_path / part).mkdir()
        for number, pairs in enumerate(([], [lost])):
            facts = Facts(lost=pairs, quality={}, trimmed=0, encoding_ms=1, elapsed_ms=2)
            rows = EncodedRows(meta=[], text=[], codes={"codes": np.zeros((0, 64), np.uint16)}, facts=facts)
            save_encoded(tmp_path / part / f"{number:09d}.parquet", rows)
    (tmp_path / "train-00000" / "000000002.parquet").write_bytes(b"cut")
    forget_lost(tmp_path)
    left = {str(path.relative_to(tmp_path)): read_facts(path) for path in tmp_path.glob("*/*.parquet")}
    assert {name for name, facts in left.items() if facts} == {
        "train-00000/000000000.parquet",
        "validation-00000/000000000.parquet",
    }
    assert len(left) == 3
