"""What always holds in the scheduler, each in a sentence. `check` looks at a state, the ledger at a whole history.

After every event all that is unfinished is looked at, after every turn also what has ended (`thorough`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from coflux.executor.core.descent import begins_chain
from coflux.executor.core.routing import matches, requirements
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import Execution, Family, Hold, Run, State, Wait, WorkerState

__all__ = ["INVARIANTS", "Broken", "View", "check", "needs_of", "stuck"]


class Broken(AssertionError):
    """An invariant does not hold: its sentence, and where."""


class View:
    """A scheduler's executions, gathered once for all checks of a state."""

    def __init__(self, scheduler: Scheduler, *, thorough: bool = True) -> None:
        self.scheduler = scheduler
        self.families = list(scheduler.families.values())
        self.unfinished: list[Execution] = []
        self.finished: list[Execution] = []
        for family in self.families:
            for execution in family.executions.values():
                state = execution.state
                if state is State.QUEUED or state is State.RUNNING:
                    self.unfinished.append(execution)
                elif thorough:
                    self.finished.append(execution)
        self.queued = [execution for execution in self.unfinished if execution.state is State.QUEUED]


Check = Callable[[View], Iterator[str]]
INVARIANTS: list[tuple[str, Check]] = []
THOROUGH: list[tuple[str, Check]] = []


def invariant(sentence: str, *, thorough: bool = False) -> Callable[[Check], Check]:
    def register(problems: Check) -> Check:
        (THOROUGH if thorough else INVARIANTS).append((sentence, problems))
        return problems

    return register


def check(scheduler: Scheduler, *, thorough: bool = True) -> None:
    view = View(scheduler, thorough=thorough)
    for sentence, problems in (*INVARIANTS, *THOROUGH) if thorough else INVARIANTS:
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
    held, lent = Counter[Family](), Counter[Family]()
    for execution in view.unfinished:
        if execution.holds_slot:
            held[execution.step.run.family] += 1
            lent[execution.step.run.family] += bool(execution.waits)
    for family in view.families:
        if family.active != held[family]:
            yield f"{family.root.id} counts {family.active} slots and holds {held[family]}"
        if family.lent != lent[family]:
            yield f"{family.root.id} counts {family.lent} slots as lent, of {lent[family]}"
    if view.scheduler.slots.active != held.total():
        yield f"{view.scheduler.slots.active} slots are counted and {held.total()} held"
    for pool in view.scheduler.slots.pools:
        holders = [one for one in view.unfinished if one.holds_slot and one.pool is pool]
        if (pool.active, pool.lent) != (len(holders), sum(bool(one.waits) for one in holders)):
            yield f"group {pool.group.name} counts {pool.active} slots, {pool.lent} of them lent, held by {holders}"


@invariant(
    "What has finished holds no slot, waits for nothing, is waited for by nobody, linked to nothing and not queued.",
    thorough=True,
)
def _finished(view: View) -> Iterator[str]:
    for execution in view.finished:
        if execution.holds_slot or execution.waits or execution.ready or execution.withheld:
            yield f"{execution} holds a slot, waits or is ready"
        if execution.waiters:
            yield f"{execution} is waited for by {execution.waiters[0]}"
        if execution.hold is not None or execution.source is not None or execution.links:
            yield f"{execution} is held or linked"


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
    "What is queued can get on in one way, unless it is about to fail: it is ready, without a host, known to have no "
    "group, being given a worker, linked, superseded, parked, or waits."
)
def _queued(view: View) -> Iterator[str]:
    admission = view.scheduler.admission
    if admission.due:
        yield "something is left undecided"
    delayed = {entry for entry in admission.delays.items() if not entry.ready}
    failing = {execution for execution, _ in view.scheduler.placement.failing}
    for execution in view.queued:
        if execution in failing:
            continue
        site = execution.step.site
        ways = (
            execution.ready
            + (site is not None and execution in site.waiting)
            + (execution in execution.step.run.family.unroutable)
            + (execution.worker is not None)
            + (execution.source is not None)
            + (execution.superseded_by is not None)
            + admission.is_parked(execution)
        )
        waits = execution.blocked_by is not None or execution.hold is not None
        # The delay of what is, or was, superseded may end while it does: that is on the agenda until somebody looks.
        waits |= execution in delayed and not (ways and execution.step.defer_key is not None)
        if ways + waits != 1:
            yield f"{execution} (reason: {execution.reason!r}) can get on in {ways} ways, and waits: {waits}"


@invariant("What waits for a dying process is known to it, and the process is there.")
def _blocked(view: View) -> Iterator[str]:
    workers = view.scheduler.workers
    for worker in workers.values():
        for execution in worker.blocked:
            if execution.blocked_by is not worker:
                yield f"{execution} is not blocked by worker {worker.id}"
    for execution in view.queued:
        blocking = execution.blocked_by
        if blocking is not None and (workers.get(blocking.id) is not blocking or execution not in blocking.blocked):
            yield f"{execution} is blocked by worker {blocking.id}, which is gone or does not know"


@invariant("Nothing of a paused workspace is ready, and nothing of another one is parked.")
def _paused(view: View) -> Iterator[str]:
    admission = view.scheduler.admission
    for execution in view.queued:
        paused = execution.workspace in admission.paused
        if execution.ready and paused:
            yield f"{execution} is ready, and {execution.workspace} paused"
        if admission.is_parked(execution) and not paused:
            yield f"{execution} is parked, and {execution.workspace} not paused"


# -- waiting for others -----------------------------------------------------------------------------------------------


@invariant("Links are symmetric, and lead to something unfinished.")
def _links(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        source = execution.source
        if source is not None:
            if execution not in source.links:
                yield f"{execution} is linked to {source}, which does not know"
            if not source.unfinished:
                yield f"{execution} is linked to {source}, which has ended"
        for linked in execution.links:
            if linked.source is not execution or linked.state is not State.QUEUED:
                yield f"{execution} has a link of {linked}, which does not wait for it"


@invariant("Holds are symmetric, count what they wait for, and wait for something unfinished.")
def _holds(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        hold = execution.hold
        if hold is not None:
            ends = [target.end() for target in hold.targets]
            unfinished = [end for end in ends if end.unfinished]
            if hold.over or hold.execution is not execution or execution.state is not State.QUEUED:
                yield f"{execution} has a hold that is over, of another, or runs"
            if hold.unresolved != len(unfinished) or not unfinished or (hold.any and len(unfinished) < len(ends)):
                yield f"{execution} waits for {hold.unresolved} of {ends}"
            for end in unfinished:
                if end.waiters.count(hold) != unfinished.count(end):
                    yield f"{execution} is held for {end}, which does not know"


@invariant("Nobody keeps a wait, a hold or a run that is over.")
def _no_old_waits(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        for waiter in execution.waiters:
            if isinstance(waiter, Run):
                if waiter.root is None or waiter.family is execution.step.run.family:
                    yield f"{execution} keeps run {waiter.id}, which is its own"
            elif waiter.over or not _stands(waiter):
                yield f"{execution} keeps a wait or hold of {waiter.execution}, which is over"


def _stands(waiter: Wait | Hold) -> bool:
    execution = waiter.execution
    if isinstance(waiter, Hold):
        return execution.hold is waiter
    return execution.waits.get(waiter.request) is waiter


@invariant("Families count the runs of theirs that wait for the end of another family's execution.")
def _awaiting(view: View) -> Iterator[str]:
    awaiting = Counter[Family]()
    for execution in view.unfinished:
        awaiting.update(waiter.family for waiter in execution.waiters if isinstance(waiter, Run))
    for family in view.families:
        if family.awaiting != awaiting[family]:
            yield f"{family.root.id} awaits {family.awaiting} ends, and {awaiting[family]} know"


def needs_of(execution: Execution) -> list[set[Execution]]:
    """What must happen before it can end: of each set, one must end (or start, if it supersedes)."""
    if execution.state is State.RUNNING:
        waits = [wait for wait in execution.waits.values() if not wait.timed and not wait.resolved]
        return [{target.end() for target in wait.targets} for wait in waits]
    needs = [{other} for other in (execution.source, execution.superseded_by) if other is not None]
    if execution.hold is not None:
        ends = {target.end() for target in execution.hold.targets}
        needs += [ends] if execution.hold.any else [{end} for end in ends]
    return needs


def stuck(scheduler: Scheduler, more: dict[Execution, list[set[Execution]]]) -> list[Execution]:
    """Those that would wait for each other for ever if these needed more."""
    waiting = {one: needs_of(one) + more.get(one, []) for one in View(scheduler, thorough=False).unfinished}
    return _without_free({one: needs for one, needs in waiting.items() if needs})


def _without_free(waiting: dict[Execution, list[set[Execution]]]) -> list[Execution]:
    while True:
        free = [one for one, needs in waiting.items() if not any(waiting.keys() >= need for need in needs)]
        if not free:
            return list(waiting)
        for one in free:
            del waiting[one]


@invariant("Nothing waits for itself: of all that is unfinished, something can get on, and all after it.")
def _acyclic(view: View) -> Iterator[str]:
    waiting = _without_free({one: needs for one in view.unfinished if (needs := needs_of(one))})
    if waiting:
        yield f"these wait for each other: {waiting}"


# -- options ----------------------------------------------------------------------------------------------------------


@invariant(
    "What is superseded waits for the next newer submission, which has not started, and the newest is not superseded."
)
def _deferral(view: View) -> Iterator[str]:
    deferral = view.scheduler.deferral
    if deferral.started or deferral.revived:
        yield "something is left to be deferred or revived"
    known: set[Execution] = set()
    for (workspace, key), newest in deferral._newest.items():
        newer: Execution | None = None
        older: Execution | None = newest
        while older is not None:
            known.add(older)
            if older.superseded_by is not newer:
                yield f"{older} is superseded by {older.superseded_by}, and not by {newer}"
            if older.state is not State.QUEUED or older.worker is not None or older.trigger != "submission":
                yield f"{older} takes part in deferral"
            if older.workspace != workspace or older.step.defer_key != key:
                yield f"{older} takes part in deferral of another workspace or key"
            newer, older = older, deferral._older.get(older)
    for execution in (*deferral._older, *(one for one in view.queued if one.superseded_by is not None)):
        if execution not in known:
            yield f"{execution} supersedes or is superseded, and takes no part in deferral"


@invariant(
    "Of a memo key, one chain of attempts at a time is unfinished in a run and workspace, but for re-runs.",
    thorough=True,
)
def _memo(view: View) -> Iterator[str]:
    runs = {execution.step.run: None for execution in view.unfinished if execution.step.memo_key is not None}
    for run in runs:
        for steps in run.memoised.values():
            heads = [one for step in steps for one in step.executions if one.trigger == "submission"]
            count = Counter(head.workspace for head in heads if head.end().unfinished)
            if any(number > 1 for number in count.values()):
                yield f"{heads} are equal"


@invariant(
    "What is ready or runs with a cache key is among the sources, and nothing is that has been recorded.", thorough=True
)
def _sources(view: View) -> Iterator[str]:
    sources = view.scheduler.sources
    known = {execution for entries in sources._by_key.values() for execution in entries}
    keyed = {one for one in view.unfinished if one.step.cache_key is not None}
    expected = {one for one in keyed if one.ready or one.worker is not None}
    if not expected <= known or not known <= keyed.union(sources._ended):
        yield f"{expected - known} are missing, {known - keyed.union(sources._ended)} too many"


@invariant("A run of its own belongs to the step that called it, and to its family.", thorough=True)
def _spawned(view: View) -> Iterator[str]:
    for family in view.families:
        for run in family.runs:
            if view.scheduler.runs.get(run.id) is not run:
                yield f"{run.id} of {family.root.id} is not known"
            if run.root is None or family.executions.get(run.root.id) is not run.root:
                yield f"the root of {run.id} is not known"
            if run.parent is not None and run.parent.state is not State.SPAWNED:
                yield f"{run.id} was spawned by {run.parent}"
    runs = sum(len(family.runs) for family in view.families)
    if runs != len(view.scheduler.runs):
        yield f"families have {runs} runs, and {len(view.scheduler.runs)} are known"


# -- slots and answers ------------------------------------------------------------------------------------------------


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


@invariant("The counters of unfinished and of bound executions are exact.")
def _counters(view: View) -> Iterator[str]:
    bound = Counter(execution.host.id for execution in view.unfinished if execution.host is not None)
    for host in view.scheduler.fleet.hosts.values():
        if host.bound != bound[host.id]:
            yield f"host {host.id} counts {host.bound} bound executions of {bound[host.id]}"
    counted = Counter(execution.step.run.family for execution in view.unfinished)
    for family in view.families:
        unfinished = counted[family]
        if family.unfinished != unfinished:
            yield f"{family.root.id} counts {family.unfinished} unfinished executions of {unfinished}"
        if not unfinished and not family.leaving and not family.awaiting:
            yield f"{family.root.id} has nothing left and has not settled"


def head_of(execution: Execution) -> Execution | None:
    """The first attempt of the chain that it belongs to."""
    if execution.attempt == 1:
        return execution
    attempts = [one for one in execution.step.executions if one.attempt <= execution.attempt]
    return next((one for one in reversed(attempts) if begins_chain(one) and one.workspace == execution.workspace), None)


@invariant("Nothing below a cancelled or timed-out execution is unfinished, but for shared steps and what was re-run.")
def _cascades(view: View) -> Iterator[str]:
    for execution in view.unfinished:
        below: Execution | None = execution
        while below is not None and not below.step.shared_by:
            head = head_of(below)
            if head is not None and head.trigger == "rerun":
                break
            below = below.step.parent if below.step.number > 1 else below.step.run.parent
            if below is not None and below.state in {State.CANCELLED, State.TIMED_OUT}:
                yield f"{execution} is below {below}"
                break
