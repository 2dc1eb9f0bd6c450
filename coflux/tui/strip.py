"""The engine in one line: what is loaded, what is busy, what it uses. The wider the line, the more it tells."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coflux.display.text import size
from coflux.executor.requests import Sampled
from coflux.tui.engine_state import EngineState
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import cell_len, clean, fit

__all__ = ["Meter", "sparkline", "strip", "workers_text"]

WORKER_MARKS = 16  # workers that are shown by a mark each
SPARKS = {True: "▁▂▃▄▅▆▇█", False: "_.-=+*#@"}  # by whether the terminal takes them
LEAST_STATE = 24  # cells of what is loaded, before anything else gets room


class Meter(NamedTuple):
    """What the dashboard itself costs: its share of a core, pictures a second, and those left out since it began."""

    cpu: float
    pictures: float
    dropped: int


def strip(
    engine: EngineState,
    title: str,
    width: int,
    glyphs: Glyphs,
    *,
    data_dir: str = "",
    notice: Piece = ("", ""),
    meter: Meter | None = None,
) -> list[Piece]:
    """The line in `width` cells. `notice` is what the dashboard itself has to say: that it is frozen, or about to
    leave. What matters less is left out where there is no room: see the order of `_figures`."""
    head: list[Piece] = [(" coflux ", "reverse"), (f" {clean(title, 80)} ", "bold")]
    if notice[0]:
        head += [(f" {clean(notice[0])} ", notice[1]), (" ", "")]
    room = width - _cells(head) - 1
    state, style = _state(engine, glyphs)
    figures = [] if engine.sample is None else _figures(engine, engine.sample, glyphs, data_dir, meter)
    least = min(cell_len(state), LEAST_STATE) if style != "red bold" else min(cell_len(state), room * 2 // 3)
    chosen: list[Sequence[Piece]] = []
    for figure in figures:
        if least + _cells(figure) + sum(map(_cells, chosen)) > room:
            break
        chosen.append(figure)
    taken = sum(map(_cells, chosen))
    shown = fit(state, room - taken, glyphs.ellipsis)
    gap = " " * max(room - taken - cell_len(shown), 0)
    return _cut([*head, (shown, style), (gap, ""), *(piece for figure in chosen for piece in figure), (" ", "")], width)


def _state(engine: EngineState, glyphs: Glyphs) -> Piece:
    """Whether there is an engine, and whether it has loaded everything."""
    if not engine.connected:
        lost = clean(engine.lost)
        return (f"! reconnecting: {lost}", "red bold") if lost else (f"{glyphs.ellipsis} connecting", "dim")
    if engine.errors:
        error, more = engine.errors[0], len(engine.errors) - 1
        cross = "✗" if glyphs.unicode else "x"
        place = f"{error.file}:{error.line}" if error.file else error.module
        others = f" and {more} more do not import" if more else ""
        return f"{cross} {clean(place)} {clean(error.message)}{others}", "red bold"
    if engine.loading:
        return f"{glyphs.ellipsis} loading", "yellow"
    at = "" if engine.loaded_at is None else time.strftime(" %H:%M:%S", time.localtime(engine.loaded_at))
    return f"{'✓' if glyphs.unicode else '+'} loaded{at}", "green"


def _figures(
    engine: EngineState, sample: Sampled, glyphs: Glyphs, data_dir: str, meter: Meter | None
) -> list[Sequence[Piece]]:
    """What is told of the engine, the most important first."""
    taken = sum(group.taken for group in sample.groups)
    places = sum(group.concurrency for group in sample.groups)
    cores = engine.cpu[-1] if engine.cpu else 0.0
    figures: list[Sequence[Piece]] = [
        [("  workers ", "dim"), (f"{taken}/{places}", "bold" if taken else "")],
        [("  queued ", "dim"), (f"{sample.queued:,}", "yellow" if sample.queued else "")],
        [("  running ", "dim"), (f"{sample.running:,}", "cyan" if sample.running else "")],
        [("  cpu ", "dim"), (f"{cores:.0%}", "")],
        [("  mem ", "dim"), (size(sample.memory), "")],
        [(" " + sparkline(list(engine.cpu)[-8:], max(places, 1), glyphs), "cyan")],
        [(" " + workers_text(taken, places, glyphs), "cyan")],
        [("  disk ", "dim"), (size(sample.main_size + sample.logs_size + sample.blobs_size), "")],
    ]
    if meter is not None:
        dropped = f" {meter.dropped} dropped" if meter.dropped else ""
        figures.append([("  ui ", "dim"), (f"{meter.cpu:.0%} {meter.pictures:.0f} fps{dropped}", "")])
    if data_dir:
        figures.append([(f"  {clean(data_dir)}", "dim")])
    return figures


def workers_text(taken: int, places: int, glyphs: Glyphs) -> str:
    """`►►►··`: a mark for each worker, as far as there are few."""
    if not 0 < places <= WORKER_MARKS:
        return ""
    busy, idle = ("►", "·") if glyphs.unicode else (">", ".")
    return busy * min(taken, places) + idle * (places - taken)


def sparkline(values: Iterable[float], most: float, glyphs: Glyphs) -> str:
    """Values from 0 to `most` as a mark each."""
    marks = SPARKS[glyphs.unicode]
    last = len(marks) - 1
    return "".join(marks[min(round(max(value, 0.0) / most * last), last)] for value in values)


def _cells(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def _cut(pieces: Sequence[Piece], width: int) -> list[Piece]:
    cut: list[Piece] = []
    for text, style in pieces:
        shown = fit(text, width, "")
        width -= cell_len(shown)
        if shown:
            cut.append((shown, style))
    return cut
