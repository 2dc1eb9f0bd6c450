"""What clients ask of the supervisor and what it tells them: the messages of its socket, as typed structs.

The unions are `ToSupervisor` and `FromSupervisor`. Durations are seconds; instants are wall-clock seconds since the
epoch. A request is answered by the message that has its number.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from coflux.encoded import Value
from coflux.executor.messages import (
    ArgumentKey,
    Context,
    KeepSecret,
    Message,
    ModuleError,
    RunOptions,
    SecretKept,
    SharedResource,
    StartMethod,
    TargetInfo,
    TargetSpec,
)

__all__ = [
    "Advanced",
    "CancelRun",
    "ChangeWorkspace",
    "ClearCache",
    "Collect",
    "Collected",
    "CreateWorkspace",
    "DeleteRun",
    "Discover",
    "Discovered",
    "Done",
    "Dropped",
    "ExecutionSample",
    "FromSupervisor",
    "Generation",
    "GroupSample",
    "Hello",
    "Notice",
    "RecallSecrets",
    "RecalledSecrets",
    "Refused",
    "Release",
    "RequestFailed",
    "Rerun",
    "RunFinished",
    "RunSettled",
    "RunStarted",
    "RunStuck",
    "Sampled",
    "StartRun",
    "Status",
    "StatusReport",
    "Stop",
    "Subscribe",
    "ToSupervisor",
    "Unsubscribe",
    "Welcome",
    "WorkerInfo",
]


# -- client -> supervisor ---------------------------------------------------------------------------------------------


class Hello(Message, frozen=True):
    version: str
    context: Context
    role: Literal["foreground", "dashboard", "command"]


class StartRun(Message, frozen=True):
    """Start a run of `module`/`name` (or of a file's target), with words from a command line, a JSON document,
    or values that were encoded by the client (`cf.run`)."""

    request: int
    module: str
    file: str
    name: str
    options: RunOptions
    words: tuple[str, ...] = ()
    document: bytes | None = None
    arguments: tuple[Value, ...] | None = None
    spec: TargetSpec | None = None  # by-value targets bring their own
    keys: tuple[ArgumentKey | None, ...] = ()  # of `arguments`, as in `Submit`


class Rerun(Message, frozen=True):
    """Execute a step again, with its stored arguments and the code as it is now: `step` 1 is the run's root.

    With `resume` (of the root) what succeeded below it is kept: see `Submit.earlier`. Answered with `RunStarted`.
    """

    request: int
    run: str
    step: int
    workspace: str
    resume: bool = False
    detach: bool = False


class ClearCache(Message, frozen=True):
    """Forget results for the cache: those of `target` (`module/name`), "" for all, in a workspace. The results stay."""

    request: int
    workspace: str
    target: str = ""


class CreateWorkspace(Message, frozen=True):
    request: int
    name: str
    base: str | None


class ChangeWorkspace(Message, frozen=True):
    """`pause`: nothing queued starts until `resume`. `archive`: what is unfinished is cancelled, it takes no more."""

    request: int
    name: str
    change: Literal["pause", "resume", "archive"]


class CancelRun(Message, frozen=True):
    """Cancel a run (`R…`), or one execution (`R:step:attempt`). `now` skips the grace period."""

    request: int
    id: str
    now: bool = False


class DeleteRun(Message, frozen=True):
    request: int
    run: str


class Collect(Message, frozen=True):
    """Remove what is too old or too much. `keep_for` (seconds) and `keep_size` (bytes) are as the settings of these
    names, `None` for no limit. `dry_run`: only tell what would be removed."""

    request: int
    keep_for: float | None
    keep_size: int | None
    dry_run: bool = False


class Release(Message, frozen=True):
    """The client has what it wanted of its run: what is unfinished goes on when it leaves."""

    run: str


class Subscribe(Message, frozen=True):
    """Ask to be told (`Advanced`) when the store holds something new of a run and the runs that come of it, or of any
    run (`None`). What, the client reads from the store itself. A dashboard gets `Sampled` as well."""

    run: str | None


class Unsubscribe(Message, frozen=True):
    """The opposite of `Subscribe`. Neither is the end of a run told any more, unless the client is its foreground."""

    run: str | None


class Discover(Message, frozen=True):
    """Import modules and files, and tell what they hold. With `try_worker` a worker is started as well, so that the
    reply tells how workers of these modules start. `group` is the worker group whose interpreter imports them, "" for
    that in which a run would find them."""

    request: int
    modules: tuple[str, ...]
    files: tuple[str, ...]
    try_worker: bool = False
    group: str = ""


class RecallSecrets(Message, frozen=True):
    """Tell those of these secrets that the engine holds: a result refers to them."""

    request: int
    ids: tuple[str, ...]


class Status(Message, frozen=True):
    request: int


class Stop(Message, frozen=True):
    """Leave. What is queued goes on at the next start; while something runs, only `cancel` makes it leave."""

    request: int
    cancel: bool


ToSupervisor = (
    Hello
    | StartRun
    | Rerun
    | CancelRun
    | DeleteRun
    | ClearCache
    | Collect
    | CreateWorkspace
    | ChangeWorkspace
    | Release
    | Subscribe
    | Unsubscribe
    | Discover
    | KeepSecret
    | RecallSecrets
    | Status
    | Stop
)


# -- supervisor -> client ---------------------------------------------------------------------------------------------


class Welcome(Message, frozen=True):
    version: str
    pid: int


class Refused(Message, frozen=True):
    """The supervisor will not serve this client, which has another version. One line, for people; when `leaving`, it is
    idle and makes room for a supervisor of the client's version."""

    message: str
    leaving: bool


class RunStarted(Message, frozen=True):
    request: int
    run: str
    existing: bool  # an idempotency key matched


class RequestFailed(Message, frozen=True):
    """`kind` decides the exit status: usage 2, not_found 3, failed 1."""

    request: int
    kind: Literal["usage", "not_found", "failed"]
    message: str


class Done(Message, frozen=True):
    request: int
    message: str


class Collected(Message, frozen=True):
    """What was removed, or would be: runs with their child runs, rows of the main database, log entries with metrics,
    blobs. `bytes_before` and `bytes_after` are those of the data directory, about if nothing was removed.

    `recent_blobs` with `recent_bytes` are not needed either, but too young: what refers to them may be yet to come.
    """

    request: int
    dry_run: bool
    runs: int
    rows: int
    log_entries: int
    blobs: int
    bytes_before: int
    bytes_after: int
    recent_blobs: int
    recent_bytes: int


class Discovered(Message, frozen=True):
    """`start_method` is how workers of these modules start, `None` when none can; `no_fork` says why it is spawn, when
    fork was asked for."""

    request: int
    targets: tuple[TargetInfo, ...]
    errors: tuple[ModuleError, ...]
    start_method: StartMethod | None = None
    no_fork: str = ""
    shared: tuple[SharedResource, ...] = ()


class RunFinished(Message, frozen=True):
    """The root's chain has ended: the result is in the store. `status` is the state's word."""

    run: str
    status: str


class RunSettled(Message, frozen=True):
    """Nothing of the run or its child runs is unfinished, and no process of theirs is left."""

    run: str
    status: str


class RunStuck(Message, frozen=True):
    """Nothing of the run can get on, and `message` says why: no worker group can ever run what is queued."""

    run: str
    message: str


class Advanced(Message, frozen=True):
    """The store has something new, log rows up to id `logs`.

    What has changed since the last time, in the runs that the client has subscribed to, is told by name: `executions`
    by run, step and attempt, in `metrics` those that have new points or metrics, in `runs` the runs whose own rows are
    others, or that are gone. `None` stands for too many to name, and for the first time: all of them are to be read.
    """

    logs: int
    executions: tuple[tuple[str, int, int], ...] | None
    metrics: tuple[tuple[str, int, int], ...] | None = ()
    runs: tuple[str, ...] | None = ()


class Dropped(Message, frozen=True):
    """All subscriptions of this client have ended, and `reason` says why, in one line. It may subscribe again once it
    has mended that."""

    reason: str


class ExecutionSample(Struct, frozen=True, array_like=True, gc=False):
    """What one execution on a worker uses: CPU seconds so far, bytes of memory now (of its process) and at most. It is
    waiting when it waits for other executions. Both are 0 where they cannot be asked."""

    id: str
    worker: int
    pid: int
    state: Literal["running", "waiting"]
    group: str
    cpu_seconds: float
    memory: int
    peak_memory: int


class GroupSample(Struct, frozen=True, array_like=True, gc=False):
    """A worker group: how many executions it may run at once, and how many of its slots are taken."""

    name: str
    concurrency: int
    taken: int


class Generation(Struct, frozen=True, array_like=True, gc=False):
    """One import of a set of modules: see `executor.generations`. A superseded one only finishes what it runs.
    `errors` are without `exception`; their tracebacks may be cut at the beginning."""

    id: int
    modules: tuple[str, ...]
    state: Literal["importing", "ready", "gone"]
    superseded: bool
    errors: tuple[ModuleError, ...]


class Sampled(Message, frozen=True):
    """What is not in the store, for dashboards, at most twice a second.

    `at` is an instant. `workers` counts processes by state, a busy one whose execution waits as "waiting"; of `running`
    and `waiting` executions those that run longest are in `executions`, at most 500. CPU seconds (so far) and memory
    are those of the engine and all processes below it; memory that processes share is counted for each. `load` is the
    machine's, over a minute. Sizes are in bytes, that of the blobs an estimate.
    """

    at: float
    executions: tuple[ExecutionSample, ...]
    workers: dict[str, int]
    groups: tuple[GroupSample, ...]
    queued: int
    running: int
    waiting: int
    cpu_seconds: float
    memory: int
    load: float
    main_size: int
    logs_size: int
    blobs_size: int
    generations: tuple[Generation, ...]


class Notice(Message, frozen=True):
    """A line for people: the store is busy, a module host fell back to spawn, …"""

    level: Literal["info", "warning", "error"]
    text: str


class WorkerInfo(Struct, frozen=True, gc=False):
    id: int
    pid: int
    state: str
    execution: str | None


class RecalledSecrets(Message, frozen=True):
    """The reply to `RecallSecrets`, by id."""

    request: int
    secrets: dict[str, str]


class StatusReport(Message, frozen=True):
    request: int
    pid: int
    started_at: float
    data_dir: str
    concurrency: int
    workers: tuple[WorkerInfo, ...]
    queued: int
    running: int
    waiting: int
    keeps: str  # what keeps the supervisor alive, in words; "" when it would leave


FromSupervisor = (
    Welcome
    | Refused
    | RunStarted
    | RequestFailed
    | Done
    | Collected
    | Discovered
    | RunFinished
    | RunSettled
    | RunStuck
    | Advanced
    | Dropped
    | Sampled
    | Notice
    | RecalledSecrets
    | SecretKept
    | StatusReport
)
