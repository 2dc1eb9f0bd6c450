"""The dashboard as data: what it was told, made ready to be drawn. No Textual, no clock, no store."""

from __future__ import annotations

from collections.abc import Mapping

from coflux.tui.arguments import Given
from coflux.tui.assets import AssetsState
from coflux.tui.deletions import Deletions
from coflux.tui.engine_state import EngineState
from coflux.tui.logs import LogState
from coflux.tui.metrics import MetricsState
from coflux.tui.open_run import OpenRun
from coflux.tui.runs import RunsModel
from coflux.tui.targets import TargetsModel
from coflux.tui.updates import (
    DeleteAsked,
    Deleted,
    Details,
    DownloadBlocked,
    Failed,
    FileThere,
    PastCalls,
    Remembered,
    RunStarted,
    Said,
    SaveAsked,
    StartAsked,
    Update,
)

__all__ = ["State"]


class State:
    """Everything; each part takes what concerns it.

    Attributes:
        run: the run that is open.
        said: what was said to people, and has not been shown.
        blocked: downloads that files were in the way of, and that have not been asked about.
        unsaved: what was to be saved where a file is already, and has not been asked about.
        started: runs that were asked for and have started, and have not been opened.
        refused: requests to start a run that were refused; the form they came from has not been told.
        calls: what runs of a target were started with, as it was asked for last.
        typed: what was typed into forms last, by target and parameter.
    """

    def __init__(self) -> None:
        self.engine = EngineState()
        self.runs = RunsModel()
        self.targets = TargetsModel(self.engine)
        self.deletions = Deletions()
        self.run: OpenRun | None = None
        self.log = LogState()
        self.metrics = MetricsState()
        self.assets = AssetsState()
        self.details: Details | None = None
        self.said: list[Said] = []
        self.unsaved: list[SaveAsked] = []
        self.started: list[RunStarted] = []
        self.blocked: list[DownloadBlocked] = []
        self.refused: list[Failed] = []
        self.calls: PastCalls | None = None
        self.typed: dict[tuple[str, str], Mapping[str, Given]] = {}

    def open_run(self, run: str) -> None:
        self.run = OpenRun(run) if run else None
        self.details = None

    def take(self, update: Update) -> None:
        for part in (self.engine, self.runs, self.log, self.metrics, self.assets):
            part.take(update)
        if self.run is not None:
            self.run.take(update)
        self._take_for_forms(update)
        match update:
            case Details():
                self.details = update
            case FileThere(request):
                self.unsaved.append(request)
            case RunStarted():
                self.started.append(update)
            case DownloadBlocked():
                self.blocked.append(update)
            case Said():
                self.said.append(update)
            case Deleted() | Failed(DeleteAsked()):
                self.said += self.deletions.take(update)
            case Failed(request, why) if not isinstance(request, StartAsked):
                self.said.append(Said("error", why))

    def _take_for_forms(self, update: Update) -> None:
        match update:
            case PastCalls():
                self.calls = update
            case Remembered(typed):
                self.typed = dict(typed)
            case Failed(StartAsked()):
                self.refused.append(update)
