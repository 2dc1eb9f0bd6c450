"""Charts as text: what several series have in common is one picture, with an axis below and one or two beside it. Pure.

A point is a mark of its series' own. From one point to the next leads a line of dots, but none across a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from coflux.cli.lines import Painter
from coflux.display.axes import Axis, Range, Scales, Series, finite_at, range_of, scales_of, units_text
from coflux.display.axis_labels import labels, number
from coflux.display.text import fit, visible

__all__ = ["chart"]

HEIGHT = 11  # rows of the picture; odd, so that one of them is the middle
NARROWEST = 10  # columns of the picture, however narrow the terminal is
SHORTEST_KEY = 8  # cells of a series' key that its last value and range leave to it

_MARKS = ("●○■□▲△◆◇", "*o#x@+%&")  # in Unicode, in ASCII
_STYLES = ("cyan", "yellow", "green", "red", "blue")
_LINE = ("·", ".")
_FRAME = ("┤│└─", "||+-")  # beside a label, beside none, corner, below
_RIGHT = ("├│┘", "||+")


_Cell = tuple[str, int]  # a character and the index of its series


def chart(all_series: Sequence[Series], x: Axis, width: int, painter: Painter, *, unicode: bool) -> list[str]:
    """The lines of a chart, at most `width` characters wide if that is enough for a picture."""
    scales = scales_of(all_series)
    horizontal = range_of(x, [at for series in all_series for at in finite_at(series)])
    if horizontal is None:
        return _legend(all_series, scales, width, painter, unicode=unicode)
    left, right = ([_labels(axis, shown) for axis, shown in scales.values() if shown] + [[""] * HEIGHT] * 2)[:2]
    margin, beside = (max(map(len, side)) for side in (left, right))
    around = margin + 2 + (beside and beside + 3)
    columns = max(width - around, NARROWEST)
    lines = _legend(all_series, scales, columns + around, painter, unicode=unicode)
    rows = _picture(all_series, scales, horizontal, columns, unicode=unicode)
    frame, frame_right = _FRAME[not unicode], _RIGHT[not unicode]
    for row, label, label_right in zip(rows, left, right, strict=True):
        start = f"{label:>{margin}} {frame[0] if label else frame[1]}"
        end = f"{frame_right[0] if label_right else frame_right[1]} {label_right}" if beside else ""
        drawn = _drawn(row, painter)
        lines.append((start + drawn + " " * (columns - len(row)) + end).rstrip() if beside else start + drawn)
    corner = frame_right[2] if beside else ""
    lines.append(" " * (margin + 1) + frame[2] + frame[3] * columns + corner)
    return lines + [" " * (margin + 2) + line for line in _below(x, horizontal, columns)]


# -- axes -------------------------------------------------------------------------------------------------------------


def _labels(axis: Axis, shown: Range) -> list[str]:
    """The labels of the rows, from above: the ends, the middle, and the units below the upper end."""
    rows = [""] * HEIGHT
    middle = shown.upper / 2 + shown.lower / 2
    rows[0], rows[HEIGHT // 2], rows[-1] = labels((shown.upper, middle, shown.lower), axis.counts)
    if axis.units:
        rows[0] = f"{rows[0]} {units_text(axis)}"
    return rows


def _below(axis: Axis, shown: Range, columns: int) -> list[str]:
    """The labels of the x-axis: its ends, with the units between them if there is room; below each other if there is
    not even room for both."""
    lower, upper = (fit(label, columns, "") for label in labels((shown.lower, shown.upper), axis.counts))
    between = columns - len(lower) - len(upper)
    if between < 1:
        return [lower, f"{upper:>{columns}}"]
    units = visible(axis.units)
    return [f"{lower}{units if len(units) + 2 <= between else '':^{between}}{upper}"]


# -- the picture ------------------------------------------------------------------------------------------------------


def _picture(
    all_series: Sequence[Series],
    scales: Scales,
    horizontal: Range,
    columns: int,
    *,
    unicode: bool,
) -> list[list[_Cell | None]]:
    rows: list[list[_Cell | None]] = [[None] * columns for _ in range(HEIGHT)]
    lines: dict[tuple[int, int], _Cell] = {}
    for index, series in enumerate(all_series):
        vertical = scales[series.scale][1]
        if vertical is None:
            continue
        mark = _MARKS[not unicode][index % len(_MARKS[0])]
        before: tuple[int, int] | None = None
        for at, value in zip(series.at, series.values, strict=True):
            if not isfinite(value):
                before = None
                continue
            column, row = horizontal.cell(at, columns), HEIGHT - 1 - vertical.cell(value, HEIGHT)
            if before is not None:
                for place in _between(before, (column, row)):
                    lines.setdefault(place, (_LINE[not unicode], index))
            before = column, row
            if 0 <= column < columns and 0 <= row < HEIGHT and rows[row][column] is None:
                rows[row][column] = mark, index
    for (column, row), cell in lines.items():
        if 0 <= column < columns and 0 <= row < HEIGHT and rows[row][column] is None:
            rows[row][column] = cell
    return rows


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The cells on the way from one to another."""
    across, down = end[0] - start[0], end[1] - start[1]
    steps = max(abs(across), abs(down))
    for step in range(1, steps):
        yield start[0] + round(across * step / steps), start[1] + round(down * step / steps)


def _drawn(row: list[_Cell | None], painter: Painter) -> str:
    """The row as text, without the blanks at its end."""
    while row and row[-1] is None:
        row.pop()
    return "".join(" " if cell is None else painter.paint(cell[0], _style(cell[1])) for cell in row)


def _style(index: int) -> str:
    return _STYLES[index % len(_STYLES)]


def _legend(
    all_series: Sequence[Series],
    scales: Scales,
    width: int,
    painter: Painter,
    *,
    unicode: bool,
) -> list[str]:
    """A line for each series: its mark, its key, its last value and where it lies; and its scale where there is none
    beside the picture."""
    ellipsis = "…" if unicode else "..."
    beside = [name for name, (_, shown) in scales.items() if shown is not None][:2]
    lines = []
    for index, series in enumerate(all_series):
        mark = painter.paint(_MARKS[not unicode][index % len(_MARKS[0])], _style(index))
        told = _told(series)
        if len(scales) > 1 and scales[series.scale][1] is not None:
            told += f"  ({_side(series.scale, beside, scales)})"
        key = fit(visible(series.key), max(width - 4 - len(told), SHORTEST_KEY), ellipsis)
        lines.append(f"{mark} {fit(f'{key}  {told}', width - 2, ellipsis)}")
    return lines


def _told(series: Series) -> str:
    """Its last value, and where it lies."""
    finite = [value for value in series.values if isfinite(value)]
    if not finite:
        return "gaps only" if series.values else "no values"
    units = f" {units_text(series.axis)}" if series.axis.units else ""
    return f"last {number(series.values[-1])}{units}, {number(min(finite))} to {number(max(finite))}"


def _side(name: str, beside: list[str], scales: Scales) -> str:
    if name in beside:
        return ("left", "right")[beside.index(name)] + " axis"
    axis, shown = scales[name]
    assert shown is not None
    lower, upper = labels((shown.lower, shown.upper), axis.counts)
    return f"drawn from {lower} to {upper}"
