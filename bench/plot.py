"""plot.py - line charts with logarithmic axes, as SVG."""

import math
from html import escape

WIDTH, HEIGHT = 800, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 270, 40, 50
COLOURS = ["#c0392b", "#7f8c8d", "#2471a3", "#229954", "#b9770e", "#7d3c98", "#148f77",
           "#d35400", "#34495e", "#c71585"]


def short(value):
    """1234567 as 1.23M: three digits are enough for people."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def round_up(value):
    """To the next of 1, 2, 4 or 8 times a power of ten: four ticks fit under it."""
    decade = 10 ** math.floor(math.log10(value))
    return next(n * decade for n in (1, 2, 4, 8, 10) if n * decade >= value)


class Axis:
    """From values to pixels. A logarithmic one shows whole decades, unless it has ticks."""

    def __init__(self, values, start, end, log, ticks=None):
        low, high = min(values), max(values)
        if ticks:
            low, high = min(ticks), max(ticks)
        elif log:
            low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
        else:
            low, high = 0, round_up(high)
        if low == high:
            high *= 10
        self.low, self.high, self.start, self.end, self.log = low, high, start, end, log

    def __call__(self, value):
        if self.log:
            value, low, high = (math.log10(v) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self):
        if not self.log:
            return [self.high * i / 4 for i in range(5)]
        decades = round(math.log10(self.high / self.low))
        return [self.low * 10**i for i in range(decades + 1)]


def text(x, y, what, anchor="middle", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>'
            f"{escape(what)}</text>")


def line(x1, y1, x2, y2, colour, width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"/>')


def frame(title, x_label, y_label, x, y, x_ticks):
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(middle, 22, title, extra='font-size="15"'),
        text(middle, HEIGHT - 12, x_label),
        text(18, HEIGHT / 2, y_label, extra=f'transform="rotate(-90 18 {HEIGHT / 2:.0f})"'),
    ]
    for tick in y.ticks():
        parts.append(line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "#dddddd"))
        parts.append(text(LEFT - 6, y(tick) + 4, short(tick), "end"))
    for tick in x_ticks:
        parts.append(line(x(tick), HEIGHT - BOTTOM, x(tick), HEIGHT - BOTTOM + 5, "#555555"))
        parts.append(text(x(tick), HEIGHT - BOTTOM + 18, short(tick)))
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#555555"))
    return parts


def curve(name, points, x, y, colour, marks):
    width = 2.5 if name.startswith("rill") else 1.5
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" '
             f'stroke-width="{width}"/>']
    if marks:
        parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{colour}"/>'
                  for a, b in points]
    return parts


def chart(title, x_label, y_label, series, x_ticks=None, y_log=True, marks=True):
    """series: {name: [(x, y), ...]}, with every x above 0. rill's are thicker."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x = Axis(xs, LEFT, WIDTH - RIGHT, True, x_ticks)
    y = Axis(ys, HEIGHT - BOTTOM, TOP, y_log)
    parts = frame(title, x_label, y_label, x, y, x_ticks or x.ticks())
    names = sorted(series, key=lambda name: not name.startswith("rill"))
    for i, name in enumerate(names):
        colour = COLOURS[i % len(COLOURS)]
        parts += curve(name, series[name], x, y, colour, marks)
        key = TOP + 10 + 20 * i
        parts.append(line(WIDTH - RIGHT + 12, key - 4, WIDTH - RIGHT + 32, key - 4, colour, 3))
        parts.append(text(WIDTH - RIGHT + 38, key, name, "start"))
    return "\n".join(parts + ["</svg>", ""])
