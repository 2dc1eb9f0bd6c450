"""The options of a target: what users write, and what it means, normalised once at the door.

Users write shorthands (`retries=3`, `cache=60`, `wait="a, b"`) or the classes `Cache`, `Defer` and `Retries`;
`task_options` checks them and makes one frozen `TaskOptions`, and nothing behind the decorators knows the shorthands.
Durations are seconds. A bad value raises `TypeError` or `ValueError` naming the option; who declares a target adds the
target and the place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, cast

from coflux.task_options import CacheOptions, RetryOptions, TaskOptions

__all__ = ["Cache", "Defer", "Retries"]

Duration = float | timedelta
Names = Iterable[str] | str
RetryFilter = Callable[[BaseException], bool]


# -- what users write -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cache:
    """How results of a target are cached.

    Args:
        max_age: seconds (or a `timedelta`) for which a result is used; `None` for ever.
        params: the parameters that make the key, in key order, as names or one comma-separated string; `None` for all.
        namespace: which results are shared: default `module:target`.
        version: change it to stop using older results.
    """

    max_age: Duration | None = None
    params: Names | None = None
    namespace: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", _kept(self.params))


@dataclass(frozen=True, slots=True)
class Defer:
    """On which parameters newer submissions of a target replace older ones that have not started.

    Args:
        params: names, or one comma-separated string; `None` for all.
    """

    params: Names | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", _kept(self.params))


@dataclass(frozen=True, slots=True)
class Retries:
    """When and how often a failed execution is retried.

    Args:
        limit: the number of retries; `None` for no limit.
        backoff: the shortest and the longest wait before a retry, in seconds or as `timedelta`.
        when: the exceptions to retry on: a class, a tuple of classes, or a predicate that is given the exception;
            `None` for all.
    """

    limit: int | None = None
    backoff: tuple[Duration, Duration] = (1, 60)
    when: type[BaseException] | tuple[type[BaseException], ...] | RetryFilter | None = None


def _kept(params: Names | None) -> Names | None:
    """`params` for good: an iterator would be used up by the first target that the object configures."""
    if params is None or isinstance(params, str | frozenset) or not isinstance(params, Iterable):
        return params
    return frozenset(params) if isinstance(params, set) else tuple(params)


class _Unset(int):
    """The default of `memo`: `False` to a reader, to us "the target says nothing", so the run's default applies."""

    def __repr__(self) -> str:
        return "False"


UNSET = cast(bool, _Unset())


# -- from the one to the other ----------------------------------------------------------------------------------------


def task_options(
    parameters: Sequence[str],
    *,
    wait: object = False,
    cache: object = False,
    retries: object = 0,
    recurrent: object = False,
    defer: object = False,
    delay: object = 0,
    memo: object = UNSET,
    requires: object = None,
    timeout: object = 0,
) -> tuple[TaskOptions, RetryFilter | None]:
    """The options of a target with these `parameters`, and its retry filter.

    Raises `TypeError` or `ValueError`, with a message that begins with the option's name.
    """
    if not isinstance(recurrent, bool):
        raise TypeError(f"recurrent must be a bool, not {recurrent!r}")
    retry, when = retry_options(retries)
    options = TaskOptions(
        wait=wait_parameters(wait, parameters),
        cache=cache_options(cache, parameters),
        retries=retry,
        recurrent=recurrent,
        defer=defer_parameters(defer, parameters),
        delay=seconds("delay", delay),
        memo=memo_parameters(memo, parameters),
        requires=requirements(requires),
        timeout=seconds("timeout", timeout),
    )
    return options, when


def duration(option: str, value: object) -> float:
    """`value`, a number of seconds or a `timedelta`, in seconds. It may be negative, but not infinite or NaN."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{option} must be a number of seconds or a timedelta, not {value!r}")
    # Compared before it becomes a float: a whole number may be too large for one.
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{option} must be a finite number of seconds, not {value!r}")
    return float(value)


def seconds(option: str, value: object) -> float:
    """As `duration`, refusing negative values."""
    result = duration(option, value)
    if result < 0:
        raise ValueError(f"{option} must not be negative, but is {value!r}")
    return result


def wait_parameters(value: object, parameters: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, bool):
        return tuple(parameters) if value else ()
    return _parameter_names("wait", value, parameters)


def cache_options(value: object, parameters: Sequence[str]) -> CacheOptions | None:
    if isinstance(value, Cache):
        return CacheOptions(
            max_age=None if value.max_age is None else seconds("cache.max_age", value.max_age),
            params=None if value.params is None else _parameter_names("cache.params", value.params, parameters),
            namespace=_text("cache.namespace", value.namespace),
            version=_text("cache.version", value.version),
        )
    if isinstance(value, bool):
        return CacheOptions() if value else None
    if not isinstance(value, int | float | timedelta):
        raise TypeError(f"cache must be a bool, a number of seconds, a timedelta or a Cache, not {value!r}")
    max_age = seconds("cache", value)
    return CacheOptions(max_age=max_age) if max_age else None


def retry_options(value: object) -> tuple[RetryOptions | None, RetryFilter | None]:
    if isinstance(value, bool):
        return (RetryOptions() if value else None), None
    if isinstance(value, Retries):
        limit = None if value.limit is None else _count("retries.limit", value.limit)
        backoff_min, backoff_max = _backoff(value.backoff)
        when = None if value.when is None else _retry_filter(value.when)
        return (None, None) if limit == 0 else (RetryOptions(limit, backoff_min, backoff_max), when)
    if not hasattr(value, "__index__"):
        raise TypeError(f"retries must be a whole number, a bool or a Retries, not {value!r}")
    limit = _count("retries", value)
    return (RetryOptions(limit, 0.0, 0.0) if limit else None), None


def defer_parameters(value: object, parameters: Sequence[str]) -> tuple[str, ...] | None:
    if isinstance(value, Defer):
        return tuple(parameters) if value.params is None else _parameter_names("defer.params", value.params, parameters)
    if not isinstance(value, bool):
        raise TypeError(f"defer must be a bool or a Defer, not {value!r}")
    return tuple(parameters) if value else None


def memo_parameters(value: object, parameters: Sequence[str]) -> bool | tuple[str, ...] | None:
    if value is UNSET:
        return None
    if isinstance(value, bool):
        return value
    return _parameter_names("memo", value, parameters) or None


def requirements(value: object) -> dict[str, bool | list[str]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"requires must be a dict of tags, not {value!r}")
    result: dict[str, bool | list[str]] = {}
    for tag, accepted in value.items():
        if not isinstance(tag, str) or not tag:
            raise TypeError(f"requires must have tags (str) as keys, not {tag!r}")
        if isinstance(accepted, bool):
            result[tag] = accepted
        elif isinstance(accepted, str):
            result[tag] = [accepted]
        elif isinstance(accepted, list | tuple) and all(isinstance(item, str) for item in accepted):
            result[tag] = list(accepted)
        else:
            raise TypeError(f"requires[{tag!r}] must be a str, a bool or a list of str, not {accepted!r}")
    return result


def instance_of(classes: type[BaseException] | tuple[type[BaseException], ...]) -> RetryFilter:
    """A retry filter that pickles."""
    return partial(_is_instance, classes)


def _is_instance(classes: type[BaseException] | tuple[type[BaseException], ...], exception: BaseException) -> bool:
    return isinstance(exception, classes)


def _parameter_names(option: str, value: object, parameters: Sequence[str]) -> tuple[str, ...]:
    """The names in `value`, each once. A set has no order that would last, so its names are sorted."""
    if isinstance(value, str):
        names: list[Any] = [part.strip() for part in value.split(",")]
    elif isinstance(value, Iterable):
        names = list(value)
    else:
        raise TypeError(f"{option} must be parameter names, not {value!r}")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{option} must be parameter names (str), not {name!r}")
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"{option} names {name!r}, which is not a parameter (the parameters: {known})")
    return tuple(dict.fromkeys(sorted(names) if isinstance(value, set | frozenset) else names))


def _text(option: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{option} must be a str, not {value!r}")
    return value


def _count(option: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{option} must be a whole number, not {value!r}")
    count = cast(int, value.__index__())
    if count < 0:
        raise ValueError(f"{option} must not be negative, but is {value!r}")
    return count


def _backoff(value: object) -> tuple[float, float]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"retries.backoff must be a pair (shortest, longest) of durations, not {value!r}")
    shortest, longest = (seconds("retries.backoff", bound) for bound in value)
    if shortest > longest:
        raise ValueError(f"retries.backoff must be (shortest, longest), but is {value!r}")
    return shortest, longest


def _retry_filter(value: object) -> RetryFilter:
    classes = value if isinstance(value, tuple) else (value,)
    if classes and all(isinstance(item, type) and issubclass(item, BaseException) for item in classes):
        return instance_of(cast(Any, value))
    if not callable(value) or isinstance(value, type) or iscoroutinefunction(value):
        raise TypeError(
            "retries.when must be an exception class, a tuple of them or a plain function that takes the exception,"
            f" not {value!r}"
        )
    return cast(RetryFilter, value)
