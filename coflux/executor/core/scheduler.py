"""The scheduler: events in, rows and commands out. No I/O, no clock, no threads, no randomness of its own.

    events ──> handle(event, now) ──> objects change ──> drain() ──> Effects(rows to write, commands to carry out)

`next_due()` says when `handle_time` wants to be called at the latest. The shell commits the rows of a turn before it
carries out any command of that turn, so whatever anyone is told has been recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import assert_never

from msgspec.structs import replace

from coflux.encoded import Failure, Value
from coflux.executor.core import events as ev
from coflux.executor.core.commands import (
    Answered,
    Command,
    Finished,
    HandOver,
    Identified,
    KillWorker,
    RetireWorker,
    Settled,
    StartWorker,
)
from coflux.executor.core.cycles import closed_cycle
from coflux.executor.core.queue import FairQueue
from coflux.executor.core.retry import next_delay
from coflux.executor.core.state import (
    FAILURES,
    Execution,
    Family,
    Host,
    Instant,
    Run,
    State,
    Step,
    Wait,
    Worker,
    WorkerState,
)
from coflux.executor.messages import Failed, OpenGroup, Outcome, Succeeded, TargetSpec, Terminated

__all__ = ["Effects", "Scheduler"]

AnyEvent = (
    ev.Submitted
    | ev.WaitAsked
    | ev.Returned
    | ev.WorkerReady
    | ev.IdentifyAsked
    | ev.CancelAsked
    | ev.GroupOpened
    | ev.RunRequested
    | ev.CancelRequested
    | ev.WorkerExited
    | ev.WorkerRefused
    | ev.HostReady
    | ev.HostLost
    | ev.HostRefused
)

SPARE_WORKERS = 6  # idle processes that are kept beyond the slots: nested calls need them again at once
STARTS_BEFORE_REFUSAL = 3  # workers that may die before they are ready, until the execution fails
QUICK = 0.005  # seconds from hand-over to outcome of a quick execution
QUICK_IN_A_ROW = 8  # children that were quick, until their parent is told of several at once
GATHERED = 32  # children that may start before an answer, at most


class Effects:
    """What one turn produced. Rows are the scheduler's own objects: each is written once a turn, in its last state."""

    __slots__ = ("commands", "executions", "groups", "runs", "steps")

    def __init__(self) -> None:
        self.runs: dict[Run, None] = {}
        self.steps: list[Step] = []
        self.executions: dict[Execution, None] = {}
        self.groups: list[tuple[Execution, OpenGroup]] = []
        self.commands: list[Command] = []


class Scheduler:
    """The state of everything unfinished, and the rules that move it."""

    def __init__(self, concurrency: int, random: Callable[[], float], *, max_depth: int = 1000, reuse: bool = True):
        """
        Args:
            concurrency: slots; an execution that waits for another holds none.
            random: uniform in [0, 1), for the jitter of unlimited retries.
            max_depth: deepest nesting of calls.
            reuse: whether a process that was left clean takes another execution.
        """
        self.concurrency = concurrency
        self.active = 0
        self.lent = 0
        self.workers: dict[int, Worker] = {}
        self.hosts: dict[int, Host] = {}
        self.families: dict[str, Family] = {}
        self.runs: dict[str, Run] = {}
        self._random = random
        self._max_depth = max_depth
        self._reuse = reuse
        self._queue = FairQueue()
        self._resumable: deque[Wait] = deque()
        self._delayed: list[tuple[float, int, Execution]] = []  # on the elapsed clock
        self._deadlines: list[tuple[float, int, Execution | Wait]] = []  # on the monotonic clock
        self._sequence = 0
        self._worker_ids = 0
        self._effects = Effects()

    # -- the outside ---------------------------------------------------------------------------------------------

    def handle(self, event: AnyEvent, now: Instant) -> None:  # noqa: C901, PLR0912  # an arm for each kind of event
        """Apply one event. Messages of workers that have ended or are being killed are ignored."""
        match event:
            case ev.Submitted():
                self._submitted(event, now)
            case ev.WaitAsked():
                self._wait_asked(event, now)
            case ev.Returned():
                self._returned(event, now)
            case ev.WorkerReady():
                self._worker_ready(event, now)
            case ev.IdentifyAsked():
                execution = self._speaking(event.worker)
                if execution is not None:
                    submitted = execution.submissions[event.number - 1]
                    self._command(Identified(event.worker, event.request, submitted))
            case ev.CancelAsked():
                self._cancel_asked(event, now)
            case ev.GroupOpened():
                execution = self._speaking(event.worker)
                if execution is not None:
                    self._effects.groups.append((execution, event.group))
            case ev.RunRequested():
                self._run_requested(event, now)
            case ev.CancelRequested():
                target = self.find(event.execution)
                if target is not None:
                    self._cancel([target], now, immediate=event.immediate)
            case ev.WorkerExited():
                self._worker_exited(event, now)
            case ev.WorkerRefused():
                self._worker_refused(event, now)
            case ev.HostReady():
                self._host_ready(event)
            case ev.HostLost():
                self._host_lost(event.host)
            case ev.HostRefused():
                self._host_refused(event, now)
            case _:
                assert_never(event)

    def handle_time(self, now: Instant) -> None:
        """Let everything happen whose time has come: timeouts, expired waits, delays that are over."""
        while self._deadlines and self._deadlines[0][0] <= now.monotonic:
            item = heappop(self._deadlines)[2]
            if isinstance(item, Wait):
                self._expire_wait(item)
            elif item.state is State.RUNNING:
                self._time_out(item, now)
        while self._delayed and self._delayed[0][0] <= now.elapsed:
            execution = heappop(self._delayed)[2]
            if execution.state is State.QUEUED:
                self._make_ready(execution)

    def drain(self, now: Instant) -> Effects:
        """Hand out slots, then give up the effects of all events since the last drain."""
        self._dispatch(now)
        effects, self._effects = self._effects, Effects()
        return effects

    def next_due(self, now: Instant) -> float | None:
        """Seconds until `handle_time` has something to do, `None` for never."""
        due: list[float] = []
        if self._deadlines:
            due.append(self._deadlines[0][0] - now.monotonic)
        if self._delayed:
            due.append(self._delayed[0][0] - now.elapsed)
        return max(min(due), 0.0) if due else None

    def find(self, execution_id: str) -> Execution | None:
        run = self.runs.get(execution_id.partition(":")[0])
        return None if run is None else run.family.executions.get(execution_id)

    def running_on(self, worker_id: int) -> Execution | None:
        """The execution that a worker runs now."""
        return self._speaking(worker_id)

    def add_host(self, host_id: int) -> None:
        self.hosts[host_id] = Host(host_id)

    def supersede_host(self, host_id: int) -> None:
        """A newer generation serves: idle workers of this one leave, running ones finish."""
        host = self.hosts[host_id]
        host.superseded = True
        for worker in list(host.idle):
            self._retire(worker)

    def host_in_use(self, host_id: int) -> bool:
        """Whether something unfinished is bound to the host, or a process of it is alive."""
        host = self.hosts.get(host_id)
        if host is None:
            return False
        if host.bound or any(worker.state is not WorkerState.IDLE for worker in host.workers.values()):
            return True
        return any(family.host is host for family in self.families.values())

    # -- runs and submissions ------------------------------------------------------------------------------------

    def _run_requested(self, event: ev.RunRequested, now: Instant) -> None:
        run = Run(event.run, None, None, event.options, now.wall)
        run.context = event.context
        run.family.cap = event.options.concurrency
        run.family.host = self.hosts[event.host]
        self.adopt_run(run)
        execution = self._create_step(run, None, None, event.spec, event.encoded, event.arguments, 0, now)
        run.root = execution
        self._effects.runs[run] = None
        self._enqueue(execution, event.spec.options.delay, now)

    def adopt_run(self, run: Run) -> None:
        """Take a run in, a new one or one from the store."""
        self.runs[run.id] = run
        self.families.setdefault(run.family.root.id, run.family)

    def adopt_execution(self, execution: Execution) -> None:
        """Take an execution in, a new one or one from the store."""
        family = execution.step.run.family
        family.executions[execution.id] = execution
        if execution.unfinished:
            family.unfinished += 1

    def requeue(self, execution: Execution, due_wall: float | None, now: Instant) -> None:
        """Queue an unfinished execution that came from the store."""
        delay = 0.0 if due_wall is None else due_wall - now.wall
        self._enqueue(execution, delay, now)

    def restored_execution(self, step: Step, attempt: int, created_at: float) -> Execution:
        """Make an execution that came from the store; `adopt_execution` takes it in once its state is set."""
        self._sequence += 1
        return Execution(step, attempt, None, self._sequence, created_at)

    def settle_restored(self) -> None:
        """Families from the store whose last execution had ended, but not been seen to settle."""
        for family in list(self.families.values()):
            self._check_settled(family)

    def abandon(self, execution: Execution, message: str, now: Instant) -> None:
        """An execution from the store ran when its engine ended."""
        self._end(execution, State.ABANDONED, Terminated("abandoned", message), now, retryable=True, crashed=True)

    def _submitted(self, event: ev.Submitted, now: Instant) -> None:
        parent = self._speaking(event.worker)
        if parent is None:
            return
        arguments = _with_ids(event.arguments, parent)
        depth = parent.step.depth + 1
        child = self._create_step(
            parent.step.run, parent, event.group, event.spec, event.encoded, arguments, depth, now
        )
        parent.submissions.append(child)
        parent.children.append(child)
        if depth >= self._max_depth:
            self._end(child, State.FAILED, _too_deep(child, self._max_depth), now)
        else:
            self._enqueue(child, event.spec.options.delay, now)

    def _create_step(
        self,
        run: Run,
        parent: Execution | None,
        group: int | None,
        spec: TargetSpec,
        encoded: bytes,
        arguments: tuple[Value, ...],
        depth: int,
        now: Instant,
    ) -> Execution:
        run.steps += 1
        step = Step(run, run.steps, parent, group, spec, encoded, arguments, depth, now.wall)
        host = run.family.host if parent is None else parent.host
        self._effects.steps.append(step)
        return self._create_execution(step, 1, host, now)

    def _create_execution(self, step: Step, attempt: int, host: Host | None, now: Instant) -> Execution:
        self._sequence += 1
        execution = Execution(step, attempt, None, self._sequence, now.wall)
        self._bind(execution, host)
        self._effects.executions[execution] = None
        self.adopt_execution(execution)
        return execution

    def _enqueue(self, execution: Execution, delay: float, now: Instant) -> None:
        if delay > 0:
            execution.due_at = now.elapsed + delay
            execution.due_wall = now.wall + delay
            execution.reason = "delayed"
            heappush(self._delayed, (execution.due_at, execution.sequence, execution))
        else:
            self._make_ready(execution)

    def _make_ready(self, execution: Execution) -> None:
        execution.reason = "ready"
        self._queue.push(execution)

    # -- slots and workers ---------------------------------------------------------------------------------------

    def _dispatch(self, now: Instant) -> None:
        """Hand out the free slots: resuming goes before starting."""
        while self._has_room():
            execution = self._queue.peek()
            wait = self._next_resumable(execution)
            if wait is not None:
                self._answer(wait)
                continue
            if execution is None:
                break
            self._queue.withdraw(execution)
            family = execution.step.run.family
            if family.host is None and family.refusal is not None:
                self._end(execution, State.FAILED, family.refusal, now)
            else:
                self._hand_over(execution, now)

    def _next_resumable(self, startable: Execution | None) -> Wait | None:
        """Take the first wait that can be answered out of its queue, unless `startable` may go before it."""
        for _ in range(len(self._resumable)):
            wait = self._resumable.popleft()
            if wait.over:
                continue
            family = wait.execution.step.run.family
            capped = family.cap is not None and family.active >= family.cap and family.active > family.lent
            if not capped and not _gathers(wait, startable):
                return wait
            self._resumable.append(wait)
        return None

    def _has_room(self) -> bool:
        """Whether one more may compute: a slot is free, or all who hold one wait as well and may be doing nothing."""
        return self.active < self.concurrency or self.active == self.lent

    def _hand_over(self, execution: Execution, now: Instant) -> None:
        self._take_slot(execution)
        host = execution.host
        if host is None or host.id not in self.hosts:
            self._bind(execution, execution.step.run.family.host)
            host = execution.host
        assert host is not None  # the queue passes over families without a host
        if host.idle:
            self._assign(host.idle.pop(), execution, now)
            return
        self._worker_ids += 1
        worker = Worker(self._worker_ids, host, execution)
        execution.worker = worker
        execution.reason = "starting a worker"
        self.workers[worker.id] = worker
        host.workers[worker.id] = worker
        self._command(StartWorker(worker.id, host.id))

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
            self._effects.runs[run] = None
        self._effects.executions[execution] = None
        timeout = execution.step.spec.options.timeout
        if timeout > 0:
            heappush(self._deadlines, (now.monotonic + timeout, execution.sequence, execution))
        self._command(HandOver(worker.id, execution))

    def _worker_ready(self, event: ev.WorkerReady, now: Instant) -> None:
        worker = self.workers.get(event.worker)
        if worker is None or worker.state is not WorkerState.STARTING:
            return
        worker.pid = event.pid
        execution = worker.execution
        if execution is None:
            self._now_idle(worker, now)
        else:
            self._assign(worker, execution, now)

    def _now_idle(self, worker: Worker, now: Instant) -> None:
        """A clean worker takes over what a starting one was meant for, waits for work, or leaves."""
        worker.execution = None
        host = worker.host
        if host.superseded or len(host.idle) >= self.concurrency + SPARE_WORKERS:
            self._retire(worker)
            return
        worker.state = WorkerState.IDLE
        host.idle.append(worker)
        for other in host.workers.values():
            if other.state is WorkerState.STARTING and other.execution is not None:
                execution, other.execution = other.execution, None
                host.idle.pop()
                self._assign(worker, execution, now)
                return

    def _retire(self, worker: Worker) -> None:
        if worker.state is WorkerState.IDLE:
            worker.host.idle.remove(worker)
        worker.state = WorkerState.LEAVING
        self._command(RetireWorker(worker.id))

    def _kill(self, worker: Worker, family: Family, *, dump: bool, immediate: bool) -> None:
        worker.state = WorkerState.LEAVING
        worker.killed, worker.execution = worker.execution, None
        worker.family = family
        family.leaving.add(worker.id)
        self._command(KillWorker(worker.id, dump, immediate))

    def _worker_exited(self, event: ev.WorkerExited, now: Instant) -> None:
        worker = self.workers.pop(event.worker, None)
        if worker is None:
            return
        worker.host.workers.pop(worker.id, None)
        if worker.state is WorkerState.IDLE:
            worker.host.idle.remove(worker)
        execution, worker.execution = worker.execution, None
        if execution is not None:
            execution.worker = None
            if worker.state is WorkerState.STARTING:
                self._start_lost(execution, event.evidence, now)
            else:
                execution.usage = event.usage
                outcome = Terminated("abandoned", event.evidence)
                self._end(execution, State.ABANDONED, outcome, now, retryable=True, crashed=True)
        if worker.killed is not None and event.usage is not None:
            worker.killed.usage = event.usage
            self._effects.executions[worker.killed] = None
        for successor in worker.blocked:
            if successor.state is State.QUEUED:
                self._enqueue_blocked(successor, now)
        if worker.family is not None:
            worker.family.leaving.discard(worker.id)
            self._check_settled(worker.family)

    def _enqueue_blocked(self, successor: Execution, now: Instant) -> None:
        delay = 0.0 if successor.due_at is None else successor.due_at - now.elapsed
        self._enqueue(successor, delay, now)

    def _start_lost(self, execution: Execution, evidence: str, now: Instant) -> None:
        """The worker that was started for it died before it was ready."""
        self._give_slot_back(execution)
        execution.starts_lost += 1
        if execution.starts_lost < STARTS_BEFORE_REFUSAL:
            self._enqueue(execution, 0.1 * execution.starts_lost, now)
        else:
            message = f"{STARTS_BEFORE_REFUSAL} worker processes ended before they were ready; the last: {evidence}"
            self._end(execution, State.FAILED, _refusal(message), now)

    def _worker_refused(self, event: ev.WorkerRefused, now: Instant) -> None:
        worker = self.workers.pop(event.worker, None)
        if worker is None:
            return
        worker.host.workers.pop(worker.id, None)
        execution = worker.execution
        if execution is None:
            return
        execution.worker = None
        self._give_slot_back(execution)
        if any(other.state is WorkerState.BUSY and _holds_slot(other) for other in worker.host.workers.values()):
            self._enqueue(execution, 0.1, now)  # somebody will finish: the limit may not hold then
        else:
            self._end(execution, State.FAILED, _refusal(event.message), now)

    def _bind(self, execution: Execution, host: Host | None) -> None:
        """Say whose workers run this execution. A host stays as long as something unfinished is bound to it."""
        if execution.host is not None:
            execution.host.bound -= 1
        execution.host = host
        if host is not None:
            host.bound += 1

    def _take_slot(self, execution: Execution) -> None:
        family = execution.step.run.family
        execution.holds_slot = True
        self.active += 1
        if execution.waits:
            self.lent += 1
            family.lent += 1
        self._queue.slot_taken(family)

    def _give_slot_back(self, execution: Execution) -> None:
        if execution.holds_slot:
            family = execution.step.run.family
            execution.holds_slot = False
            self.active -= 1
            if execution.waits:
                self.lent -= 1
                family.lent -= 1
            self._queue.slot_given_back(family)

    # -- hosts ---------------------------------------------------------------------------------------------------

    def _host_ready(self, event: ev.HostReady) -> None:
        host = self.hosts.setdefault(event.host, Host(event.host))
        for root in event.families:
            family = self.families.get(root)
            if family is not None:
                family.host = host
                family.refusal = None
                self._queue.place(family)

    def _host_lost(self, host_id: int) -> None:
        host = self.hosts.pop(host_id, None)
        if host is None:
            return
        host.superseded = True
        for family in self.families.values():
            if family.host is host:
                family.host = None

    def _host_refused(self, event: ev.HostRefused, now: Instant) -> None:
        for root in event.families:
            family = self.families.get(root)
            if family is None:
                continue
            family.refusal = event.outcome
            for execution in list(family.executions.values()):
                if execution.state is State.QUEUED and execution.worker is None:
                    self._queue.withdraw(execution)
                    self._end(execution, State.FAILED, event.outcome, now)

    # -- outcomes ------------------------------------------------------------------------------------------------

    def _returned(self, event: ev.Returned, now: Instant) -> None:
        worker = self.workers.get(event.worker)
        execution = self._speaking(event.worker)
        if worker is None or execution is None or execution.id != event.execution:
            return
        outcome = event.outcome
        if isinstance(outcome, Succeeded) and outcome.value.references:
            outcome = Succeeded(_with_ids((outcome.value,), execution)[0])
        execution.usage = event.usage
        state = State.SUCCEEDED if isinstance(outcome, Succeeded) else State.FAILED
        unclean = event.unclean or ("" if self._reuse else "one process per execution")
        if unclean:
            family = execution.step.run.family
            worker.family = family
            family.leaving.add(worker.id)
        self._end(execution, state, outcome, now, retryable=event.retryable)
        execution.worker = None
        if unclean:
            worker.execution = None
            self._retire(worker)
        else:
            self._now_idle(worker, now)

    def _time_out(self, execution: Execution, now: Instant) -> None:
        worker = execution.worker
        timeout = execution.step.spec.options.timeout
        descendants = execution.children
        outcome = Terminated("timed_out", f"{execution.id} exceeded its timeout of {timeout:g} s")
        if worker is not None:
            self._kill(worker, execution.step.run.family, dump=True, immediate=False)
        self._end(execution, State.TIMED_OUT, outcome, now, retryable=True)
        self._cancel(descendants, now, immediate=False)

    def _end(
        self,
        execution: Execution,
        state: State,
        outcome: Outcome,
        now: Instant,
        *,
        retryable: bool = False,
        crashed: bool = False,
    ) -> None:
        """Record an outcome, decide on a retry, and move or answer those who wait."""
        execution.transition(state)
        execution.finished_at = now.wall
        execution.outcome = outcome
        execution.reason = ""
        self._effects.executions[execution] = None
        self._give_slot_back(execution)
        for wait in list(execution.waits.values()):
            self._end_wait(wait)
        execution.withheld.clear()
        parent = execution.step.parent
        if parent is not None and execution.started_at is not None:
            quick = now.wall - execution.started_at < QUICK
            parent.quick_children = parent.quick_children + 1 if quick else 0
        family = execution.step.run.family
        family.unfinished -= 1
        if execution.host is not None:
            execution.host.bound -= 1
        if state in FAILURES and retryable:
            self._plan_retry(execution, now, crashed=crashed)
        successor = execution.successor
        if successor is not None:
            successor.waiters, execution.waiters = execution.waiters, []
            return
        waiters, execution.waiters = execution.waiters, []
        for wait in waiters:
            self._resolve(wait, execution)
        run = execution.step.run
        if run.root is not None and run.root.end() is execution:
            run.finished_at = now.wall
            self._effects.runs[run] = None
            self._command(Finished(run.id, state.value))
        self._check_settled(family)

    def _plan_retry(self, execution: Execution, now: Instant, *, crashed: bool) -> None:
        retries = execution.step.spec.options.retries
        delay = next_delay(retries, execution.streak, self._random(), crashed=crashed)
        if delay is None:
            return
        run = execution.step.run
        successor = self._create_execution(execution.step, execution.attempt + 1, run.family.host, now)
        successor.streak = execution.streak + 1
        execution.successor = successor
        worker = execution.worker
        if worker is not None and worker.id in run.family.leaving:
            # Not handed over before this process is gone: two attempts never overlap.
            successor.reason = "waiting for the previous attempt's process to end"
            successor.due_at = now.elapsed + delay
            successor.due_wall = now.wall + delay
            worker.blocked.append(successor)
        else:
            self._enqueue(successor, delay, now)

    def _check_settled(self, family: Family) -> None:
        if family.unfinished or family.leaving or family.root.settled:
            return
        for run in family.runs:
            run.settled = True
            self._effects.runs[run] = None
            self.runs.pop(run.id, None)
        self.families.pop(family.root.id, None)
        self._command(Settled(family.root.id, family.root.status.value))

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait_asked(self, event: ev.WaitAsked, now: Instant) -> None:
        execution = self._speaking(event.worker)
        if execution is None:
            return
        targets = []
        for handle in event.handles:
            target = self._resolve_handle(execution, handle)
            if target is None:
                wait = Wait(execution, event.request, [])
                error = f"{handle} is not an execution that this run knows"
                self._command(Answered(event.worker, wait, -1, None, error))
                return
            targets.append(target)
        self._begin_wait(Wait(execution, event.request, targets), event.timeout, now)

    def _begin_wait(self, wait: Wait, timeout: float | None, now: Instant) -> None:
        execution, targets = wait.execution, wait.targets
        worker = execution.worker
        assert worker is not None  # it has just spoken
        plain = timeout is not None and timeout <= 0
        ended = next((index for index, target in enumerate(targets) if not target.end().unfinished), None)
        if ended is not None and (plain or execution.holds_slot):
            self._command(Answered(worker.id, wait, ended, targets[ended].end()))
            return
        if plain:
            self._command(Answered(worker.id, wait, -1, None))
            self._start_polled(execution, targets, now)
            return
        cycle = closed_cycle(execution, targets) if timeout is None and ended is None else None
        if cycle is not None:
            self._command(Answered(worker.id, wait, -1, None, cycle))
            return
        self._give_slot_back(execution)
        execution.waits[wait.request] = wait
        if timeout is not None:
            wait.timed = True
            self._sequence += 1
            heappush(self._deadlines, (now.monotonic + timeout, self._sequence, wait))
        if ended is not None:
            # Another of its waits is outstanding, so it holds no slot and waits for one like everybody else.
            self._resolve(wait, targets[ended].end())
            return
        for target in targets:
            target.end().waiters.append(wait)

    def _end_wait(self, wait: Wait) -> None:
        """It is answered, or its execution has ended: nobody needs to know it any more."""
        wait.over = True
        execution = wait.execution
        del execution.waits[wait.request]
        if execution.holds_slot and not execution.waits:
            self.lent -= 1
            execution.step.run.family.lent -= 1
        for target in wait.targets:
            waiters = target.end().waiters
            if wait in waiters:
                waiters.remove(wait)

    def _start_polled(self, execution: Execution, targets: list[Execution], now: Instant) -> None:
        """A loop of plain polls holds its slot: what it polls for gets on all the same, over the limit if need be."""
        if self._slot_free(execution.step.run.family):
            return
        stack = [target.end() for target in targets]
        seen: set[Execution] = set()
        while stack:
            pending = stack.pop()
            if pending in seen:
                continue
            seen.add(pending)
            if pending.ready and pending.step.run.family.host is not None:
                self._queue.withdraw(pending)
                self._hand_over(pending, now)
            for wait in list(pending.waits.values()):
                if wait.resolved is None:
                    stack.extend(target.end() for target in wait.targets)
                elif not wait.over:
                    self._answer(wait)

    def _slot_free(self, family: Family) -> bool:
        return self.active < self.concurrency and (family.cap is None or family.active < family.cap)

    def _resolve(self, wait: Wait, ended: Execution) -> None:
        if wait.over or wait.resolved is not None:
            return
        wait.resolved = next(i for i, target in enumerate(wait.targets) if target.end() is ended)
        if wait.execution.holds_slot:
            self._answer(wait)
        else:
            wait.execution.withheld.append(wait)
            self._resumable.append(wait)

    def _answer(self, wait: Wait) -> None:
        """Answer a wait, with the first of its targets that has ended, and give its execution a slot."""
        execution = wait.execution
        assert execution.worker is not None  # only running executions wait
        self._end_wait(wait)
        if not execution.holds_slot:
            self._take_slot(execution)
        withheld, execution.withheld = execution.withheld, []
        index, ended = -1, None
        if wait.resolved is not None:
            index = next(i for i, target in enumerate(wait.targets) if not target.end().unfinished)
            ended = wait.targets[index].end()
        self._command(Answered(execution.worker.id, wait, index, ended))
        for other in withheld:
            # It has its slot, and may never wait again: `asyncio.gather` asks for everything first.
            if not other.over:
                self._answer(other)

    def _expire_wait(self, wait: Wait) -> None:
        """The time of a poll is up: answered at once, with a slot over the limit if need be."""
        if not wait.over:
            self._answer(wait)

    # -- cancelling ----------------------------------------------------------------------------------------------

    def _cancel_asked(self, event: ev.CancelAsked, now: Instant) -> None:
        execution = self._speaking(event.worker)
        if execution is None:
            return
        targets = [self._resolve_handle(execution, handle) for handle in event.handles]
        self._cancel([target for target in targets if target is not None], now, immediate=False)

    def _cancel(self, roots: list[Execution], now: Instant, *, immediate: bool) -> None:
        """Cancel the pending ends of these chains and everything unfinished below any of their attempts."""
        doomed: list[Execution] = []
        stack = list(roots)
        seen: set[str] = set()
        while stack:
            execution: Execution | None = stack.pop()
            while execution is not None and execution.id not in seen:
                seen.add(execution.id)
                doomed.append(execution)
                stack.extend(execution.children)
                execution = execution.successor
        for execution in doomed:
            # Nothing below may start in between, so all are taken out of the queue before any of them ends.
            self._queue.withdraw(execution)
        for execution in doomed:
            if execution.unfinished:
                self._cancel_one(execution, now, immediate=immediate)
            elif immediate:
                self._skip_grace(execution)

    def _cancel_one(self, execution: Execution, now: Instant, *, immediate: bool) -> None:
        worker = execution.worker
        family = execution.step.run.family
        if worker is not None and execution.state is State.RUNNING:
            self._kill(worker, family, dump=False, immediate=immediate)
        elif worker is not None:
            worker.execution = None  # still starting: it becomes an idle worker
            execution.worker = None
        self._end(execution, State.CANCELLED, Terminated("cancelled", f"{execution.id} was cancelled"), now)

    def _skip_grace(self, execution: Execution) -> None:
        """Its process may have been told to end already, and have been given time for it."""
        worker = execution.worker
        if worker is not None and worker.id in execution.step.run.family.leaving:
            self._command(KillWorker(worker.id, dump=False, immediate=True))

    # -- small helpers -------------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        self._effects.commands.append(command)

    def _speaking(self, worker_id: int) -> Execution | None:
        """The execution in whose name a worker speaks; `None` if it is being killed or has nothing to say."""
        worker = self.workers.get(worker_id)
        return worker.execution if worker is not None and worker.state is WorkerState.BUSY else None

    def _resolve_handle(self, execution: Execution, handle: str) -> Execution | None:
        if handle.startswith("@"):
            return execution.submissions[int(handle[1:]) - 1]
        return self.find(handle)


def _gathers(wait: Wait, startable: Execution | None) -> bool:
    """Whether the waiting execution lets this child of its own start first, once more.

    One that collects the results of many quick children would take a slot back for every one of them, and a process
    would be idle while the answer is on its way. It is told of several at once instead, a few milliseconds later.
    """
    parent = wait.execution
    if startable is None or startable.step.parent is not parent or parent.quick_children < QUICK_IN_A_ROW:
        return False
    wait.passed_over += 1
    return wait.passed_over <= GATHERED


def _holds_slot(worker: Worker) -> bool:
    return worker.execution is not None and worker.execution.holds_slot


def _with_ids(values: tuple[Value, ...], execution: Execution) -> tuple[Value, ...]:
    """Replace `@n` references by the ids of the execution's submissions."""
    if not any(value.references for value in values):
        return values
    return tuple(
        replace(
            value,
            references=tuple(
                replace(reference, id=execution.submissions[int(reference.id[1:]) - 1].id)
                if reference.id.startswith("@")
                else reference
                for reference in value.references
            ),
        )
        if value.references
        else value
        for value in values
    )


def _refusal(message: str) -> Failed:
    return Failed(Failure("coflux.errors.ExecutionError", message, f"coflux.errors.ExecutionError: {message}\n"))


def _too_deep(execution: Execution, limit: int) -> Failed:
    names: list[str] = []
    parent: Execution | None = execution
    while parent is not None and len(names) < 6:
        names.append(parent.step.spec.name)
        parent = parent.step.parent
    chain = " → ".join([*reversed(names)])
    return _refusal(
        f"calls are nested more than {limit} deep: … → {chain}. If the recursion is meant, raise `max_depth` in the "
        "configuration"
    )
