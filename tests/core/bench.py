"""A scheduler driven by hand: each verb is one event (or the passing of time) and the turn's drain.

Workers get ready at once unless `workers_start` is cleared; nothing else happens by itself. The invariants are checked
after every event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered, Command, Finished, HandOver, Settled, StartWorker
from coflux.executor.core.effects import Effects
from coflux.executor.core.scheduler import AnyEvent, Scheduler
from coflux.executor.core.state import Execution, Instant, SiteKey
from coflux.executor.messages import ArgumentKey, Outcome, RunOptions
from coflux.values import Value
from coflux.worker_groups import WorkerGroup
from tests.core.factories import USAGE, Imports, failed, instant, key, spec, succeeded, value
from tests.core.ledger import Ledger
from tests.core.rebuilding import restore
from tests.core.shelf import Shelf

C = TypeVar("C", bound=Command)
Handle = Execution | str
NAMES = ("x", "y", "z")


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
        self._make: Callable[[], Scheduler] = partial(
            Scheduler,
            (WorkerGroup("default", concurrency=concurrency), *groups),
            lambda: jitter,
            self.shelf,
            self.imported,
            **options,
        )
        self.scheduler = self._make()
        self.scheduler.add_host(1)
        self.host = 1
        self.now: Instant = instant(0.0)
        self.workers_start = True
        self.commands: list[Command] = []
        self.effects: list[Effects] = []  # of every turn, in order
        self.ledger = Ledger(self.scheduler, self.shelf)
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

    def restart(self, seconds: float = 0.0, *, paused: Sequence[str] = ()) -> None:
        """The engine ends, and `seconds` later another one goes on with what was committed. Find executions again."""
        self.now = Instant(self.now.monotonic + seconds, self.now.elapsed + seconds, self.now.wall + seconds)
        self.scheduler = self._make()
        self.scheduler.add_host(1, SiteKey("", ("shop.orders",)))
        self.ledger = Ledger(self.scheduler, self.shelf, before=self.ledger)
        for workspace in paused:
            self.scheduler.handle(ev.WorkspaceChanged(workspace, paused=True), self.now)
        restore(self.scheduler, self.shelf, self.now)
        self.handle(ev.HostReady(1, tuple(self.scheduler.families)))

    # -- what a client does --------------------------------------------------------------------------------------

    def run(self, name: str = "main", *, cap: int | None = None, **options: Any) -> Execution:
        """Start a run. Its options: those of `submission`, `workspace`, and `memo` as the run's own default."""
        self._runs += 1
        run = f"R{self._runs}"
        self.handle(self.request(run, name, cap=cap, **options))
        entered = (one for effects in self.effects for one in effects.executions if one.id == f"{run}:1:1")
        return next(entered)  # it may have settled at once

    def request(
        self,
        run: str,
        name: str = "main",
        *,
        cap: int | None = None,
        workspace: str = "default",
        memo: bool | None = None,
        content: str | tuple[str, ...] = "",
        given: Sequence[Handle] = (),
        **options: Any,
    ) -> ev.RunRequested:
        target, arguments, keys = _call(name, content, given, options)
        run_options = RunOptions(concurrency=cap, workspace=workspace, memo=memo)
        return ev.RunRequested(run, target, b"", arguments, run_options, 1, self.host, keys)

    def cancel(self, execution: Execution, *, immediate: bool = False) -> list[Command]:
        return self.handle(ev.CancelRequested(execution.id, immediate))

    def rerun(self, execution: Execution, workspace: str = "default", *, resume: bool = False) -> Execution:
        """Execute its step again: the new attempt."""
        self.handle(ev.RerunRequested(execution.id, workspace, resume, detach=False))
        return execution.step.executions[-1]

    def pause(self, workspace: str = "default") -> list[Command]:
        return self.handle(ev.WorkspaceChanged(workspace, paused=True))

    def unpause(self, workspace: str = "default") -> list[Command]:
        return self.handle(ev.WorkspaceChanged(workspace, paused=False))

    # -- what an execution does ----------------------------------------------------------------------------------

    def submit(self, parent: Execution, name: str = "child", **options: Any) -> Execution:
        self.handle(self.submission(parent, name, **options))
        return parent.submissions[-1]

    def submission(
        self,
        parent: Execution,
        name: str = "child",
        *,
        content: str | tuple[str, ...] = "",
        given: Sequence[Handle] = (),
        number: int = 0,
        earlier: str = "",
        **options: Any,
    ) -> ev.Submitted:
        """Arguments are equal where `content` (one text for each of the parameters x, y, z) is, and `given`: the
        handles in x. Options: see `factories.spec`."""
        target, arguments, keys = _call(name, content, given, options)
        number = number or len(parent.submissions) + 1
        return ev.Submitted(self.worker_of(parent), number, target, b"", arguments, None, keys, earlier)

    def wait(self, execution: Execution, *targets: Handle, timeout: float | None = None, suspends: bool = False) -> int:
        """Ask for the first of `targets`; the request's number, for `answers`."""
        self._requests += 1
        handles = _ids(targets)
        self.handle(ev.WaitAsked(self.worker_of(execution), self._requests, handles, timeout, suspends))
        return self._requests

    def answers(self, request: int) -> list[Answered]:
        return [answer for answer in self.told(Answered) if answer.wait.request == request]

    def answer(self, request: int) -> Answered:
        (answer,) = self.answers(request)
        return answer

    def suspend(
        self, execution: Execution, *targets: Handle, delay: float = 0.0, until: float | None = None
    ) -> list[Command]:
        """Ask to go on in another attempt. The code has yet to unwind: `returned`, and what it says does not count."""
        return self.handle(ev.SuspendAsked(self.worker_of(execution), delay, until, _ids(targets)))

    def suspended(self, execution: Execution, *targets: Handle, delay: float = 0.0) -> Execution:
        """Suspend, and unwind at once: the next attempt."""
        self.suspend(execution, *targets, delay=delay)
        self.succeed(execution)
        return execution.step.executions[-1]

    def returned(
        self, execution: Execution, outcome: Outcome, *, retryable: bool = False, unclean: str = ""
    ) -> list[Command]:
        return self.handle(self.return_of(execution, outcome, retryable=retryable, unclean=unclean))

    def return_of(
        self, execution: Execution, outcome: Outcome, *, retryable: bool = False, unclean: str = ""
    ) -> ev.Returned:
        return ev.Returned(self.worker_of(execution), execution.id, outcome, retryable, unclean, USAGE)

    def succeed(self, execution: Execution, text: str = "1", *handles: Handle, unclean: str = "") -> list[Command]:
        return self.returned(execution, succeeded(text, *_ids(handles)), unclean=unclean)

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


def _ids(handles: Sequence[Handle]) -> tuple[str, ...]:
    return tuple(handle if isinstance(handle, str) else handle.id for handle in handles)


def _call(
    name: str, content: str | tuple[str, ...], given: Sequence[Handle], options: dict[str, Any]
) -> tuple[Any, tuple[Value, ...], tuple[ArgumentKey, ...]]:
    contents = (content,) if isinstance(content, str) else content
    handles = _ids(given)
    first, *others = contents
    arguments = (value(first, *handles), *map(value, others))
    keys = (key(first, *handles), *map(key, others))
    return spec(name, parameters=NAMES[: len(contents)], **options), arguments, keys
