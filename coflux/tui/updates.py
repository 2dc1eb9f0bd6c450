"""What the screen asks for and what it is told: the messages between it and the thread that speaks to the engine.

The screen never waits: it asks, goes on, and takes in what has come at its next look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from coflux.asset_manifest import StoredFile
from coflux.display.axes import ChartName
from coflux.display.feed import Event
from coflux.encoded import Value
from coflux.executor.causes import Cause, GroupMember
from coflux.executor.decisions import Why
from coflux.executor.document import StepInfo
from coflux.executor.history import LogEntry
from coflux.executor.log_search import Field
from coflux.executor.messages import ModuleError, Outcome, TargetInfo
from coflux.executor.news import Key
from coflux.executor.recorded_metrics import MetricInfo
from coflux.executor.requests import Sampled
from coflux.executor.rows import ExecutionRow, RunRow, Status
from coflux.executor.series import Progress
from coflux.tui.arguments import Given
from coflux.tui.previews import Preview

__all__ = [
    "AssetListed",
    "AssetsAsked",
    "AssetsRead",
    "CancelAsked",
    "ChartRead",
    "Connected",
    "DeleteAsked",
    "Deleted",
    "Details",
    "DetailsAsked",
    "Disconnected",
    "DiscoverAsked",
    "DownloadAsked",
    "DownloadBlocked",
    "EntriesAsked",
    "EntriesRead",
    "Excerpt",
    "Failed",
    "FileThere",
    "KeepAsked",
    "LogEntries",
    "LogEntriesAsked",
    "LogEntryAsked",
    "LogFileThere",
    "LogFilter",
    "LogGone",
    "LogIds",
    "LogLive",
    "LogMatches",
    "LogSaveAsked",
    "LogSearch",
    "LogSearchAsked",
    "LogTimeAsked",
    "LogTimeFound",
    "LogWhole",
    "LogsAsked",
    "MetricCourse",
    "MetricsAsked",
    "MetricsRead",
    "MoreRunsAsked",
    "PastCall",
    "PastCalls",
    "PastCallsAsked",
    "PreviewAsked",
    "PreviewRead",
    "ProgressRead",
    "RememberAsked",
    "Remembered",
    "Request",
    "RerunAsked",
    "RunBrief",
    "RunOpened",
    "RunProgressed",
    "RunStarted",
    "RunsRead",
    "Said",
    "SampleRead",
    "SaveAsked",
    "Saveable",
    "Searched",
    "ShownValue",
    "Spark",
    "SparksRead",
    "StartAsked",
    "StepKey",
    "TargetsRead",
    "Update",
]


StepKey = tuple[str, int]
"""Run and number of a step."""


class LogFilter(NamedTuple):
    """Which entries are shown: those of a run and its child runs; with a step, of that and all below it; with a group
    of one of its attempts, of all in that; with an attempt alone, of nothing else. Of these levels, with these values.
    """

    run: str
    step: int | None = None
    attempt: int | None = None
    group: int | None = None
    levels: Collection[int] | None = None
    fields: Sequence[Field] = ()


class LogSearch(NamedTuple):
    """What is looked for in the entries that are shown: a text or a regular expression, in upper or lower case."""

    text: str = ""
    pattern: str = ""


# -- asked ------------------------------------------------------------------------------------------------------------


class RunOpened(NamedTuple):
    """Follow this run from now on, in place of the one before; "" for none."""

    run: str


class LogsAsked(NamedTuple):
    """Follow these entries from now on. `number` tells the answers from those to earlier requests."""

    number: int
    filter: LogFilter


class LogEntriesAsked(NamedTuple):
    """Read these entries, as much of them as fits on a few lines."""

    number: int
    ids: Sequence[int]


class LogEntryAsked(NamedTuple):
    """Read as much of one entry as is ever shown."""

    number: int
    id: int


class LogSearchAsked(NamedTuple):
    """Look for this in the entries that are followed; `number` is that of those and of the search, `None` for none."""

    number: int
    search: int
    wanted: LogSearch | None


class LogTimeAsked(NamedTuple):
    """Find an entry of about this time, in seconds since the epoch."""

    number: int
    at: float


class LogSaveAsked(NamedTuple):
    """Write entries to a file: over one that is there only with `overwrite`."""

    filter: LogFilter
    search: LogSearch | None
    path: str
    overwrite: bool = False


class DetailsAsked(NamedTuple):
    execution: str


class MetricsAsked(NamedTuple):
    """Follow the metrics of these steps from now on; `None` for all of the run and its child runs, "" for none."""

    number: int
    run: str
    steps: frozenset[StepKey] | None = None


class AssetsAsked(NamedTuple):
    """Follow the assets that these steps make from now on, `None` for all of the run and its child runs; and those in
    the result of `execution`, if one is named. "" for the assets of no run."""

    number: int
    run: str
    steps: frozenset[StepKey] | None = None
    execution: str = ""


class EntriesAsked(NamedTuple):
    """List the files of an asset."""

    asset: str


class PreviewAsked(NamedTuple):
    """Look into a file of an asset. A picture is made to fit into so many cells."""

    number: int
    asset: str
    path: str
    columns: int
    rows: int


class DownloadAsked(NamedTuple):
    """Write the files of an asset below a directory, or one of them; `replace` those that are there already."""

    asset: str
    path: str | None
    directory: str
    replace: bool = False


Saveable = Literal["result", "traceback", "log"]


class SaveAsked(NamedTuple):
    """Write something of an execution to a file: over one that is there only with `overwrite`."""

    execution: str
    what: Saveable
    path: str
    overwrite: bool = False


class KeepAsked(NamedTuple):
    """Write a text that the terminal's clipboard does not take to a file of this name in the data directory; `what` it
    is, for people."""

    what: str
    name: str
    text: str


class MoreRunsAsked(NamedTuple):
    """List older runs, too."""


class StartAsked(NamedTuple):
    """`words` are those of a command line, `document` is a JSON document of what they leave."""

    module: str
    file: str
    name: str
    words: tuple[str, ...]
    document: bytes | None = None


class PastCallsAsked(NamedTuple):
    """The arguments of the newest runs of a target, those of `run` first if that is one of them."""

    module: str
    name: str
    run: str = ""


class RememberAsked(NamedTuple):
    """Keep what was typed into a target's form, by parameter."""

    module: str
    name: str
    typed: Mapping[str, Given]


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
    | LogEntriesAsked
    | LogEntryAsked
    | LogSearchAsked
    | LogTimeAsked
    | LogSaveAsked
    | DetailsAsked
    | MetricsAsked
    | AssetsAsked
    | EntriesAsked
    | PreviewAsked
    | DownloadAsked
    | SaveAsked
    | KeepAsked
    | MoreRunsAsked
    | PastCallsAsked
    | RememberAsked
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


class RunBrief(NamedTuple):
    """What a list tells of a run besides its row: the arguments by name, why it did not succeed, and while it is
    unfinished how many of its steps are in which state."""

    arguments: Sequence[tuple[str, str]] = ()
    problem: str = ""
    steps: Mapping[Status, int] = {}


class RunsRead(NamedTuple):
    """The newest runs, newest first; how many there are in which state in all; and briefs of those that are listed, by
    id."""

    rows: Sequence[RunRow]
    counts: Mapping[Status, int]
    briefs: Mapping[str, RunBrief] = {}


class PastCall(NamedTuple):
    """The arguments that a run was started with, by parameter."""

    run: RunRow
    arguments: Mapping[str, Value]


class PastCalls(NamedTuple):
    asked: PastCallsAsked
    calls: Sequence[PastCall]


class Remembered(NamedTuple):
    """What was typed into forms last, by target (module and name) and parameter."""

    typed: Mapping[tuple[str, str], Mapping[str, Given]]


class Deleted(NamedTuple):
    run: str


class RunProgressed(NamedTuple):
    """What has happened in the run that is open."""

    run: str
    events: Sequence[Event]


class ProgressRead(NamedTuple):
    """How far executions of the run that is open have got: those that run and tell."""

    run: str
    progress: Mapping[Key, Progress]


class Spark(NamedTuple):
    """A metric of an execution in a few points, and the last value."""

    attempt: int
    values: Sequence[float]
    last: float
    units: str


class SparksRead(NamedTuple):
    """The first metric, but for progress, of executions of the run that is open."""

    run: str
    sparks: Mapping[Key, Spark]


class MetricCourse(NamedTuple):
    """A metric, and points that show its course. Gaps are not finite."""

    metric: MetricInfo
    at: Sequence[float]
    values: Sequence[float]


class ChartRead(NamedTuple):
    """A chart and the first of its metrics; of `more` nothing was read."""

    name: ChartName
    courses: Sequence[MetricCourse]
    more: int


class MetricsRead(NamedTuple):
    """The metrics as they are now.

    Attributes:
        charts: the first ones; of `more_charts` nothing was read.
        bars: metrics that tell progress, of what runs first; of `more_bars` nothing was read.
    """

    number: int
    charts: Sequence[ChartRead]
    more_charts: int
    bars: Sequence[tuple[MetricInfo, Progress]]
    more_bars: int


class AssetListed(NamedTuple):
    """An asset; `execution` has made it, or, with `in_result`, has it in its result. `files` is -1 where the list of
    its files is lost."""

    id: str
    name: str | None
    files: int
    size: int
    execution: str
    in_result: bool = False


class AssetsRead(NamedTuple):
    number: int
    assets: Sequence[AssetListed]


class EntriesRead(NamedTuple):
    """The files of an asset, or why they cannot be told."""

    asset: str
    files: Sequence[StoredFile]
    problem: str = ""


class PreviewRead(NamedTuple):
    number: int
    preview: Preview


class DownloadBlocked(NamedTuple):
    """Nothing was written: a file is there already."""

    request: DownloadAsked
    file: str


class LogIds(NamedTuple):
    """More entries match, in order: after those that are known, or before. `left` is the share of the store that has
    not been looked through, from 0 to 1."""

    number: int
    ids: Sequence[int]
    before: bool
    left: float


class LogMatches(NamedTuple):
    """More of the entries are what is searched for: as `LogIds`."""

    number: int
    search: int
    ids: Sequence[int]
    before: bool
    left: float


class LogLive(NamedTuple):
    """The entries that are still drawn again and again, in place of those told before."""

    number: int
    entries: Sequence[LogEntry]


class LogEntries(NamedTuple):
    """Those of the ids that were asked for that are there. Long ones are cut."""

    number: int
    ids: Sequence[int]
    entries: Sequence[LogEntry]


class LogWhole(NamedTuple):
    """One entry, as much of it as is ever shown; and how many characters its text has in all."""

    number: int
    entry: LogEntry
    length: int


class LogTimeFound(NamedTuple):
    """The id of an entry of about the time that was asked for."""

    number: int
    id: int


class LogGone(NamedTuple):
    """Entries that were told are not there any more: all of them. `why`: what is wrong with the store, "" if nothing is
    but that they have been removed."""

    number: int
    why: str


class LogFileThere(NamedTuple):
    """What was to be saved where a file is already."""

    request: LogSaveAsked


class ShownValue(NamedTuple):
    """A value as people see it: a line; some lines where there is more to see, "" otherwise; and as JSON, `None` where
    it has no such form. `exact`: the JSON is all there is to it. `size` is in bytes, as it is stored."""

    preview: str
    summary: str
    json: str | None
    exact: bool
    size: int


class Excerpt(NamedTuple):
    """The lines around one in a file, from line `first` on: none, if the file is not there any more, or does not have
    the line that was executed. `changed`: the file was written after that."""

    first: int
    lines: tuple[str, ...]
    changed: bool


class Details(NamedTuple):
    """All that is stored of an execution.

    Attributes:
        step: what was called; `arguments` are in the order of its parameters.
        outcome: its own, or that of the end of its chain, so far; `source` is the execution which that is of.
        result: the value of a success.
        causes: the exception of a failure and what led to it; `notes` and `members` are of the exception itself.
        excerpts: of the files in its tracebacks, by file and line.
        before: of what is ready and queued: how many are so for longer.
    """

    row: ExecutionRow
    step: StepInfo
    arguments: Sequence[ShownValue] = ()
    outcome: Outcome | None = None
    source: str = ""
    result: ShownValue | None = None
    causes: Sequence[Cause] = ()
    notes: str = ""
    members: Sequence[GroupMember] = ()
    excerpts: Mapping[tuple[str, int], Excerpt] = {}
    why: Why | None = None
    before: int | None = None


class FileThere(NamedTuple):
    """A file is not written over unless that is wanted."""

    request: SaveAsked


class Searched(NamedTuple):
    """Where targets are looked for: in modules by name, and in files, whose modules are `files`."""

    root: str
    modules: Sequence[str]
    files: Mapping[str, str]


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
    | PastCalls
    | Remembered
    | Deleted
    | Searched
    | RunProgressed
    | ProgressRead
    | SparksRead
    | MetricsRead
    | AssetsRead
    | EntriesRead
    | PreviewRead
    | DownloadBlocked
    | LogIds
    | LogMatches
    | LogLive
    | LogEntries
    | LogWhole
    | LogTimeFound
    | LogGone
    | LogFileThere
    | Details
    | FileThere
    | TargetsRead
    | SampleRead
    | RunStarted
    | Said
    | Failed
)
