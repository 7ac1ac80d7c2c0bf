"""The loss curve of a training run as a chart that needs no script.

    chart = loss_curve([{"step": 0, "codes": 6.9, "text": 7.1, "samples": 64}, …], validation=[…])

The losses of text, of codes and of captions told from pictures are drawn apart, in nats per token. The raw values stand
faintly behind each smoothed line; the losses on held-out pairs are dashed.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from markupsafe import Markup

from .axis import Ticks
from .charts import Chart

_WINDOWS = 240
_LINES: tuple[tuple[Literal["codes", "text", "reverse"], str], ...] = (
    ("codes", "画 codes"),
    ("text", "文 text"),
    ("reverse", "述 captions from pictures"),
)


class LossEntry(TypedDict):
    """What the report reads of a line of losses.jsonl."""

    step: int  # from 0
    codes: float  # mean nats per code
    text: float  # mean nats per token of text
    reverse: NotRequired[float]  # the same of captions told from pictures, in steps that had some
    samples: int  # read until the end of this step


class HeldOutEntry(TypedDict):
    """What the report reads of a line of validation.jsonl."""

    step: int  # steps done
    codes: float
    text: float
    reverse: NotRequired[float]
    sources: dict[str, float]  # mean nats per code, of the pairs of each source


@dataclass(frozen=True)
class LossLines:
    """One run of a chart that compares several."""

    name: str
    losses: list[LossEntry]
    validation: list[HeldOutEntry]


Points = list[tuple[float, float]]  # step, loss


def loss_curve(losses: list[LossEntry], validation: list[HeldOutEntry]) -> Chart:
    steps = losses[-1]["step"] + 1
    lines: dict[str, Points] = {
        name: [(entry["step"], entry[name]) for entry in losses if name in entry] for name, _ in _LINES
    }
    held_out: dict[str, Points] = {
        name: [(entry["step"] - 1, entry[name]) for entry in validation if name in entry] for name, _ in _LINES
    }
    finite = [loss for line in lines.values() for _, loss in line if math.isfinite(loss)]
    top = max(1, math.ceil(max(finite, default=1.0)))

    def path(points: Points) -> str:
        return " ".join(
            f"{100 * step / max(1, steps - 1):.2f},{100 * (1 - min(loss, top) / top):.2f}"
            for step, loss in points
            if math.isfinite(loss)
        )

    parts = ['<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">']
    words: dict[str, str] = {}
    for name, label in _LINES:
        smooth, raw = _smoothed(lines[name], steps)
        for kind, points in (("raw", raw), ("smooth", smooth), ("held-out", held_out[name])):
            parts.append(f'<polyline points="{path(points)}" class="{kind} {name}"/>' if points else "")
        if lines[name]:
            words[name] = f"{label} {smooth[-1][1]:.2f}" if smooth else label
    if validation:
        last = ", ".join(f"{name} {line[-1][1]:.2f}" for name, line in held_out.items() if line)
        words["dashed"] = f"held out: {last}"
    across: Ticks = [(100 * share, f"{round(share * steps):,}") for share in (0, 0.25, 0.5, 0.75, 1)]
    up: Ticks = [(100 * loss / top, f"{loss:g}") for loss in range(0, top + 1, 1 if top <= 5 else 2)]
    svg = Markup("".join([*parts, "</svg>"]))
    return Chart("", list(words.values()), svg, across, up, marks=[], unit="steps", keys=list(words))


def compared_curves(runs: list[LossLines]) -> Chart:
    """The losses of the codes of some runs over the samples that they have read; those on held-out pairs are dashed."""
    most = max(run.losses[-1]["samples"] for run in runs)
    finite = [entry["codes"] for run in runs for entry in run.losses if math.isfinite(entry["codes"])]
    top = max(1, math.ceil(max(finite, default=1.0)))

    def path(points: Points) -> str:
        return " ".join(f"{100 * x / most:.2f},{100 * (1 - min(loss, top) / top):.2f}" for x, loss in points)

    parts, words = ['<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'], []
    for number, run in enumerate(runs):
        a_step = run.losses[-1]["samples"] / (run.losses[-1]["step"] + 1)
        smooth, _ = _smoothed([(entry["step"], entry["codes"]) for entry in run.losses], len(run.losses))
        held_out = [(entry["step"] * a_step, entry["codes"]) for entry in run.validation]
        parts.append(f'<polyline points="{path([(x * a_step, y) for x, y in smooth])}" class="smooth run-{number}"/>')
        parts.append(f'<polyline points="{path(held_out)}" class="held-out run-{number}"/>' if held_out else "")
        words.append(f"{run.name} {smooth[-1][1]:.2f}" if smooth else run.name)
    across: Ticks = [(100 * share, f"{round(share * most):,}") for share in (0, 0.25, 0.5, 0.75, 1)]
    up: Ticks = [(100 * loss / top, f"{loss:g}") for loss in range(0, top + 1, 1 if top <= 5 else 2)]
    svg = Markup("".join([*parts, "</svg>"]))
    keys = [f"run-{number}" for number in range(len(runs))]
    return Chart("", words, svg, across, up, marks=[], unit="samples", keys=keys)


def _smoothed(line: Points, steps: int) -> tuple[Points, Points]:
    """The means of about 240 windows of steps, and one raw value of each; losses that are no number are left out."""
    window = max(1, steps // _WINDOWS)
    finite = [(step, loss) for step, loss in line if math.isfinite(loss)]
    smooth, raw = [], []
    for _, group in itertools.groupby(finite, key=lambda point: point[0] // window):
        points = list(group)
        raw.append(points[0])
        smooth.append((sum(step for step, _ in points) / len(points), sum(loss for _, loss in points) / len(points)))
    return smooth, raw
