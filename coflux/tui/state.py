"""The dashboard as data: what it was told, made ready to be drawn. No Textual, no clock, no store."""

from __future__ import annotations

from coflux.tui.engine_state import EngineState
from coflux.tui.logs import LogState
from coflux.tui.open_run import OpenRun
from coflux.tui.runs import RunsModel
from coflux.tui.updates import Details, Failed, RunStarted, Said, Update

__all__ = ["State"]


class State:
    """Everything; each part takes what concerns it.

    Attributes:
        run: the run that is open.
        said: what was said to people, and has not been shown.
        started: runs that were asked for and have started, and have not been opened.
    """

    def __init__(self) -> None:
        self.engine = EngineState()
        self.runs = RunsModel()
        self.run: OpenRun | None = None
        self.log = LogState()
        self.details: Details | None = None
        self.said: list[Said] = []
        self.started: list[RunStarted] = []

    def open_run(self, run: str) -> None:
        self.run = OpenRun(run) if run else None
        self.details = None

    def take(self, update: Update) -> None:
        for part in (self.engine, self.runs, self.log):
            part.take(update)
        if self.run is not None:
            self.run.take(update)
        match update:
            case Details():
                self.details = update
            case RunStarted():
                self.started.append(update)
            case Said():
                self.said.append(update)
            case Failed(_, why):
                self.said.append(Said("error", why))
