"""The tables of stages and reasons in README.md, made from the rows of `reasons`.

python -m tuwen.pipeline.reason_tables      # writes them anew
"""

from pathlib import Path

from .reasons import FUNNEL, REASONS, STAGES

_README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- reasons: written by `python -m tuwen.pipeline.reason_tables` -->\n", "<!-- end of reasons -->\n"


def readme_tables() -> str:
    """The stages and the reasons in the order of the funnel, as Markdown."""
    lines = ["| stage | what it checks |", "|---|---|"]
    lines += [f"| {stage.character} `{stage.name}` | {stage.checks} |" for stage in FUNNEL]
    lines += ["", "| stage | reason | when |", "|---|---|---|"]
    for stage in STAGES:
        rows = [reason for reason in REASONS.values() if stage in reason.stages]
        lines += [f"| {stage} | `{reason.name}` | {reason.when} |" for reason in rows]
    return "\n".join(lines) + "\n"


def with_tables(readme: str) -> str:
    """`readme` with the block between the two markers written anew."""
    before, rest = readme.split(_BEGIN)
    return before + _BEGIN + readme_tables() + _END + rest.split(_END)[1]


if __name__ == "__main__":
    _README.write_text(with_tables(_README.read_text("utf-8")), "utf-8")
