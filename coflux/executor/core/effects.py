"""What a turn produces: rows to write, and commands to carry out once they are committed."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from coflux.executor.core.commands import Command
from coflux.executor.core.state import Execution, Run, Step
from coflux.executor.messages import OpenGroup

__all__ = ["Effects", "Outbox", "Shared"]


class Shared(NamedTuple):
    """A submission that made no step: `execution` has got an existing one, `child`, as its `number`-th handle."""

    execution: Execution
    number: int
    child: Execution
    group: int | None


class Effects(Struct, frozen=True):
    """What one turn produced. Rows are the scheduler's own objects: each is written once a turn, in its last state.

    `pruned` are attempts that need not be kept, `warnings` what their logs are to say.
    """

    runs: dict[Run, None]
    steps: dict[Step, None]
    executions: dict[Execution, None]
    groups: list[tuple[Execution, OpenGroup]]
    shared: list[Shared]
    pruned: list[Execution]
    warnings: list[tuple[Execution, str]]
    commands: list[Command]


class Outbox:
    """Where all parts of the scheduler put what is to be written and said, until the turn is over."""

    __slots__ = ("commands", "executions", "groups", "pruned", "runs", "shared", "steps", "warnings")

    def __init__(self) -> None:
        self.runs: dict[Run, None] = {}  # new and changed ones
        self.steps: dict[Step, None] = {}  # new and changed ones
        self.executions: dict[Execution, None] = {}  # new and changed ones
        self.groups: list[tuple[Execution, OpenGroup]] = []
        self.shared: list[Shared] = []
        self.pruned: list[Execution] = []
        self.warnings: list[tuple[Execution, str]] = []
        self.commands: list[Command] = []

    def __bool__(self) -> bool:
        return any(getattr(self, rows) for rows in self.__slots__)

    def take(self) -> Effects:
        """Give up what has come together since the last time."""
        effects = Effects(
            self.runs,
            self.steps,
            self.executions,
            self.groups,
            self.shared,
            self.pruned,
            self.warnings,
            self.commands,
        )
        self.__init__()  # type: ignore[misc]
        return effects
