"""The list of runs as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from coflux.executor.rows import RunRow, Status
from coflux.tui.updates import RunsRead, Update

__all__ = ["RunsModel"]


class RunsModel:
    """The newest runs, newest first.

    Attributes:
        shown: those that pass the filter, after `layout`.
        counts: how many runs there are in which state, listed or not.
        show: states that pass; `None` for all.
        text: what must be in the id, the target or the state.
    """

    def __init__(self) -> None:
        self.shown: list[RunRow] = []
        self.counts: Mapping[Status, int] = {}
        self.show: frozenset[str] | None = None
        self.text = ""
        self._rows: dict[str, RunRow] = {}
        self._changed = True  # `shown` has to be worked out anew

    def take(self, update: Update) -> None:
        if isinstance(update, RunsRead):
            self._rows = {row.id: row for row in update.rows}
            self.counts = update.counts
            self._changed = True

    def filter(self, states: frozenset[str] | None, text: str) -> None:
        self.show, self.text, self._changed = states, text.lower(), True

    def layout(self) -> bool:
        """Bring `shown` up to date. Returns whether anything has changed."""
        if not self._changed:
            return False
        self._changed = False
        self.shown = [row for row in self._rows.values() if self._passes(row)]
        return True

    def _passes(self, row: RunRow) -> bool:
        if self.show is not None and row.status not in self.show:
            return False
        return not self.text or self.text in f"{row.id} {row.module}/{row.name} {row.status}".lower()

    def of_target(self, module: str, name: str, limit: int) -> list[RunRow]:
        """The newest runs of a target, newest first."""
        rows = [row for row in self._rows.values() if (row.module, row.name) == (module, name)]
        return rows[:limit]

    def newest(self, limit: int) -> list[RunRow]:
        """The newest runs, newest first, whatever is filtered."""
        return list(islice(self._rows.values(), limit))

    def get(self, run: str) -> RunRow | None:
        return self._rows.get(run)

    def __iter__(self) -> Iterator[RunRow]:
        """All that are listed, newest first."""
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)
