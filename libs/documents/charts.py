"""Charts as SVG, alike on a page and in print: a line within bounds, bars from the largest, a field of shades."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from libs.documents.document import Bars, Chart, Course, Heat, Trend, shown, storable


@dataclass(frozen=True)
class Style:
    """Colours, and the names of fonts. On a page they are the page's own, so that a dark page has dark charts."""

    ink: str
    quiet: str
    rule: str
    band: str
    accent: str
    mark: str
    font: str


PAGE = Style("var(--ink)", "var(--quiet)", "var(--rule)", "var(--band)", "var(--accent)", "var(--mark)", "inherit")

SMALL, WIDE, WHOLE = 300, 420, 860
"""Widths of lines over time, of which three stand beside each other on paper; of other charts, of which two do; and of
courses, which have a page's width."""
TEXT = 11
"""Height of letters, in the same units: readable at these widths on a telephone and on paper."""


def draw(chart: Chart, style: Style, name: str) -> str:
    """One chart. `name` makes the ids of its title and description unique on a page."""
    width = {Trend: SMALL, Course: WHOLE}.get(type(chart), WIDE)
    match chart:
        case Trend():
            height, parts, told = _trend(chart, style)
        case Bars():
            height, parts, told = _bars(chart, style)
        case Heat():
            height, parts, told = _heat(chart, style)
        case Course():
            height, parts, told = _course(chart, style)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc" font-family="{style.font}" font-size="{TEXT}">'
        f'<title id="{name}-title">{_escape(chart.title)}</title><desc id="{name}-desc">{_escape(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _trend(chart: Trend, style: Style) -> tuple[int, list[str], str]:
    height, top, bottom, right = 112, 10, 92, SMALL - 8
    known = [one for one in (*chart.values, *chart.minimum, *chart.maximum) if one is not None]
    low, high, ticks = _scale(float(min(known)), float(max(known)))
    digits = max((-int(one.as_tuple().exponent) for one in chart.values if one is not None), default=0)
    labels = [_tick(tick, ticks[1] - ticks[0], digits) for tick in ticks]
    left = 8 + max(_width(label) for label in labels)
    step = (right - left) / max(1, len(chart.labels) - 1)

    def x(place: float) -> float:
        return left + step * place

    def y(value: Decimal | float) -> float:
        return bottom - (float(value) - low) / (high - low) * (bottom - top)

    parts = []
    if any(one is not None for one in (*chart.minimum, *chart.maximum)):
        parts.append(_band(chart, style, x, y, top, bottom))
    for tick, label in zip(ticks, labels, strict=True):
        parts.append(_line(left, y(tick), right, y(tick), style.rule))
        parts.append(_text(left - 5, y(tick) + 4, label, style.quiet, "end"))
    every = max(1, math.ceil(len(chart.labels) / 6))
    for place in range(0, len(chart.labels), every):
        anchor = "start" if place == 0 else "middle"
        parts.append(_text(x(place), height - 4, _short(chart.labels[place]), style.quiet, anchor))
    points = [(x(place), y(value)) for place, value in enumerate(chart.values) if value is not None]
    path = " ".join(f"{'L' if i else 'M'}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(points))
    parts.append(f'<path d="{path}" fill="none" stroke="{style.accent}" stroke-width="1.8" stroke-linejoin="round"/>')
    for place, value in enumerate(chart.values):
        if value is None:
            continue
        missed = place in chart.missed
        last = place == max(i for i, one in enumerate(chart.values) if one is not None)
        if missed or last or len(points) <= 12:
            colour = style.mark if missed else style.accent
            parts.append(f'<circle cx="{x(place):.1f}" cy="{y(value):.1f}" r="2.6" fill="{colour}"/>')
    values = [value for value in chart.values if value is not None]
    told = (
        f"{len(values)} values from {chart.labels[0]} to {chart.labels[-1]}, between {shown(min(values))} and "
        f"{shown(max(values))}{' ' + chart.unit if chart.unit else ''}; the last is {shown(values[-1])}. "
        f"{len(chart.missed)} lie outside the target."
    )
    return height, parts, told


def _band(
    chart: Trend,
    style: Style,
    x: Callable[[float], float],
    y: Callable[[Decimal], float],
    top: float,
    bottom: float,
) -> str:
    """Where the line should be: the shaded side of each bound, or what lies between the two."""
    upper, lower = [], []
    for place in range(len(chart.labels)):
        minimum, maximum = chart.minimum[place], chart.maximum[place]
        if minimum is None and maximum is None:
            continue
        upper.append((x(place), y(maximum) if maximum is not None else top))
        lower.append((x(place), y(minimum) if minimum is not None else bottom))
    if len(upper) == 1:
        upper, lower = [(x(0), upper[0][1]), (x(1), upper[0][1])], [(x(0), lower[0][1]), (x(1), lower[0][1])]
    outline = " ".join(f"{px:.1f},{py:.1f}" for px, py in (*upper, *reversed(lower)))
    return f'<polygon points="{outline}" fill="{style.band}"/>'


def _bars(chart: Bars, style: Style) -> tuple[int, list[str], str]:
    row, top = 20, 4
    left = min(WIDE * 0.5, 12 + max((_width(label) for label in chart.labels), default=0))
    room = WIDE - left - 44
    most = max((float(value) for value in chart.values), default=1.0) or 1.0
    parts = []
    for place, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        y = top + place * row
        length = max(1.0, float(value) / most * room)
        colour = style.mark if place in chart.marked else style.accent
        parts.append(_text(left - 6, y + 13, _cut(label, left - 8), style.ink, "end"))
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="13" rx="1.5" fill="{colour}"/>')
        parts.append(_text(left + length + 5, y + 13, shown(value), style.ink, "start"))
    told = "; ".join(
        f"{label}: {shown(value)} {chart.unit}{' (marked)' if place in chart.marked else ''}"
        for place, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True))
    )
    return top * 2 + row * len(chart.labels), parts, told


def _heat(chart: Heat, style: Style) -> tuple[int, list[str], str]:
    row = 20
    left = min(WIDE * 0.4, 12 + max((_width(label) for label in chart.rows), default=0))
    cell = (WIDE - left - 4) / max(1, len(chart.columns))
    known = [float(value) for line in chart.values for value in line if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    texts = [[shown(value) if value is not None else "" for value in line] for line in chart.values]
    if any(_width(text) > cell - 2 for line in texts for text in line):
        texts = [[shown(round(value)) if value is not None else "" for value in line] for line in chart.values]
    headings = [_wrapped(label, cell - 2) for label in chart.columns]
    top = 6 + 13 * max((len(lines) for lines in headings), default=0)
    parts = []
    for place, lines in enumerate(headings):
        bold = ' font-weight="700"' if place in chart.marked else ""
        colour = style.ink if bold else style.quiet
        for i, text in enumerate(reversed(lines)):
            parts.append(_text(left + cell * (place + 0.5), top - 6 - 13 * i, text, colour, "middle", bold))
    for i, (label, line) in enumerate(zip(chart.rows, chart.values, strict=True)):
        y = top + i * row
        parts.append(_text(left - 6, y + 14, _cut(label, left - 8), style.ink, "end"))
        for place, value in enumerate(line):
            if value is None:
                continue
            missed = chart.missed is not None and (i, place) in chart.missed
            plain = chart.missed is not None or high == low
            strength = 0.35 if missed else 0.12 if plain else 0.08 + 0.55 * (float(value) - low) / (high - low)
            parts.append(
                f'<rect x="{left + cell * place + 1:.1f}" y="{y + 1}" width="{cell - 2:.1f}" height="{row - 2}" rx="2" '
                f'fill="{style.mark if missed else style.accent}" fill-opacity="{strength:.2f}"/>'
            )
            if _width(texts[i][place]) <= cell - 2:
                parts.append(_text(left + cell * (place + 0.5), y + 14, texts[i][place], style.ink, "middle"))
    told = f"{chart.legend}: {len(known)} fields, from {low:g} to {high:g}."
    if chart.marked:
        told += f" Marked: {', '.join(chart.columns[place] for place in sorted(chart.marked))}."
    if chart.missed:
        names = (f"{chart.columns[place]}: {chart.rows[i]}" for i, place in sorted(chart.missed))
        told += f" Missed: {'; '.join(names)}."
    return top + row * len(chart.rows) + 4, parts, told


def _course(chart: Course, style: Style) -> tuple[int, list[str], str]:
    row, top, right = 24, 4, WHOLE - 30
    left = min(WHOLE * 0.3, 20 + max((_width(label) for label in chart.lines), default=0))
    known = [day for line in chart.days for day in line]
    first, last = min(known, default=date.min), max(known, default=date.min)
    bottom = top + row * len(chart.lines)

    def x(day: date) -> float:
        return left + (right - left) * ((day - first).days / ((last - first).days or 1))

    parts = []
    for day in _ticks(first, last) if known else ():
        parts.append(_line(x(day), top, x(day), bottom, style.rule))
        parts.append(_text(x(day), bottom + 15, day.isoformat(), style.quiet, "middle"))
    for place, (label, days) in enumerate(zip(chart.lines, chart.days, strict=True)):
        y = top + row * (place + 0.5)
        parts.append(_text(left - 20, y + 4, _cut(label, left - 20), style.ink, "end"))
        parts.append(_line(left, y, right, y, style.rule))
        for day in sorted(set(days)):
            colour = style.mark if (place, day) in chart.marked else style.accent
            parts.append(f'<circle cx="{x(day):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    told = "; ".join(
        f"{label}: {', '.join(day.isoformat() for day in sorted(set(days))) or 'nothing'}"
        for label, days in zip(chart.lines, chart.days, strict=True)
    )
    return bottom + 20, parts, told


def _ticks(first: date, last: date) -> list[date]:
    """The first day and, as far as there is room between them, six more, the last among them."""
    days = (last - first).days
    many = min(6, days)
    return [first, *(first + timedelta(days=round(days * place / many)) for place in range(1, many + 1))]


def _scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Ends at round numbers that hold every value, and two to five round numbers from one to the other."""
    if high == low:
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    rough = (high - low) / 3
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, last * step, [step * place for place in range(first, last + 1)]


def _tick(value: float, step: float, digits: int) -> str:
    needed = max(0, -math.floor(math.log10(step) + 1e-9))
    if step * 10**needed % 1 > 1e-9:  # 2.5, 0.25
        needed += 1
    return f"{value:,.{min(needed, max(digits, 2))}f}".replace("-", "−")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="0.8"/>'


def _text(x: float, y: float, text: str, colour: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}"{more}>{_escape(text)}</text>'


def _escape(text: str) -> str:
    return html.escape(storable(text))


def _short(label: str) -> str:
    """A day without its year and month, a month without its year."""
    return label[8:] if len(label) == 10 else label[5:] if len(label) == 7 else label


def _width(text: str) -> float:
    """Roughly; characters of Chinese and its like are as wide as they are high."""
    return sum(TEXT if ord(character) >= 0x2E80 else TEXT * 0.6 for character in text)


def _wrapped(text: str, room: float) -> list[str]:
    """On one line or two."""
    if _width(text) <= room or " " not in text:
        return [_cut(text, room)]
    words = text.split()
    first = max((i for i in range(1, len(words)) if _width(" ".join(words[:i])) <= room), default=1)
    return [_cut(" ".join(words[:first]), room), _cut(" ".join(words[first:]), room)]


def _cut(text: str, room: float) -> str:
    if _width(text) <= room:
        return text
    while text and _width(text) > room - TEXT * 0.6:
        text = text[:-1]
    return f"{text.rstrip()}…" if text else ""
