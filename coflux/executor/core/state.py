"""The scheduler's objects: executions and their states, steps, runs, families, workers.

A *family* is a root run with all its child runs: the unit of fairness, of depth and of "everything has settled".
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Literal, NamedTuple

from coflux.encoded import Value
from coflux.executor.messages import ArgumentKey, Outcome, RunOptions, TargetSpec, Usage
from coflux.worker_groups import WorkerGroup

__all__ = [
    "ALLOWED",
    "FAILURES",
    "HOME",
    "NO_KEYS",
    "SUSPENDING",
    "Execution",
    "Family",
    "Hold",
    "Host",
    "Instant",
    "InvalidTransition",
    "Pool",
    "Requirements",
    "Route",
    "Run",
    "Site",
    "SiteKey",
    "State",
    "Step",
    "StepKeys",
    "Suspension",
    "Trigger",
    "Wait",
    "Worker",
    "WorkerState",
]


Trigger = Literal["submission", "retry", "resumption", "recurrence", "rerun"]
"""Why there is an attempt: it is the first, or comes after a failure, a suspension, `None`, or was asked for."""

Requirements = dict[str, bool | list[str]]
"""What a step requires of a worker group; see `TaskOptions.requires`."""


SUSPENDING = "suspending"
"""The reason of a running execution that has asked to go on in another attempt, and is only left through its code."""


class Instant(NamedTuple):
    """One reading of the three clocks. `monotonic` times timeouts and stands still while the engine was stopped;
    `elapsed` times delays and includes suspend-to-RAM; `wall` is for people. All in seconds."""

    monotonic: float
    elapsed: float
    wall: float


class State(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    CACHED = "cached"
    DEFERRED = "deferred"
    SPAWNED = "spawned"
    SUSPENDED = "suspended"
    RECURRED = "recurred"

    # By identity: Enum's own is a Python function, and states are looked up several times an event.
    __hash__ = object.__hash__


ALLOWED: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset(
        # FAILED: refused without a process (nested too deeply, the module does not import, no process to be had), or as
        # its cache source has; TIMED_OUT: as its cache source has
        {
            State.RUNNING,
            State.CANCELLED,
            State.CACHED,
            State.DEFERRED,
            State.SPAWNED,
            State.FAILED,
            State.TIMED_OUT,
        }
    ),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,
            State.FAILED,
            State.TIMED_OUT,
            State.ABANDONED,
            State.CANCELLED,
            State.SUSPENDED,
            State.RECURRED,
        }
    ),
}
"""What may follow what. A state that is not a key is an outcome, and an outcome never changes."""

FAILURES = frozenset({State.FAILED, State.TIMED_OUT, State.ABANDONED})


class InvalidTransition(Exception):
    """A bug of the scheduler, with the story of the execution it befell."""

    def __init__(self, execution: Execution, to: State) -> None:
        story = ", ".join(f"{state.value} at {at:.6f}" for state, at in execution.history())
        super().__init__(f"execution {execution.id} cannot go from {execution.state.value} to {to.value} ({story})")


class StepKeys(NamedTuple):
    """What makes a step equal to others, for each option that is on. `arguments`: see `Submit.keys`."""

    arguments: tuple[ArgumentKey | None, ...] = ()
    memo: bytes | None = None
    cache: bytes | None = None
    defer: bytes | None = None


NO_KEYS = StepKeys()


class Step:
    """One invocation of a target within a run."""

    __slots__ = (
        "arguments",
        "cache_key",
        "created_at",
        "decides",
        "defer_key",
        "depth",
        "encoded",
        "executions",
        "group",
        "keys",
        "memo_key",
        "number",
        "parent",
        "resolved",
        "route",
        "run",
        "shared_by",
        "site",
        "spawned",
        "spec",
    )

    def __init__(
        self,
        run: Run,
        number: int,
        parent: Execution | None,
        group: int | None,
        spec: TargetSpec,
        encoded: bytes,
        arguments: tuple[Value, ...],
        depth: int,
        created_at: float,
        keys: StepKeys | None = None,
    ) -> None:
        self.run = run
        self.number = number
        self.parent = parent
        self.group = group
        self.arguments = arguments
        self.depth = depth
        self.created_at = created_at
        self.executions: list[Execution] = []  # its attempts, but for old recurrences
        # Who, besides `parent`, was given its handle instead of a step of their own.
        self.shared_by: list[Execution] = []
        self.spawned: Run | None = None  # the run of its own that a workflow became
        self.follow(spec, encoded, NO_KEYS if keys is None else keys)
        self.resolved = not spec.stub  # `spec` says of a stub what only the real target knows
        self.route: Route | None = None  # the worker groups that may run it, once that is known
        self.site: Site | None = None  # where its code is, once that is known; of a stub, where it is looked for

    def follow(self, spec: TargetSpec, encoded: bytes, keys: StepKeys) -> None:
        """Have this target and these options: at first, and when it is executed again by other code."""
        self.spec = spec
        self.encoded = encoded  # `spec` as it came, and as it goes to the worker and the store
        self.keys = keys.arguments
        self.memo_key = keys.memo
        self.cache_key = keys.cache
        self.defer_key = keys.defer
        # Whether there is something to decide when it is due.
        self.decides = keys.cache is not None or keys.defer is not None or bool(spec.options.wait) or self.spawns

    @property
    def spawns(self) -> bool:
        """Whether it becomes a run of its own: a workflow that was called from code."""
        return self.spec.type == "workflow" and self.number != 1


class Execution:
    """One attempt at a step."""

    __slots__ = (
        "asked",
        "attempt",
        "blocked_by",
        "cached_from",
        "children",
        "created_at",
        "due_at",
        "due_wall",
        "fingerprint",
        "finished_at",
        "hold",
        "holds_slot",
        "host",
        "id",
        "links",
        "older_code",
        "outcome",
        "pid",
        "pool",
        "quick_children",
        "ready",
        "reason",
        "resumes",
        "sequence",
        "source",
        "started_at",
        "starts_lost",
        "state",
        "step",
        "streak",
        "submissions",
        "successor",
        "superseded_by",
        "supersedes",
        "suspension",
        "told",
        "trigger",
        "usage",
        "waiters",
        "waits",
        "withheld",
        "worker",
        "workspace",
    )

    def __init__(self, step: Step, attempt: int, host: Host | None, sequence: int, created_at: float) -> None:
        self.id = f"{step.run.id}:{step.number}:{attempt}"
        self.step = step
        self.attempt = attempt
        self.host = host
        self.sequence = sequence  # order of submission, over all runs
        self.created_at = created_at
        self.due_at: float | None = None  # on the `elapsed` clock
        self.due_wall: float | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.state = State.QUEUED
        self.reason = ""
        self.ready = False  # in the queue, waiting for nothing but a slot
        self.holds_slot = False
        self.pool: Pool | None = None  # the worker group whose slot it holds, or had last
        self.worker: Worker | None = None
        self.pid: int | None = None
        self.starts_lost = 0  # workers that died before they could take it
        self.streak = 0  # failures of the attempts directly before this one
        self.successor: Execution | None = None
        self.outcome: Outcome | None = None
        self.usage: Usage | None = None
        self.submissions: list[Execution] = []  # by number: what `@n` means
        self.told = 0  # submissions before this one are not sent ahead (again)
        self.quick_children = 0  # of those that ended last, in a row
        self.children: list[Execution] = []  # first attempts of the steps that it created
        self.waiters: list[Wait | Hold | Run] = []  # who waits for this one; a run: its root was deferred to this one
        self.waits: dict[int, Wait] = {}  # what it waits for, by request
        self.withheld: list[Wait] = []  # those of them whose answers wait for a slot
        self.workspace = step.run.options.workspace
        self.trigger: Trigger = "submission"  # why there is this attempt
        self.resumes = False  # its submissions are answered by what earlier attempts of the step submitted
        self.fingerprint = b""  # of the code that it ran
        self.hold: Hold | None = None  # what has to end before it can start
        self.suspension: Suspension | None = None  # it has asked to go on in another attempt
        self.asked = False  # the cache need not be looked at (again)
        self.source: Execution | None = None  # whose result it will have, unless that fails
        self.links: list[Execution] = []  # those that have it as their source
        self.cached_from = ""  # the id of the execution whose result it has
        self.older_code = False  # and that one ran other code
        self.superseded_by: Execution | None = None  # the newer submission that it waits for to start
        self.supersedes: Execution | None = None  # the older one that waits for this one
        self.blocked_by: Worker | None = None  # the process of an attempt before it, which has to be gone first

    @property
    def unfinished(self) -> bool:
        state = self.state
        return state is State.QUEUED or state is State.RUNNING

    def end(self) -> Execution:
        """The end of the chain: the execution whose outcome a waiter gets. One that is cached is an end, too: it has
        the outcome of its source."""
        execution = self
        while execution.successor is not None:
            execution = execution.successor
        return execution

    def bind(self, host: Host | None) -> None:
        """Say whose workers run it. A host stays as long as something unfinished is bound to it."""
        if self.host is not None:
            self.host.bound -= 1
        self.host = host
        if host is not None:
            host.bound += 1

    def transition(self, to: State) -> None:
        if to not in ALLOWED.get(self.state, ()):
            raise InvalidTransition(self, to)
        self.state = to

    def history(self) -> list[tuple[State, float]]:
        story = [(State.QUEUED, self.created_at)]
        if self.started_at is not None:
            story.append((State.RUNNING, self.started_at))
        if self.finished_at is not None:
            story.append((self.state, self.finished_at))
        return story

    def __repr__(self) -> str:
        return f"<Execution {self.id} {self.state.value}>"


class Run:
    __slots__ = (
        "context",
        "created_at",
        "family",
        "finished_at",
        "id",
        "let_go",
        "memoised",
        "options",
        "parent",
        "requires",
        "root",
        "settled",
        "started_at",
        "steps",
    )

    def __init__(
        self, run_id: str, family: Family | None, parent: Execution | None, options: RunOptions, created_at: float
    ) -> None:
        self.id = run_id
        self.family = family if family is not None else Family(self)
        self.parent = parent
        self.options = options
        self.context = 0
        self.created_at = created_at
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.settled = False
        self.let_go = False  # it was cancelled while its root is deferred to an execution of another run
        self.root: Execution | None = None  # the first attempt at it, or the newest that somebody asked for
        self.requires: Requirements | None = None  # what its root requires, once that is known
        self.steps = 0
        self.memoised: dict[bytes, list[Step]] = {}  # its steps that may be shared, by key

    @property
    def memo(self) -> bool:
        """Whether its steps are shared by default."""
        if self.options.memo is not None:
            return self.options.memo
        return self.root is not None and self.root.step.spec.run_memo

    @property
    def status(self) -> State:
        """What has become of its root: a result from the cache is a success."""
        assert self.root is not None
        if self.let_go:
            return State.CANCELLED
        state = self.root.end().state
        return State.SUCCEEDED if state is State.CACHED else state


class Family:
    """A root run and its child runs."""

    __slots__ = (
        "active",
        "awaiting",
        "cap",
        "executions",
        "home",
        "leaving",
        "lent",
        "root",
        "runs",
        "sites",
        "stuck",
        "unfinished",
        "unroutable",
    )

    def __init__(self, root: Run) -> None:
        self.root = root
        self.runs: list[Run] = [root]
        self.home = Site(HOME)  # where its root was found
        self.sites: dict[SiteKey, Site] = {HOME: self.home}
        self.executions: dict[str, Execution] = {}
        self.unfinished = 0
        self.awaiting = 0  # runs of it whose root was deferred to an execution of another family, which has not ended
        self.leaving: set[int] = set()  # workers of it that are on their way out
        self.active = 0  # slots that its executions hold
        self.lent = 0  # of those: held by executions that wait for something else, so perhaps do nothing
        self.cap: int | None = None  # slots that it may hold
        self.unroutable: dict[Execution, None] = {}  # queued executions that no worker group can ever run
        self.stuck = ""  # why nothing of it can get on, once somebody was told

    @property
    def host(self) -> Host | None:
        """The newest that imported its root's module; `None` while one is being built."""
        return self.home.host

    def settle_at(self, key: SiteKey, host: Host | None) -> None:
        """Its root's module is found there."""
        self.home = Site(key)
        self.home.host = host
        self.home.requested = host is None
        self.sites = {key: self.home}

    def site(self, key: SiteKey) -> Site:
        """The site of that key, a new one if there is none."""
        site = self.sites.get(key)
        if site is None:
            site = self.sites[key] = Site(key)
        return site

    @property
    def at_cap(self) -> bool:
        """Whether it may compute no more: it holds as many slots as it may, and not all of them are lent."""
        return self.cap is not None and self.active >= self.cap and self.active > self.lent


class Pool:
    """The slots of a worker group."""

    __slots__ = ("active", "group", "lent", "resumable")

    def __init__(self, group: WorkerGroup) -> None:
        self.group = group
        self.active = 0  # slots that are held
        self.lent = 0  # of those: held by executions that wait for something else
        self.resumable: deque[Wait] = deque()  # answers that wait for a slot, longest first; some may be over

    def has_room(self) -> bool:
        """Whether one more may compute: a slot is free, or all who hold one wait as well and may be doing nothing."""
        return self.active < self.group.concurrency or self.active == self.lent


class Route:
    """Where a step may run: in any of some worker groups, which have the same interpreter."""

    __slots__ = ("pools", "python")

    def __init__(self, pools: tuple[Pool, ...]) -> None:
        self.pools = pools
        self.python = pools[0].group.python


class SiteKey(NamedTuple):
    """What tells the sites of a family apart: the interpreter ("" for its client's) and the modules to import there."""

    python: str
    modules: tuple[str, ...]


HOME = SiteKey("", ())


class Site:
    """Where code of a family is found: module hosts, one generation after the other."""

    __slots__ = ("host", "key", "refused", "requested", "unresolved", "waiting")

    def __init__(self, key: SiteKey) -> None:
        self.key = key
        self.host: Host | None = None  # the newest; None while there is none
        self.requested = False  # it is being built
        self.refused: Outcome | None = None  # what everything here fails with, since there will be no host
        self.waiting: dict[Execution, None] = {}  # executions that lack nothing but a host
        self.unresolved: dict[Execution, None] = {}  # stubs whose real targets are looked for here


class Wait:
    """One execution's wait for the first of some handles to end."""

    __slots__ = ("execution", "held_since", "number", "over", "request", "resolved", "targets", "timed")

    def __init__(self, execution: Execution, request: int, targets: list[Execution], number: int = 0) -> None:
        self.execution = execution
        self.request = request
        self.targets = targets
        self.number = number  # which of its submissions it is for, if for one of them alone
        self.resolved = False  # a target has ended, and the answer waits for a slot
        self.held_since: float | None = None  # when a child first went before its answer, on the monotonic clock
        self.timed = False  # it ends by itself, when its time is up
        self.over = False  # answered, or its execution has ended


class Hold:
    """What a queued execution waits for: all, or any, of some executions, by whatever end of their chains."""

    __slots__ = ("any", "execution", "known", "over", "targets", "unchecked", "unresolved")

    def __init__(self, execution: Execution, *, any: bool) -> None:  # noqa: A002
        self.execution = execution
        self.any = any
        self.targets: list[Execution] = []  # some of them may have ended
        self.unchecked: list[Execution] = []  # those of them through which it may close a cycle
        self.known: set[str] = set()  # the ids of all that were looked at
        self.unresolved = 0  # targets that have not ended
        self.over = False  # it waits for them no more


class Suspension(NamedTuple):
    """When the attempt after a suspended one may start: at `due_at` on the elapsed clock, and when any of `targets` has
    ended, if there are some."""

    due_at: float
    due_wall: float
    targets: tuple[Execution, ...]


class WorkerState(Enum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    LEAVING = "leaving"


class Worker:
    __slots__ = ("blocked", "execution", "family", "host", "id", "killed", "pid", "state")

    def __init__(self, worker_id: int, host: Host, execution: Execution | None) -> None:
        self.id = worker_id
        self.host = host
        self.pid = 0
        self.state = WorkerState.STARTING
        self.execution = execution  # what it runs; while STARTING: what it was started for
        self.family: Family | None = None  # whose work it did last, once LEAVING
        self.killed: Execution | None = None  # what it ran when it was told to end
        self.blocked: list[Execution] = []  # successors that wait until this process is gone


class Host:
    """A module host: one generation of a set of modules, from which workers come."""

    __slots__ = ("bound", "id", "idle", "key", "superseded", "workers")

    def __init__(self, host_id: int, key: SiteKey) -> None:
        self.id = host_id
        self.key = key  # of the sites that it serves
        self.bound = 0  # unfinished executions that run, or will run, on its code
        self.idle: list[Worker] = []
        self.workers: dict[int, Worker] = {}
        self.superseded = False

    def computes(self) -> bool:
        """Whether a worker of it runs something that does not wait."""
        running = [worker.execution for worker in self.workers.values() if worker.state is WorkerState.BUSY]
        return any(execution is not None and execution.holds_slot for execution in running)
