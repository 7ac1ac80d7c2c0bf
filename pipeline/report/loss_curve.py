"""A training's losses as a chart that needs no script.

    chart = loss_curve([{"step": 0, "codes": 6.9, "text": 7.1}, …])

Text and codes are drawn apart, in nats a token; behind each smoothed line stand the raw values, faintly.
"""

import math
from typing import Any

from markupsafe import Markup

from .charts import Chart

_POINTS = 240
_LINES = {"codes": "画 codes", "text": "文 text"}


def loss_curve(losses: list[dict[str, Any]]) -> Chart:
    steps: int = losses[-1]["step"] + 1
    finite = [entry[name] for entry in losses for name in _LINES if math.isfinite(entry[name])]
    top = max(1.0, math.ceil(max(finite, default=1.0)))

    def place(step: float, loss: float) -> str:
        return f"{100 * step / max(1, steps - 1):.2f},{100 * (1 - min(loss, top) / top):.2f}"

    parts = ['<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">']
    words = []
    for name, label in _LINES.items():
        smooth, raw = _smoothed(losses, name)
        for kind, points in (("raw", raw), ("smooth", smooth)):
            path = " ".join(place(step, loss) for step, loss in points)
            parts.append(f'<polyline points="{path}" class="{kind} {name}"/>')
        words.append(f"{label} {smooth[-1][1]:.2f}")
    return Chart(
        title="",
        words=words,
        svg=Markup("".join([*parts, "</svg>"])),
        across=[(100 * share, f"{round(share * steps):,}") for share in (0, 0.25, 0.5, 0.75, 1)],
        up=[(100 * loss / top, f"{loss:g}") for loss in _ticks(top)],
        marks=[],
        unit="steps",
    )


def _smoothed(losses: list[dict[str, Any]], name: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Means of about 240 windows, and one raw value of each."""
    window = max(1, len(losses) // _POINTS)
    smooth, raw = [], []
    for start in range(0, len(losses), window):
        chunk = [entry[name] for entry in losses[start : start + window] if math.isfinite(entry[name])]
        if chunk:
            smooth.append((start + (len(chunk) - 1) / 2, sum(chunk) / len(chunk)))
            raw.append((float(start), chunk[0]))
    return smooth, raw


def _ticks(top: float) -> list[float]:
    step = 1 if top <= 5 else 2
    return [float(value) for value in range(0, math.floor(top) + 1, step)]
