"""Which runs have ended since the last look."""

from __future__ import annotations

from collections.abc import Iterable

from coflux.executor.rows import RunRow
from coflux.tui.painting import Glyphs, mark_of
from coflux.tui.text import clean
from coflux.tui.tree import PROBLEMS, UNFINISHED

__all__ = ["Endings", "describe_endings"]


class Endings:
    """Remembers which runs were unfinished. Child runs are their parents' business."""

    def __init__(self) -> None:
        self._unfinished: set[str] = set()

    def take(self, rows: Iterable[RunRow]) -> list[RunRow]:
        """Those that had not ended the last time, and have now."""
        ended = []
        for row in rows:
            if row.status in UNFINISHED:
                if row.parent is None:
                    self._unfinished.add(row.id)
            elif row.id in self._unfinished:
                self._unfinished.remove(row.id)
                ended.append(row)
        return ended


def describe_endings(ended: list[RunRow], glyphs: Glyphs) -> tuple[str, bool]:
    """One line on runs that have ended, and whether any of them is a problem."""
    failed = sum(row.status in PROBLEMS for row in ended)
    if len(ended) == 1:
        row = ended[0]
        mark = glyphs.mark(mark_of(None, row.status))
        return f"{mark} {clean(f'{row.module}/{row.name}')} {row.status.replace('_', ' ')} ({row.id})", bool(failed)
    return f"{len(ended)} runs have ended" + (f", {failed} of them badly" if failed else ""), bool(failed)
