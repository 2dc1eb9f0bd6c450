"""How runs look in the narrow list beside the one that is open. Pure."""

from __future__ import annotations

from coflux.display.text import duration
from coflux.executor.rows import RunRow
from coflux.tui.painting import Glyphs, Piece, mark_of, seconds_of
from coflux.tui.text import cell_len, clean, fit, pad

__all__ = ["paint_rail_row"]

RAIL_TIME = 6  # cells


def paint_rail_row(row: RunRow, is_open: bool, width: int, now: float, glyphs: Glyphs) -> list[Piece]:
    """A run in a few cells: state, id, target and how long it took. The one that is open stands out."""
    mark = mark_of(None, row.status)
    seconds = seconds_of(row, now)
    taken = f"{'' if seconds is None else duration(seconds):>{RAIL_TIME}} "
    room = width - cell_len(row.id) - len(taken) - 4
    name = fit(clean(row.name), room, glyphs.ellipsis)
    return [
        (f" {glyphs.mark(mark)} ", mark.style),
        (f"{row.id} ", "bold" if is_open else "dim"),
        (pad(name, max(room, cell_len(name))), "bold" if is_open else ""),
        (taken, "dim"),
    ]
