"""The options of a target as the engine reads them: normalised, and nothing but data.

Apart from `coflux.options`, which makes them of what users write, since whoever only schedules or shows should not have
to load that. Durations are seconds.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CacheOptions", "RetryOptions", "TaskOptions", "unsupported"]


class CacheOptions(NamedTuple):
    """`params` are parameter names in key order, `None` for all; `max_age` is in seconds, `None` for no limit."""

    max_age: float | None = None
    params: tuple[str, ...] | None = None
    namespace: str | None = None
    version: str | None = None


class RetryOptions(NamedTuple):
    """`limit` is the number of retries (`None`: unlimited); the backoff bounds are seconds. `when` travels apart."""

    limit: int | None = None
    backoff_min: float = 1.0
    backoff_max: float = 60.0


class TaskOptions(NamedTuple):
    """What the engine needs to know to schedule a step.

    `wait` and `defer` hold parameter names (`defer=None`: off). `memo` is `None` when the target says nothing, so that
    the run's default applies, else a bool or the parameter names to key on. `requires` maps a tag to the accepted
    values, or to `True` (any value) or `False` (must not be provided). `timeout=0` means none.
    """

    wait: tuple[str, ...] = ()
    cache: CacheOptions | None = None
    retries: RetryOptions | None = None
    recurrent: bool = False
    defer: tuple[str, ...] | None = None
    delay: float = 0.0
    memo: bool | tuple[str, ...] | None = None
    requires: dict[str, bool | list[str]] = {}  # noqa: RUF012 (never changed)
    timeout: float = 0.0


def unsupported(options: TaskOptions) -> str | None:
    """The first option in use that the engine does not run yet."""
    for name in ("cache", "memo", "wait", "recurrent", "requires"):
        if getattr(options, name):
            return name
    return None if options.defer is None else "defer"
