"""Every message between the engine's processes, as typed structs. Pure data: the core speaks them directly.

Peers and unions:
    supervisor -> worker        ToWorker          worker -> supervisor      FromWorker
    supervisor -> guardian      ToGuardian        guardian -> supervisor    FromGuardian
    supervisor -> module host   ToHost            module host -> supervisor FromHost

Those between clients and the supervisor are in `coflux.executor.requests`.

`coflux.executor.channel` turns them into frames and back. Durations are seconds; instants are wall-clock seconds since
the epoch. A union is tagged by the class name.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from coflux.encoded import Failure, Reference, Value
from coflux.metrics import MetricGroup, MetricScale
from coflux.task_options import TaskOptions

TargetType = Literal["workflow", "task"]
StartMethod = Literal["fork", "spawn"]


class Message(Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of all messages; array-like, so a frame holds no field names."""


# -- vocabulary shared by several messages ----------------------------------------------------------------------------


class TargetSpec(Struct, frozen=True, array_like=True, gc=False):
    """A target and its options as one submission sees them. Sent pre-encoded: see `Submit.target`.

    `code` holds a target that cannot be imported by name (`__main__`, a notebook cell, a closure), pickled by value.
    `when` holds a retry predicate set by `with_retries` at the call site. `options.memo` is about the step; `run_memo`
    is what a workflow says of the steps of its own run. A `stub` knows nothing of the real target but its name:
    requirements and timeout are that one's, unless they are among the `overrides`, the options set by `with_*`.
    """

    module: str
    name: str
    type: TargetType
    parameters: tuple[str, ...]
    options: TaskOptions
    code: Value | None = None
    when: Value | None = None
    run_memo: bool = False
    stub: bool = False
    overrides: tuple[str, ...] = ()


class ArgumentKey(Struct, frozen=True, array_like=True, gc=False):
    """The content of one argument: arguments are equal where digest and references are.

    `references` are the handles in it: ids, or `@n` until the supervisor has replaced them.
    """

    digest: bytes
    references: tuple[str, ...] = ()


class Terminated(Struct, frozen=True, tag=True, array_like=True, gc=False):
    """An outcome decided by the engine. `message` says what happened in words, with the evidence."""

    kind: Literal["cancelled", "timed_out", "abandoned"]
    message: str


class Succeeded(Struct, frozen=True, tag=True, array_like=True, gc=False):
    value: Value


class Failed(Struct, frozen=True, tag=True, array_like=True, gc=False):
    failure: Failure


Outcome = Succeeded | Failed | Terminated
"""What an execution ended with, as stored and as sent to a waiter."""


class Context(Struct, frozen=True, gc=False):
    """Where a client's code runs: its interpreter, import path and environment. With `own_path`, `sys_path` goes before
    the interpreter's own path, instead of being all of it."""

    interpreter: str
    sys_path: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    own_path: bool = False


class Shape(Struct, frozen=True, gc=False, omit_defaults=True):
    """What fits an annotation, as data (see `conversion.shapes`).

    By kind, `name` is a class; `names` are the words of a literal, the members of an enumeration, the fields of a
    record; `values` are what the members stand for, as JSON ("" where there is none), or the fields that are needed;
    `parts` are the shapes of what is inside.
    """

    kind: Literal[
        "anything", "scalar", "unsupported", "literal", "enumeration", "union", "array", "tuple", "dictionary",
        "record", "fields", "keys", "model",
    ]  # fmt: skip  # `fields` is a named tuple, `keys` a `TypedDict`
    name: str = ""
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    parts: tuple[Shape, ...] = ()


class ParameterInfo(Struct, frozen=True, gc=False):
    name: str
    kind: str  # inspect's name: POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD, VAR_POSITIONAL, KEYWORD_ONLY, VAR_KEYWORD
    annotation: str | None = None
    default: str | None = None  # source-like repr, None when there is none
    shape: Shape = Shape("anything")  # one argument's, of `*args` and `**kwargs`


class TargetInfo(Struct, frozen=True, gc=False):
    """One discovered target. `spec` is what a submission without overrides would send."""

    spec: TargetSpec
    parameters: tuple[ParameterInfo, ...]
    doc: str
    file: str
    line: int
    fingerprint: bytes = b""


class SourceFile(Struct, frozen=True, array_like=True, gc=False):
    """A file that a generation imported, as it was then (§13.1)."""

    path: str
    size: int
    mtime_ns: int
    inode: int


class SearchedDirectory(Struct, frozen=True, array_like=True, gc=False):
    """A directory in which imports looked for modules: the entries that decided what was found, there or not.

    `settled` is the time of the last change in it, in nanoseconds since the epoch, 0 where that says nothing. When
    `walked`, all its modules were imported, so `present` holds every entry that could be one.
    """

    path: str
    settled: int
    present: tuple[str, ...]
    absent: tuple[str, ...]
    walked: bool


class Sources(Struct, frozen=True, array_like=True, gc=False):
    """What decided the imports of a process."""

    files: tuple[SourceFile, ...]
    directories: tuple[SearchedDirectory, ...]


class ModuleError(Struct, frozen=True, gc=False):
    """A module that does not import. `file` and `line` are where the user should look; `traceback` can be printed.

    `type` and `exception` are those of the `Failure` that an exception is, empty where there was none.
    """

    module: str
    message: str
    traceback: str
    file: str = ""
    line: int = 0
    type: str = ""
    exception: bytes | None = None


class SharedResource(Struct, frozen=True, gc=False):
    """What an import made that every fork would share, or that does not survive one. `file` is "" where no module
    holds it."""

    name: str  # where it is found: module.attribute, with what follows the attribute
    kind: str  # in words
    file: str = ""


class Usage(Struct, frozen=True, array_like=True, gc=False):
    """Resources of one execution, with those of the processes that it started: CPU seconds, the most bytes that were
    resident at one time, and bytes read from and written to storage (`None` where that is not counted)."""

    cpu_seconds: float
    peak_memory: int
    read_bytes: int | None = None
    written_bytes: int | None = None


class RunOptions(Struct, frozen=True, gc=False):
    """What one `coflux run` overrides. `None` leaves the target's own option."""

    memo: bool | None = None
    cache: bool | None = None  # only False has a meaning: run the root without cache
    delay: float | None = None
    retries: int | None = None  # -1: unlimited
    timeout: float | None = None
    requires: dict[str, bool | list[str]] | None = None
    concurrency: int | None = None
    idempotency_key: str | None = None
    workspace: str = "default"
    detach: bool = False


# -- supervisor -> worker ---------------------------------------------------------------------------------------------


class ShowTerminal(Message, frozen=True):
    """What is executed from now on is for a client with this terminal: the variables that describe it, all of them."""

    variables: dict[str, str]


class EarlierChild(Struct, frozen=True, array_like=True, gc=False):
    """What an earlier attempt of the step submitted."""

    execution: str
    module: str
    name: str
    arguments: tuple[Value, ...]
    succeeded: bool


class Execute(Message, frozen=True):
    """`memo` is the run's default. An attempt that resumes a run is told what earlier attempts submitted (any other is
    told `None`): it says which of them a submission equals, see `Submit.earlier`."""

    execution: str
    target: bytes  # encoded TargetSpec
    arguments: tuple[Value, ...]
    root: bool  # the run's root step: its result is rendered as JSON without a size limit
    memo: bool = False
    earlier: tuple[EarlierChild, ...] | None = None


class Bind(Message, frozen=True):
    """Turn the command line's words (or a JSON document) into the target's arguments, by its annotations."""

    request: int
    module: str
    name: str
    words: tuple[str, ...]
    document: bytes | None
    directory: str  # where the client is: relative paths among the words start there


class Answer(Message, frozen=True):
    """The reply to a `Wait`: the handle's index and outcome; index -1 when the time was up, or with an `error`.

    `more` holds outcomes that the execution has not asked for yet but probably will: those of the submissions after
    the one it waited for, by number. Whoever collects a thousand results in order asks a few times, not a thousand.
    """

    request: int
    index: int
    outcome: Outcome | None
    error: str = ""
    more: tuple[tuple[int, Outcome], ...] = ()


class Identified(Message, frozen=True):
    request: int
    execution: str


class RevealSecrets(Message, frozen=True):
    """Secrets that the engine holds and has not told this worker of, by id. They come before what may refer to them."""

    secrets: dict[str, str]


class SecretKept(Message, frozen=True):
    """The reply to `KeepSecret`: the id by which values refer to it."""

    request: int
    id: str


class Retire(Message, frozen=True):
    """Run exit handlers and leave."""


ToWorker = ShowTerminal | Execute | Bind | Answer | Identified | RevealSecrets | SecretKept | Retire


# -- worker -> supervisor ---------------------------------------------------------------------------------------------


class Ready(Message, frozen=True):
    pid: int


class Bound(Message, frozen=True):
    request: int
    arguments: tuple[Value, ...]
    keys: tuple[ArgumentKey | None, ...] = ()  # as in `Submit`


class BindFailed(Message, frozen=True):
    request: int
    message: str


class Submit(Message, frozen=True):
    """The `number`-th submission of this execution, from 1: until it is identified, handles call it `@number`.

    `keys` has the content of each argument that memo, cache or defer look at, `None` for the others and for those which
    have no key; it is empty where there is none. `earlier` is the `EarlierChild` that it equals, "" for none.
    """

    number: int
    target: bytes  # encoded TargetSpec, one object per target and call-site variant, so the supervisor interns it
    arguments: tuple[Value, ...]
    group: int | None
    keys: tuple[ArgumentKey | None, ...] = ()
    earlier: str = ""


class Identify(Message, frozen=True):
    request: int
    number: int


class KeepSecret(Message, frozen=True):
    """Hold this text in memory, and replace it wherever it is shown. Clients send it as well."""

    request: int
    value: str


class Wait(Message, frozen=True):
    """Wait for the first of `handles` (ids or `@number`) to end. `timeout=None`: for ever; `0`: an immediate look.

    `suspends`: the execution will suspend itself when the time is up.
    """

    request: int
    handles: tuple[str, ...]
    timeout: float | None
    suspends: bool = False


class Suspend(Message, frozen=True):
    """The execution ends here, and goes on in another attempt: `delay` seconds from now, at the wall-clock time `until`
    or when the first of `handles` has ended. What its code does until `Returned` does not count."""

    delay: float = 0.0
    until: float | None = None
    handles: tuple[str, ...] = ()


class Cancel(Message, frozen=True):
    handles: tuple[str, ...]


class OpenGroup(Message, frozen=True):
    number: int
    name: str | None
    parent: int | None


class Log(Message, frozen=True):
    at: float
    level: int
    template: str | None
    values: bytes  # as `log_values` has made them
    references: tuple[Reference, ...] = ()  # the handles in `values`, which have their index for an id
    logger: str | None = None  # of a record of the standard library's `logging`


class DefineMetric(Message, frozen=True):
    """The `number`-th metric that this execution records, from 0."""

    number: int
    key: str
    group: MetricGroup | None
    scale: MetricScale | None


class RecordPoints(Message, frozen=True):
    """Points of a metric, in order: `at` and `values` hold as many little-endian 64-bit floats. `first` counts the
    metric's points before them."""

    metric: int
    first: int
    at: bytes
    values: bytes


class HoldPoint(Message, frozen=True):
    """The latest point of a metric, which the throttle holds back: in case that the process ends before it says what
    became of it. The next `RecordPoints` or `HoldPoint` of the metric replaces it. `first` is as in `RecordPoints`."""

    metric: int
    first: int
    at: float
    value: float


class KeepAsset(Message, frozen=True):
    """The execution has made an asset. `blobs` are those that may be new: of files that it read, and of the list."""

    asset: str  # its id
    name: str | None
    files: int
    size: int
    blobs: tuple[str, ...]


class Returned(Message, frozen=True):
    """The execution's code has ended. `unclean` says why this process must not be reused ("" when it may), and
    `sources` what it has imported since it last said so, `None` for nothing. `fingerprint` tells versions of the code
    apart (see `coflux.executor.fingerprints`)."""

    execution: str
    outcome: Outcome
    retryable: bool
    unclean: str
    usage: Usage
    sources: Sources | None = None
    fingerprint: bytes = b""


FromWorker = (
    Ready
    | Bound
    | BindFailed
    | Submit
    | Identify
    | KeepSecret
    | Wait
    | Suspend
    | Cancel
    | OpenGroup
    | Log
    | DefineMetric
    | RecordPoints
    | HoldPoint
    | KeepAsset
    | Returned
)


# -- guardian (stage A) and module hosts (stage B) --------------------------------------------------------------------


class Configure(Message, frozen=True):
    """First message to a guardian: take this import path, and import these third-party modules.

    `project` is the project's directory, `scratch` the one in which executions get their working directories, `blobs`
    the blob store's. `descriptor_limit` is the soft limit that the user's code had before the supervisor raised it.
    `own_path` is the context's.
    """

    sys_path: tuple[str, ...]
    preload: tuple[str, ...]
    project: str
    scratch: str
    blobs: str
    descriptor_limit: int
    own_path: bool = False


class StartHost(Message, frozen=True):
    """Fork a module host; its channel, stdout, stderr and crash file follow as descriptors."""

    host: int
    modules: tuple[str, ...]
    start_method: StartMethod


class KillHost(Message, frozen=True):
    """End a module host and its workers: it is not needed any more, or its imports take too long."""

    host: int


class DumpHost(Message, frozen=True):
    """Have a module host write its stacks to its crash file."""

    host: int


ToGuardian = Configure | StartHost | KillHost | DumpHost | Retire


class GuardianReady(Message, frozen=True):
    pid: int
    sources: Sources  # of the third-party packages: a file of the user's may come to shadow one


class GuardianRefused(Message, frozen=True):
    """The interpreter lacks what a guardian needs: the only thing that it says. See `coflux.executor.bootstrap`."""

    message: str


class Exited(Message, frozen=True):
    """A worker or host is gone, and so is all that it left behind. `status` is as from `os.waitpid`."""

    pid: int
    status: int
    host: int  # the host whose worker (or which itself) it was
    worker: int | None


FromGuardian = GuardianReady | GuardianRefused | Exited


class StartWorker(Message, frozen=True):
    """Start a worker; its channel, stdout, stderr and crash file follow as descriptors."""

    worker: int
    start_method: StartMethod


ToHost = StartWorker | Retire


class Reexport(Struct, frozen=True, array_like=True, gc=False):
    """A target of another module that can be had as an attribute of this one, too."""

    module: str
    attribute: str
    home: str  # the target's own module
    name: str  # and its name there


class Imported(Message, frozen=True):
    """The host's modules are in. Modules that failed are in `errors`, the others serve."""

    targets: tuple[TargetInfo, ...]
    errors: tuple[ModuleError, ...]
    sources: Sources
    third_party: tuple[str, ...]  # top-level packages from outside the project that the modules pulled in
    start_method: StartMethod
    no_fork: str  # why it is spawn, when fork was asked for
    shared: tuple[SharedResource, ...]  # empty where workers are spawned: each makes its own
    reexports: tuple[Reexport, ...]
    hidden: tuple[str, ...]  # files and packages of the user's whose names belong to others: they are never imported
    secrets: tuple[str, ...] = ()  # what its environment holds of them, and its modules have made: not to be shown


class WorkerStarted(Message, frozen=True):
    worker: int
    pid: int


class WorkerFailed(Message, frozen=True):
    worker: int
    message: str


FromHost = Imported | WorkerStarted | WorkerFailed


__all__ = [name for name, value in list(globals().items()) if isinstance(value, type) and issubclass(value, Struct)]
__all__ += ["FromGuardian", "FromHost", "FromWorker", "Outcome", "Reference", "StartMethod"]
__all__ += ["TargetType", "ToGuardian", "ToHost", "ToWorker"]
