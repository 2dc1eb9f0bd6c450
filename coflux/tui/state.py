"""The dashboard as data: what it was told, made ready to be drawn. No Textual, no clock, no store."""

from __future__ import annotations

from coflux.tui.assets import AssetsState
from coflux.tui.engine_state import EngineState
from coflux.tui.logs import LogState
from coflux.tui.metrics import MetricsState
from coflux.tui.open_run import OpenRun
from coflux.tui.runs import RunsModel
from coflux.tui.updates import (
    Details,
    DownloadBlocked,
    Failed,
    FileThere,
    RunStarted,
    Said,
    SaveAsked,
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
    """

    def __init__(self) -> None:
        self.engine = EngineState()
        self.runs = RunsModel()
        self.run: OpenRun | None = None
        self.log = LogState()
        self.metrics = MetricsState()
        self.assets = AssetsState()
        self.details: Details | None = None
        self.said: list[Said] = []
        self.unsaved: list[SaveAsked] = []
        self.started: list[RunStarted] = []
        self.blocked: list[DownloadBlocked] = []

    def open_run(self, run: str) -> None:
        self.run = OpenRun(run) if run else None
        self.details = None

    def take(self, update: Update) -> None:
        for part in (self.engine, self.runs, self.log, self.metrics, self.assets):
            part.take(update)
        if self.run is not None:
            self.run.take(update)
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
            case Failed(_, why):
                self.said.append(Said("error", why))
