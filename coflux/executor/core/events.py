"""What happens to the scheduler. Each event is told with an `Instant`."""

from __future__ import annotations

from msgspec import Struct

from coflux.encoded import Value
from coflux.executor.core.state import SiteKey
from coflux.executor.messages import ArgumentKey, OpenGroup, Outcome, RunOptions, TargetSpec, Usage

__all__ = [
    "CancelAsked",
    "CancelRequested",
    "Event",
    "GroupOpened",
    "HostLost",
    "HostReady",
    "HostRefused",
    "IdentifyAsked",
    "RerunRequested",
    "Returned",
    "RunRequested",
    "Submitted",
    "SuspendAsked",
    "WaitAsked",
    "WorkerExited",
    "WorkerReady",
    "WorkerRefused",
    "WorkspaceChanged",
]


class Event(Struct, frozen=True, gc=False):
    pass


class RunRequested(Event, frozen=True):
    run: str
    spec: TargetSpec
    encoded: bytes
    arguments: tuple[Value, ...]
    options: RunOptions
    context: int
    host: int
    keys: tuple[ArgumentKey | None, ...] = ()


class RerunRequested(Event, frozen=True):
    """A step of a known run is to be executed again, in `workspace`. `resume`: what succeeded below it is kept."""

    execution: str  # any attempt of the step
    workspace: str
    resume: bool
    detach: bool


class Submitted(Event, frozen=True):
    worker: int
    number: int
    spec: TargetSpec
    encoded: bytes
    arguments: tuple[Value, ...]
    group: int | None
    keys: tuple[ArgumentKey | None, ...] = ()
    earlier: str = ""


class WaitAsked(Event, frozen=True):
    worker: int
    request: int
    handles: tuple[str, ...]
    timeout: float | None
    suspends: bool = False


class SuspendAsked(Event, frozen=True):
    """The execution goes on in another attempt: after `delay`, at the wall-clock time `until`, or when one of `handles`
    has ended."""

    worker: int
    delay: float
    until: float | None
    handles: tuple[str, ...]


class IdentifyAsked(Event, frozen=True):
    worker: int
    request: int
    number: int


class CancelAsked(Event, frozen=True):
    """An execution cancels handles that it holds."""

    worker: int
    handles: tuple[str, ...]


class GroupOpened(Event, frozen=True):
    worker: int
    group: OpenGroup


class Returned(Event, frozen=True):
    worker: int
    execution: str
    outcome: Outcome
    retryable: bool
    unclean: str
    usage: Usage
    fingerprint: bytes = b""


class CancelRequested(Event, frozen=True):
    """A person or a client cancels an execution and what follows from it. `immediate` skips the grace period."""

    execution: str
    immediate: bool


class WorkerReady(Event, frozen=True):
    worker: int
    pid: int


class WorkerExited(Event, frozen=True):
    """The process and all it left behind is gone. `evidence` says how, for people."""

    worker: int
    evidence: str
    usage: Usage | None


class WorkerRefused(Event, frozen=True):
    """No process could be started: a limit was met."""

    worker: int
    message: str


class HostReady(Event, frozen=True):
    """A module host serves `families` (root run ids) from now on: the sites that have its key."""

    host: int
    families: tuple[str, ...]


class HostLost(Event, frozen=True):
    """The host died. Its workers' exits are told apart; its families wait for another, which is being brought up."""

    host: int


class HostRefused(Event, frozen=True):
    """These families get no host for a site (`None`: their homes), since its modules do not import: what is queued for
    it fails with this outcome."""

    families: tuple[str, ...]
    outcome: Outcome
    site: SiteKey | None = None


class WorkspaceChanged(Event, frozen=True):
    """Nothing queued of the workspace starts while it is paused."""

    workspace: str
    paused: bool
