"""The newest runs of a store, kept current: what a list of runs shows, read again only where something has changed."""

from __future__ import annotations

from collections.abc import Collection

from coflux.executor.history import History
from coflux.executor.rows import RunRow, Status

__all__ = ["RunList"]


class RunList:
    """The runs that nobody's code started, newest first, as many as were asked for."""

    def __init__(self, history: History, page: int = 100, workspace: str | None = None) -> None:
        """
        Args:
            page: how many are there at first, and how many more with each `extend`.
            workspace: only its runs; `None` for those of all.
        """
        self._history = history
        self._page = page
        self._workspace = workspace
        self._wanted = page
        self._rows: dict[str, RunRow] = {}  # newest first
        self._steps: dict[str, dict[Status, int]] = {}  # of runs that have settled

    @property
    def rows(self) -> list[RunRow]:
        """The runs as they were read last, newest first."""
        return list(self._rows.values())

    def update(self, changed: Collection[str] | None = None) -> bool:
        """Read what has changed. Return whether that is anything.

        Args:
            changed: ids of the runs that may have changed, child runs among them; `None` for any.
        """
        before = self._rows
        if changed is None:
            self._read_all()
        else:
            self._read(changed)
        for run_id in [one for one in self._steps if not self._is_settled(one)]:
            del self._steps[run_id]  # it is gone, or goes on
        return self._rows != before

    def extend(self) -> bool:
        """Read another page of older runs. Return whether there are any."""
        self._wanted += self._page
        oldest = next(reversed(self._rows), None)
        older = self._history.runs(self._wanted - len(self._rows), before=oldest, workspace=self._workspace)
        self._rows |= {row.id: row for row in older}
        return bool(older)

    def count(self) -> dict[Status, int]:
        """Return how many runs are in which state, also of those that are not in the list."""
        return self._history.count_runs(self._workspace)

    def count_steps(self, run_id: str) -> dict[Status, int]:
        """Return how many of a run's own steps are in which state. What has settled is counted once."""
        counted = self._steps.get(run_id)
        if counted is None:
            counted = self._history.count_steps(run_id)
            if self._is_settled(run_id):
                self._steps[run_id] = counted
        return counted

    def _is_settled(self, run_id: str) -> bool:
        row = self._rows.get(run_id)
        return row is not None and row.settled

    def _read_all(self) -> None:
        self._rows = {row.id: row for row in self._history.runs(self._wanted, workspace=self._workspace)}

    def _read(self, changed: Collection[str]) -> None:
        found = {row.id: row for row in self._history.runs_among(list(changed)) if self._lists(row)}
        gone = [run_id for run_id in changed if run_id in self._rows and run_id not in found]
        if gone or any(row.id not in self._rows and self._may_be_listed(row) for row in found.values()):
            self._read_all()  # a new one at the top, or one less
        else:
            self._rows = {run_id: found.get(run_id, row) for run_id, row in self._rows.items()}

    def _lists(self, row: RunRow) -> bool:
        return row.parent is None and self._workspace in (None, row.workspace)

    def _may_be_listed(self, row: RunRow) -> bool:
        """Whether it is not older than all that are in the list, which is full."""
        if len(self._rows) < self._wanted:
            return True
        return row.created_at >= next(reversed(self._rows.values())).created_at
