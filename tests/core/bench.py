"""A scheduler driven by hand: each verb is one event (or the passing of time) and the turn's drain.

Workers get ready at once unless `workers_start` is cleared; nothing else happens by itself. The invariants are checked
after every event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered, Command, Finished, HandOver, Settled, StartWorker
from coflux.executor.core.effects import Effects
from coflux.executor.core.scheduler import AnyEvent, Scheduler
from coflux.executor.core.state import Execution, Instant
from coflux.executor.messages import Outcome, RunOptions
from coflux.worker_groups import WorkerGroup
from tests.core.factories import USAGE, Imports, failed, instant, spec, succeeded
from tests.core.invariants import Ledger
from tests.core.shelf import Shelf

C = TypeVar("C", bound=Command)


def new_scheduler() -> Scheduler:
    """A scheduler that knows of nothing."""
    return Scheduler((WorkerGroup("default", concurrency=1),), lambda: 0.5, Shelf(), Imports())


class Bench:
    def __init__(
        self, concurrency: int = 1, *, jitter: float = 0.5, groups: Sequence[WorkerGroup] = (), **options: Any
    ) -> None:
        """`groups` are there besides the default one, which has `concurrency` slots."""
        self.shelf = Shelf()
        self.imported = Imports()
        self.scheduler = Scheduler(
            (WorkerGroup("default", concurrency=concurrency), *groups),
            lambda: jitter,
            self.shelf,
            self.imported,
            **options,
        )
        self.scheduler.add_host(1)
        self.host = 1
        self.now: Instant = instant(0.0)
        self.workers_start = True
        self.commands: list[Command] = []
        self.effects: list[Effects] = []  # of every turn, in order
        self.ledger = Ledger(self.scheduler)
        self._runs = 0
        self._requests = 0

    # -- turns ---------------------------------------------------------------------------------------------------

    def handle(self, *events: AnyEvent) -> list[Command]:
        """One turn: all these events, then a drain. Returns the commands, those of started workers' turns included."""
        for event in events:
            self.ledger.handle(event, self.now)
        return self._drain()

    def pass_time(self, seconds: float, *, asleep: float = 0.0) -> list[Command]:
        """Let time pass, `asleep` seconds of it with the machine suspended."""
        monotonic = self.now.monotonic + seconds - asleep
        self.now = Instant(monotonic, self.now.elapsed + seconds, self.now.wall + seconds)
        self.ledger.handle_time(self.now)
        return self._drain()

    def _drain(self) -> list[Command]:
        effects = self.ledger.drain(self.now)
        self.shelf.commit(effects)
        self.scheduler.committed()
        self.effects.append(effects)
        self.commands += effects.commands
        commands = list(effects.commands)
        for command in effects.commands:
            if isinstance(command, StartWorker) and self.workers_start:
                commands += self.handle(ev.WorkerReady(command.worker, 1000 + command.worker))
        return commands

    # -- what a client does --------------------------------------------------------------------------------------

    def run(self, name: str = "main", *, cap: int | None = None, **options: Any) -> Execution:
        self._runs += 1
        run = f"R{self._runs}"
        self.handle(self.request(run, name, cap=cap, **options))
        return self.find(f"{run}:1:1")

    def request(self, run: str, name: str = "main", *, cap: int | None = None, **options: Any) -> ev.RunRequested:
        return ev.RunRequested(run, spec(name, **options), b"", (), RunOptions(concurrency=cap), 1, self.host)

    def cancel(self, execution: Execution, *, immediate: bool = False) -> list[Command]:
        return self.handle(ev.CancelRequested(execution.id, immediate))

    # -- what an execution does ----------------------------------------------------------------------------------

    def submit(self, parent: Execution, name: str = "child", **options: Any) -> Execution:
        event = self.submission(parent, name, **options)
        self.handle(event)
        return parent.submissions[-1]

    def submission(self, parent: Execution, name: str = "child", **options: Any) -> ev.Submitted:
        return ev.Submitted(self.worker_of(parent), len(parent.submissions) + 1, spec(name, **options), b"", (), None)

    def wait(self, execution: Execution, *targets: Execution | str, timeout: float | None = None) -> int:
        """Ask for the first of `targets`; the request's number, for `answers`."""
        self._requests += 1
        handles = tuple(target if isinstance(target, str) else target.id for target in targets)
        self.handle(ev.WaitAsked(self.worker_of(execution), self._requests, handles, timeout))
        return self._requests

    def answers(self, request: int) -> list[Answered]:
        return [answer for answer in self.told(Answered) if answer.wait.request == request]

    def answer(self, request: int) -> Answered:
        (answer,) = self.answers(request)
        return answer

    def returned(
        self, execution: Execution, outcome: Outcome, *, retryable: bool = False, unclean: str = ""
    ) -> list[Command]:
        return self.handle(self.return_of(execution, outcome, retryable=retryable, unclean=unclean))

    def return_of(
        self, execution: Execution, outcome: Outcome, *, retryable: bool = False, unclean: str = ""
    ) -> ev.Returned:
        return ev.Returned(self.worker_of(execution), execution.id, outcome, retryable, unclean, USAGE)

    def succeed(self, execution: Execution, *, unclean: str = "") -> list[Command]:
        return self.returned(execution, succeeded(), unclean=unclean)

    def fail(self, execution: Execution, *, retryable: bool = True, unclean: str = "") -> list[Command]:
        return self.returned(execution, failed(), retryable=retryable, unclean=unclean)

    def exit(self, worker: int, evidence: str = "exit code 7") -> list[Command]:
        return self.handle(ev.WorkerExited(worker, evidence, None))

    # -- what there is -------------------------------------------------------------------------------------------

    def find(self, execution_id: str) -> Execution:
        execution = self.scheduler.find(execution_id)
        assert execution is not None, f"there is no execution {execution_id}"
        return execution

    def worker_of(self, execution: Execution) -> int:
        assert execution.worker is not None, f"{execution} has no worker"
        return execution.worker.id

    def told(self, kind: type[C]) -> list[C]:
        return [command for command in self.commands if isinstance(command, kind)]

    def started(self) -> list[str]:
        """Ids in the order in which they were handed over."""
        return [command.execution.id for command in self.told(HandOver)]

    def finished(self) -> list[str]:
        return [f"{command.run} {command.status}" for command in self.told(Finished)]

    def settled(self) -> list[str]:
        return [f"{command.run} {command.status}" for command in self.told(Settled)]
