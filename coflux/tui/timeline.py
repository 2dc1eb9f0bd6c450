"""When things happened, as bars: steps on their own rows of the tree, or workers on a row each, on one axis of time.
Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from coflux.executor.news import Key
from coflux.executor.rows import ExecutionRow
from coflux.tui.node import Kind, Node
from coflux.tui.painting import Glyphs, Piece, mark_of
from coflux.tui.text import cell_len
from coflux.tui.tree import RunTree

__all__ = ["Lane", "Span", "TimeWindow", "Waits", "axis", "lanes_of", "paint_bars", "paint_lane"]

SHORTEST = 0.001  # seconds that the axis spans at least
CLOSEST = 9  # cells between two marks of the axis
ZOOM = 2.0
PAN = 0.25  # of what is shown
GROWTH = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)

_NICE = (1, 2, 5)
_CLOCK = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0)

Span = tuple[float, float]
"""From when to when, in seconds since the epoch."""

Waits = Mapping[Key, Sequence[Span]]
"""When executions were seen to wait for others. Nobody notes that, so it is known of what was watched only."""


# -- which part of the time -------------------------------------------------------------------------------------------


class TimeWindow:
    """The part of a run's time that is shown: all of it, or what was zoomed to.

    Attributes:
        shown: from when to when.
        began: when the run began; what times on the axis are counted from.
    """

    def __init__(self) -> None:
        self.began = 0.0
        self._ended = SHORTEST
        self._zoomed: Span | None = None

    @property
    def shown(self) -> Span:
        return self._zoomed or (self.began, self._ended)

    @property
    def is_zoomed(self) -> bool:
        return self._zoomed is not None

    def set_run(self, began: float, finished: float | None, now: float) -> None:
        """The time of the run. One that goes on has some room for what comes, so that not every second all bars
        shrink."""
        self.began = began
        took = max((now if finished is None else finished) - began, SHORTEST)
        self._ended = began + (took if finished is not None else _roomy(took))

    def fit(self) -> None:
        self._zoomed = None

    def zoom(self, inwards: bool, around: float | None) -> None:
        """Show half as much, or twice as much: what is at `around` stays there, or what is in the middle."""
        begins, ends = self.shown
        if around is None or not begins <= around <= ends:
            around = (begins + ends) / 2
        factor = 1 / ZOOM if inwards else ZOOM
        if (ends - begins) * factor < SHORTEST:
            return
        begins, ends = around - (around - begins) * factor, around + (ends - around) * factor
        if begins <= self.began and ends >= self._ended:
            self._zoomed = None
        else:
            self._move_to(begins, ends)

    def pan(self, direction: int) -> None:
        """Show what was before or after."""
        if self._zoomed is not None:
            begins, ends = self._zoomed
            by = (ends - begins) * PAN * direction
            self._move_to(begins + by, ends + by)

    def _move_to(self, begins: float, ends: float) -> None:
        """Keep to the time of the run."""
        width = min(ends - begins, self._ended - self.began)
        begins = max(min(begins, self._ended - width), self.began)
        self._zoomed = begins, begins + width


def _roomy(seconds: float) -> float:
    power = 10.0 ** math.floor(math.log10(seconds))
    return next(power * step for step in GROWTH if power * step >= seconds * 0.999999)


# -- the axis ---------------------------------------------------------------------------------------------------------


def axis(window: TimeWindow, width: int) -> str:
    """`0s        10s       20s`: round times since the run began, as many as there is room for."""
    begins, ends = window.shown
    scale = width / (ends - begins)
    step = _step(CLOSEST / scale)
    first = math.ceil((begins - window.began) / step - 1e-9)
    last = math.floor((ends - window.began) / step + 1e-9)
    text = ""
    for number in range(first, last + 1):
        at = round((number * step + window.began - begins) * scale)
        label = _label(number * step, step)
        if at + len(label) <= width and (at > len(text) or not text):
            text = text.ljust(at) + label
    return text.ljust(width)


def _step(shortest: float) -> float:
    """The round number of seconds that is `shortest` or the next longer."""
    if shortest > _CLOCK[-1]:
        return _CLOCK[-1] * math.ceil(shortest / _CLOCK[-1])
    if shortest > 10:
        return next(step for step in _CLOCK if step >= shortest)
    power = 10.0 ** math.floor(math.log10(shortest))
    return next(power * step for step in (*_NICE, 10) if power * step >= shortest * 0.999999)


def _label(seconds: float, step: float) -> str:
    if step < 1 and seconds < 1:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(seconds, 60)
    tail = f"{rest:06.3f}".rstrip("0").rstrip(".") if rest else ""
    if minutes < 60:
        return f"{minutes:.0f}m{f'{tail}s' if tail else ''}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:.0f}h{f'{minutes:02.0f}m' if minutes or tail else ''}{f'{tail}s' if tail else ''}"


# -- bars of the tree's rows ------------------------------------------------------------------------------------------


class _Cells:
    """A row of cells that stand for parts of a window of time."""

    def __init__(self, span: Span, width: int) -> None:
        self.span = span
        self.cells: list[Piece] = [(" ", "")] * width

    def at(self, instant: float) -> int:
        """The cell of an instant; one before the first or after the last for what is not shown."""
        begins, ends = self.span
        place = math.floor((instant - begins) * len(self.cells) / max(ends - begins, 1e-9))
        return max(-1, min(place, len(self.cells)))

    def fill(self, begins: float, ends: float, text: str, style: str, *, least: int = 1) -> None:
        """Fill the cells of a span, at least so many."""
        if ends < self.span[0] or begins > self.span[1]:
            return
        first, end = max(self.at(begins), 0), self.at(ends)
        # At the very end of the window there is no cell any more: what has just begun is in the last one.
        first = min(first, len(self.cells) - least)
        for cell in range(max(first, 0), min(max(end, first + least), len(self.cells))):
            self.cells[cell] = (text, style)

    def mark(self, instant: float, text: str, style: str) -> None:
        """Mark the last cell of what ended at an instant."""
        if self.span[0] <= instant <= self.span[1] and self.cells:
            place = max(min(math.ceil((instant - self.span[0]) / self._seconds()) - 1, len(self.cells) - 1), 0)
            self.cells[place] = (text, style)

    def _seconds(self) -> float:
        return max(self.span[1] - self.span[0], 1e-9) / len(self.cells)

    def joined(self) -> list[Piece]:
        pieces: list[Piece] = []
        for text, style in self.cells:
            if pieces and pieces[-1][1] == style:
                pieces[-1] = (pieces[-1][0] + text, style)
            else:
                pieces.append((text, style))
        return pieces


def paint_bars(node: Node, waits: Waits, span: Span, width: int, now: float, glyphs: Glyphs) -> list[Piece]:
    """The attempts of a step in `width` cells: queued, running, waiting, each in the colour of how it ended, those that
    did not succeed with their mark at the end. A group is one bar, from the first to the last of its steps."""
    cells = _Cells(span, width)
    if node.kind is Kind.GROUP and node.began is not None:
        ended = now if node.unfinished or node.ended is None else node.ended
        cells.fill(node.began, ended, "▒" if glyphs.unicode else "=", "dim")
    elif node.kind is Kind.STEP:
        rows = [row for _, row in sorted(node.attempts.items())]
        for row in rows:
            begins = row.finished_at or now if row.started_at is None else row.started_at
            cells.fill(row.created_at, begins, "·" if glyphs.unicode else ".", "dim", least=0)
            if row.started_at is not None:
                _put_run(cells, row, waits, now, glyphs)
        for row in rows:
            _put_mark(cells, row, glyphs)
    return cells.joined()


def _put_mark(cells: _Cells, row: ExecutionRow, glyphs: Glyphs) -> None:
    """How it ended, if not as usual."""
    if row.finished_at is not None and row.status not in ("succeeded", "spawned"):
        mark = mark_of(row, row.status)
        cells.mark(row.finished_at, glyphs.mark(mark), mark.style)


def _put_run(cells: _Cells, row: ExecutionRow, waits: Waits, now: float, glyphs: Glyphs) -> None:
    """The time that it was with a worker, and what is known of its waiting there."""
    assert row.started_at is not None
    ended = row.finished_at is not None
    style = mark_of(row, row.status).style
    full, going = ("█", "▓") if glyphs.unicode else ("#", ">")
    cells.fill(row.started_at, row.finished_at or now, full if ended else going, style)
    for begins, ends in waits.get((row.run, row.step, row.attempt), ()):
        cells.fill(begins, ends, "░" if glyphs.unicode else "-", style.removesuffix(" bold") + " dim", least=0)


# -- lanes of workers -------------------------------------------------------------------------------------------------


class Lane(NamedTuple):
    """Worker processes one after the other, and what they executed, by the time when it began."""

    pids: Sequence[int]
    executions: Sequence[tuple[Node, ExecutionRow]]


def lanes_of(tree: RunTree) -> list[Lane]:
    """Who executed what: as many lanes as workers were there at once. A worker that came when another had gone takes
    that one's place."""
    workers: dict[int, list[tuple[Node, ExecutionRow]]] = {}
    for node in tree.nodes():
        for row in node.attempts.values():
            if row.pid is not None and row.started_at is not None:
                workers.setdefault(row.pid, []).append((node, row))
    for executions in workers.values():
        executions.sort(key=_began)
    lanes: list[tuple[list[int], list[tuple[Node, ExecutionRow]]]] = []
    for pid, executions in sorted(workers.items(), key=lambda worker: _began(worker[1][0])):
        free = next((lane for lane in lanes if _ended(lane[1][-1]) <= _began(executions[0])), None)
        if free is None:
            lanes.append(([pid], executions))
        else:
            free[0].append(pid)
            free[1].extend(executions)
    return [Lane(*lane) for lane in lanes]


def _began(execution: tuple[Node, ExecutionRow]) -> float:
    return execution[1].started_at or 0.0


def _ended(execution: tuple[Node, ExecutionRow]) -> float:
    finished = execution[1].finished_at
    return math.inf if finished is None else finished


def paint_lane(
    lane: Lane, chosen: ExecutionRow | None, waits: Waits, span: Span, width: int, now: float, glyphs: Glyphs
) -> list[Piece]:
    """What a lane executed in `width` cells, with the names of what takes long enough. `chosen` stands out."""
    cells = _Cells(span, width)
    for node, row in _visible(lane.executions, span):
        _put_run(cells, row, waits, now, glyphs)
        _put_mark(cells, row, glyphs)
        assert row.started_at is not None
        first, end = max(cells.at(row.started_at), 0), min(cells.at(row.finished_at or now), width)
        _write(cells, node.title, first, end, mark_of(row, row.status).style)
    if chosen is not None and chosen.started_at is not None:
        cells.fill(chosen.started_at, chosen.finished_at or now, "▀" if glyphs.unicode else "*", "bold")
    return cells.joined()


def _visible(executions: Iterable[tuple[Node, ExecutionRow]], span: Span) -> Iterable[tuple[Node, ExecutionRow]]:
    return [one for one in executions if _began(one) <= span[1] and _ended(one) >= span[0]]


def _write(cells: _Cells, name: str, first: int, end: int, style: str) -> None:
    """A name into a bar that has room for it. Only what is a cell each."""
    name = "".join(letter if letter.isprintable() and cell_len(letter) == 1 else "?" for letter in name[: end - first])
    if len(name) >= 3 and end - first >= len(name) + 2:
        for at, letter in enumerate(name, first + 1):
            cells.cells[at] = (letter, f"{style} reverse")
