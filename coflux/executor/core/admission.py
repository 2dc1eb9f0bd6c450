"""What a queued execution waits for until it is ready for a slot: its delay, the process of the attempt before it."""

from __future__ import annotations

from collections import deque

from coflux.executor.core.agenda import Agenda
from coflux.executor.core.effects import Outbox
from coflux.executor.core.placement import Placement
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import Execution, Instant, State, Worker

__all__ = ["Admission"]


class Admission:
    """
    Attributes:
        delays: what is not due, on the elapsed clock.
        due: what may be ready, but for decisions that are still to be made (`coflux.executor.core.entrance`).
        paused: workspaces of which nothing starts.
    """

    def __init__(self, placement: Placement, sources: Sources, outbox: Outbox) -> None:
        """
        Args:
            placement: takes what is ready.
            sources: is told what is ready.
            outbox: takes what is to be written.
        """
        self.delays: Agenda[Execution] = Agenda(_is_queued)
        self.due: deque[Execution] = deque()
        self.paused: set[str] = set()
        self._parked: dict[Execution, None] = {}  # what would be ready, but for its workspace
        self._placement = placement
        self._sources = sources
        self._outbox = outbox

    def enqueue(self, execution: Execution, delay: float, now: Instant) -> None:
        """Let it be due after `delay` seconds, at once if that is not positive."""
        if delay > 0:
            execution.due_at = now.elapsed + delay
            execution.due_wall = now.wall + delay
            execution.reason = "delayed"
            self.delays.put(execution.due_at, execution.sequence, execution)
        else:
            execution.due_at = None
            self.come_due(execution)

    def come_due(self, execution: Execution) -> None:
        """Its delay is over."""
        if execution.step.decides or execution.hold is not None or execution.superseded_by is not None:
            self.due.append(execution)
        else:
            self.make_ready(execution)

    def hold_back(self, successor: Execution, worker: Worker, delay: float, now: Instant) -> None:
        """Two attempts never overlap: the next one waits for its delay, and until the worker of the last is gone."""
        successor.reason = "waiting for the previous attempt's process to end"
        successor.due_at = now.elapsed + delay
        successor.due_wall = now.wall + delay
        successor.blocked_by = worker
        worker.blocked.append(successor)

    def release(self, worker: Worker, now: Instant) -> None:
        """The worker is gone: what was held back for it waits for the rest of its delay, if for anything."""
        for successor in worker.blocked:
            successor.blocked_by = None
            if successor.state is State.QUEUED:
                assert successor.due_at is not None  # since it is held back
                self.enqueue(successor, successor.due_at - now.elapsed, now)

    def make_ready(self, execution: Execution) -> None:
        """It waits for nothing but a slot, unless its workspace is paused."""
        if self.paused and self.park(execution):
            return
        execution.reason = "ready"
        self._sources.add(execution)
        self._placement.push(execution)

    def withdraw(self, execution: Execution) -> None:
        """Let it not start, whatever it waits for."""
        self._placement.withdraw(execution)
        self._parked.pop(execution, None)

    def set_reason(self, execution: Execution, reason: str) -> None:
        """Say, to people too, what a queued execution waits for."""
        execution.reason = reason
        self._outbox.executions[execution] = None

    # -- workspaces ----------------------------------------------------------------------------------------------

    def is_parked(self, execution: Execution) -> bool:
        """Whether it waits for its workspace alone."""
        return execution in self._parked

    def park(self, execution: Execution) -> bool:
        """Whether its workspace is paused; then it waits until that is resumed."""
        if execution.workspace not in self.paused:
            return False
        self._parked[execution] = None
        self.set_reason(execution, f"workspace {execution.workspace} is paused")
        return True

    def pause(self, workspace: str, ready: list[Execution]) -> None:
        """Let nothing of a workspace start. `ready` is what would be the next."""
        self.paused.add(workspace)
        for execution in ready:
            self._placement.withdraw(execution)
            self.park(execution)

    def resume(self, workspace: str) -> None:
        self.paused.discard(workspace)
        parked = [execution for execution in self._parked if execution.workspace == workspace]
        for execution in parked:
            del self._parked[execution]
            self.due.append(execution)


def _is_queued(execution: Execution) -> bool:
    return execution.state is State.QUEUED
