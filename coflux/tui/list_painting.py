"""How the rows of the home screen look: what can be run, and what has been."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from coflux.display.marks import MARKS
from coflux.display.signatures import parameters_of
from coflux.display.text import duration
from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.rows import RunRow, Status
from coflux.tui.painting import Glyphs, Piece, bar, counts_text, seconds_of
from coflux.tui.runs import is_active
from coflux.tui.targets import Heading, TargetsRow
from coflux.tui.text import cell_len, clean, fit, pad
from coflux.tui.updates import RunBrief

__all__ = ["HISTORY", "ago", "duration_bars", "name_width", "paint_run", "paint_target_row", "short_value", "usual"]

HISTORY = 12  # runs of a target that are told by their marks
DAY = 86_400.0  # seconds
TIME_WIDTH = 7  # cells of a duration
AGO_WIDTH = 11  # cells of a date with its time
BAR_WIDTH = 8  # cells
LONGEST_NAME = 40  # cells
NOTED = 12  # cells from which on a problem is worth telling


# -- targets ----------------------------------------------------------------------------------------------------------


def name_width(rows: Sequence[TargetsRow], several: bool, width: int) -> int:
    """How many cells the names of these rows take, up to a third of the width."""
    names = [cell_len(clean(_name(row, several))) for row in rows if isinstance(row, TargetInfo)]
    return min(max(names, default=0), width // 3, LONGEST_NAME)


def _name(info: TargetInfo, several: bool) -> str:
    return f"{info.spec.module}/{info.spec.name}" if several else info.spec.name


def paint_target_row(
    row: TargetsRow, runs: Sequence[RunRow], names: int, several: bool, width: int, now: float, glyphs: Glyphs
) -> list[Piece]:
    """A row of the list of targets. `runs` are its newest, newest first; `names` is the width of all names."""
    match row:
        case Heading(text):
            return [(fit(f" {glyphs.rule * 2} {text} ", width, glyphs.ellipsis), "dim")]
        case ModuleError():
            return _paint_error(row, width, glyphs)
        case _:
            return _paint_target(row, runs, names, several, width, now, glyphs)


def _paint_error(error: ModuleError, width: int, glyphs: Glyphs) -> list[Piece]:
    mark = MARKS["failed"]
    place = f"{error.file.rpartition('/')[2]}:{error.line}  " if error.line else ""
    head = f" {glyphs.mark(mark)} {clean(error.module)}  "
    head = fit(head, width, glyphs.ellipsis)
    message = f"{place}{error.message.partition(chr(10))[0]}"
    return [(head, mark.style), (fit(clean(message), width - cell_len(head), glyphs.ellipsis), "red")]


def _paint_target(
    info: TargetInfo, runs: Sequence[RunRow], names: int, several: bool, width: int, now: float, glyphs: Glyphs
) -> list[Piece]:
    ending = _outcomes(runs, width, now, glyphs)
    room = width - sum(cell_len(text) for text, _ in ending)
    prefix = clean(f"{info.spec.module}/") if several else ""
    name = clean(info.spec.name)
    names = min(names, max(room - 2, 0))
    if cell_len(prefix) + cell_len(name) > names:
        prefix = fit(prefix, max(names - cell_len(name), 0), glyphs.ellipsis)
    style = "bold" if info.spec.type == "workflow" else ""
    pieces: list[Piece] = [(" ", ""), (prefix, "dim"), (fit(name, names - cell_len(prefix), glyphs.ellipsis), style)]
    taken = sum(cell_len(text) for text, _ in pieces)
    pieces.append((" " * max(names + 1 - taken, 0), ""))
    room -= max(names + 1, taken)
    full, brief = (short_value(", ".join(parameters_of(info, brief=brief))) for brief in (False, True))
    text = full if cell_len(full) + 3 <= room else brief
    shown = fit(f"  {clean(text)}" if text else "  (no parameters)", room - 1, glyphs.ellipsis)
    return [*pieces, (pad(shown, room), "dim"), *ending]


def _outcomes(runs: Sequence[RunRow], width: int, now: float, glyphs: Glyphs) -> list[Piece]:
    """The last outcome and its age, marks of those before, their durations as a duration_bars, and the usual duration:
    as much of it as there is room for."""
    marks = HISTORY if width >= 120 else 6 if width >= 70 else 0
    spark = HISTORY if width >= 120 else 6 if width >= 96 else 0
    pieces: list[Piece] = []
    if runs:
        mark = MARKS[runs[0].status]
        age = "running" if runs[0].status == "running" else ago(now - runs[0].created_at)
        pieces += [(f"{glyphs.mark(mark)} ", mark.style), (pad(age, 9), "dim")]
    else:
        pieces.append((pad("never run", 11), "dim"))
    if width < 50:
        return pieces
    shown = list(reversed(runs[:marks]))
    pieces.append((" " * (marks - len(shown)), ""))
    pieces += [(glyphs.mark(MARKS[row.status]), MARKS[row.status].style) for row in shown]
    if spark:
        line = duration_bars([seconds_of(row, now) for row in reversed(runs[:spark]) if row.finished_at], glyphs)
        pieces.append((f" {line.rjust(spark)}", "cyan"))
    typical = usual(runs)
    about = "" if typical is None else f"~{duration(typical if typical < 10 else round(typical)).replace('.0s', 's')}"
    pieces.append((f"{about:>{TIME_WIDTH + 1}} ", "dim"))
    return pieces


def usual(runs: Sequence[RunRow]) -> float | None:
    """How long a run usually takes: the median of those that have ended; `None` where none has."""
    times = sorted(
        row.finished_at - row.started_at for row in runs if row.started_at is not None and row.finished_at is not None
    )
    return times[len(times) // 2] if times else None


def duration_bars(values: Sequence[float | None], glyphs: Glyphs) -> str:
    """A cell for each value, from the axis (0) to the greatest of them."""
    levels = glyphs.levels
    greatest = max((value for value in values if value is not None), default=0.0)
    if greatest <= 0:
        return levels[0] * len(values)
    return "".join(
        " " if value is None else levels[min(int(value / greatest * len(levels)), len(levels) - 1)] for value in values
    )


# -- runs -------------------------------------------------------------------------------------------------------------


def paint_run(
    row: RunRow,
    brief: RunBrief,
    width: int,
    now: float,
    glyphs: Glyphs,
    *,
    defaults: Mapping[str, str] = {},
    module: bool = False,
) -> list[Piece]:
    """A run in one line: its state, id, target and arguments; when it began; what it is at, or why it did not succeed;
    how long it took.

    Args:
        defaults: of the target's parameters: what is one is not told.
        module: whether the target's module is told.
    """
    mark = MARKS[row.status]
    head: list[Piece] = [(f" {glyphs.mark(mark)} ", mark.style), (f"{row.id}  ", "dim")]
    seconds = seconds_of(row, now)
    taken = "" if seconds is None else duration(seconds)
    ending = (taken.rjust(TIME_WIDTH) + " ", "dim") if width >= 40 else ("", "")
    began = (pad(_began(row.created_at, now), AGO_WIDTH + 1), "dim") if width >= 60 else ("", "")
    room = max(width - sum(cell_len(text) for text, _ in (*head, began, ending)), 0)
    notes = _notes(row, brief, width, glyphs)
    wanted = sum(cell_len(text) + 1 for text, _ in notes)
    middle = min(max(room // 3, NOTED), wanted, room) if notes else 0
    if wanted and is_active(row):
        middle = min(wanted, room * 3 // 5)  # counts are of no use if they are cut
    called = _call(row, brief, defaults, module)
    calls = min(cell_len(called[0]) + cell_len(called[1]), room - middle)
    aligned = _aligned(room, width)
    calls = max(calls, min(aligned, room - middle))
    pieces = [*head, *_fitted(called, calls, glyphs), began]
    room -= calls
    for text, style in notes:
        fitted = fit(f"{text} ", room, glyphs.ellipsis)
        pieces.append((fitted, style))
        room -= cell_len(fitted)
    return [*pieces, (" " * max(room, 0), ""), ending]


def _aligned(room: int, width: int) -> int:
    """The cells for calls, so that what comes after them stands in a column."""
    return room // 2 if width < 100 else room * 3 // 5


def _call(row: RunRow, brief: RunBrief, defaults: Mapping[str, str], module: bool) -> tuple[str, str]:
    name = clean(f"{row.module}/{row.name}" if module else row.name)
    told = [(key, short_value(text)) for key, text in brief.arguments if defaults.get(key) != text]
    shown = [text if len(brief.arguments) == 1 else f"{key}={text}" for key, text in told]
    return name, f"({clean(', '.join(shown), 400)})"


def short_value(text: str) -> str:
    """A value as it was previewed, with dates and paths as they are typed."""
    text = _DATE.sub(lambda match: f"{int(match[1])}-{int(match[2]):02d}-{int(match[3]):02d}", text)
    return _PATH.sub(r"\1", text)


_DATE = re.compile(r"datetime\.date\((\d+), (\d+), (\d+)\)")
_PATH = re.compile(r"(?:Posix|PurePosix)Path\(('[^']*')\)")


def _fitted(called: tuple[str, str], cells: int, glyphs: Glyphs) -> list[Piece]:
    name = fit(called[0], cells, glyphs.ellipsis)
    arguments = fit(called[1], cells - cell_len(name) - 1, glyphs.ellipsis)
    return [(name, ""), (pad(arguments, cells - cell_len(name)), "dim")]


def _notes(row: RunRow, brief: RunBrief, width: int, glyphs: Glyphs) -> list[Piece]:
    if is_active(row):
        return _at_work(brief.steps, width, glyphs)
    if brief.problem:
        return [(clean(brief.problem, 300), "red")]
    if row.status != "succeeded":
        return [(row.status.replace("_", " "), MARKS[row.status].style)]
    return [(f"{row.steps:,} steps", "dim")] if row.steps > 1 and width >= 70 else []


def _at_work(steps: Mapping[Status, int], width: int, glyphs: Glyphs) -> list[Piece]:
    """How many steps are in which state, and what part of them has ended: the root is not counted as work."""
    total = sum(steps.values())
    if total <= 1:
        return []
    notes = [(text.rstrip(), style) for text, style in counts_text(dict(steps.items()), glyphs)]
    if width >= 90:
        done = total - steps.get("running", 0) - steps.get("queued", 0) - steps.get("suspended", 0)
        part = done / (total - 1)
        notes.append((f"{bar(part, BAR_WIDTH, glyphs)} {min(part, 1.0):4.0%}", ""))
    return notes


def _began(at: float, now: float) -> str:
    if now - at >= DAY:
        return time.strftime("%m-%d %H:%M", time.localtime(at))
    return ago(now - at)


def ago(seconds: float) -> str:
    """`now`, `40s ago`, `5m ago`, `3h ago`, `12d ago`."""
    if seconds < 5:
        return "now"
    for unit, length in (("d", DAY), ("h", 3600.0), ("m", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit} ago"
    return f"{seconds:.0f}s ago"
