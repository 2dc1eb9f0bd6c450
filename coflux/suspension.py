"""Giving the process back while there is nothing to do."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import NoReturn

from coflux import backend
from coflux.options import Duration, duration, seconds

__all__ = ["suspend", "suspense"]


def suspense(timeout: Duration | None = None) -> AbstractContextManager[None]:
    """Suspend the execution when a result that the block waits for takes longer than `timeout`.

    It is run again, from its first line, when the result is there. Outside a run this does nothing.

    Args:
        timeout: seconds or a `timedelta`; `None`: suspend at once.
    """
    if timeout is not None:
        seconds("timeout", timeout)
    if backend.current() is not None:
        raise NotImplementedError("suspense() inside an execution is not available yet")
    return nullcontext()


def suspend(delay: Duration | datetime | None = None) -> NoReturn:
    """Suspend the current execution: it ends here and is run again, from its first line, after `delay`.

    Args:
        delay: seconds, a `timedelta`, or the time to start at (local time when it is naive); `None`: at once.

    Raises:
        RuntimeError: outside a run.
    """
    if delay is not None and not isinstance(delay, datetime):
        duration("delay", delay)
    if backend.current() is None:
        raise RuntimeError(
            "suspend() works inside executions only: outside a run there is nothing that would resume it"
        )
    raise NotImplementedError("suspend() is not available yet")
