"""Starting workers: how long one may take to be ready, and what happens when a fork never is.

The first worker of a module host is its trial: where the modules bear no fork (a fork handler of theirs crashes, a C
library waits for a thread that is gone), it ends or hangs before it is ready. From then on the host's workers are
spawned: fresh interpreters that import the modules themselves. That costs a start, which is made good, and a warning.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from coflux.executor.evidence import describe_exit, innermost_frame
from coflux.executor.messages import Ready
from coflux.executor.workers import WorkerProcess

if TYPE_CHECKING:
    from coflux.executor.hosts import ModuleHost
    from coflux.executor.supervisor import Supervisor

__all__ = ["START_TIME", "WorkerStarts"]

START_TIME = 10.0  # seconds until a forked worker must be ready; spawned ones have the time of their imports besides


class WorkerStarts:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._apart = 0

    def start(self, worker_id: int, host: ModuleHost, received: Callable[[int, Any], None]) -> WorkerProcess:
        """Have a worker started. Raises `OSError` when there are no descriptors for it."""
        grace = self._supervisor.project.settings.grace
        worker = WorkerProcess(self._supervisor, worker_id, host.id, grace, received, host.secrets)
        self._supervisor.workers[worker_id] = worker
        if not host.starting:
            self._watch(host)
        host.start_worker(worker)
        return worker

    def start_apart(self, host: ModuleHost, received: Callable[[int, Any], None]) -> WorkerProcess:
        """Have a worker started that the scheduler does not count: its id is negative. Raises `OSError`."""
        self._apart -= 1
        return self.start(self._apart, host, received)

    def try_out(self, host: ModuleHost, tried: Callable[[], None]) -> None:
        """Start a worker only to see whether it becomes ready; call `tried` when that is known. Raises `OSError`."""
        if host.start_method == "spawn":
            tried()
            return

        def received(worker_id: int, message: object) -> None:
            if isinstance(message, Ready):
                worker.on_end = None
                worker.retire()
                tried()

        worker = self.start_apart(host, received)
        worker.on_end = lambda evidence: tried()

    # -- on the way ----------------------------------------------------------------------------------------------

    def started(self, worker: WorkerProcess) -> None:
        """Its process is there: it has to become ready in time."""
        limit = START_TIME
        if worker.start_method == "spawn":
            limit += self._supervisor.project.settings.import_timeout
        self._supervisor.later(limit, lambda: worker.give_up(limit))

    def ended(self, worker: WorkerProcess, status: int, evidence: str) -> str:
        """A worker is gone. Return the evidence as it is to be told."""
        if worker.ready:
            return evidence
        late = f" was not ready after {worker.given_up:g} s" if worker.given_up else ""
        if worker.start_method == "spawn":
            return f"a spawned worker{late}: {evidence}"
        host = self._supervisor.generations.hosts.get(worker.host)
        # Killed from outside, by want of memory or with its host: that says nothing of forks.
        blameless = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not worker.given_up
        if host is not None and not blameless:
            why = late or " ended before it was ready"
            self._fork_no_more(host, f"a forked worker{why}: {_in_one_line(evidence)}")
        return evidence

    def host_ended(self, host: ModuleHost, status: int) -> None:
        """A module host is gone, perhaps while it forked."""
        if host.starting and status != signal.SIGKILL:
            evidence = describe_exit(status, stack="", peak_memory=0, out_of_memory=False)
            self._fork_no_more(host, f"forking a worker ended the module host: {evidence}")

    def _watch(self, host: ModuleHost) -> None:
        """See to it that the host gets on with the workers that it was asked for."""
        heard = host.heard

        def look() -> None:
            if not host.starting:
                return
            if host.heard != heard or host.start_method == "spawn":
                self._watch(host)
                return
            self._fork_no_more(host, f"forking a worker took longer than {START_TIME:g} s")
            host.kill()  # what it was asked for goes to another, which spawns

        self._supervisor.later(START_TIME, look)

    def _fork_no_more(self, host: ModuleHost, reason: str) -> None:
        if host.start_method == "spawn":
            return
        host.spawn_from_now_on(f'{reason} (start_method = "spawn" spares the try)')
        self._supervisor.generations.bears_no_fork(host)


def _in_one_line(evidence: str) -> str:
    """What happened, and where in the user's code."""
    summary, _, stack = evidence.partition("\n")
    frame = innermost_frame(stack)
    return f"{summary} at {frame}" if frame else summary
