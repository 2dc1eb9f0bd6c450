"""Charts for the screen: lines in quadrants of cells, a colour and a mark for each series, axes with shared scales.

loss                                   the name, and where the cursor is
● train 0.4132     ○ held back 0.52    a legend with the last values, or those at the cursor
2.5 ┤▙▄
    │ ▀▀▄▄▖                            a cell that several lines share has the colour of the first of them
  0 ┤     ▝▀▀▀●
    └──────────
     0    20    40
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, isfinite

from coflux.display.axes import Axis, Range, Scales, Series, scales_of, units_text
from coflux.display.axis_labels import labels, number
from coflux.display.bars import bar, progress_text
from coflux.executor.series import Progress
from coflux.tui.details import Line
from coflux.tui.metrics import Chart
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import cell_len, clean, fit, pad
from coflux.tui.ticks import rounded, ticks

__all__ = ["SHORTEST", "STYLES", "paint_bars", "paint_chart"]

STYLES = ("cyan", "yellow", "magenta", "green", "blue", "red", "bold", "dim")  # of the series
_MARKS = ("●○■□▲△◆◇", "*o#x@+%&")  # in Unicode, in ASCII
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"  # by the sum of 1, 2 (above), 4 and 8 (below)
LEGEND = 4  # lines
SHORTEST = 12  # lines of a chart
MOST_TICKS = 6  # of a y-axis
TICK = 9  # cells from one label of an x-axis to the next, at least
FARTHEST = 1e4  # pictures that a point is away from this one

_Grid = list[bytearray]
"""For each place of the picture one more than the index of the series that is there; 0 for none."""


def paint_chart(chart: Chart, width: int, height: int, glyphs: Glyphs, *, chosen: bool = False) -> list[Line]:
    """The lines of a chart, `height` of them if that is enough for a picture, in `width` cells."""
    scales = scales_of(_in_view(chart))
    lines: list[Line] = [_title(chart, width, glyphs, chosen), *_legend(chart, scales, width, glyphs)]
    if chart.shown is None:
        lines.append([("  no points yet", "dim")])
        return lines
    rows = max(height - len(lines) - 2, 3)
    scale = 2 if glyphs.unicode else 1  # places of the grid in a cell, each way
    drawn, sides = {}, []
    for name, (axis, extent) in scales.items():
        if extent is not None:
            drawn[name], places = rounded(axis, extent, min(rows // 3 + 1, MOST_TICKS))
            sides.append(_side_labels(axis, drawn[name], places, rows, scale))
    left, right = (sides + [[""] * rows] * 2)[:2]
    margin, beside = (max(map(cell_len, side)) for side in (left, right))
    columns = max(width - margin - 2 - (beside + 2 if beside else 0), 1)
    picture = _picture(chart, drawn, columns, rows, glyphs)
    for row, label, label_right in zip(picture, left, right, strict=True):
        tick = (glyphs.tick if label else glyphs.upright, "dim")
        end = [(glyphs.tick_right if label_right else glyphs.upright, "dim"), (f" {label_right}", "dim")]
        lines.append([(f"{' ' * (margin - cell_len(label))}{label} ", "dim"), tick, *row, *(end if beside else ())])
    corner = glyphs.corner_right if beside else ""
    lines.append([(" " * (margin + 1) + glyphs.corner + glyphs.rule * columns + corner, "dim")])
    lines.append([(" " * (margin + 2) + _below(chart.x, chart.shown, columns), "dim")])
    return lines


def _in_view(chart: Chart) -> list[Series]:
    """The series, with those points only that are looked at: the y-axes are about these."""
    shown = chart.excerpt.shown
    if shown is None:
        return list(chart.series)
    cut = []
    for series in chart.series:
        inside = [
            point for point in zip(series.at, series.values, strict=True) if shown.lower <= point[0] <= shown.upper
        ]
        cut.append(series._replace(at=[at for at, _ in inside], values=[value for _, value in inside]))
    return cut


# -- above the picture ------------------------------------------------------------------------------------------------


def _title(chart: Chart, width: int, glyphs: Glyphs, chosen: bool) -> Line:
    notes = [f"over {clean(chart.x.units, 40)}"] if chart.x.units else []
    shown, cursor = chart.shown, chart.excerpt.cursor
    if cursor is not None and shown is not None:
        at = labels((cursor, shown.lower, shown.upper), chart.x.counts)[0]
        notes.append(f"at {at}")
    if chart.excerpt.shown is not None:
        notes.append("zoomed")
    if chart.more:
        notes.append(f"and {chart.more:,} more")
    note = f"  {', '.join(notes)}" if notes else ""
    name = fit(clean(chart.name.name), max(width - cell_len(note) - 1, width // 3), glyphs.ellipsis)
    note = fit(note, width - cell_len(name) - 2, glyphs.ellipsis)
    return [(f" {name} ", "bold reverse" if chosen else "bold"), (note, "dim")]


def _legend(chart: Chart, scales: Scales, width: int, glyphs: Glyphs) -> list[Line]:
    """The series one after the other; where that takes too many lines, their keys are cut."""
    told = [_told(chart, index, scales) for index in range(len(chart.series))]
    keys = [clean(series.key) for series in chart.series]
    across = -(-len(told) // LEGEND) or 1  # entries in a line, so that all are shown
    lines = _flowing(keys, told, width, width, glyphs)
    if len(lines) > LEGEND:
        lines = _flowing(keys, told, width, width // across, glyphs)
    return lines


def _flowing(keys: Sequence[str], told: Sequence[str], width: int, longest: int, glyphs: Glyphs) -> list[Line]:
    lines: list[list[Piece]] = []
    room = 0
    for index, (key, text) in enumerate(zip(keys, told, strict=True)):
        shown = fit(text, longest - 6, glyphs.ellipsis)
        name = fit(key, max(longest - 6 - cell_len(shown), 1), glyphs.ellipsis)
        taken = cell_len(name) + cell_len(shown) + 4
        if taken > room:
            lines.append([])
            room = width
        else:
            lines[-1].append((" ", ""))
        style = STYLES[index % len(STYLES)]
        lines[-1] += [(f" {_mark(index, glyphs)} ", style), (name, ""), (f" {shown}", "bold")]
        room -= taken + 1
    return list(lines)


def _told(chart: Chart, index: int, scales: Scales) -> str:
    """The last value of a series, or the one at the cursor, and what is special about it."""
    series, cursor = chart.series[index], chart.excerpt.cursor
    value: float | None = chart.last[index]
    if cursor is not None:
        point = chart.value_at(index, cursor)
        value = None if point is None else point[1]
    units = f" {units_text(series.axis)}" if series.axis.units else ""
    text = "-" if value is None else f"{number(value)}{units}"
    if any(not isfinite(one) for one in series.values):
        text += " (gaps)" if any(map(isfinite, series.values)) else " (gaps only)"
    drawn = [name for name, (_, extent) in scales.items() if extent is not None]
    if len(drawn) > 2 and series.scale in drawn[2:]:
        axis, extent = scales[series.scale]
        assert extent is not None
        text += f" ({'-'.join(labels((extent.lower, extent.upper), axis.counts))})"
    elif len(drawn) == 2 and series.scale == drawn[1]:
        text += " (right)"
    return text


def _mark(index: int, glyphs: Glyphs) -> str:
    return _MARKS[not glyphs.unicode][index % len(_MARKS[0])]


# -- beside and below it ----------------------------------------------------------------------------------------------


def _side_labels(axis: Axis, shown: Range, places: Sequence[float], rows: int, scale: int) -> list[str]:
    """The labels of a y-axis, one for each row of the picture."""
    side = [""] * rows
    height = rows * scale
    for tick, label in zip(places, labels(places, axis.counts), strict=True):
        side[int(height - 1 - _place(shown, tick, height) + 0.5) // scale] = label
    if axis.units:
        highest = next((row for row, label in enumerate(side) if label), 0)
        side[highest] = f"{side[highest]} {units_text(axis)}".strip()
    return side


def _below(axis: Axis, shown: Range, columns: int) -> str:
    """The labels of the x-axis, each below its place as far as there is room."""
    places = ticks(shown, max(columns // TICK, 2), axis.counts)
    line = ""
    for tick, label in zip(places, labels(places, axis.counts), strict=True):
        start = min(max(round(_place(shown, tick, columns)) - len(label) // 2, 0), columns - len(label))
        if start >= (len(line) + 2 if line else 0):
            line = line.ljust(start) + label
    return line


# -- the picture ------------------------------------------------------------------------------------------------------


def _picture(chart: Chart, scales: Mapping[str, Range], columns: int, rows: int, glyphs: Glyphs) -> list[list[Piece]]:
    """The rows of the picture, in pieces."""
    assert chart.shown is not None
    scale = 2 if glyphs.unicode else 1
    grid = [bytearray(columns * scale) for _ in range(rows * scale)]
    marks: dict[tuple[int, int], int] = {}
    for index in reversed(range(len(chart.series))):  # the first is on top
        extent = scales.get(chart.series[index].scale)
        if extent is not None:
            _draw(grid, chart, index, extent, marks, scale)
    cursor = chart.excerpt.cursor
    column = None if cursor is None else min(max(_place(chart.shown, cursor, columns), 0), columns - 1)
    cells = _quadrant_cells(grid, glyphs) if glyphs.unicode else _ascii_cells(grid, glyphs)
    for row, line in enumerate(cells):
        if column is not None and line[round(column)][0] == " ":
            line[round(column)] = (glyphs.upright, "dim")
        for at, cell in enumerate(line):
            if (row, at) in marks:
                index = marks[row, at]
                line[at] = (_mark(index, glyphs), STYLES[index % len(STYLES)])
            elif cell[0] == "":
                line[at] = (" ", "")
    return [_joined(line) for line in cells]


def _place(shown: Range, value: float, places: int) -> float:
    """Where on `places` a value is; beyond them, not much further than it is drawn."""
    share = shown.share(value)
    if not -FARTHEST < share < FARTHEST:
        share = FARTHEST if share > 0 else -FARTHEST
    return share * (places - 1)


def _draw(grid: _Grid, chart: Chart, index: int, extent: Range, marks: dict[tuple[int, int], int], scale: int) -> None:
    """Draw a series: a line from point to point, none across a gap; a mark at its last point, or at the cursor."""
    assert chart.shown is not None
    series, width, height = chart.series[index], len(grid[0]), len(grid)
    before: tuple[float, float] | None = None
    column, upper, lower = -1, 0.0, 0.0  # where the last points were, and from where to where
    last: tuple[float, float] | None = None
    for at, value in zip(series.at, series.values, strict=True):
        if not isfinite(value) or not isfinite(at):
            before = None
            continue
        x, y = _place(chart.shown, at, width), height - 1 - _place(extent, value, height)
        if -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5:
            last = x, y
        here = floor(x + 0.5)
        if before is not None and here == column:  # of many points above each other, only the ends are drawn
            upper, lower = min(upper, y), max(lower, y)
        else:
            _line(grid, index + 1, (column, upper), (column, lower))
            _line(grid, index + 1, before or (x, y), (x, y))
            column, upper, lower = here, y, y
        before = x, y
    _line(grid, index + 1, (column, upper), (column, lower))
    if chart.excerpt.cursor is not None:
        point = chart.value_at(index, chart.excerpt.cursor)
        last = None
        if point is not None:
            last = _place(chart.shown, point[0], width), height - 1 - _place(extent, point[1], height)
    if last is not None and -0.5 <= last[1] <= height - 0.5:
        marks[floor(last[1] + 0.5) // scale, floor(last[0] + 0.5) // scale] = index


def _line(grid: _Grid, pen: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw from one place to another, as far as that is in the picture: in each column what the line crosses there."""
    (x0, y0), (x1, y1) = (start, end) if start < end else (end, start)
    first, last = max(floor(x0 + 0.5), 0), min(floor(x1 + 0.5), len(grid[0]) - 1)
    slope = (y1 - y0) / (x1 - x0) if x1 - x0 > 1e-9 else 0.0
    for column in range(first, last + 1):
        if slope or first != last:
            enters = y0 + slope * (max(column - 0.5, x0) - x0)
            leaves = y0 + slope * (min(column + 0.5, x1) - x0)
        else:
            enters, leaves = y0, y1
        upper, lower = (enters, leaves) if enters < leaves else (leaves, enters)
        for row in range(max(floor(upper + 0.5), 0), min(floor(lower + 0.5), len(grid) - 1) + 1):
            grid[row][column] = pen


def _quadrant_cells(grid: _Grid, glyphs: Glyphs) -> list[list[Piece]]:
    cells = []
    for above, below in zip(grid[::2], grid[1::2], strict=True):
        line: list[Piece] = []
        for column in range(0, len(above), 2):
            four = above[column], above[column + 1], below[column], below[column + 1]
            if not any(four):
                line.append((" ", ""))
                continue
            pen = min(filter(None, four))
            pattern = sum(bit for bit, one in zip((1, 2, 4, 8), four, strict=True) if one)
            line.append((_QUADRANTS[pattern], STYLES[(pen - 1) % len(STYLES)]))
        cells.append(line)
    return cells


def _ascii_cells(grid: _Grid, glyphs: Glyphs) -> list[list[Piece]]:
    return [
        [(_mark(pen - 1, glyphs), STYLES[(pen - 1) % len(STYLES)]) if pen else (" ", "") for pen in row] for row in grid
    ]


def _joined(cells: Sequence[Piece]) -> list[Piece]:
    pieces: list[Piece] = []
    for text, style in cells:
        if pieces and pieces[-1][1] == style:
            pieces[-1] = (pieces[-1][0] + text, style)
        else:
            pieces.append((text, style))
    return pieces


# -- progress ---------------------------------------------------------------------------------------------------------

LONGEST_BAR = 30  # cells
SHORTEST_BAR = 5


def paint_bars(told: Sequence[tuple[str, Progress]], more: int, width: int, glyphs: Glyphs) -> list[Line]:
    """A line for each progress: what it is of, a bar if the end is known, and words."""
    keys = [fit(clean(key), max(width // 3, 1), glyphs.ellipsis) for key, _ in told]
    texts = [progress_text(progress) for _, progress in told]
    margin = max(map(cell_len, keys), default=0) + 1
    cells = min(width - margin - 4 - max(map(len, texts), default=0), LONGEST_BAR)
    lines: list[Line] = []
    for key, text, (_, progress) in zip(keys, texts, told, strict=True):
        pieces: list[Piece] = [(f" {pad(key, margin)} ", "")]
        if progress.fraction is not None and cells >= SHORTEST_BAR:
            style = "green" if progress.complete else "cyan"
            pieces.append((f"{bar(progress.fraction, cells, unicode=glyphs.unicode)}  ", style))
        pieces.append((fit(text, width - margin - 2, glyphs.ellipsis), "dim"))
        lines.append(pieces)
    if more:
        lines.append([(f" and {more:,} more", "dim")])
    return lines
