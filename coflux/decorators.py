"""The decorators. They check nothing themselves: `coflux.target.declare` does, with the function at hand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from coflux.options import UNSET, Cache, Defer, Duration, Names, Retries
from coflux.target import Target, TargetType, declare

__all__ = ["stub", "task", "workflow"]

P = ParamSpec("P")
R = TypeVar("R")
Requirements = dict[str, str | bool | list[str]]


class Decorator(Protocol):
    """Turns a function into a target. That of an `async def` gives the awaited type."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Target[P, R]: ...

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Target[P, R]: ...


@overload
def workflow(name: Callable[P, Coroutine[Any, Any, R]], /) -> Target[P, R]: ...


@overload
def workflow(name: Callable[P, R], /) -> Target[P, R]: ...


@overload
def workflow(
    name: str | None = None,
    wait: bool | Names = False,
    cache: bool | Duration | Cache = False,
    retries: int | bool | Retries = 0,
    recurrent: bool = False,
    defer: bool | Defer = False,
    delay: Duration = 0,
    memo: bool = False,
    requires: Requirements | None = None,
    timeout: Duration = 0,
) -> Decorator: ...


def workflow(
    name: str | Callable[..., Any] | None = None,
    wait: bool | Names = False,
    cache: bool | Duration | Cache = False,
    retries: int | bool | Retries = 0,
    recurrent: bool = False,
    defer: bool | Defer = False,
    delay: Duration = 0,
    memo: bool = UNSET,
    requires: Requirements | None = None,
    timeout: Duration = 0,
) -> Any:
    """Make a function a workflow: the entry point of a run. Also usable without parentheses.

    Args:
        name: the target's name; default: the function's.
        wait: start only when the handles in these parameters have ended: `True` for all parameters, or their names.
        cache: use results of earlier runs: `True`, their maximum age (seconds or a `timedelta`), or a `Cache`.
        retries: how often to retry after a failure, at once; `True` for no limit and pauses of 1 to 60 s; or `Retries`.
        recurrent: execute again after each completion that returned `None`, until another value is returned.
        defer: let a newer submission replace an equal one that has not started: `True` or a `Defer`.
        delay: time between submission and start, in seconds or as a `timedelta`.
        memo: whether the steps of the run share results of equal calls, unless a task says otherwise.
        requires: the tags that a worker group must provide for all steps of the run: `True` for any value.
        timeout: time that an execution may take, in seconds or as a `timedelta`; 0 for no limit.

    Raises:
        TypeError, ValueError: an option is wrong; the message names the function's file and line.
    """
    return _decorator(
        "workflow",
        name,
        wait=wait,
        cache=cache,
        retries=retries,
        recurrent=recurrent,
        defer=defer,
        delay=delay,
        memo=memo,
        requires=requires,
        timeout=timeout,
    )


@overload
def task(name: Callable[P, Coroutine[Any, Any, R]], /) -> Target[P, R]: ...


@overload
def task(name: Callable[P, R], /) -> Target[P, R]: ...


@overload
def task(
    name: str | None = None,
    wait: bool | Names = False,
    cache: bool | Duration | Cache = False,
    retries: int | bool | Retries = 0,
    recurrent: bool = False,
    defer: bool | Defer = False,
    delay: Duration = 0,
    memo: bool | Names = False,
    requires: Requirements | None = None,
    timeout: Duration = 0,
) -> Decorator: ...


def task(
    name: str | Callable[..., Any] | None = None,
    wait: bool | Names = False,
    cache: bool | Duration | Cache = False,
    retries: int | bool | Retries = 0,
    recurrent: bool = False,
    defer: bool | Defer = False,
    delay: Duration = 0,
    memo: bool | Names = UNSET,
    requires: Requirements | None = None,
    timeout: Duration = 0,
) -> Any:
    """Make a function a task: each call from a workflow or another task is a step of the run.

    The options are those of `workflow`, but for:

    Args:
        memo: share the result of equal calls within the run: a bool, or the names of the parameters that must be equal.
            Without it, the run's default applies.
        requires: the tags that a worker group must provide for this step.
    """
    return _decorator(
        "task",
        name,
        wait=wait,
        cache=cache,
        retries=retries,
        recurrent=recurrent,
        defer=defer,
        delay=delay,
        memo=memo,
        requires=requires,
        timeout=timeout,
    )


def stub(
    module: str,
    *,
    name: str | None = None,
    type: Literal["workflow", "task"] = "task",  # noqa: A002
    wait: bool | Names = False,
    cache: bool | Duration | Cache = False,
    retries: int | bool | Retries = 0,
    recurrent: bool = False,
    defer: bool | Defer = False,
    delay: Duration = 0,
    memo: bool | Names = UNSET,
) -> Decorator:
    """Refer to a target of another module without importing it. The function's body is used outside a run only.

    Args:
        module: the module that defines the target.
        name: the target's name there; default: the function's.
        type: what the target is there.

    The other options are those of `task`; timeout and requirements are the real target's.
    """
    if not _is_module_name(module):
        raise TypeError(f'@stub needs the module that defines the target, @stub("package.module"), not {module!r}')
    if type not in {"workflow", "task"}:
        raise ValueError(f'the type of a stub must be "workflow" or "task", not {type!r}')
    if name is not None and not isinstance(name, str):
        raise TypeError(f"the name of a stub must be a str, not {name!r}")
    decorator: Decorator = _decorator(
        type,
        name,
        module,
        wait=wait,
        cache=cache,
        retries=retries,
        recurrent=recurrent,
        defer=defer,
        delay=delay,
        memo=memo,
    )
    return decorator


def _is_module_name(value: object) -> bool:
    return isinstance(value, str) and "/" not in value and all(value.split("."))


def _decorator(kind: TargetType, name: object, module: str | None = None, **given: object) -> Any:
    """The decorator with these options, or the target when the decorator was used without parentheses."""
    if name is None or isinstance(name, str):
        return lambda fn: declare(fn, kind=kind, name=name, module=module, given=given)
    return declare(name, kind=kind, name=None, module=module, given=given)
