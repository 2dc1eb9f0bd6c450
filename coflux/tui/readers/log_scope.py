"""Which runs and steps a log is of: those below a step come while one looks."""

from __future__ import annotations

from coflux.executor.history import History
from coflux.executor.log_search import LogScope
from coflux.executor.rows import parse_execution_id
from coflux.tui.updates import LogFilter

__all__ = ["ScopeReader"]


class ScopeReader:
    """Reads the scope of a filter, each time only what is new of it."""

    def __init__(self, wanted: LogFilter) -> None:
        self._wanted = wanted
        self._runs: dict[str, None] = {wanted.run: None}
        self._steps: set[int] = set()  # of the run, unless all of it is meant
        self._groups: set[int] = set()  # of the execution, if one of them is meant
        self._looked = 0  # up to this step
        if wanted.step is not None and wanted.group is None:
            self._steps.add(wanted.step)
        if wanted.group is not None:
            self._groups.add(wanted.group)

    def read(self, history: History) -> LogScope:
        """The scope as it is now."""
        wanted = self._wanted
        if wanted.attempt is not None and wanted.group is None:
            assert wanted.step is not None
            return LogScope((wanted.run,), {wanted.run: (wanted.step,)}, wanted.attempt)
        if wanted.step is not None:
            self._find_steps(history)
        for run, parent in history.parents(wanted.run):
            if run not in self._runs and parent is not None and self._is_below(parent):
                self._runs[run] = None
        return LogScope(tuple(self._runs), {wanted.run: self._steps} if wanted.step is not None else {})

    def _find_steps(self, history: History) -> None:
        wanted = self._wanted
        places = history.step_places(wanted.run, self._looked)
        if not places:
            return
        if wanted.group is not None:
            self._find_groups(history)
        for number, parent, group in places:
            _, step, attempt = ("", 0, 0) if parent is None else parse_execution_id(parent)
            in_group = step == wanted.step and attempt == wanted.attempt and group in self._groups
            if step in self._steps or in_group:
                self._steps.add(number)
        self._looked = places[-1][0]

    def _find_groups(self, history: History) -> None:
        for row in history.groups(self._wanted.run):  # a group comes after the one that it is in
            of_execution = (row.step, row.attempt) == (self._wanted.step, self._wanted.attempt)
            if of_execution and row.parent in self._groups:
                self._groups.add(row.number)

    def _is_below(self, parent: str) -> bool:
        run, step, _ = parse_execution_id(parent)
        if run != self._wanted.run:
            return run in self._runs
        return self._wanted.step is None or step in self._steps
