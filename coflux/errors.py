"""Every exception of the public surface.

Two families share no base but `Exception`: an `ExecutionError` says that *user code* failed, an
`ExecutionTerminated` says that *the engine* ended an execution. `ExecutionAbandoned` is both: the process is gone, and
with it whatever the code would have answered. `InternalError` is a fault of coflux itself.
"""

from __future__ import annotations

__all__ = [
    "ClientError",
    "ExecutionAbandoned",
    "ExecutionCancelled",
    "ExecutionError",
    "ExecutionTerminated",
    "ExecutionTimeout",
    "InternalError",
]


class ExecutionError(Exception):
    """A child execution failed.

    When the class of the original exception can be imported, the exception raised in the caller is an instance of both
    `ExecutionError` and that class, so either can be caught.

    Attributes:
        error_type: qualified name of the original class, e.g. `"builtins.ZeroDivisionError"`; `None` if unknown.
        error_message: `str()` of the original exception.
        remote_traceback: the traceback as it was printed where the exception was raised, or `""`.
    """

    error_type: str | None = None
    error_message: str = ""
    remote_traceback: str = ""


class ExecutionTerminated(Exception):
    """The engine ended an execution before its code could finish."""


class ExecutionCancelled(ExecutionTerminated):
    """A child execution was cancelled."""


class ExecutionTimeout(ExecutionTerminated):
    """A child execution exceeded its configured timeout."""


class ExecutionAbandoned(ExecutionTerminated, ExecutionError):
    """The process of a child execution ended without reporting an outcome."""


class ClientError(RuntimeError):
    """No engine is to be had, or it refuses, or it ended: what `run` and `start` raise as `RuntimeError`.

    The message is one for the user, and says it all.
    """


class InternalError(Exception):
    """Coflux itself went wrong. Please report it, with the traceback."""
