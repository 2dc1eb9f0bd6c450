"""The dashboard as data: what it was told, made ready to be drawn. No Textual, no clock, no store."""

from __future__ import annotations

from collections.abc import Iterable

from coflux.display.feed import ExecutionChanged, GroupOpened, HandleShared, Logged, RunChanged, StepSubmitted
from coflux.display.reasons import problem_of
from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.requests import StatusReport
from coflux.executor.rows import RunRow
from coflux.tui.logs import LogModel
from coflux.tui.tree import RunTree
from coflux.tui.updates import (
    Connected,
    Details,
    Disconnected,
    Failed,
    LogFilter,
    LogIds,
    LogPage,
    RunProgressed,
    RunsRead,
    RunStarted,
    Said,
    StatusRead,
    TargetsRead,
    Update,
)

__all__ = ["OpenRun", "RunList", "State"]


class RunList:
    """The runs, newest first."""

    def __init__(self) -> None:
        self._rows: dict[str, RunRow] = {}
        self.shown: list[RunRow] = []
        self._sorted = True
        self.show: frozenset[str] | None = None  # states; None for all
        self.text = ""

    def put(self, rows: Iterable[RunRow]) -> None:
        for row in rows:
            if row.parent is None:
                self._rows[row.id] = row
                self._sorted = False

    def filter(self, states: frozenset[str] | None, text: str) -> None:
        self.show, self.text, self._sorted = states, text.lower(), False

    def layout(self) -> bool:
        """Bring `shown` up to date. Returns whether anything has changed."""
        if self._sorted:
            return False
        self._sorted = True
        rows = [row for row in self._rows.values() if self._passes(row)]
        self.shown = sorted(rows, key=lambda row: row.created_at, reverse=True)
        return True

    def _passes(self, row: RunRow) -> bool:
        if self.show is not None and row.status not in self.show:
            return False
        return not self.text or self.text in f"{row.id} {row.module}/{row.name} {row.status}".lower()

    def of_target(self, module: str, name: str, limit: int) -> list[RunRow]:
        """The newest runs of a target."""
        rows = (row for row in self._rows.values() if (row.module, row.name) == (module, name))
        return sorted(rows, key=lambda row: row.created_at, reverse=True)[:limit]

    def get(self, run: str) -> RunRow | None:
        return self._rows.get(run)

    def __len__(self) -> int:
        return len(self._rows)


class OpenRun:
    """The run that is looked at."""

    def __init__(self, run: str) -> None:
        self.id = run
        self.row: RunRow | None = None
        self.tree = RunTree()
        self.names: dict[tuple[str, int], str] = {}

    def take(self, update: RunProgressed) -> None:
        for event in update.events:
            match event:
                case RunChanged(row):
                    if row.id == self.id:
                        self.row = row
                case GroupOpened(group):
                    self.tree.add_group(group)
                case StepSubmitted(step, spawned_by):
                    self.names[step.run, step.number] = step.name
                    self.tree.add_step(step, spawned_by)
                case HandleShared(shared):
                    self.tree.add_shared(shared)
                case ExecutionChanged(execution, outcome):
                    self.tree.update(execution, problem_of(outcome))
                case Logged():
                    pass  # the log is read by its own ids


class State:
    """Everything.

    Attributes:
        said: what was said to people, and has not been shown.
        log_number: tells the answers about the log that is shown from those to earlier requests.
    """

    def __init__(self) -> None:
        self.runs = RunList()
        self.run: OpenRun | None = None
        self.targets: list[TargetInfo] = []
        self.errors: list[ModuleError] = []
        self.searched = False  # for targets
        self.report: StatusReport | None = None
        self.connected = False
        self.lost = ""
        self.log = LogModel()
        self.log_filter: LogFilter | None = None
        self.log_number = 0
        self.log_lines: set[int] | None = set()  # of the log, which look different now; None for all
        self.log_grew = False
        self.details: Details | None = None
        self.said: list[Said] = []
        self.started: list[str] = []

    def open_run(self, run: str) -> None:
        self.run = OpenRun(run) if run else None
        self.details = None

    def open_log(self, log_filter: LogFilter) -> int:
        """Begin another log; returns the number of the request for it."""
        self.log = LogModel()
        self.log_filter = log_filter
        self.log_number += 1
        self.log_lines = None
        return self.log_number

    def take(self, update: Update) -> None:  # noqa: C901, PLR0912  # an arm for each kind
        match update:
            case Connected():
                self.connected, self.lost = True, ""
            case Disconnected(why):
                self.connected, self.lost = False, why
            case RunsRead(rows):
                self.runs.put(rows)
            case RunProgressed(run):
                if self.run is not None and self.run.id == run:
                    self.run.take(update)
            case LogIds(number, ids):
                if number == self.log_number:
                    self.log.extend(ids)
                    self.log_grew = True
            case LogPage(number, page, entries):
                if number == self.log_number:
                    lines = self.log.supply(page, entries)
                    if self.log_lines is not None:
                        self.log_lines.update(lines)
            case Details():
                self.details = update
            case TargetsRead(targets, errors):
                self.targets, self.errors, self.searched = list(targets), list(errors), True
            case StatusRead(report):
                self.report = report
            case RunStarted(run):
                self.started.append(run)
            case Said():
                self.said.append(update)
            case Failed(_, why):
                self.said.append(Said("error", why))
