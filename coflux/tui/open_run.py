"""The run that is looked at, as data."""

from __future__ import annotations

from coflux.display.feed import ExecutionChanged, GroupOpened, HandleShared, Logged, RunChanged, StepSubmitted
from coflux.display.reasons import problem_of
from coflux.executor.news import Key
from coflux.executor.rows import RunRow
from coflux.executor.series import Progress
from coflux.tui.tree import RunTree
from coflux.tui.updates import Disconnected, ProgressRead, RunProgressed, SampleRead, SparksRead, Update
from coflux.tui.waits import WaitsSeen, full_text

__all__ = ["OpenRun"]


class OpenRun:
    """
    Attributes:
        row: as it was read last; `None` until then.
        names: of all its steps, by run and number.
        progress: of its executions that tell how far they have got.
        waits: when its executions were seen to wait for others.
    """

    def __init__(self, run: str) -> None:
        self.id = run
        self.row: RunRow | None = None
        self.tree = RunTree()
        self.names: dict[tuple[str, int], str] = {}
        self.progress: dict[Key, Progress] = {}
        self.waits = WaitsSeen()

    def take(self, update: Update) -> None:
        match update:
            case RunProgressed(self.id):
                self._follow(update)
            case ProgressRead(self.id, progress):
                for (run, step, _), one in progress.items():
                    self.tree.set_progress(run, step, one)
                self.progress.update(progress)
            case SampleRead(sample):
                self.waits.take(sample)
                self.tree.full = full_text(sample)
                self.tree.set_waiting({(run, step) for run, step, _ in self.waits.now})
            case Disconnected():
                self.waits.stop()
                self.tree.full = ""
                self.tree.set_waiting(())
            case SparksRead(self.id, sparks):
                self.tree.set_sparks(sparks)

    def _follow(self, update: RunProgressed) -> None:
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
