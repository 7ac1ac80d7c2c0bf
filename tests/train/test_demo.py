"""The demo: the times of its phases when it is given again."""

import json
from pathlib import Path

from tuwen.train.demo import Phase, save_times


def test_a_demo_that_is_given_again_keeps_the_longest_time_of_each_phase(tmp_path: Path) -> None:
    save_times(tmp_path / "times.json", [Phase("corpus", 60.5, 900), Phase("train", 9.0, 700)])
    save_times(tmp_path / "times.json", [Phase("corpus", 0.5, 300), Phase("train", 480.0, 800)])
    assert json.loads((tmp_path / "times.json").read_bytes()) == [
        {"phase": "corpus", "seconds": "60.5", "peak_mb": 900},
        {"phase": "train", "seconds": "480.0", "peak_mb": 800},
    ]
