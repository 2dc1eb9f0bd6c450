"""What a queued execution waits for until it is ready for a slot: its delay, the process of the attempt before it."""

from __future__ import annotations

from coflux.executor.core.agenda import Agenda
from coflux.executor.core.placement import Placement
from coflux.executor.core.state import Execution, Instant, State, Worker

__all__ = ["Admission"]


class Admission:
    def __init__(self, placement: Placement) -> None:
        """
        Args:
            placement: takes what is ready.
        """
        self.delays: Agenda[Execution] = Agenda(_is_queued)  # on the elapsed clock
        self._placement = placement

    def enqueue(self, execution: Execution, delay: float, now: Instant) -> None:
        """Let it be ready after `delay` seconds, at once if that is not positive."""
        if delay > 0:
            execution.due_at = now.elapsed + delay
            execution.due_wall = now.wall + delay
            execution.reason = "delayed"
            self.delays.put(execution.due_at, execution.sequence, execution)
        else:
            self.make_ready(execution)

    def hold_back(self, successor: Execution, worker: Worker, delay: float, now: Instant) -> None:
        """Two attempts never overlap: the next one waits for its delay, and until the worker of the last is gone."""
        successor.reason = "waiting for the previous attempt's process to end"
        successor.due_at = now.elapsed + delay
        successor.due_wall = now.wall + delay
        worker.blocked.append(successor)

    def release(self, worker: Worker, now: Instant) -> None:
        """The worker is gone: what was held back for it waits for the rest of its delay, if for anything."""
        for successor in worker.blocked:
            if successor.state is State.QUEUED:
                assert successor.due_at is not None  # since it is held back
                self.enqueue(successor, successor.due_at - now.elapsed, now)

    def make_ready(self, execution: Execution) -> None:
        """It waits for nothing but a slot."""
        execution.reason = "ready"
        self._placement.push(execution)


def _is_queued(execution: Execution) -> bool:
    return execution.state is State.QUEUED
