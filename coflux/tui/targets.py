"""What can be run as data: the rows of the list, modules that do not import among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from coflux.executor.messages import ModuleError, TargetInfo
from coflux.tui.engine_state import EngineState

__all__ = ["Heading", "TargetsModel", "TargetsRow"]


class Heading(NamedTuple):
    """A line above some rows that says what they are."""

    text: str


TargetsRow = TargetInfo | ModuleError | Heading


class TargetsModel:
    """Workflows first, then tasks; each by module, in the order of their definition.

    Attributes:
        rows: what passes the filter, after `layout`.
        workflows, tasks: how many there are in all.
        several: whether they are of more than one module.
        text: what must be in the name, the module or the first line of the docstring.
    """

    def __init__(self, engine: EngineState) -> None:
        self.rows: list[TargetsRow] = []
        self.workflows = self.tasks = 0
        self.several = False
        self.text = ""
        self._engine = engine
        self._indexed = _Index([])
        self._laid_out: tuple[list[TargetInfo], list[ModuleError]] | None = None

    def filter(self, text: str) -> None:
        self.text, self._laid_out = text.lower(), None

    def layout(self) -> bool:
        """Bring `rows` up to date. Returns whether anything has changed."""
        source = self._engine.targets, self._engine.errors
        if self._laid_out is not None and self._laid_out[0] is source[0] and self._laid_out[1] == source[1]:
            return False
        self._laid_out = source
        targets = sorted(source[0], key=lambda info: (info.spec.module, info.file, info.line))
        workflows = [info for info in targets if info.spec.type == "workflow"]
        tasks = [info for info in targets if info.spec.type == "task"]
        self.workflows, self.tasks = len(workflows), len(tasks)
        self.several = len({info.spec.module for info in targets}) > 1
        self.rows = [error for error in source[1] if self._passes(error.module, error.message)]
        self.rows += self._passing(workflows)
        shown_tasks = self._passing(tasks)
        self.rows += [Heading("tasks"), *shown_tasks] if shown_tasks else []
        return True

    def _passing(self, targets: Iterable[TargetInfo]) -> list[TargetInfo]:
        return [info for info in targets if self._passes(info.spec.module, info.spec.name, info.doc.partition("\n")[0])]

    def _passes(self, *texts: str) -> bool:
        return not self.text or self.text in " ".join(texts).lower()

    def find(self, module: str, name: str) -> TargetInfo | None:
        return self._index().places.get((module, name))

    def defaults(self, module: str, name: str) -> Mapping[str, str]:
        """The defaults of a target's parameters, as they are shown; of those that have one."""
        return self._index().defaults.get((module, name), {})

    @property
    def ambiguous(self) -> frozenset[str]:
        """Names that targets of several modules have."""
        return self._index().ambiguous

    def _index(self) -> _Index:
        if self._indexed.targets is not self._engine.targets:
            self._indexed = _Index(self._engine.targets)
        return self._indexed


class _Index:
    """What is looked up for every run that is painted."""

    def __init__(self, targets: list[TargetInfo]) -> None:
        self.targets = targets
        self.places = {(info.spec.module, info.spec.name): info for info in targets}
        self.defaults = {
            place: {one.name: one.default for one in info.parameters if one.default is not None}
            for place, info in self.places.items()
        }
        counts = Counter(name for _, name in self.places)
        self.ambiguous = frozenset(name for name, count in counts.items() if count > 1)
