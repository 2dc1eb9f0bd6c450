"""What the scheduler wants done. The shell carries it out after the rows of the same turn are committed."""

from __future__ import annotations

from msgspec import Struct

from coflux.executor.core.state import Execution, SiteKey, Wait

__all__ = [
    "Answered",
    "Command",
    "Finished",
    "HandOver",
    "Identified",
    "KillWorker",
    "NeedHost",
    "RetireWorker",
    "Settled",
    "StartWorker",
    "Stuck",
]


class Command(Struct, frozen=True, gc=False):
    pass


class StartWorker(Command, frozen=True):
    worker: int
    host: int


class HandOver(Command, frozen=True):
    """Send `Execute` to the worker."""

    worker: int
    execution: Execution


class Answered(Command, frozen=True):
    """Answer a wait: `index` is that of the target that ended, -1 when the time was up; `ended` is its chain's end."""

    worker: int
    wait: Wait
    index: int
    ended: Execution | None
    error: str = ""


class Identified(Command, frozen=True):
    worker: int
    request: int
    execution: Execution


class RetireWorker(Command, frozen=True):
    """Ask an idle worker to leave; kill it if it does not."""

    worker: int


class KillWorker(Command, frozen=True):
    """End the process tree. `dump` first asks for its Python stacks (a timeout)."""

    worker: int
    dump: bool
    immediate: bool


class Finished(Command, frozen=True):
    """The chain of a run's root has ended."""

    run: str
    status: str


class Settled(Command, frozen=True):
    """Nothing of a root run's family is unfinished and none of its processes is left."""

    run: str
    status: str


class NeedHost(Command, frozen=True):
    """Bring up a module host for a family (the id of its root run). Answered with `HostReady` or `HostRefused`."""

    family: str
    site: SiteKey


class Stuck(Command, frozen=True):
    """Nothing of a root run's family can ever get on. `message` says why."""

    run: str
    message: str
