"""A training's losses as an SVG that needs no script.

    svg = loss_curve([{"step": 0, "codes": 6.9, "text": 7.1}, …])

Text and codes are drawn apart, in nats a token; behind each smoothed line stand the raw values, faintly.
"""

import math
from typing import Any

from markupsafe import Markup

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 860, 300, 46, 34, 14, 90
_POINTS = 240
_LINES = (("codes", "画 codes"), ("text", "文 text"))


def loss_curve(losses: list[dict[str, Any]]) -> Markup:
    steps: int = losses[-1]["step"] + 1
    top: float = max(
        1.0, math.ceil(max(entry[name] for entry in losses for name, _ in _LINES if math.isfinite(entry[name])))
    )

    def x(step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / max(1, steps - 1)

    def y(loss: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - loss / top)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="curve" role="img" aria-label="loss by step">']
    for loss in _ticks(top):
        parts.append(f'<path d="M{_LEFT} {y(loss):.1f}H{_WIDTH - _RIGHT}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = f'x="{x(share * (steps - 1)):.1f}" y="{_HEIGHT - 10}"'
        parts.append(f'<text {place} text-anchor="middle">{round(share * steps):,}</text>')
    for name, label in _LINES:
        smooth, raw = _smoothed(losses, name)
        for kind, points in (("raw", raw), ("smooth", smooth)):
            path = " ".join(f"{x(step):.1f},{y(min(loss, top)):.1f}" for step, loss in points)
            parts.append(f'<polyline points="{path}" class="{kind} {name}"/>')
        end = smooth[-1][1]
        parts.append(
            f'<text x="{_WIDTH - _RIGHT + 8}" y="{y(end) + 4:.1f}" class="label {name}">{label} {end:.2f}</text>'
        )
    return Markup("".join([*parts, "</svg>"]))


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
