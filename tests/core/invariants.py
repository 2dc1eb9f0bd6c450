"""What always holds in the scheduler, each in a sentence. `check` looks at a state, `Ledger` at a whole history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import inf

from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered, Command, Finished, HandOver, Identified, Settled, Stuck
from coflux.executor.core.effects import Effects
from coflux.executor.core.routing import matches, requirements
from coflux.executor.core.scheduler import AnyEvent, Scheduler
from coflux.executor.core.state import Execution, Family, Instant, State, Step, Wait, WorkerState
from coflux.executor.core.waiting import GATHERING, QUICK_IN_A_ROW
from coflux.executor.messages import Outcome

__all__ = ["INVARIANTS", "Broken", "Ledger", "check", "tree"]


class Broken(AssertionError):
    """An invariant does not hold: its sentence, and where."""


class View:
    """A scheduler's executions, gathered once for all checks of a state."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.families = list(scheduler.families.values())
        self.executions = [execution for family in self.families for execution in family.executions.values()]
        self.unfinished = [execution for execution in self.executions if execution.unfinished]


Check = Callable[[View], Iterator[str]]
INVARIANTS: list[tuple[str, Check]] = []


def invariant(sentence: str) -> Callable[[Check], Check]:
    def register(problems: Check) -> Check:
        INVARIANTS.append((sentence, problems))
        return problems

    return register


def check(scheduler: Scheduler) -> None:
    view = View(scheduler)
    for sentence, problems in INVARIANTS:
        for problem in problems(view):
            raise Broken(f"{sentence} But {problem}.")


# -- workers ----------------------------------------------------------------------------------------------------------


@invariant("A worker runs at most one execution, and an execution runs on exactly one worker.")
def _one_each(view: View) -> Iterator[str]:
    workers = view.scheduler.workers
    for worker in workers.values():
        execution = worker.execution
        if execution is not None and execution.worker is not worker:
            yield f"worker {worker.id} has {execution}, whose worker is another"
        if worker.state is WorkerState.BUSY and (execution is None or execution.state is not State.RUNNING):
            yield f"worker {worker.id} is busy with {execution}"
    for execution in view.unfinished:
        worker_of = execution.worker
        if worker_of is None:
            if execution.state is State.RUNNING:
                yield f"{execution} has no worker"
        elif workers.get(worker_of.id) is not worker_of or worker_of.execution is not execution:
            yield f"{execution} is on worker {worker_of.id}, which is gone or does something else"


@invariant("A worker is starting, idle, busy or leaving; the idle ones are exactly those that a host would hand out.")
def _idle_is_idle(view: View) -> Iterator[str]:
    scheduler = view.scheduler
    for host in scheduler.fleet.hosts.values():
        if len(set(host.idle)) < len(host.idle):
            yield f"host {host.id} has the same worker idle twice"
        for worker in host.idle:
            if worker.state is not WorkerState.IDLE or worker.id not in scheduler.workers:
                yield f"host {host.id} would hand out worker {worker.id}, which is {worker.state.value} or gone"
    for worker in scheduler.workers.values():
        if worker.host.workers.get(worker.id) is not worker:
            yield f"host {worker.host.id} has lost sight of worker {worker.id}"
        if worker.state is WorkerState.IDLE and worker not in worker.host.idle:
            yield f"worker {worker.id} is idle, and host {worker.host.id} does not know"
        if worker.state in {WorkerState.IDLE, WorkerState.LEAVING} and worker.execution is not None:
            yield f"worker {worker.id} is {worker.state.value} and has {worker.execution}"


@invariant("The host of a site is there, or the site has none and one is asked for.")
def _hosts(view: View) -> Iterator[str]:
    for family in view.families:
        for site in family.sites.values():
            if site.host is not None and view.scheduler.fleet.hosts.get(site.host.id) is not site.host:
                yield f"{family.root.id} is served by host {site.host.id}, which is lost"
            if site.waiting and (site.host is not None or not site.requested):
                yield f"{family.root.id} has work waiting at {site.key}, with host {site.host}"


@invariant("What runs does so in a group that it fits, with its module imported by that group's interpreter.")
def _groups(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        if execution.worker is None:
            continue
        pool, host, step = execution.pool, execution.worker.host, execution.step
        if pool is None or not matches(pool.group, requirements(step)) or not pool.group.hosts(step.spec.module):
            yield f"{execution} is in {pool and pool.group.name}, which it does not fit"
        elif host.key.python != pool.group.python or step.site is None or host.key != step.site.key:
            yield f"{execution} is in {pool.group.name} and runs on host {host.id} of {host.key}"


@invariant("A family knows which of its processes are still on their way out.")
def _leaving(view: View) -> Iterator[str]:
    expected: dict[Family, set[int]] = {family: set() for family in view.families}
    for worker in view.scheduler.workers.values():
        if worker.family is not None:
            if worker.family not in expected:
                yield f"worker {worker.id} is leaving a family that has settled"
            else:
                expected[worker.family].add(worker.id)
    for family, workers in expected.items():
        if family.leaving != workers:
            yield f"{family.root.id} thinks {family.leaving}, when {workers} are leaving"


# -- slots ------------------------------------------------------------------------------------------------------------


@invariant("Every slot has one holder: the total, the shares of the families and the holders agree.")
def _slots(view: View) -> Iterator[str]:
    total = 0
    for family in view.families:
        held = sum(execution.holds_slot for execution in family.executions.values())
        total += held
        if family.active != held:
            yield f"{family.root.id} counts {family.active} slots and holds {held}"
        lent = sum(execution.holds_slot and bool(execution.waits) for execution in family.executions.values())
        if family.lent != lent:
            yield f"{family.root.id} counts {family.lent} slots as lent, of {lent}"
    if view.scheduler.slots.active != total:
        yield f"{view.scheduler.slots.active} slots are counted and {total} held"
    for pool in view.scheduler.slots.pools:
        holders = [one for one in view.executions if one.holds_slot and one.pool is pool]
        if (pool.active, pool.lent) != (len(holders), sum(bool(one.waits) for one in holders)):
            yield f"group {pool.group.name} counts {pool.active} slots, {pool.lent} of them lent, held by {holders}"


@invariant("What has finished holds no slot, waits for nothing, is waited for by nobody and is not queued.")
def _finished(view: View) -> Iterator[str]:
    for execution in view.executions:
        if execution.unfinished:
            continue
        if execution.holds_slot or execution.waits or execution.ready:
            yield f"{execution} holds a slot, waits or is ready"
        if execution.waiters:
            yield f"{execution} is waited for by {execution.waiters[0].execution}"


@invariant("A running execution holds a slot unless it waits; what holds a slot has no answer withheld.")
def _holders(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        if execution.state is State.RUNNING:
            if not execution.holds_slot and not execution.waits:
                yield f"{execution} runs without a slot"
            if execution.holds_slot and any(wait.resolved for wait in execution.waits.values()):
                yield f"an answer to {execution} is withheld, although it holds a slot"
        elif execution.holds_slot != (execution.worker is not None):
            yield f"{execution} holds a slot without a worker being started for it, or the other way round"


# -- progress ---------------------------------------------------------------------------------------------------------


@invariant(
    "What is queued can get on: it is ready, delayed, being given a worker, blocked by a dying process, waiting for a "
    "host, known to have no group, or about to fail."
)
def _queued(view: View) -> Iterator[str]:
    scheduler = view.scheduler
    delayed = set(scheduler.admission.delays.items())
    blocked = {execution for worker in scheduler.workers.values() for execution in worker.blocked}
    failing = {execution for execution, _ in scheduler.placement.failing}
    for execution in view.unfinished:
        if execution.state is State.QUEUED and execution not in failing:
            waits = execution.step.site is not None and execution in execution.step.site.waiting
            ways = [execution.ready, execution in delayed, execution.worker is not None, execution in blocked, waits]
            ways.append(execution in execution.step.run.family.unroutable)
            if sum(ways) != 1:
                yield f"for {execution}, (ready, delayed, starting, blocked, without host, unroutable) is {tuple(ways)}"


@invariant(
    "What is ready is in its family's heap on its route, and the family in the bucket of the slots that it holds."
)
def _ready(view: View) -> Iterator[str]:
    queues = view.scheduler.slots.queue._queues
    for execution in view.unfinished:
        family, route = execution.step.run.family, execution.step.route
        if execution.ready and route is not None:
            heap = queues[route]._heaps.get(family, [])
            if all(entry is not execution for _, _, entry in heap):
                yield f"{execution} is ready and not in the heap"
    for queue in queues.values():
        for family, heap in queue._heaps.items():
            if not heap or family not in queue._buckets.get(family.active, ()):
                yield f"{family.root.id} has a heap and is not in bucket {family.active}, or the heap is empty"
        for active, bucket in queue._buckets.items():
            for family in bucket:
                if family.active != active or family not in queue._heaps:
                    yield f"{family.root.id} is in bucket {active} with {family.active} slots, or has nothing to do"


@invariant("Every wait gets its answer: it is known to all its targets until one ends, and then waits for a slot.")
def _waits(view: View) -> Iterator[str]:
    resumable = {wait for pool in view.scheduler.slots.pools for wait in pool.resumable if not wait.over}
    for execution in view.unfinished:
        for wait in execution.waits.values():
            if wait.over:
                yield f"{execution} waits with request {wait.request}, which is over"
            if wait.resolved != (wait in resumable):
                yield f"request {wait.request} of {execution} has its answer, and is not about to get it"
            if wait.resolved:
                continue
            for target in wait.targets:
                end = target.end()
                if not end.unfinished or wait not in end.waiters:
                    yield f"{execution} waits for {end}, which does not know"
    for wait in resumable:
        if wait.execution.waits.get(wait.request) is not wait:
            yield f"request {wait.request} is to be answered, and {wait.execution} does not wait for it"


@invariant("Nobody keeps a wait that is over.")
def _no_old_waits(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        for wait in execution.waiters:
            if wait.over:
                yield f"{execution} keeps request {wait.request} of {wait.execution}"


@invariant("The counters of unfinished and of bound executions are exact.")
def _counters(view: View) -> Iterator[str]:
    bound = Counter(execution.host.id for execution in view.unfinished if execution.host is not None)
    for host in view.scheduler.fleet.hosts.values():
        if host.bound != bound[host.id]:
            yield f"host {host.id} counts {host.bound} bound executions of {bound[host.id]}"
    for family in view.families:
        unfinished = sum(execution.unfinished for execution in family.executions.values())
        if family.unfinished != unfinished:
            yield f"{family.root.id} counts {family.unfinished} unfinished executions of {unfinished}"
        if not unfinished and not family.leaving:
            yield f"{family.root.id} has nothing left and has not settled"


@invariant("Nothing below a cancelled or timed-out execution is unfinished.")
def _cascades(view: View) -> Iterator[str]:
    doomed: set[Execution] = set()
    for execution in view.executions:  # parents come before their children
        parent = execution.step.parent
        if parent is None:
            continue
        if parent in doomed or parent.state in {State.CANCELLED, State.TIMED_OUT}:
            doomed.add(execution)
            if execution.unfinished:
                yield f"{execution} is below one"


# -- history ----------------------------------------------------------------------------------------------------------


def tree(*roots: Execution) -> set[Execution]:
    """These executions, their later attempts, and everything below any of them."""
    found: set[Execution] = set()
    stack = list(roots)
    while stack:
        execution = stack.pop()
        if execution not in found:
            found.add(execution)
            stack += execution.children
            if execution.successor is not None:
                stack.append(execution.successor)
    return found


class Ledger:
    """Stands before a scheduler, and remembers what happened in order to tell when a promise is broken:

    - An outcome never changes.
    - Slots of a group are taken beyond the limit only for polls (each that expired, and one at a time by plain ones),
      and by one when all who hold a slot wait as well.
    - Asking to wait gives the slot back, and a wait is over when its time is up.
    - Two attempts of a step never overlap, their dying processes included, and a process gets one execution at a time.
    - A cancel has reached everything below when its turn ends, and nothing of it starts afterwards.
    - A drain leaves no slot free that could be used, and resuming goes before starting, but for some quick children of
      the one that is to resume.
    - A request is answered once, and what it is told has been recorded.
    - Every change is written in the turn in which it happened, and commands follow the rows they speak of.
    - A run that is said never to get on has nothing that computes or is ready.
    - A run is finished once, and a family settles once: when nothing of it is unfinished and no process of it is left.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.settled: list[str] = []
        self.finished: list[str] = []
        self._outcomes: dict[Execution, tuple[State, Outcome | None]] = {}
        self._recorded: dict[str, State] = {}
        self._written: dict[Execution, None] = {}
        self._steps: set[Step] = set()
        self._processes: dict[int, Execution] = {}  # what each process was given, until it is clean or gone
        self._doomed: set[Execution] = set()
        self._answered: set[Wait] = set()
        self._held: dict[Wait, float] = {}  # when something first started before a wait's answer
        self._commands_seen = 0
        self._expiries: dict[Wait, float] = {}  # of waits with a timeout, on the monotonic clock

    # -- the scheduler's own verbs -------------------------------------------------------------------------------

    def handle(self, event: AnyEvent, now: Instant) -> None:
        active = self._active()
        cancelled = self._cancelled_by(event)
        clean = self._clean_after(event)
        waiting = self._waits_of(event)
        self.scheduler.handle(event, now)
        if isinstance(event, ev.WorkerExited):
            self._processes.pop(event.worker, None)
        elif clean:
            self._processes.pop(clean, None)
        self._after_wait(event, waiting, now)
        self._doomed |= tree(*cancelled)
        for execution in self._doomed:
            if execution.unfinished:
                raise Broken(f"{execution} is below what was cancelled, and unfinished.")
        plain_poll = isinstance(event, ev.WaitAsked) and event.timeout is not None and event.timeout <= 0
        self._after(active, over_the_limit=1 if plain_poll else 0)

    def handle_time(self, now: Instant) -> None:
        active = self._active()
        self.scheduler.handle_time(now)
        self._expiries = {wait: at for wait, at in self._expiries.items() if not wait.over}
        for wait, at in self._expiries.items():
            if at <= now.monotonic:
                raise Broken(f"The time of request {wait.request} of {wait.execution} is up, and it was not answered.")
        self._after(active, over_the_limit=inf)

    def drain(self, now: Instant) -> Effects:
        scheduler = self.scheduler
        active = self._active()
        ready = [execution for execution in View(scheduler).unfinished if execution.ready]
        effects = scheduler.drain(now)
        unseen = effects.commands[self._commands_seen :]
        self._commands_seen = 0
        self._take_commands(unseen)
        self._no_idle_slot()
        self._resuming_first([execution for execution in ready if execution.holds_slot], now)
        self._rows(effects)
        self._after(active, over_the_limit=0)
        return effects

    # -- after an event ------------------------------------------------------------------------------------------

    def _active(self) -> list[int]:
        """How many slots of each group are held."""
        return [pool.active for pool in self.scheduler.slots.pools]

    def _after(self, active_before: list[int], *, over_the_limit: float) -> None:
        scheduler = self.scheduler
        commands = scheduler.outbox.commands
        self._take_commands(commands[self._commands_seen :])
        self._commands_seen = len(commands)
        for pool, before in zip(scheduler.slots.pools, active_before, strict=True):
            if pool.active > max(pool.group.concurrency, before + over_the_limit, pool.lent + 1):
                raise Broken(f"{pool.active} slots of {pool.group.name} are taken, of {pool.group.concurrency}.")
        for family in scheduler.families.values():
            for execution in family.executions.values():
                if not execution.unfinished:
                    outcome = (execution.state, execution.outcome)
                    if self._outcomes.setdefault(execution, outcome) != outcome:
                        raise Broken(f"{execution} had another outcome, {self._outcomes[execution]}.")
        check(scheduler)

    def _cancelled_by(self, event: AnyEvent) -> list[Execution]:
        scheduler = self.scheduler
        if isinstance(event, ev.CancelRequested):
            target = scheduler.find(event.execution)
            return [] if target is None else [target]
        if isinstance(event, ev.CancelAsked):
            asking = scheduler.running_on(event.worker)
            if asking is not None:
                targets = [self._target(asking, handle) for handle in event.handles]
                return [target for target in targets if target is not None]
        return []

    def _target(self, asking: Execution, handle: str) -> Execution | None:
        return asking.submissions[int(handle[1:]) - 1] if handle.startswith("@") else self.scheduler.find(handle)

    def _clean_after(self, event: AnyEvent) -> int:
        """The worker that this event reports clean, 0 for none. Reports from beyond the grave do not count."""
        if isinstance(event, ev.Returned) and not event.unclean:
            execution = self.scheduler.running_on(event.worker)
            if execution is not None and execution.id == event.execution:
                return event.worker
        return 0

    def _waits_of(self, event: AnyEvent) -> set[int]:
        execution = self.scheduler.running_on(event.worker) if isinstance(event, ev.WaitAsked) else None
        return set() if execution is None else set(execution.waits)

    def _after_wait(self, event: AnyEvent, before: set[int], now: Instant) -> None:
        if isinstance(event, ev.WaitAsked):
            execution = self.scheduler.running_on(event.worker)
            if execution is not None and set(execution.waits) > before:
                if execution.holds_slot:
                    raise Broken(f"{execution} asked to wait and kept its slot.")
                if event.timeout is not None:
                    self._expiries[execution.waits[event.request]] = now.monotonic + event.timeout

    # -- commands and rows ---------------------------------------------------------------------------------------

    def _take_commands(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case HandOver():
                    self._hand_over(command)
                case Answered():
                    if command.wait in self._answered:
                        raise Broken(f"Request {command.wait.request} was answered twice.")
                    self._answered.add(command.wait)
                case Finished():
                    if command.run in self.finished:
                        raise Broken(f"{command.run} finished twice.")
                    self.finished.append(command.run)
                case Settled():
                    self._settle(command)
                case Stuck():
                    self._give_up(command)

    def _give_up(self, command: Stuck) -> None:
        for execution in self.scheduler.families[command.run].executions.values():
            if execution.ready or (execution.state is State.RUNNING and not execution.waits):
                raise Broken(f"{command.run} is said never to get on, and {execution} does.")

    def _hand_over(self, command: HandOver) -> None:
        execution = command.execution
        if command.worker in self._processes:
            raise Broken(f"{execution} goes to a process that still has {self._processes[command.worker]}.")
        for other in self._processes.values():
            if other.step is execution.step:
                raise Broken(f"{execution} starts while the process of {other} is there.")
        if execution in self._doomed:
            raise Broken(f"{execution} was cancelled and starts.")
        self._processes[command.worker] = execution

    def _settle(self, command: Settled) -> None:
        if command.run in self.settled:
            raise Broken(f"{command.run} settled twice.")
        if command.run not in self.finished:
            raise Broken(f"{command.run} settled before it finished.")
        self.settled.append(command.run)
        left = [execution for execution in self._written if execution.step.run.family.root.id == command.run]
        for execution in left:
            if execution.unfinished:
                raise Broken(f"{command.run} settled with {execution} unfinished.")
        for worker, execution in self._processes.items():
            if execution.step.run.family.root.id == command.run:
                raise Broken(f"{command.run} settled, and process {worker} still has {execution}.")

    def _resumable(self) -> Iterator[Wait]:
        for wait in [wait for pool in self.scheduler.slots.pools for wait in pool.resumable]:
            family = wait.execution.step.run.family
            if not wait.over and (family.cap is None or family.active < family.cap or family.active == family.lent):
                yield wait

    def _resuming_first(self, started: list[Execution], now: Instant) -> None:
        for wait in self._resumable():
            for execution in started:
                parent = wait.execution
                if execution.pool is not parent.pool:
                    continue
                if execution.step.parent is not parent or parent.quick_children < QUICK_IN_A_ROW:
                    raise Broken(f"{execution} started while {parent} waited to resume.")
                if now.monotonic - self._held.setdefault(wait, now.monotonic) >= GATHERING:
                    raise Broken(f"{parent} waits to resume, and one after another of its children starts.")

    def _no_idle_slot(self) -> None:
        scheduler = self.scheduler
        free = {
            pool for pool in scheduler.slots.pools if pool.active < pool.group.concurrency or pool.active == pool.lent
        }
        for wait in self._resumable():
            if wait.execution.pool in free:
                raise Broken(f"A slot is free, and request {wait.request} of {wait.execution} waits for one.")
        for family in scheduler.families.values():
            if family.cap is None or family.active < family.cap or family.active == family.lent:
                for execution in family.executions.values():
                    route = execution.step.route
                    if execution.ready and route is not None and not free.isdisjoint(route.pools):
                        raise Broken(f"A slot is free, and {execution} is ready.")

    def _rows(self, effects: Effects) -> None:
        self._steps.update(effects.steps)
        for execution in effects.executions:
            if execution.step not in self._steps:
                raise Broken(f"{execution} is written without its step.")
            self._recorded[execution.id] = execution.state
            self._written[execution] = None
        for command in effects.commands:
            match command:
                case HandOver(execution=execution) if execution not in effects.executions:
                    raise Broken(f"{execution} is handed over without a row that says so.")
                case Identified(execution=execution) if execution.id not in self._recorded:
                    raise Broken(f"{execution} is identified and was never written.")
                case Answered(ended=Execution() as ended) if self._recorded.get(ended.id) is not ended.state:
                    raise Broken(f"A waiter is told of {ended}, which is not recorded so.")
                case Finished(run=run) | Settled(run=run) if run not in {row.id for row in effects.runs}:
                    raise Broken(f"The end of {run} is told and not written.")
        for family in self.scheduler.families.values():
            for execution in family.executions.values():
                if self._recorded.get(execution.id) is not execution.state:
                    raise Broken(f"{execution} is not written so.")
