"""Panels of lines over the size of a window, as SVG for light and dark backgrounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 420, 300, 56, 36, 44
COLOURS = ("#2563eb", "#d97706", "#be185d", "#059669")  # each has enough contrast on white and on GitHub's dark grey
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.axis { stroke: #8b949e; stroke-opacity: .5 }
path { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } }
"""


@dataclass(frozen=True)
class Panel:
    """Points of a way, the number of runs, and a figure."""

    title: str
    points: list[tuple[str, int, float]]

    def draw(self, x0: int) -> list[str]:
        """Draw logarithmic axes, and a line for each way."""
        runs = [count for _, count, _ in self.points]
        values = [value for _, _, value in self.points]
        across = _Scale(min(runs), max(runs), x0 + LEFT, x0 + WIDTH - 20)
        up = _Scale(min(values), max(values), HEIGHT - BOTTOM, TOP)
        shapes = [f'<text x="{x0 + LEFT}" y="{TOP - 16}">{self.title}, by runs in the window</text>']
        for tick in across.ticks:
            x = across.place(tick)
            shapes.append(f'<line class="axis" x1="{x}" y1="{TOP}" x2="{x}" y2="{HEIGHT - BOTTOM}"/>')
            shapes.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:,.0f}</text>')
        for tick in up.ticks:
            y = up.place(tick)
            shapes.append(f'<line class="axis" x1="{x0 + LEFT}" y1="{y}" x2="{x0 + WIDTH - 20}" y2="{y}"/>')
            shapes.append(f'<text x="{x0 + LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:,g}</text>')
        for colour, way in zip(COLOURS, dict.fromkeys(way for way, _, _ in self.points), strict=False):
            line = [(across.place(count), up.place(value)) for name, count, value in self.points if name == way]
            shapes.append(f'<path stroke="{colour}" d="M{" L".join(f"{x},{y}" for x, y in line)}"/>')
            shapes += [f'<circle fill="{colour}" cx="{x}" cy="{y}" r="3"/>' for x, y in line]
        return shapes


class _Scale:
    """A logarithmic axis."""

    def __init__(self, low_value: float, high_value: float, start: float, end: float) -> None:
        low, high = math.floor(math.log10(max(low_value, 0.01))), math.ceil(math.log10(high_value))
        self.ticks = [10.0**power for power in range(low, max(high, low + 1) + 1)]
        self._low, self._span = low, max(high - low, 1)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = (math.log10(max(value, self.ticks[0])) - self._low) / self._span
        return round(self._start + share * (self._end - self._start), 1)


def draw(*panels: Panel) -> str:
    """Draw panels side by side, with a legend."""
    shapes = [shape for place, panel in enumerate(panels) for shape in panel.draw(place * WIDTH)]
    for place, way in enumerate(dict.fromkeys(way for way, _, _ in panels[0].points)):
        x, y = LEFT + place * 160, HEIGHT - 4
        shapes.append(
            f'<circle fill="{COLOURS[place]}" cx="{x}" cy="{y - 4}" r="5"/><text x="{x + 12}" y="{y}">{way}</text>'
        )
    size = f'width="{WIDTH * len(panels)}" height="{HEIGHT + 8}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>\n{chr(10).join(shapes)}\n</svg>\n'
