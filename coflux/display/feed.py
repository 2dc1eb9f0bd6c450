"""What happened in a run, as a sequence of events: the one way from the store to every display of progress."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from coflux.executor.database import StoreDamaged
from coflux.executor.history import PAGE, History, LogEntry, StepInfo
from coflux.executor.messages import Outcome
from coflux.executor.rows import ExecutionRow, GroupRow, RunRow, SharedRow, parse_execution_id
from coflux.executor.series import Progress

__all__ = [
    "Event",
    "ExecutionChanged",
    "Feed",
    "GroupOpened",
    "HandleShared",
    "Key",
    "Logged",
    "RunChanged",
    "StepSubmitted",
]

FAILURES = ("failed", "timed_out", "abandoned")

_Read = TypeVar("_Read")

Key = tuple[str, int, int]  # run, step, attempt


class RunChanged(NamedTuple):
    row: RunRow


class GroupOpened(NamedTuple):
    row: GroupRow


class StepSubmitted(NamedTuple):
    """`spawned_by` is the execution that became this run, for the root step of a child run."""

    step: StepInfo
    spawned_by: str | None


class HandleShared(NamedTuple):
    """A submission was given a step that was there already."""

    row: SharedRow


class ExecutionChanged(NamedTuple):
    """A new state. `outcome` is there for failures only. What was quick is seen once, finished."""

    row: ExecutionRow
    outcome: Outcome | None


class Logged(NamedTuple):
    entry: LogEntry


Event = RunChanged | GroupOpened | StepSubmitted | HandleShared | ExecutionChanged | Logged


class _Position:
    """How far one run has been read."""

    __slots__ = ("ended", "groups", "log", "row", "shared", "shared_count", "step")

    def __init__(self) -> None:
        self.ended = False
        self.row: RunRow | None = None
        self.step = 0
        self.log = 0
        self.groups: set[tuple[int, int, int]] = set()
        self.shared: set[tuple[int, int, int]] = set()
        self.shared_count = 0


def _by_run(keys: Iterable[Key]) -> dict[str, list[Key]]:
    runs: dict[str, list[Key]] = {}
    for key in keys:
        runs.setdefault(key[0], []).append(key)
    return runs


class Feed:
    """Reads a run and its child runs from the store, each time from where it stopped."""

    def __init__(self, history: History, run: str, *, entries: bool = True) -> None:
        """With `entries` false, log entries are left out."""
        self._history = history
        self._top = run
        self._positions = {run: _Position()}
        self._told: dict[str, tuple[str, str, str | None]] = {}  # execution -> its state, as it was told last
        self._skipping = not entries
        self._logged = 0  # the newest log entry of any run when they were looked through last

    def events(self, changed: Collection[Key] | None = None) -> Iterator[Event]:
        """What is new: a run before its steps, a step after its group and before its executions, log entries and states
        in the order of time, as far as they came together.

        It comes to an end however fast a run goes on writing: entries that come meanwhile are left to the next call.

        Args:
            changed: the executions that may have changed; `None` for any.
        """
        by_run = None if changed is None else _by_run(changed)
        unread = deque(self._with_news(by_run))
        while unread:
            run = unread.popleft()
            position = self._positions[run]
            keys = None if by_run is None or position.row is None else by_run.get(run, [])
            # A run that had settled before this pass has nothing new after it.
            position.ended = position.row is not None and position.row.settled
            pages = self._pages(run, keys)
            last = None
            more = True
            while more:
                # States first: whatever they mention is in the store by the time the rest is read.
                rows = next(pages, [])
                last = self._last_entry(run) if last is None else last
                entries = self._entries(run, position.log, last)
                more = bool(rows or entries)
                yield from self._run_and_steps(run, position)
                yield from self._in_order(rows, entries)
                if entries:
                    position.log = entries[-1].id
                unread += self._follow_spawned(rows)

    def _with_news(self, changed: dict[str, list[Key]] | None) -> list[str]:
        """The runs that may have something new. There can be thousands of child runs, most of them at rest."""
        before, self._logged = self._logged, self._read(self._history.newest_log_id) or self._logged
        logged = None if changed is None else self._read(lambda: self._history.runs_logged(before, self._logged))
        logged = logged or set()
        return [
            run
            for run, position in self._positions.items()
            if not position.ended
            and (changed is None or position.row is None or run == self._top or run in changed or run in logged)
        ]

    def progress(self, running: Sequence[ExecutionRow]) -> dict[Key, Progress]:
        """How far those executions have got that say so. Of several metrics that tell progress it is the one that was
        begun last, but for those that are complete: of nested loops the outer one, of loops in a row the last.
        """
        found = {}
        for key, told in self._history.progress(running, time.time()).items():
            incomplete = [progress for _, progress in told if not progress.complete]
            found[key] = incomplete[-1] if incomplete else told[-1][1]
        return found

    def skip(self) -> Iterator[Event]:
        """As `events`, but for log entries, which are passed over: for whoever shows only what happens from now on. The
        run may have settled, and go on all the same."""
        self._skipping = True
        yield from self.events()
        self._skipping = False
        for run, position in self._positions.items():
            position.log = self._last_entry(run)
            position.row = None  # to be read again, settled or not
            position.ended = False

    def _last_entry(self, run: str) -> int:
        """The id of the last log entry that there is; 0 when there is none."""
        entries = self._read(lambda: self._history.logs(run, limit=1, before=1 << 62)) or []
        return entries[-1].id if entries else 0

    def _entries(self, run: str, after: int, last: int) -> list[LogEntry]:
        """A page of the entries after `after`, up to `last`."""
        if after >= last or self._skipping:
            return []
        entries = self._read(lambda: self._history.logs(run, after=after)) or []
        return [entry for entry in entries if entry.id <= last]

    def _read(self, read: Callable[[], _Read]) -> _Read | None:
        """What can be read of the logs. Damaged ones do not end a run's display: the engine tells of them, and moves
        them aside, with the next entry that it writes."""
        try:
            return read()
        except StoreDamaged:
            return None

    def _pages(self, run: str, keys: list[Key] | None) -> Iterator[list[ExecutionRow]]:
        if keys is not None:
            for start in range(0, len(keys), PAGE):
                yield self._history.executions_among(keys[start : start + PAGE])
            return
        after = (0, 0)
        while rows := self._history.executions(run, after):
            yield rows
            after = (rows[-1].step, rows[-1].attempt)

    def _run_and_steps(self, run: str, position: _Position) -> Iterator[Event]:
        row = self._history.run(run)
        if row is None:
            return
        if row != position.row:
            position.row = row
            yield RunChanged(row)
        while steps := self._history.steps(run, after=position.step):
            for step in steps:
                if step.group is not None:
                    _, parent, attempt = parse_execution_id(step.parent or "")
                    yield from self._groups_of(run, (parent, attempt, step.group), position)
                yield StepSubmitted(step, row.parent if step.parent is None else None)
            position.step = steps[-1].number
        yield from self._shared(run, position)

    def _shared(self, run: str, position: _Position) -> Iterator[Event]:
        count = self._history.shared_count(run)
        if count == position.shared_count:
            return
        position.shared_count = count
        for row in self._history.shared(run):
            key = (row.step, row.attempt, row.number)
            if key not in position.shared:
                position.shared.add(key)
                if row.group is not None:
                    yield from self._groups_of(run, (row.step, row.attempt, row.group), position)
                yield HandleShared(row)

    def _groups_of(self, run: str, group: tuple[int, int, int], position: _Position) -> Iterator[Event]:
        """The groups of the run that are new, if this one is."""
        if group in position.groups:
            return
        for row in self._history.groups(run):
            key = (row.step, row.attempt, row.number)
            if key not in position.groups:
                position.groups.add(key)
                yield GroupOpened(row)

    def _in_order(self, rows: list[ExecutionRow], entries: list[LogEntry]) -> list[ExecutionChanged | Logged]:
        changes: list[tuple[tuple[float, bool], ExecutionChanged | Logged]] = []
        changes += [((entry.at, False), Logged(entry)) for entry in entries]
        for row in filter(self._is_news, rows):
            outcome = self._history.outcome(row.id) if row.status in FAILURES else None
            at = row.finished_at or row.started_at or row.created_at
            # An attempt that begins at the moment in which the one before it ends comes after that.
            changes.append(((at, row.finished_at is None), ExecutionChanged(row, outcome)))
        return [event for _, event in sorted(changes, key=lambda change: change[0])]

    def _is_news(self, row: ExecutionRow) -> bool:
        """Whether its state is another than the one told last: not all that changes in a row is of interest."""
        state = (row.status, row.reason, row.next)
        if self._told.get(row.id) == state:
            return False
        self._told[row.id] = state
        return True

    def _follow_spawned(self, rows: list[ExecutionRow]) -> list[str]:
        spawned = [parse_execution_id(row.next)[0] for row in rows if row.status == "spawned" and row.next is not None]
        new = [run for run in spawned if run not in self._positions]
        self._positions.update((run, _Position()) for run in new)
        return new
