"""What one client has subscribed to, and what it was not told of yet: names, bounded and coalesced.

The rows themselves are in the store, from which clients read. So a client that does not keep up costs no more than the
names of what has changed meanwhile, and no names at all once they are too many: it had better read everything then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from coflux.executor.core.state import Run
from coflux.executor.requests import Advanced
from coflux.executor.rows import Batch, RunRow

__all__ = ["MOST_CHANGES", "Subscriptions"]

MOST_CHANGES = 10_000  # names of one kind that a client is told

Key = tuple[str, int, int]  # run, step, attempt

_Name = TypeVar("_Name", Key, str)


class _Changes(Generic[_Name]):
    """Names in the order in which they came, each once; or too many of them."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[_Name, None] | None = {}

    def add(self, names: Iterable[_Name]) -> None:
        if self._names is not None:
            self._names.update(dict.fromkeys(names))
            if len(self._names) > MOST_CHANGES:
                self._names = None

    def add_all(self) -> None:
        self._names = None

    def take(self) -> tuple[_Name, ...] | None:
        """Return what there is, `None` for too many, and forget it."""
        names, self._names = self._names, {}
        return None if names is None else tuple(names)


class Subscriptions:
    """Those of one client.

    Attributes:
        behind: there is something that the client was not told of.
    """

    def __init__(self) -> None:
        self.behind = False
        self._asked: dict[str, set[str]] = {}  # runs, each with those that have come of it
        self._everything = False
        self._watched: set[str] = set()  # all runs in `_asked`
        self._executions = _Changes[Key]()
        self._metrics = _Changes[Key]()
        self._runs = _Changes[str]()

    def __bool__(self) -> bool:
        return self._everything or bool(self._asked)

    def add(self, run: str | None, family: Iterable[Run] = ()) -> None:
        """Subscribe to a run and all that comes of it, or to everything (`None`). The client reads all of it first.

        `family` are the unfinished runs that it is one of, parents before children.
        """
        if run is None:
            self._everything = True
        else:
            members = self._asked[run] = {run}
            for one in family:
                if one.parent is not None and one.parent.step.run.id in members:
                    members.add(one.id)
            self._watched |= members
        for changes in (self._executions, self._metrics, self._runs):
            changes.add_all()
        self.behind = True

    def follow_new(self, run: str) -> None:
        """Subscribe to a run that is only being recorded: nobody has to read what was before."""
        self._asked.setdefault(run, {run})
        self._watched.add(run)

    def remove(self, run: str | None) -> None:
        """Be told no more of this run, or of runs that were not asked for by name."""
        if run is None:
            self._everything = False
        else:
            self._asked.pop(run, None)
            self._watched = set().union(*self._asked.values())
        if not self:
            self._forget_changes()

    def note(self, batch: Batch) -> None:
        """These rows are in the store now."""
        for row in batch.runs:
            self._adopt(row)
        runs = [row.id for row in batch.runs if self._watches(row.id)]
        executions = [
            (row.run, row.step, row.attempt)
            for rows in (batch.executions, batch.shared, batch.assets)
            for row in rows
            if self._watches(row.run)
        ]
        metrics = [
            (row.run, row.step, row.attempt)
            for rows in (batch.metrics, batch.points)
            for row in rows
            if self._watches(row.run)
        ]
        self._runs.add(runs)
        self._executions.add(executions)
        self._metrics.add(metrics)
        self.behind = (
            self.behind or bool(runs or executions or metrics) or any(self._watches(row.run) for row in batch.logs)
        )

    def run_deleted(self, run: str) -> None:
        """It is not in the store any more."""
        if self._watches(run):
            self._runs.add((run,))
            self.behind = True

    def take(self, logs: int) -> Advanced:
        """What to tell the client. `logs` is the id of the newest log row."""
        self.behind = False
        return Advanced(logs, self._executions.take(), self._metrics.take(), self._runs.take())

    def _watches(self, run: str) -> bool:
        return self._everything or run in self._watched

    def _adopt(self, row: RunRow) -> None:
        """A run that another one has started belongs to that."""
        if row.parent is None:
            return
        caller = row.parent.partition(":")[0]
        for members in self._asked.values():
            if caller in members:
                members.add(row.id)
                self._watched.add(row.id)

    def _forget_changes(self) -> None:
        for changes in (self._executions, self._metrics, self._runs):
            changes.take()
        self.behind = False
