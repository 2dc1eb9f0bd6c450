"""The scheduler: events in, rows and commands out. No I/O, no clock, no threads, no randomness of its own.

    events ──> handle(event, now) ──> objects change ──> drain() ──> Effects(rows to write, commands to carry out)

`next_due()` says when `handle_time` wants to be called at the latest. The shell commits the rows of a turn before it
carries out any command of that turn, so whatever anyone is told has been recorded.

What an event means is decided here. The parts keep one subject each; those above use those below, never the other way:

    entrance                       what is decided before an execution is ready: cache, arguments, runs of their own
    endings                        outcomes, retries, suspensions, cancels, timeouts
    waiting                        who waits for whom, who is told when
    fleet      holds               hosts, workers, who runs where; what is queued and waits for others
    register   admission           all that is unfinished; what is not ready yet
    placement                      where the code of a step is, and which worker groups may run it
    slots      routing   stuck     who may compute; which groups fit; what can never get on
    effects    agenda      queue   rows and commands; what is due when; who is next
    sources    deferral            results that the cache may use; which submissions replace which
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from math import inf
from typing import assert_never

from coflux.encoded import is_none
from coflux.executor.core import events as ev
from coflux.executor.core.admission import Admission
from coflux.executor.core.agenda import Agenda
from coflux.executor.core.archive import Archive
from coflux.executor.core.catalogue import Catalogue
from coflux.executor.core.commands import Identified, Stuck
from coflux.executor.core.deferral import Deferral
from coflux.executor.core.descent import awaited_failure, has_failed, newest_chain
from coflux.executor.core.effects import Effects, Outbox, Shared
from coflux.executor.core.endings import Endings
from coflux.executor.core.entrance import Entrance
from coflux.executor.core.fleet import Fleet
from coflux.executor.core.handles import with_ids
from coflux.executor.core.holds import Holds
from coflux.executor.core.placement import Placement
from coflux.executor.core.refusals import refusal
from coflux.executor.core.register import Register
from coflux.executor.core.routing import Router
from coflux.executor.core.slots import Slots
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import (
    HOME,
    SUSPENDING,
    Execution,
    Family,
    Host,
    Instant,
    Pool,
    Run,
    SiteKey,
    State,
    StepKeys,
    Suspension,
    Wait,
    WorkerState,
)
from coflux.executor.core.step_keys import step_keys
from coflux.executor.core.stuck import why_stuck
from coflux.executor.core.waiting import Waits
from coflux.executor.messages import Outcome, Succeeded, Terminated
from coflux.worker_groups import WorkerGroup

__all__ = ["AnyEvent", "Scheduler"]

AnyEvent = (
    ev.Submitted
    | ev.WaitAsked
    | ev.SuspendAsked
    | ev.Returned
    | ev.WorkerReady
    | ev.IdentifyAsked
    | ev.CancelAsked
    | ev.GroupOpened
    | ev.RunRequested
    | ev.RerunRequested
    | ev.CancelRequested
    | ev.WorkspaceChanged
    | ev.WorkerExited
    | ev.WorkerRefused
    | ev.HostReady
    | ev.HostLost
    | ev.HostRefused
)

STARTS_BEFORE_REFUSAL = 3  # workers that may die before they are ready, until the execution fails
UNWINDING = 5.0  # seconds that code may take to end after a suspension, until its process is killed
START_AGAIN = 0.1  # seconds until another worker is started in the place of one that was lost or refused


class Scheduler:
    """The state of everything unfinished, and the rules that move it."""

    def __init__(
        self,
        groups: tuple[WorkerGroup, ...],
        random: Callable[[], float],
        archive: Archive,
        catalogue: Catalogue,
        *,
        max_depth: int = 1000,
        reuse: bool = True,
    ) -> None:
        """
        Args:
            groups: the worker groups, with their slots; an execution that waits for another holds none.
            random: uniform in [0, 1), for the jitter of unlimited retries.
            archive: knows the runs that have settled.
            catalogue: knows what module hosts have imported.
            max_depth: deepest nesting of calls.
            reuse: whether a process that was left clean takes another execution.
        """
        self._order = order = count(1)
        self.outbox = Outbox()
        self.deadlines: Agenda[Execution | Wait] = Agenda(_can_expire)  # on the monotonic clock
        self.slots = Slots(groups)
        self.deferral = Deferral()
        self.sources = Sources()
        self.register = Register(order, self.outbox, self.sources, archive)
        self.placement = Placement(Router(self.slots.pools), self.slots.queue, catalogue, self.outbox)
        self.admission = Admission(self.placement, self.outbox)
        self.holds = Holds(self.register, self.admission)
        self.fleet = Fleet(self.slots, self.deferral, self.deadlines, self.outbox)
        self.waits = Waits(self.slots, self.fleet, self.admission, self.holds, self.deadlines, order, self.outbox)
        self.endings = Endings(
            self.register,
            self.admission,
            self.slots,
            self.fleet,
            self.waits,
            self.holds,
            self.deferral,
            self.sources,
            self.outbox,
            random,
        )
        self.entrance = Entrance(
            self.register,
            self.placement,
            self.admission,
            self.holds,
            self.deferral,
            self.sources,
            self.endings,
            self.outbox,
            archive,
            catalogue,
            max_depth,
        )
        # What the shell reads all the time, without having to know where it is kept.
        self.runs = self.register.runs
        self.families = self.register.families
        self.workers = self.fleet.workers
        self._reuse = reuse

    # -- the outside ---------------------------------------------------------------------------------------------

    def handle(self, event: AnyEvent, now: Instant) -> None:  # noqa: C901, PLR0912  # an arm for each kind of event
        """Apply one event. Messages of workers that have ended or are being killed are ignored."""
        match event:
            case ev.Submitted():
                self._submitted(event, now)
            case ev.WaitAsked():
                self._wait_asked(event, now)
            case ev.SuspendAsked():
                self._suspend_asked(event, now)
            case ev.Returned():
                self._returned(event, now)
            case ev.WorkerReady():
                self.fleet.ready(event.worker, event.pid, now)
            case ev.IdentifyAsked():
                execution = self._asking(event.worker)
                if execution is not None:
                    submitted = execution.submissions[event.number - 1]
                    self.outbox.commands.append(Identified(event.worker, event.request, submitted))
            case ev.CancelAsked():
                self._cancel_asked(event, now)
            case ev.GroupOpened():
                execution = self.fleet.running_on(event.worker)
                if execution is not None:
                    self.outbox.groups.append((execution, event.group))
            case ev.RunRequested():
                self._run_requested(event, now)
            case ev.RerunRequested():
                self._rerun_requested(event, now)
            case ev.CancelRequested():
                target = self.find(event.execution)
                if target is not None:
                    self.endings.cancel([target], now, immediate=event.immediate)
            case ev.WorkspaceChanged():
                self._workspace_changed(event)
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
        self.entrance.settle(now)

    def handle_time(self, now: Instant) -> None:
        """Let everything happen whose time has come: timeouts, expired waits, delays that are over."""
        deadlines, delays = self.deadlines, self.admission.delays
        while deadlines.next_at <= now.monotonic:
            item = deadlines.take_due(now.monotonic)
            if isinstance(item, Wait):
                self.waits.expire(item)
            elif item is not None:
                self.endings.time_out(item, now)
        while delays.next_at <= now.elapsed:
            execution = delays.take_due(now.elapsed)
            if execution is not None:
                self.admission.come_due(execution)
                self.outbox.executions[execution] = None
        self.entrance.settle(now)

    def drain(self, now: Instant) -> Effects:
        """Hand out slots, then give up the effects of all events since the last drain."""
        self._dispatch(now)
        if self.placement.unroutable:
            self._tell_stuck()
        return self.outbox.take()

    def committed(self) -> None:
        """Everything that was drained is in the store."""
        self.register.committed()

    def next_due(self, now: Instant) -> float | None:
        """Seconds until `handle_time` has something to do, `None` for never."""
        due = min(self.deadlines.next_at - now.monotonic, self.admission.delays.next_at - now.elapsed)
        return max(due, 0.0) if due < inf else None

    def find(self, execution_id: str) -> Execution | None:
        return self.register.find(execution_id)

    def running_on(self, worker_id: int) -> Execution | None:
        """The execution in whose name a worker speaks; `None` if it is being killed or has nothing to say."""
        return self.fleet.running_on(worker_id)

    def add_host(self, host_id: int, key: SiteKey = HOME) -> None:
        self.fleet.host(host_id, key)

    def supersede_host(self, host_id: int) -> None:
        """A newer generation serves: idle workers of this one leave, running ones finish."""
        self.fleet.supersede_host(host_id)

    def host_in_use(self, host_id: int) -> bool:
        """Whether something unfinished is bound to the host, or a process of it is alive."""
        host = self.fleet.hosts.get(host_id)
        if host is None:
            return False
        if host.bound or any(worker.state is not WorkerState.IDLE for worker in host.workers.values()):
            return True
        return any(_serves(host, family) for family in self.families.values())

    # -- after a restart -----------------------------------------------------------------------------------------

    def requeue(
        self, execution: Execution, due_wall: float | None, now: Instant, awaits: Sequence[Execution] = ()
    ) -> None:
        """Queue an unfinished execution that came from the store. `awaits` is what it was suspended for."""
        self.holds.for_any(execution, awaits)
        step = execution.step
        called = step.number == 1 and step.run.parent is not None  # the calling step has asked
        execution.asked = called or execution.trigger != "submission"
        self.entrance.enter(execution, 0.0 if due_wall is None else due_wall - now.wall, now)

    def abandon(self, execution: Execution, evidence: str, now: Instant) -> None:
        """What ran it is gone and has left no outcome: a worker, or the engine before this one."""
        if execution.suspension is not None:
            self.endings.suspend(execution, now)
            return
        outcome = Terminated("abandoned", evidence)
        self.endings.end(execution, State.ABANDONED, outcome, now, retryable=True, crashed=True)

    def settle_restored(self, now: Instant) -> None:
        """Everything that came from the store is queued: go on. Families whose last execution had ended, but which were
        not seen to settle, do so now."""
        for run in self.runs.values():
            self.endings.follow_out(run)
        self.entrance.settle(now)
        for family in list(self.families.values()):
            self.register.check_settled(family)

    # -- slots ---------------------------------------------------------------------------------------------------

    def _dispatch(self, now: Instant) -> None:
        """Hand out the free slots: resuming goes before starting."""
        deciding = True
        while deciding:
            self._fail_refused(now)
            self._hand_out(now)
            deciding = self.entrance.settle(now)

    def _hand_out(self, now: Instant) -> None:
        pools = self.slots.pools
        busy = True
        while busy:
            busy = False
            for pool in pools:
                # What one group does may let another one do more: a family is at its limit over all of them.
                busy |= self._dispatch_of(pool, now) and len(pools) > 1

    def _dispatch_of(self, pool: Pool, now: Instant) -> bool:
        """Hand out the free slots of one group. Whether there was anything to do."""
        slots, waits = self.slots, self.waits
        busy = False
        while pool.has_room():
            execution = slots.queue.peek(pool)
            wait = waits.next_resumable(pool, execution, now)
            if wait is not None:
                waits.answer(wait)
            elif execution is not None:
                slots.queue.withdraw(execution)
                self.fleet.hand_over(execution, pool, now)
            else:
                break
            busy = True
        return busy

    def _fail_refused(self, now: Instant) -> None:
        """What can be run nowhere needs no slot to fail."""
        while self.placement.failing:
            failing, self.placement.failing = self.placement.failing, []
            for execution, outcome in failing:
                if execution.state is State.QUEUED:
                    self._fail_queued(execution, outcome, now)

    def _tell_stuck(self) -> None:
        """Say of which runs nothing can get on, once."""
        for family in list(self.placement.unroutable):
            if not family.unroutable or family.root.settled:
                del self.placement.unroutable[family]
            elif not family.stuck and (message := why_stuck(family)) is not None:
                family.stuck = message
                self.outbox.commands.append(Stuck(family.root.id, message))

    def _fail_queued(self, execution: Execution, outcome: Outcome, now: Instant) -> None:
        self.slots.queue.withdraw(execution)
        self.endings.end(execution, State.FAILED, outcome, now)

    # -- what clients ask for ------------------------------------------------------------------------------------

    def _run_requested(self, event: ev.RunRequested, now: Instant) -> None:
        run = Run(event.run, None, None, event.options, now.wall)
        run.context = event.context
        run.family.cap = event.options.concurrency
        host = self.fleet.hosts[event.host]
        run.family.settle_at(host.key, host)
        self.register.adopt_run(run)
        keys = step_keys(event.spec, event.keys, run_memo=False)
        run.root = self.register.create_step(run, None, None, event.spec, event.encoded, event.arguments, now, keys)
        self.outbox.runs[run] = None
        self.entrance.enter(run.root, event.spec.options.delay, now)

    def _rerun_requested(self, event: ev.RerunRequested, now: Instant) -> None:
        execution = self.find(event.execution)
        if execution is not None:
            self.entrance.again(execution, event.workspace, now, resumes=event.resume)

    def _workspace_changed(self, event: ev.WorkspaceChanged) -> None:
        if not event.paused:
            self.admission.resume(event.workspace)
            return
        executions = [one for family in self.families.values() for one in family.executions.values()]
        ready = [one for one in executions if one.ready and one.workspace == event.workspace]
        self.admission.pause(event.workspace, ready)

    # -- what executions ask for ---------------------------------------------------------------------------------

    def _submitted(self, event: ev.Submitted, now: Instant) -> None:
        parent = self._asking(event.worker)
        if parent is None:
            return
        run = parent.step.run
        arguments = with_ids(event.arguments, parent)
        keys = step_keys(event.spec, event.keys, run.memo, parent.submissions)
        shared = None
        if event.earlier:
            shared = self._resumed(parent, event, keys, now)
        elif keys.memo is not None:
            shared = awaited_failure(parent, keys.memo)
            if shared is None:
                shared = self.register.shareable(run, keys.memo, parent.workspace)
        if shared is not None:
            self._share(parent, shared, event)
            return
        child = self.register.create_step(run, parent, event.group, event.spec, event.encoded, arguments, now, keys)
        parent.submissions.append(child)
        parent.children.append(child)
        if event.spec.stub:
            self.placement.resolve(child)
        self.entrance.enter(child, event.spec.options.delay, now)

    def _resumed(self, parent: Execution, event: ev.Submitted, keys: StepKeys, now: Instant) -> Execution | None:
        """What answers a submission that equals one of an earlier attempt: that one, unless it has failed, else another
        attempt at it, as the code would have it now. `None` if there is no such submission."""
        earlier = self.find(event.earlier)
        if earlier is None:
            return None
        head = newest_chain(earlier.step, parent.workspace)
        if not has_failed(head.end()):
            return head
        self.register.renew_step(head.step, event.spec, event.encoded, keys)
        return self.entrance.again(head, parent.workspace, now, resumes=True)

    def _share(self, parent: Execution, shared: Execution, event: ev.Submitted) -> None:
        """The submission makes no step: `parent` gets the handle of an existing one."""
        parent.submissions.append(shared)
        self.register.share(parent, shared)
        self.outbox.shared.append(Shared(parent, len(parent.submissions), shared, event.group))

    def _asking(self, worker: int) -> Execution | None:
        """The execution in whose name a worker asks for something; `None` if it is not to be had any more: it is being
        killed, or suspended, after which nothing counts."""
        execution = self.fleet.running_on(worker)
        return None if execution is None or execution.suspension is not None else execution

    def _wait_asked(self, event: ev.WaitAsked, now: Instant) -> None:
        execution = self._asking(event.worker)
        if execution is None:
            return
        targets = []
        for handle in event.handles:
            target = self.register.resolve(execution, handle)
            if target is None:
                error = f"{handle} is not an execution that is known here: its run may have been deleted"
                self.waits.refuse(Wait(execution, event.request, []), error)
                return
            targets.append(target)
        only = event.handles[0] if len(event.handles) == 1 else ""
        number = int(only[1:]) if only.startswith("@") else 0
        self.waits.begin(Wait(execution, event.request, targets, number), event.timeout, now, suspends=event.suspends)

    def _suspend_asked(self, event: ev.SuspendAsked, now: Instant) -> None:
        execution = self._asking(event.worker)
        if execution is None:
            return
        delay = max(event.delay if event.until is None else event.until - now.wall, 0.0)
        targets = [self.register.resolve(execution, handle) for handle in event.handles]
        known = tuple(target for target in targets if target is not None)
        execution.suspension = Suspension(now.elapsed + delay, now.wall + delay, known)
        self.waits.dismiss(execution)  # its other threads are to end as well
        execution.due_wall = now.wall + delay
        execution.reason = SUSPENDING
        self.outbox.executions[execution] = None
        self.deadlines.put(now.monotonic + UNWINDING, next(self._order), execution)

    def _cancel_asked(self, event: ev.CancelAsked, now: Instant) -> None:
        execution = self._asking(event.worker)
        if execution is None:
            return
        targets = [self.register.resolve(execution, handle) for handle in event.handles]
        self.endings.cancel([target for target in targets if target is not None], now)

    # -- what becomes of workers ---------------------------------------------------------------------------------

    def _returned(self, event: ev.Returned, now: Instant) -> None:
        execution = self.fleet.running_on(event.worker)
        if execution is None or execution.id != event.execution:
            return
        worker = self.workers[event.worker]
        outcome = event.outcome
        # What it returns after a suspension does not count, and may refer to submissions that were ignored.
        if isinstance(outcome, Succeeded) and outcome.value.references and execution.suspension is None:
            outcome = Succeeded(with_ids((outcome.value,), execution)[0])
        execution.usage = event.usage
        execution.fingerprint = event.fingerprint
        state = State.SUCCEEDED if isinstance(outcome, Succeeded) else State.FAILED
        used_up = bool(event.unclean) or not self._reuse
        if used_up:
            self.fleet.expect_exit(worker, execution.step.run.family)
        if execution.suspension is not None:
            self.endings.suspend(execution, now)
        elif execution.step.spec.options.recurrent and isinstance(outcome, Succeeded) and is_none(outcome.value):
            self.endings.recur(execution, now)
        else:
            self.endings.end(execution, state, outcome, now, retryable=event.retryable)
        if used_up:
            self.fleet.retire(worker)
        else:
            execution.worker = None
            self.fleet.now_idle(worker, now)

    def _worker_exited(self, event: ev.WorkerExited, now: Instant) -> None:
        worker = self.fleet.remove(event.worker)
        if worker is None:
            return
        execution = worker.execution
        if execution is not None and worker.state is WorkerState.STARTING:
            self._start_lost(execution, event.evidence, now)
        elif execution is not None:
            execution.usage = event.usage
            self.abandon(execution, event.evidence, now)
        if worker.killed is not None and event.usage is not None:
            worker.killed.usage = event.usage
            self.outbox.executions[worker.killed] = None
        self.admission.release(worker, now)
        if worker.family is not None:
            worker.family.leaving.discard(worker.id)
            self.register.check_settled(worker.family)

    def _start_lost(self, execution: Execution, evidence: str, now: Instant) -> None:
        """The worker that was started for it died before it was ready."""
        self.slots.give_back(execution)
        execution.starts_lost += 1
        if execution.starts_lost < STARTS_BEFORE_REFUSAL:
            self.admission.enqueue(execution, START_AGAIN * execution.starts_lost, now)
        else:
            message = f"{STARTS_BEFORE_REFUSAL} worker processes ended before they were ready; the last: {evidence}"
            self.endings.end(execution, State.FAILED, refusal(message), now)

    def _worker_refused(self, event: ev.WorkerRefused, now: Instant) -> None:
        worker = self.fleet.remove(event.worker)
        if worker is None or worker.execution is None:
            return
        execution = worker.execution
        self.slots.give_back(execution)
        if worker.host.computes():
            self.admission.enqueue(execution, START_AGAIN, now)  # somebody will finish: the limit may not hold then
        else:
            self.endings.end(execution, State.FAILED, refusal(event.message), now)

    # -- what becomes of hosts -----------------------------------------------------------------------------------

    def _host_ready(self, event: ev.HostReady) -> None:
        host = self.fleet.host(event.host)
        for root in event.families:
            family = self.families.get(root)
            if family is not None:
                waiting = self.placement.host_ready(family, host)
                self._renew_attempts(family, host)
                for execution in waiting:
                    self.admission.come_due(execution)

    def _renew_attempts(self, family: Family, host: Host) -> None:
        """Attempts again that have not begun run on the newest host: it has newer code than the one they had."""
        for execution in family.executions.values():
            if execution.attempt > 1 and execution.state is State.QUEUED and execution.worker is None:
                site = execution.step.site or family.home
                if site.host is host:
                    execution.bind(host)

    def _host_lost(self, host_id: int) -> None:
        host = self.fleet.lose_host(host_id)
        if host is None:
            return
        for family in self.families.values():
            self.placement.host_lost(family, host)

    def _host_refused(self, event: ev.HostRefused, now: Instant) -> None:
        for root in event.families:
            family = self.families.get(root)
            if family is not None:
                self.placement.host_refused(family, event.site, event.outcome)
        self._fail_refused(now)


def _serves(host: Host, family: Family) -> bool:
    site = family.sites.get(host.key)
    return site is not None and site.host is host


def _can_expire(item: Execution | Wait) -> bool:
    return not item.over if isinstance(item, Wait) else item.state is State.RUNNING
