"""What stops a job of encoding: pictures that come back as one colour, a dead codebook, a sudden fall.

    gate = QualityGate(max_fall_db=6.0)
    gate.check("train-00003", quality)        # of one stretch of rows: {"codes": {"psnr_mean_db": "25.1", …}}

A network that gives NaN gives one and the same code everywhere, so it is found as a dead codebook. A fall is measured
in `gain_db`, which hardly depends on whether a source has photographs or drawings.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...manifests.errors import CheckFailed

_LEAST_PICTURES = 8  # fewer say nothing
_MEASURED_BEFORE = 3  # stretches, before one can be a fall


@dataclass
class QualityGate:
    max_fall_db: float
    _gains: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by array

    def check(self, where: str, quality: Mapping[str, Mapping[str, str]]) -> None:
        """Raises CheckFailed with the reason."""
        for array, measured in quality.items():
            pictures = int(measured.get("pictures", 0))
            if pictures < _LEAST_PICTURES:
                continue
            if int(measured["dead_codebooks"]):
                raise _stopped(
                    f"{where}: all codes of `{array}` are the same in {measured['dead_codebooks']} codebooks"
                )
            if int(measured.get("flat", 0)) > pictures / 2:
                raise _stopped(f"{where}: {measured['flat']} of {pictures} pictures come back as one colour")
            self._check_fall(where, array, float(measured["gain_db"]))

    def _check_fall(self, where: str, array: str, gain_db: float) -> None:
        gains = self._gains[array]
        if len(gains) >= _MEASURED_BEFORE:
            mean = sum(gains) / len(gains)
            if gain_db < mean - self.max_fall_db:
                raise _stopped(f"{where}: its pictures come back {mean - gain_db:.1f} dB worse than those before them")
        gains.append(gain_db)


def _stopped(problem: str) -> CheckFailed:
    return CheckFailed(
        f"{problem}, so the job was stopped",
        cure="look at the tokenizer and at these pictures, or set `tokenize.quality`; what is done stays",
    )
