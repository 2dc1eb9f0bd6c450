"""Giving the process back while there is nothing to do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NoReturn

from coflux import backend
from coflux.options import Duration, duration, seconds

__all__ = ["Suspending", "suspend", "suspense", "wait_limit"]

_limit: ContextVar[float | None] = ContextVar("coflux_suspense", default=None)


class Suspending(BaseException):
    """For the engine: ends the code of an execution that has been suspended, through its `with` and `finally` blocks.

    Nothing that the code does from now on counts, and whatever it asks of coflux, but to log, raises this again.
    """

    def __init__(self) -> None:
        super().__init__("this execution is suspended: it goes on in another attempt, from the first line")


def wait_limit() -> float | None:
    """For the engine: how many seconds a wait may take here before the execution is suspended; `None`: any time."""
    return _limit.get()


def suspense(timeout: Duration | None = None) -> AbstractContextManager[None]:
    """Suspend the execution when a result that the block waits for takes longer than `timeout`.

    It is run again, from its first line, when the result is there. This goes for `result()`, `await` and `select`; of
    nested blocks the innermost counts. Outside a run this does nothing.

    Args:
        timeout: seconds or a `timedelta`; `None`: suspend at once.

    Raises:
        TypeError, ValueError: `timeout` is no duration, or negative.
    """
    return _limited(0.0 if timeout is None else seconds("timeout", timeout))


@contextmanager
def _limited(limit: float) -> Generator[None]:
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def suspend(delay: Duration | datetime | None = None) -> NoReturn:
    """Suspend the current execution: it ends here and is run again, from its first line, after `delay`.

    The code is left through its `with` and `finally` blocks. Nothing that it does there, or returns, counts.

    Args:
        delay: seconds, a `timedelta`, or the time to start at (local time when it is naive); `None`, or what has
            passed already: at once.

    Raises:
        RuntimeError: outside a run.
        TypeError, ValueError: `delay` is none of these, or not finite.
    """
    after, until = 0.0, None
    if isinstance(delay, datetime):
        until = _wall_clock(delay)
    elif delay is not None:
        after = max(0.0, duration("delay", delay))
    engine = backend.current()
    if engine is None:
        raise RuntimeError(
            "suspend() works inside executions only: outside a run there is nothing that would resume it"
        )
    engine.suspend(after, until)


def _wall_clock(time: datetime) -> float:
    try:
        return time.timestamp()
    except (OverflowError, ValueError):  # local time at an end of the calendar, where a zone makes no difference
        return time.replace(tzinfo=UTC).timestamp()
