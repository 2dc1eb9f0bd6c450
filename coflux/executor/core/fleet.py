"""The fleet: module hosts and their workers, as far as the scheduler knows them, and who runs where."""

from __future__ import annotations

from coflux.executor.core.agenda import Agenda
from coflux.executor.core.commands import HandOver, KillWorker, RetireWorker, StartWorker
from coflux.executor.core.deferral import Deferral
from coflux.executor.core.effects import Outbox
from coflux.executor.core.slots import Slots
from coflux.executor.core.state import (
    HOME,
    Execution,
    Family,
    Host,
    Instant,
    Pool,
    SiteKey,
    State,
    Wait,
    Worker,
    WorkerState,
)

__all__ = ["Fleet"]

SPARE_WORKERS = 6  # idle processes that are kept beyond the slots: nested calls need them again at once


class Fleet:
    def __init__(self, slots: Slots, deferral: Deferral, deadlines: Agenda[Execution | Wait], outbox: Outbox) -> None:
        """
        Args:
            slots: what is handed over takes one.
            deferral: is told what has left the queue.
            deadlines: takes the end of what has a timeout and is handed over.
            outbox: takes commands to workers, and what is to be written.
        """
        self.hosts: dict[int, Host] = {}
        self.workers: dict[int, Worker] = {}
        self._slots = slots
        self._deferral = deferral
        self._deadlines = deadlines
        self._outbox = outbox
        self._worker_ids = 0

    def running_on(self, worker_id: int) -> Execution | None:
        """The execution in whose name a worker speaks; `None` if it is being killed or has nothing to say."""
        worker = self.workers.get(worker_id)
        return worker.execution if worker is not None and worker.state is WorkerState.BUSY else None

    # -- hosts ---------------------------------------------------------------------------------------------------

    def host(self, host_id: int, key: SiteKey = HOME) -> Host:
        """The host of that id; if it is not known, a new one for sites of that key."""
        return self.hosts.setdefault(host_id, Host(host_id, key))

    def supersede_host(self, host_id: int) -> None:
        """A newer generation serves: idle workers of this one leave, running ones finish."""
        host = self.hosts[host_id]
        host.superseded = True
        for worker in list(host.idle):
            self.retire(worker)

    def lose_host(self, host_id: int) -> Host | None:
        """It died. The exits of its workers are told apart."""
        host = self.hosts.pop(host_id, None)
        if host is not None:
            host.superseded = True
        return host

    # -- work for workers ----------------------------------------------------------------------------------------

    def hand_over(self, execution: Execution, pool: Pool, now: Instant) -> None:
        """Give it a slot of that group, and an idle worker or one that is started for it."""
        self._slots.take(execution, pool)
        self._deferral.left_queue(execution)
        host = execution.host
        if host is None or host.id not in self.hosts:
            assert execution.step.site is not None  # it was ready
            execution.bind(execution.step.site.host)
            host = execution.host
        assert host is not None  # nothing is ready at a site without a host
        if host.idle:
            self._assign(host.idle.pop(), execution, now)
        else:
            self._start_worker(host, execution)

    def ready(self, worker_id: int, pid: int, now: Instant) -> None:
        """A process that was started has come up."""
        worker = self.workers.get(worker_id)
        if worker is None or worker.state is not WorkerState.STARTING:
            return
        worker.pid = pid
        execution = worker.execution
        if execution is None:
            self.now_idle(worker, now)
        else:
            self._assign(worker, execution, now)

    def now_idle(self, worker: Worker, now: Instant) -> None:
        """A clean worker takes over what a starting one was meant for, waits for work, or leaves."""
        worker.execution = None
        host = worker.host
        if host.superseded or len(host.idle) >= self._slots.concurrency + SPARE_WORKERS:
            self.retire(worker)
            return
        worker.state = WorkerState.IDLE
        host.idle.append(worker)
        for other in host.workers.values():
            if other.state is WorkerState.STARTING and other.execution is not None:
                execution, other.execution = other.execution, None
                host.idle.pop()
                self._assign(worker, execution, now)
                return

    def take_back(self, execution: Execution) -> None:
        """Do not run it on the worker that is being started for it: that becomes an idle one."""
        assert execution.worker is not None
        execution.worker.execution = None
        execution.worker = None

    def _start_worker(self, host: Host, execution: Execution) -> None:
        self._worker_ids += 1
        worker = Worker(self._worker_ids, host, execution)
        execution.worker = worker
        execution.reason = "starting a worker"
        self.workers[worker.id] = worker
        host.workers[worker.id] = worker
        self._outbox.commands.append(StartWorker(worker.id, host.id))

    def _assign(self, worker: Worker, execution: Execution, now: Instant) -> None:
        worker.state = WorkerState.BUSY
        worker.execution = execution
        execution.worker = worker
        execution.pid = worker.pid
        execution.reason = ""
        execution.transition(State.RUNNING)
        execution.started_at = now.wall
        run = execution.step.run
        if run.started_at is None:
            run.started_at = now.wall
            self._outbox.runs[run] = None
        self._outbox.executions[execution] = None
        timeout = execution.step.spec.options.timeout
        if timeout > 0:
            self._deadlines.put(now.monotonic + timeout, execution.sequence, execution)
        self._outbox.commands.append(HandOver(worker.id, execution))

    # -- workers that leave --------------------------------------------------------------------------------------

    def expect_exit(self, worker: Worker, family: Family) -> None:
        """The family does not settle before this process is gone, and what it ran is not tried again."""
        worker.family = family
        family.leaving.add(worker.id)

    def retire(self, worker: Worker) -> None:
        """Ask a worker that runs nothing to leave."""
        if worker.state is WorkerState.IDLE:
            worker.host.idle.remove(worker)
        worker.execution = None
        worker.state = WorkerState.LEAVING
        self._outbox.commands.append(RetireWorker(worker.id))

    def kill(self, execution: Execution, *, dump: bool = False, immediate: bool = False) -> None:
        """End the process that runs it."""
        worker = execution.worker
        assert worker is not None
        worker.state = WorkerState.LEAVING
        worker.killed, worker.execution = worker.execution, None
        self.expect_exit(worker, execution.step.run.family)
        self._outbox.commands.append(KillWorker(worker.id, dump, immediate))

    def skip_grace(self, execution: Execution) -> None:
        """Its process may have been told to end already, and have been given time for it."""
        worker = execution.worker
        if worker is not None and worker.id in execution.step.run.family.leaving:
            self._outbox.commands.append(KillWorker(worker.id, dump=False, immediate=True))

    def remove(self, worker_id: int) -> Worker | None:
        """The process is gone, or was never there. Its `execution` is what it leaves behind."""
        worker = self.workers.pop(worker_id, None)
        if worker is None:
            return None
        worker.host.workers.pop(worker.id, None)
        if worker.state is WorkerState.IDLE:
            worker.host.idle.remove(worker)
        if worker.execution is not None:
            worker.execution.worker = None
        return worker
