"""The rows of the store: the vocabulary shared by the pure core, the store and its readers.

A row is complete: storing one replaces whatever was stored under its key. Instants are wall-clock seconds since the
epoch, durations seconds, sizes bytes. An execution's id is `RUN:STEP:ATTEMPT`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from coflux.executor.core.state import Trigger

__all__ = [
    "DEFAULT_WORKSPACE",
    "UNFINISHED",
    "AssetRow",
    "Batch",
    "ContextRow",
    "ExecutionRow",
    "GroupRow",
    "LoadedRun",
    "LogRow",
    "MetricRow",
    "PointsRow",
    "PrunedRow",
    "RunRow",
    "SharedRow",
    "Status",
    "StepRow",
    "Trigger",
    "WorkspaceRow",
    "WorkspaceState",
    "format_execution_id",
    "parse_execution_id",
]

Status = Literal[
    "queued",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "abandoned",
    "cancelled",
    "cached",
    "deferred",
    "spawned",
    "suspended",
    "recurred",
]

UNFINISHED = ("queued", "running")

WorkspaceState = Literal["active", "paused", "archived"]

DEFAULT_WORKSPACE = "default"


class Row(Struct, frozen=True, array_like=True, gc=False):
    """Base of all rows; array-like, so that a row read from the database is checked field by field."""


class RunRow(Row, frozen=True):
    """Key: `id`. `parent` is the execution that called this workflow, `root_run` the top of its family (itself, for a
    run without a parent), `context` an id from `Store.context_id`. `steps`: how many it had, those that were pruned
    among them, when the row was written. `settled`: nothing of it is unfinished any more."""

    id: str
    workspace: str
    module: str
    name: str
    type: Literal["workflow", "task"]
    parent: str | None
    root_run: str
    context: int
    idempotency_key: str | None
    options: bytes
    status: Status
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    steps: int = 0
    settled: bool = False


class StepRow(Row, frozen=True):
    """Key: `run`, `number`. `target` is an encoded `TargetSpec`, `arguments` the msgpack of `tuple[Value, ...]`;
    `parent` is the submitting execution and `group` one of that execution's groups. `keys` is the msgpack of
    `tuple[ArgumentKey | None, ...]`, `None` when no option needs one; `spawned` is the run that a workflow became."""

    run: str
    number: int
    parent: str | None
    group: int | None
    module: str
    name: str
    type: Literal["workflow", "task"]
    target: bytes
    arguments: bytes
    depth: int
    created_at: float
    keys: bytes | None = None
    memo_key: bytes | None = None
    cache_key: bytes | None = None
    defer_key: bytes | None = None
    spawned: str | None = None


class ExecutionRow(Row, frozen=True):
    """Key: `run`, `step`, `attempt`. `reason` says in words why it is in this state, `outcome` is the msgpack of
    `messages.Outcome`.

    `next` is the execution that the chain continues with; for a cache hit the one whose result it has, and then there
    is no outcome of its own, and `older_code` says that the result came of other code. `trigger` says why there is this
    attempt, and `resumes` that its submissions are answered by what earlier attempts submitted. `awaits` are the
    ids of the executions that a queued one waits for, other than in its arguments, or that a suspended one was
    suspended for, with spaces between. `cache_key` is the step's once this is a result that the cache may use, and
    `fingerprint` tells versions of its code apart.
    """

    run: str
    step: int
    attempt: int
    status: Status
    reason: str
    next: str | None
    created_at: float
    due_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    pid: int | None = None
    generation: int | None = None
    outcome: bytes | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    workspace: str = DEFAULT_WORKSPACE
    trigger: Trigger = "submission"
    fingerprint: bytes | None = None
    cache_key: bytes | None = None
    awaits: str | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    older_code: bool = False
    resumes: bool = False

    @property
    def id(self) -> str:
        return format_execution_id(self.run, self.step, self.attempt)

    @property
    def waits_for(self) -> list[str]:
        """The ids in `awaits`."""
        return [] if self.awaits is None else self.awaits.split()


class GroupRow(Row, frozen=True):
    """Key: the execution (`run`, `step`, `attempt`) and `number`, which counts that execution's groups."""

    run: str
    step: int
    attempt: int
    number: int
    name: str | None
    parent: int | None


class SharedRow(Row, frozen=True):
    """Key: the execution (`run`, `step`, `attempt`) and `number`, which counts its submissions. This one made no step:
    its handle is that of an execution which was there already, `child`. `group` is one of the execution's groups."""

    run: str
    step: int
    attempt: int
    number: int
    child: str
    group: int | None


class PrunedRow(Row, frozen=True):
    """An attempt to be deleted with all that is below it. `first_step` is the number of the first step that it
    submitted, `None` if there is none."""

    run: str
    step: int
    attempt: int
    first_step: int | None


class WorkspaceRow(Row, frozen=True):
    """Key: `name`. Nothing queued of a paused workspace starts; an archived one takes no more work."""

    name: str
    base: str | None
    state: WorkspaceState
    created_at: float


class LogRow(Row, frozen=True):
    """One line of output or structured entry. `level` is a `coflux.logs.Level`, `values` a JSON object, `logger` the
    name of the standard library's logger that a record came from. The store numbers log rows as they arrive.

    `bar` tells the lines of an attempt apart that are drawn again and again (progress bars): storing another row of the
    same bar removes the one before, and `live` says that there will probably be another.
    """

    run: str
    step: int
    attempt: int
    at: float
    level: int
    template: str | None
    values: bytes | None
    logger: str | None = None
    bar: int | None = None
    live: bool = False


class MetricRow(Row, frozen=True):
    """Key: the execution (`run`, `step`, `attempt`) and `number`, which counts its metrics. `group` and `scale` are
    JSON objects with the fields of `MetricGroup` and `MetricScale`."""

    run: str
    step: int
    attempt: int
    number: int
    key: str
    group: bytes | None
    scale: bytes | None


class PointsRow(Row, frozen=True):
    """Key: the metric (`run`, `step`, `attempt`, `metric`) and `first`, the number of its points before these. `at` and
    `values` hold `count` little-endian 64-bit floats each; what is not finite is a gap."""

    run: str
    step: int
    attempt: int
    metric: int
    first: int
    count: int
    at: bytes
    values: bytes


class AssetRow(Row, frozen=True):
    """Key: the execution (`run`, `step`, `attempt`) and `asset`, the asset's id: an execution has made it."""

    run: str
    step: int
    attempt: int
    asset: str
    name: str | None
    files: int
    size: int
    created_at: float


class ContextRow(Row, frozen=True):
    """Where a client's code runs. `omitted` names the variables that hold secrets: their values were not stored."""

    id: int
    key: str
    interpreter: str
    sys_path: tuple[str, ...]
    environment: dict[str, str]
    omitted: tuple[str, ...]


class LoadedRun(Struct, frozen=True):
    """Every row of one run; steps by number, all else by step and attempt."""

    run: RunRow
    steps: list[StepRow]
    executions: list[ExecutionRow]
    groups: list[GroupRow]
    shared: list[SharedRow]


class Batch:
    """Rows to be committed together. Of two rows with one key the later one counts; what is pruned goes last."""

    __slots__ = ("assets", "executions", "groups", "logs", "metrics", "points", "pruned", "runs", "shared", "steps")

    def __init__(self) -> None:
        self.runs: list[RunRow] = []
        self.steps: list[StepRow] = []
        self.executions: list[ExecutionRow] = []
        self.groups: list[GroupRow] = []
        self.shared: list[SharedRow] = []
        self.assets: list[AssetRow] = []
        self.logs: list[LogRow] = []
        self.metrics: list[MetricRow] = []
        self.points: list[PointsRow] = []
        self.pruned: list[PrunedRow] = []

    def __bool__(self) -> bool:
        return any(getattr(self, rows) for rows in self.__slots__)

    @property
    def bulky(self) -> bool:
        """Whether there are rows for the second database."""
        return bool(self.logs or self.points or self.metrics)


def format_execution_id(run: str, step: int, attempt: int) -> str:
    return f"{run}:{step}:{attempt}"


def parse_execution_id(execution_id: str) -> tuple[str, int, int]:
    """Split `RUN:STEP:ATTEMPT`. Raises `ValueError` for anything else."""
    try:
        run, step, attempt = execution_id.split(":")
        return run, int(step), int(attempt)
    except ValueError:
        raise ValueError(f"{execution_id!r} is not an execution id (RUN:STEP:ATTEMPT)") from None
