"""The options of a target as the engine reads them: normalised, and nothing but data.

Apart from `coflux.options`, which makes them of what users write, since whoever only schedules or shows should not have
to load that. Durations are seconds.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CacheOptions", "Keyed", "RetryOptions", "TaskOptions", "keyed_parameters"]


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


class Keyed(NamedTuple):
    """The parameters whose arguments make the keys of a step, each in key order; `None` where an option is off."""

    memo: tuple[str, ...] | None
    cache: tuple[str, ...] | None
    defer: tuple[str, ...] | None


def keyed_parameters(options: TaskOptions, parameters: tuple[str, ...], run_memo: bool) -> Keyed:
    """What the keys of a step are made of, in a run whose steps have the default `run_memo`."""
    memo = run_memo if options.memo is None else options.memo
    cache = options.cache
    return Keyed(
        memo=(parameters if memo else None) if isinstance(memo, bool) else memo,
        cache=None if cache is None else parameters if cache.params is None else cache.params,
        defer=options.defer,
    )
