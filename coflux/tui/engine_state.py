"""The engine as data: whether there is one, what it uses, and which targets it has found."""

from __future__ import annotations

from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.requests import Sampled
from coflux.tui.updates import Connected, Disconnected, SampleRead, TargetsRead, Update

__all__ = ["EngineState"]


class EngineState:
    """
    Attributes:
        connected: whether there is an engine; `lost` says why there is none, "" until it was looked for.
        searched: whether `targets` and the `errors` of their modules have been told.
        sample: what is not in the store; `None` until it comes, and while there is no engine.
    """

    def __init__(self) -> None:
        self.connected = False
        self.lost = ""
        self.pid = 0
        self.targets: list[TargetInfo] = []
        self.errors: list[ModuleError] = []
        self.searched = False
        self.sample: Sampled | None = None

    def take(self, update: Update) -> None:
        match update:
            case Connected(pid):
                self.connected, self.lost, self.pid = True, "", pid
            case Disconnected(why):
                self.connected, self.lost, self.sample = False, why, None
            case TargetsRead(targets, errors):
                self.targets, self.errors, self.searched = list(targets), list(errors), True
            case SampleRead(sample):
                self.sample = sample
