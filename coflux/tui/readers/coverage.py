"""Which executions of a run one is looking at: those of some steps, or of all, in child runs as well."""

from __future__ import annotations

from coflux.executor.history import History
from coflux.executor.news import Key
from coflux.tui.updates import StepKey

__all__ = ["Coverage"]


class Coverage:
    """The steps of a run, or all of it (`steps` is `None`) and of the runs that come of it."""

    def __init__(self, history: History, run: str, steps: frozenset[StepKey] | None) -> None:
        self._history = history
        self._run = run
        self._steps = steps
        self._family: set[str] = set()
        self._strangers: set[str] = set()
        self.runs: tuple[str, ...] = ()
        """The runs, in the order in which they began."""
        self._adopt()

    @property
    def steps(self) -> frozenset[StepKey] | None:
        return self._steps

    def __contains__(self, key: Key) -> bool:
        run, step, _ = key
        if self._steps is not None:
            return (run, step) in self._steps
        if run not in self._family and run not in self._strangers:
            self._adopt()  # it may be a new child run
            if run not in self._family:
                self._strangers.add(run)
        return run in self._family

    def _adopt(self) -> None:
        if self._steps is not None:
            self.runs = tuple(dict.fromkeys(run for run, _ in sorted(self._steps)))
            return
        row = self._history.run(self._run)
        # What comes of a child run has the same root; the runs beside it are none of its own.
        whole = row is not None and row.parent is None
        self.runs = tuple(self._history.family(self._run)) if whole else (self._run,)
        self._family = set(self.runs)
