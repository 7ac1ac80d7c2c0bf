"""The demo: the times of its phases when it is given again."""

import json
import shutil
from html import unescape
from pathlib import Path

from tuwen.manifests.recipe.recipe import Recipe
from tuwen.manifests.run_folders import RunFolder
from tuwen.pipeline.report.longer import longer_parts
from tuwen.pipeline.report.report import write_report
from tuwen.train.demo import LONGER, Phase, save_times


def test_a_demo_that_is_given_again_keeps_the_longest_time_of_each_phase(tmp_path: Path) -> None:
    save_times(tmp_path / "times.json", [Phase("corpus", 60.5, 900), Phase("train", 9.0, 700)])
    save_times(tmp_path / "times.json", [Phase("corpus", 0.5, 300), Phase("train", 480.0, 800)])
    assert json.loads((tmp_path / "times.json").read_bytes()) == [
        {"phase": "corpus", "seconds": "60.5", "peak_mb": 900},
        {"phase": "train", "seconds": "480.0", "peak_mb": 800},
    ]


def test_the_report_shows_what_longer_trainings_gave_beside_the_commands_that_gave_it(
    shapes: tuple[Recipe, Path], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    run.corpus.path.symlink_to(shapes[1] / "corpus")
    assert "what longer trainings gave" not in write_report(run).read_text(encoding="utf-8")
    shutil.copytree(LONGER, run.train.longer)
    parts = longer_parts(run.train)
    page = write_report(run).read_text(encoding="utf-8")
    assert [part.title.split(" ")[0] for part in parts] == ["调", "细", "选", "述"]
    for part in parts:
        assert all(len(row) == len(part.columns) for row in part.rows)
        assert part.picture.startswith("data:image/webp;base64,")
        assert part.picture in page
        assert part.title in page
        assert all(cell in unescape(page) for row in part.rows for cell in row)
        assert part.command in unescape(page)
