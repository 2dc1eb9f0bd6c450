"""Running targets from scripts and notebooks, and where the project is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

from coflux import backend
from coflux.errors import ClientError, ExecutionError, ExecutionTerminated
from coflux.target import Target

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RunHandle", "project_dir", "run", "start"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_FOR_USERS = (ExecutionError, ExecutionTerminated, ClientError)


class ClientRun(Protocol):
    """A run, as the engine's client gives it."""

    id: str

    def result(self) -> object: ...

    def cancel(self) -> None: ...


class RunHandle(Generic[R_co]):
    """A run that was started with `start`. Any thread may use it.

    The run belongs to this process until its result has been read: it is cancelled if the process ends before.

    Attributes:
        id: the run's id.
    """

    __slots__ = ("_run", "id")

    def __init__(self, run: ClientRun) -> None:
        self.id = run.id
        self._run = run

    def result(self) -> R_co:
        """Block until the run's target has ended, and return its result. Each call gives an equal value of its own.

        What the run has printed and logged, and does so meanwhile, goes to `sys.stderr`, as if it were the script's own
        (`contextlib.redirect_stderr` leads it elsewhere).

        Raises:
            ExecutionError: it failed; the error is an instance of the original exception's class too, where possible.
            ExecutionCancelled: it was cancelled.
            ExecutionTimeout: it ran longer than its timeout.
            RuntimeError: the engine ended before it; the message says what becomes of the run.
        """
        try:
            return cast(R_co, self._run.result())
        except _FOR_USERS as error:
            raise _for_user(error) from error.__cause__

    def cancel(self) -> None:
        """Cancel the run. One that has ended keeps its outcome.

        Raises:
            RuntimeError: there is no engine to be had that could.
        """
        try:
            self._run.cancel()
        except _FOR_USERS as error:
            raise _for_user(error) from error.__cause__

    def __repr__(self) -> str:
        return f"<RunHandle {self.id}>"


def start(target: Target[P, R], /, *args: P.args, **kwargs: P.kwargs) -> RunHandle[R]:
    """Start a run of a workflow or task, with the project's engine, and return its handle.

    The engine is started when it is not running yet.

    Raises:
        RuntimeError: inside an execution, or in a module that the engine imports; or there is no engine to be had: the
            configuration is wrong, the target's module does not import there, or the engine ended meanwhile.
        TypeError: the arguments do not fit the target's parameters.
        ExecutionError: an argument cannot be sent to another process; the message gives the path to the culprit inside
            it. The error is a `TypeError`, too.
    """
    try:
        return RunHandle(_start("start", target, args, kwargs))
    except _FOR_USERS as error:
        raise _for_user(error) from error.__cause__


def run(target: Target[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a workflow or task, with the project's engine, and return its result: `start(...).result()`.

    Interrupting it (Ctrl-C, a notebook's stop button) cancels the run. Raises as `start` and `RunHandle.result` do.
    """
    try:
        started = _start("run", target, args, kwargs)
        try:
            return cast(R, started.result())
        except KeyboardInterrupt:
            started.cancel()
            raise
    except _FOR_USERS as error:
        raise _for_user(error) from error.__cause__


def _for_user(error: Exception) -> BaseException:
    """An error that is meant for the user, to be raised at the boundary: what lies below it here is of no use there."""
    from coflux.tracebacks import without_engine_frames

    return without_engine_frames(error)


def _start(function: str, target: Target[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ClientRun:
    if not isinstance(target, Target):
        raise TypeError(f"{function}() takes a target (a function decorated with @workflow or @task), not {target!r}")
    if backend.current() is not None:
        raise RuntimeError(
            f"{function}({target.name}) inside an execution: use {target.name}.submit(...), which makes it a step of"
            " this run"
        )
    if backend.importing():
        raise RuntimeError(
            f"{function}({target.name}) at the top of a module that the engine imports: it would wait for itself. Put"
            ' it under `if __name__ == "__main__":`'
        )
    arguments = target.bind(args, kwargs)
    # By name, since the client knows this module and not the other way round.
    client = import_module("coflux.executor.client")
    return cast(ClientRun, client.start_target(target, arguments))


def project_dir() -> Path:
    """The project's directory. Inside an execution the working directory is another, temporary one."""
    from pathlib import Path

    engine = backend.current()
    if engine is not None:
        return Path(engine.project_dir())
    from coflux.project import find_project

    return Path(find_project().root)
