"""The engine as data: whether there is one, what it uses, and which targets it has found."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.requests import Generation, Sampled
from coflux.tui.updates import Connected, Disconnected, DiscoverAsked, Failed, SampleRead, Searched, TargetsRead, Update

__all__ = ["EngineState"]

HISTORY = 60  # samples whose use of the CPU is kept


class EngineState:
    """
    Attributes:
        connected: whether there is an engine; `lost` says why there is none, "" until it was looked for.
        searched: whether `targets` have been told.
        searching: whether they are being looked for now.
        root, modules, files: where targets are looked for; `files` by the modules that they are.
        sample: what is not in the store; `None` until it comes, and while there is no engine.
        cpu: how many cores the engine and its processes used between two samples, oldest first.
        loaded_at: when the modules that are used now were seen to be loaded; `None` until they are.
    """

    def __init__(self) -> None:
        self.connected = False
        self.lost = ""
        self.pid = 0
        self.targets: list[TargetInfo] = []
        self.searched = self.searching = False
        self.root = ""
        self.modules: Sequence[str] = ()
        self.files: Mapping[str, str] = {}
        self.sample: Sampled | None = None
        self.cpu: deque[float] = deque(maxlen=HISTORY)
        self.loaded_at: float | None = None
        self._errors: list[ModuleError] = []
        self._loaded = 0  # the newest generation that is loaded

    def file_of(self, target: TargetInfo) -> str:
        """The file by which a target is started; "" for one that is started by its module's name."""
        return self.files.get(target.spec.module, "")

    def take(self, update: Update) -> None:
        match update:
            case Connected(pid):
                self.connected, self.lost, self.pid = True, "", pid
            case Disconnected(why):
                self.connected, self.lost, self.sample = False, why, None
                self.cpu.clear()
                self._loaded = 0
            case Searched(root, modules, files):
                self.root, self.modules, self.files = root, modules, files
                self.searching = True
            case Failed(DiscoverAsked()):
                self.searching = False
            case TargetsRead(targets, errors):
                self.targets, self._errors, self.searched = list(targets), list(errors), True
                self.searching = False
            case SampleRead(sample):
                self._take_sample(sample)

    def _take_sample(self, sample: Sampled) -> None:
        before, self.sample = self.sample, sample
        if before is not None and sample.at > before.at:
            # What a process used that has ended since is missing: less than before is none.
            used = max(sample.cpu_seconds - before.cpu_seconds, 0.0)
            self.cpu.append(used / (sample.at - before.at))
        newest = max((one.id for one in self.generations if one.state == "ready"), default=0)
        if newest > self._loaded:
            self._loaded, self.loaded_at = newest, sample.at

    @property
    def generations(self) -> list[Generation]:
        """Those that new work uses, or will."""
        return [] if self.sample is None else [one for one in self.sample.generations if not one.superseded]

    @property
    def loading(self) -> bool:
        return not self.searched or any(one.state == "importing" for one in self.generations)

    @property
    def errors(self) -> list[ModuleError]:
        """The modules that do not import: as the newest imports tell, else as it was when targets were searched."""
        errors = {error.module: error for error in self._errors}
        for generation in self.generations:
            if generation.state == "ready":
                for module in generation.modules:
                    errors.pop(module, None)
                errors.update((error.module, error) for error in generation.errors)
        return list(errors.values())
