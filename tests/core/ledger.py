"""What a scheduler promises over time: `Ledger` stands before it and looks at all that goes in and comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf

from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered, Command, Finished, HandOver, Identified, Settled, Stuck
from coflux.executor.core.descent import begins_chain, has_failed
from coflux.executor.core.effects import Effects
from coflux.executor.core.scheduler import AnyEvent, Scheduler
from coflux.executor.core.state import FAILURES, Execution, Instant, State, Wait
from coflux.executor.core.waiting import GATHERING, QUICK_IN_A_ROW
from coflux.executor.messages import Outcome
from tests.core.invariants import Broken, View, check, stuck
from tests.core.shelf import Shelf

__all__ = ["Ledger"]

POINTS_ON = frozenset({State.DEFERRED, State.SPAWNED, State.SUSPENDED, State.RECURRED})
Row = tuple[State, Outcome | None, str, str]  # state, outcome, what follows, workspace


def doomed_by(roots: Iterable[Execution]) -> set[Execution]:
    """What a cancel of `roots` must reach, by the book: later attempts, runs of their own, all that they submitted and
    what was executed again in its place; of shared steps those that nobody else can still use."""
    found: set[Execution] = set()
    spared: set[Execution] = set()
    line = list(roots)
    while line:
        execution = line.pop()
        if execution not in found:
            found.add(execution)
            if execution.successor is not None and execution.state is not State.DEFERRED:
                line.append(execution.successor)
            for child in execution.children:
                line_of = spared.add if child.step.shared_by else line.append
                line_of(child)
                for again in child.step.executions:
                    if again.trigger == "rerun" and again.workspace == child.workspace:
                        line_of(again)
        if not line:
            line = [child for child in spared if child not in found and not _usable(child, found)]
    return found


def _usable(child: Execution, found: set[Execution]) -> bool:
    owners = [child.step.parent, *child.step.shared_by]
    ends = [owner.end() for owner in owners if owner is not None]
    return any(end.unfinished and end not in found for end in ends)


class Ledger:
    """Stands before a scheduler, and remembers what happened in order to tell when a promise is broken:

    - An outcome never changes. What points on to another execution has one that it points to, and no outcome.
    - Memo never gives the handle of something that has failed, unless the attempts before were suspended for it.
    - Slots of a group are taken beyond the limit only for polls (each that expired, and one at a time by plain ones),
      by what unwinds after a suspension, and by one when all who hold a slot wait as well.
    - The attempt after a suspension waits for what was awaited, unless that is waiting for it.
    - Asking to wait gives the slot back, and a wait is over when its time is up.
    - Two attempts of a step never overlap, their dying processes included, and a process gets one execution at a time.
    - A cancel has reached everything below at once, and nothing else: of shared steps those that no other unfinished
      execution can use.
    - A result from the cache is that of a step with the same key, in the same workspace or an ancestor's, which was
      executed and has succeeded, within the age that the caller allows if it had before.
    - Of equal submissions (`defer`) that have not begun, one survives, and it is the newest that was not cancelled.
    - A drain leaves no slot free that could be used, and resuming goes before starting, but for some quick children of
      the one that is to resume.
    - A request is answered once, and what it is told has been recorded.
    - Every change is written in the turn in which it happened, and commands follow the rows they speak of.
    - A run that is said never to get on has nothing that computes or is ready.
    - A run is finished once for each time that it was asked for, and a family settles once: when nothing of it is
      unfinished or awaited and no process of it is left.
    """

    def __init__(self, scheduler: Scheduler, shelf: Shelf, before: Ledger | None = None) -> None:
        """`before` is the ledger of the scheduler that had the shelf until a restart."""
        self.scheduler = scheduler
        self.shelf = shelf
        self.counts: Counter[str] = Counter() if before is None else before.counts  # what has been met
        self.settled: list[str] = []
        self.finished: list[str] = []
        self._outcomes: dict[str, tuple[State, Outcome | None]] = {} if before is None else before._outcomes
        self._recorded: dict[str, Row] = {}
        self._live: dict[Execution, None] = {}  # recorded as unfinished
        self._processes: dict[int, Execution] = {}  # what each process was given, until it is clean or gone
        self._begun: set[Execution] = set()  # was given a worker once, which may have died before it was ready
        self._answered: set[Wait] = set()
        self._held: dict[Wait, float] = {}  # when something first started before a wait's answer
        self._commands_seen = 0
        self._expiries: dict[Wait, float] = {}  # of waits with a timeout, on the monotonic clock
        self._shared_seen = 0
        self._suspended: set[Execution] = set()

    def taken_in(self, root: str) -> None:
        """A family that had settled was taken in again: something of it is to be executed once more."""
        self.settled = [run for run in self.settled if run != root]

    # -- the scheduler's own verbs -------------------------------------------------------------------------------

    def handle(self, event: AnyEvent, now: Instant) -> None:
        active = self._active()
        doomed = doomed_by(self._cancelled_by(event))
        clean = self._clean_after(event)
        waiting = self._waits_of(event)
        self.scheduler.handle(event, now)
        if isinstance(event, ev.WorkerExited):
            self._processes.pop(event.worker, None)
        elif clean:
            self._processes.pop(clean, None)
        self._after_wait(event, waiting, now)
        for execution in doomed:
            following = None if execution.state is State.DEFERRED else execution.successor
            if execution.unfinished or (following is not None and following.unfinished):
                raise Broken(f"{execution} is below what was cancelled, and goes on.")
        rows = self.scheduler.outbox.executions
        cancelled = {one for one in rows if one.state is State.CANCELLED and one.id not in self._outcomes}
        for execution in cancelled - doomed - (doomed_by(_replaced(rows)) if cancelled - doomed else set()):
            raise Broken(f"{execution} was cancelled, and is not below what was to be.")
        plain_poll = isinstance(event, ev.WaitAsked) and event.timeout is not None and event.timeout <= 0
        one_more = plain_poll or isinstance(event, ev.SuspendAsked)
        self._after(active, over_the_limit=1 if one_more else 0)

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
        ready = [execution for execution in View(scheduler, thorough=False).queued if execution.ready]
        effects = scheduler.drain(now)
        unseen = effects.commands[self._commands_seen :]
        self._commands_seen = 0
        self._take_commands(unseen)
        self._no_idle_slot()
        self._resuming_first([execution for execution in ready if execution.holds_slot], now)
        self._rows(effects)
        self._after(active, over_the_limit=0, thorough=True)
        return effects

    # -- after an event ------------------------------------------------------------------------------------------

    def _active(self) -> list[int]:
        """How many slots of each group are held."""
        return [pool.active for pool in self.scheduler.slots.pools]

    def _after(self, active_before: list[int], *, over_the_limit: float, thorough: bool = False) -> None:
        scheduler = self.scheduler
        commands = scheduler.outbox.commands
        self._take_commands(commands[self._commands_seen :])
        self._commands_seen = len(commands)
        for pool, before in zip(scheduler.slots.pools, active_before, strict=True):
            if pool.active > max(pool.group.concurrency, before + over_the_limit, pool.lent + 1):
                raise Broken(f"{pool.active} slots of {pool.group.name} are taken, of {pool.group.concurrency}.")
        for execution in scheduler.outbox.executions:
            if not execution.unfinished:
                self._ended(execution)
                if execution.state is State.SUSPENDED and execution not in self._suspended:
                    self._suspended.add(execution)
                    self._check_resumption(execution)
        for shared in scheduler.outbox.shared[self._shared_seen :]:
            if has_failed(shared.child.end()) and not _was_awaited(shared.execution, shared.child):
                raise Broken(f"{shared.execution} got the handle of {shared.child}, which has failed.")
        self._shared_seen = len(scheduler.outbox.shared)
        check(scheduler, thorough=thorough)

    def _ended(self, execution: Execution) -> None:
        outcome = (execution.state, execution.outcome)
        if (execution.outcome is None) != (execution.state in POINTS_ON):
            raise Broken(f"{execution} has the outcome {execution.outcome}.")
        if (execution.successor is None) != (execution.state not in POINTS_ON) and execution.state not in FAILURES:
            raise Broken(f"{execution} is followed by {execution.successor}.")
        if self._outcomes.setdefault(execution.id, outcome) != outcome:
            raise Broken(f"{execution} had another outcome, {self._outcomes[execution.id]}.")

    def _check_resumption(self, suspended: Execution) -> None:
        """The next attempt waits for what the code awaits, unless that waits for it in turn."""
        suspension, following = suspended.suspension, suspended.successor
        if suspension is None or following is None or following.hold is not None:
            return
        ends = {target.end() for target in suspension.targets}
        if ends and all(end.unfinished for end in ends) and not stuck(self.scheduler, {following: [ends]}):
            raise Broken(f"{following} does not wait for {ends}.")

    def _cancelled_by(self, event: AnyEvent) -> list[Execution]:
        scheduler = self.scheduler
        if isinstance(event, ev.CancelRequested):
            target = scheduler.find(event.execution)
            return [] if target is None else [target]
        if isinstance(event, ev.CancelAsked):
            asking = scheduler.running_on(event.worker)
            if asking is not None and asking.suspension is None:
                targets = [self._target(asking, handle) for handle in event.handles]
                return [target for target in targets if target is not None]
        if isinstance(event, ev.RerunRequested):
            again = scheduler.find(event.execution)
            attempts = [] if again is None else again.step.executions
            return [one for one in attempts if one.unfinished and one.workspace == event.workspace]
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
                    self.counts["cycle"] += "closes a cycle" in command.error
                    if command.wait in self._answered:
                        raise Broken(f"Request {command.wait.request} was answered twice.")
                    self._answered.add(command.wait)
                case Finished():
                    self._finish(command)
                case Settled():
                    self._settle(command)
                case Stuck():
                    self._give_up(command)

    def _give_up(self, command: Stuck) -> None:
        self.counts["stuck"] += 1
        for execution in self.scheduler.families[command.run].executions.values():
            if execution.ready or (execution.state is State.RUNNING and not execution.waits):
                raise Broken(f"{command.run} is said never to get on, and {execution} does.")

    def _hand_over(self, command: HandOver) -> None:
        execution = command.execution
        if command.worker in self._processes:
            raise Broken(f"{execution} goes to a process that still has {self._processes[command.worker]}.")
        for other in self._processes.values():
            if other.step is execution.step and other.workspace == execution.workspace:
                raise Broken(f"{execution} starts while the process of {other} is there.")
        self._processes[command.worker] = execution

    def _finish(self, command: Finished) -> None:
        self.finished.append(command.run)
        if command.status in {State.QUEUED.value, State.RUNNING.value}:
            raise Broken(f"{command.run} has finished, and is {command.status}.")
        run = self.scheduler.runs.get(command.run) or self.scheduler.register._settled.get(command.run)
        asked = 1 if run is None or run.root is None else sum(map(begins_chain, run.root.step.executions))
        if self.finished.count(command.run) > asked:
            raise Broken(f"{command.run} finished twice.")

    def _settle(self, command: Settled) -> None:
        if command.run in self.settled:
            raise Broken(f"{command.run} settled twice.")
        if command.status in {State.QUEUED.value, State.RUNNING.value}:
            raise Broken(f"{command.run} has settled, and is {command.status}.")
        self.settled.append(command.run)
        for execution in (*self._live, *self.scheduler.outbox.executions):
            if execution.step.run.family.root.id == command.run and execution.unfinished:
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
        for execution in effects.executions:
            step = execution.step
            if step not in effects.steps and (step.run.id, step.number) not in self.shelf.steps:
                raise Broken(f"{execution} is written without its step.")
            self._recorded[execution.id] = _row(execution)
            if execution.unfinished:
                self._live[execution] = None
                self._count_queued(execution)
            else:
                self._live.pop(execution, None)
                self._take_end(execution, effects)
        for command in effects.commands:
            match command:
                case HandOver(execution=execution) if execution not in effects.executions:
                    raise Broken(f"{execution} is handed over without a row that says so.")
                case Identified(execution=execution) if self._record(execution.id) is None:
                    raise Broken(f"{execution} is identified and was never written.")
                case Answered(ended=Execution() as ended) if not self._is_recorded(ended):
                    raise Broken(f"A waiter is told of {ended}, which is not recorded so.")
                case Finished(run=run) | Settled(run=run) if run not in {row.id for row in effects.runs}:
                    raise Broken(f"The end of {run} is told and not written.")
        self.counts["shared"] += len(effects.shared)
        self.counts["pruned"] += len(effects.pruned)
        unfinished = View(self.scheduler, thorough=False).unfinished
        for execution in (*self._live, *unfinished):
            if self._record(execution.id) != _row(execution):
                raise Broken(f"{execution} is not written so.")
        self._one_survivor(unfinished)

    def _record(self, execution: str) -> Row | None:
        found = self._recorded.get(execution)
        if found is None and execution in self.shelf.rows:
            row = self.shelf.rows[execution]
            return row.state, row.outcome, row.following, row.workspace
        return found

    def _is_recorded(self, ended: Execution) -> bool:
        row = self._record(ended.id)
        return row is not None and row[0] is ended.state

    # -- options -------------------------------------------------------------------------------------------------

    def _one_survivor(self, unfinished: list[Execution]) -> None:
        survivors: dict[tuple[str, bytes], Execution] = {}
        for execution in unfinished:
            if execution.worker is not None:
                self._begun.add(execution)
            key = execution.step.defer_key
            if key is None or execution.state is State.RUNNING or execution.trigger != "submission":
                continue
            if execution in self._begun or execution.superseded_by is not None:
                continue
            other = survivors.setdefault((execution.workspace, key), execution)
            if other is not execution:
                raise Broken(f"{other} and {execution} both survive.")

    def _count_queued(self, execution: Execution) -> None:
        hold = execution.hold
        self.counts["held for arguments"] += hold is not None and not hold.any
        self.counts["held after suspension"] += hold is not None and hold.any
        self.counts["linked"] += execution.source is not None
        self.counts["superseded"] += execution.superseded_by is not None
        self.counts["parked"] += self.scheduler.admission.is_parked(execution)
        self.counts["blocked by a process"] += execution.blocked_by is not None
        self.counts["held and blocked"] += execution.blocked_by is not None and hold is not None
        self.counts["resumes"] += execution.resumes
        site = execution.step.site
        self.counts["without a host"] += site is not None and execution in site.waiting
        self.counts["unroutable"] += execution in execution.step.run.family.unroutable

    def _take_end(self, execution: Execution, effects: Effects) -> None:
        """What it met on its way is counted, and a result from the cache is looked into."""
        self.counts[execution.state.value] += 1
        self.counts[execution.trigger] += 1
        self.counts["spared"] += execution.state is not State.CANCELLED and any(
            owner.state is State.CANCELLED for owner in execution.step.shared_by
        )
        self.counts["too deep"] += execution.started_at is None and execution.state is State.FAILED
        if execution.state is State.CACHED:
            self._check_hit(execution, effects)

    def _check_hit(self, execution: Execution, effects: Effects) -> None:
        step, cache = execution.step, execution.step.spec.options.cache
        source = next((one for one in effects.executions if one.id == execution.cached_from), None)
        row = self.shelf.row(source) if source is not None else self.shelf.rows.get(execution.cached_from)
        if row is None or cache is None or row.finished_at is None or execution.finished_at is None:
            raise Broken(f"{execution} has its result from {execution.cached_from}, which is not known.")
        if row.state is not State.SUCCEEDED or row.cache_key != step.cache_key or row.outcome != execution.outcome:
            raise Broken(f"{execution} has its result from {row}, which is another one.")
        if row.workspace not in self.shelf.lineage(execution.workspace):
            raise Broken(f"{execution} in {execution.workspace} has its result from {row.workspace}.")
        age = execution.finished_at - row.finished_at
        if cache.max_age is not None and age > cache.max_age + 1e-6:
            raise Broken(f"{execution} has a result that is {age} s old, of at most {cache.max_age}.")
        self.counts["recorded hit" if age > 0 else "linked hit"] += 1


def _replaced(rows: Iterable[Execution]) -> list[Execution]:
    """The attempts in whose place one of these is executed."""
    again = [one for one in rows if one.trigger == "rerun"]
    return [one for new in again for one in new.step.executions if one is not new and one.workspace == new.workspace]


def _was_awaited(execution: Execution, child: Execution) -> bool:
    """Whether one of the attempts before it was suspended for the child."""
    attempts = [one for one in execution.step.executions if one.attempt < execution.attempt]
    return any(one.suspension is not None and child in one.suspension.targets for one in attempts)


def _row(execution: Execution) -> Row:
    successor = execution.successor
    following = execution.cached_from if successor is None else successor.id
    return execution.state, execution.outcome, following, execution.workspace
