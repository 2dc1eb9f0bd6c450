"""What the screen asks for and what it is told: the messages between it and the thread that speaks to the engine.

The screen never waits: it asks, goes on, and takes in what has come at its next look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from coflux.display.feed import Event
from coflux.encoded import Value
from coflux.executor.history import LogEntry
from coflux.executor.messages import ModuleError, Outcome, TargetInfo
from coflux.executor.news import Key
from coflux.executor.requests import Sampled
from coflux.executor.rows import ExecutionRow, RunRow, Status
from coflux.executor.series import Progress

__all__ = [
    "CancelAsked",
    "Connected",
    "DeleteAsked",
    "Details",
    "DetailsAsked",
    "Disconnected",
    "DiscoverAsked",
    "Failed",
    "LogFilter",
    "LogIds",
    "LogPage",
    "LogPageAsked",
    "LogsAsked",
    "MoreRunsAsked",
    "ProgressRead",
    "Request",
    "RerunAsked",
    "RunOpened",
    "RunProgressed",
    "RunStarted",
    "RunsRead",
    "Said",
    "SampleRead",
    "StartAsked",
    "TargetsRead",
    "Update",
]


class LogFilter(NamedTuple):
    """Which entries of a run are shown: those of all steps or of one, of these levels, with this text in them."""

    run: str
    step: int | None = None
    attempt: int | None = None
    levels: Collection[int] | None = None
    text: str | None = None


# -- asked ------------------------------------------------------------------------------------------------------------


class RunOpened(NamedTuple):
    """Follow this run from now on, in place of the one before; "" for none."""

    run: str


class LogsAsked(NamedTuple):
    """Follow these entries from now on. `number` tells the answers from those to earlier requests."""

    number: int
    filter: LogFilter


class LogPageAsked(NamedTuple):
    number: int
    page: int
    ids: Sequence[int]


class DetailsAsked(NamedTuple):
    execution: str


class MoreRunsAsked(NamedTuple):
    """List older runs, too."""


class StartAsked(NamedTuple):
    """`words` are those of a command line."""

    module: str
    file: str
    name: str
    words: tuple[str, ...]


class RerunAsked(NamedTuple):
    run: str
    step: int
    resume: bool = False


class CancelAsked(NamedTuple):
    id: str


class DeleteAsked(NamedTuple):
    run: str


class DiscoverAsked(NamedTuple):
    """Look for targets again."""


Request = (
    RunOpened
    | LogsAsked
    | LogPageAsked
    | DetailsAsked
    | MoreRunsAsked
    | StartAsked
    | RerunAsked
    | CancelAsked
    | DeleteAsked
    | DiscoverAsked
)


# -- told -------------------------------------------------------------------------------------------------------------


class Connected(NamedTuple):
    pid: int


class Disconnected(NamedTuple):
    why: str


class RunsRead(NamedTuple):
    """The newest runs, newest first; and how many there are in which state in all."""

    rows: Sequence[RunRow]
    counts: Mapping[Status, int]


class RunProgressed(NamedTuple):
    """What has happened in the run that is open."""

    run: str
    events: Sequence[Event]


class ProgressRead(NamedTuple):
    """How far executions of the run that is open have got: those that run and tell."""

    run: str
    progress: Mapping[Key, Progress]


class LogIds(NamedTuple):
    """The next entries that match."""

    number: int
    ids: Sequence[int]


class LogPage(NamedTuple):
    number: int
    page: int
    entries: Sequence[LogEntry]


class Details(NamedTuple):
    """All that is stored of an execution."""

    row: ExecutionRow
    arguments: Sequence[Value]
    outcome: Outcome | None


class TargetsRead(NamedTuple):
    targets: Sequence[TargetInfo]
    errors: Sequence[ModuleError]


class SampleRead(NamedTuple):
    """What the engine and its processes use."""

    sample: Sampled


class RunStarted(NamedTuple):
    """What was asked for is this run, or belongs to it."""

    run: str
    asked: Request


class Said(NamedTuple):
    """A line for people."""

    level: Literal["info", "warning", "error"]
    text: str


class Failed(NamedTuple):
    """A request was refused, or could not be carried out."""

    request: Request
    why: str


Update = (
    Connected
    | Disconnected
    | RunsRead
    | RunProgressed
    | ProgressRead
    | LogIds
    | LogPage
    | Details
    | TargetsRead
    | SampleRead
    | RunStarted
    | Said
    | Failed
)
