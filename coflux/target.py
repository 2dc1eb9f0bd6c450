"""Targets: decorated functions, which can be called as before or submitted to the engine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import update_wrapper
from inspect import Signature, isasyncgenfunction, isgeneratorfunction, signature, unwrap
from types import CodeType, CoroutineType, FunctionType
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast

from coflux import backend, options
from coflux.binding import CallPlan, compile_binder
from coflux.groups import current_group
from coflux.handles import Execution
from coflux.options import Cache, Defer, Duration, Names, Retries, RetryFilter
from coflux.task_options import TaskOptions

__all__ = ["Target", "TargetType", "declare", "duplicates", "registry"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
TargetType = Literal["workflow", "task"]

registry: dict[tuple[str, str], Target[..., Any]] = {}
"""The decorated targets of this process by module and name. Stubs and changed copies are not in it."""

duplicates: list[tuple[Target[..., Any], Target[..., Any]]] = []
"""Pairs of functions that claim the same module and name, the earlier one first. The later one is in `registry`."""

_stubs: dict[tuple[str, ...], Target[..., Any]] = {}
"""Stubs by where their function is and what they stand for, so that they pickle by reference."""

# A module with one of these names is another module in every process (or, for code run without a name, none at all).
_UNIMPORTABLE_MODULES = frozenset({"__main__", "__mp_main__", "builtins", None})


class Target(Generic[P, R_co]):
    """A function decorated with `@workflow`, `@task` or `@stub`.

    Inside an execution, calling or submitting a target makes a step of the run; outside one, it is the plain function.

    Attributes:
        module: the module that defines the target (for a stub: the other module).
        name: the target's name there.
        type: `"workflow"` or `"task"`.
        fn: the function itself. Calling it makes no step.
        options: the options, normalised.
        when: tells whether an exception is retried; `None`: every one is.
        run_memo: what a workflow was declared with as `memo`, the default of its own run's steps. `options.memo` is
            about the target's own step.
        parameters: the names of the function's parameters.
        is_stub: whether this only refers to a target of another module.
        by_value: whether it cannot be imported by name elsewhere: it is in `__main__` or in another function.
        overrides: the names of the options that `with_*` changed on this copy.
    """

    # Compiled when it is first needed; never part of a pickle.
    _binder: Callable[..., tuple[object, ...]] | None = None

    def __init__(
        self,
        fn: Callable[P, Any],
        *,
        kind: TargetType,
        module: str,
        name: str,
        options: TaskOptions,
        when: RetryFilter | None = None,
        run_memo: bool = False,
        is_stub: bool = False,
    ) -> None:
        """For the decorators: everything is checked already."""
        # First, since it copies the function's own attributes, which must not hide ours.
        update_wrapper(self, fn)
        self.fn = fn
        self.type = kind
        self.module = module
        self.name = name
        self.options = options
        self.when = when
        self.run_memo = run_memo
        self.is_stub = is_stub
        self.by_value = not is_stub and not _is_importable(fn)
        self.overrides: frozenset[str] = frozenset()
        self.parameters = tuple(self.signature.parameters)
        self._plan = CallPlan.of(self.signature)

    @property
    def signature(self) -> Signature:
        """The function's signature."""
        return signature(self.fn)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the target and return its result: `submit(...).result()`; outside a run, the plain function."""
        if backend.current() is None:
            return cast(R_co, self._call_function(*args, **kwargs))
        return self.submit(*args, **kwargs).result()

    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Execution[R_co]:
        """Start an execution of the target and return its handle at once.

        Outside a run, the function is called here and now, and the handle has ended.

        Raises:
            TypeError: the arguments do not fit the function's parameters.
            ExecutionError: an argument cannot be sent to another process; the message gives the path to the culprit
                inside it. The error is a `TypeError`, too.
        """
        values = self.bind(args, kwargs)
        engine = backend.current()
        if engine is not None:
            return engine.submit(self, values, current_group())
        try:
            value = self._call_function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (the handle raises it)
            return Execution.finished(self.module, self.name, None, error)
        return Execution.finished(self.module, self.name, value)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[object, ...]:
        """One value a parameter, defaults applied: `*args` as a tuple, `**kwargs` as a dict.

        Raises `TypeError` as a call of the plain function would.
        """
        binder = self._binder
        if binder is None:
            binder = self._binder = compile_binder(self.signature, self.fn.__qualname__)
        return binder(*args, **kwargs)

    def call_arguments(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The reverse of `bind`: the positional and keyword arguments to call the function with.

        Raises `TypeError` when there is not one value a parameter.
        """
        if len(values) != self._plan.size:
            raise TypeError(
                f"{self.module}/{self.name} has {self._plan.size} parameters now, but was submitted with {len(values)}"
            )
        return self._plan.arguments(values)

    def with_cache(self, cache: bool | Duration | Cache) -> Target[P, R_co]:
        """A copy with another `cache` option, for one call."""
        return self._changed("cache", self._checked(options.cache_options, cache, self.parameters))

    def with_retries(self, retries: int | bool | Retries) -> Target[P, R_co]:
        """A copy with another `retries` option, for one call."""
        retry, when = self._checked(options.retry_options, retries)
        return self._copy(self.options._replace(retries=retry), when, self.overrides | {"retries"})

    def with_defer(self, defer: bool | Defer) -> Target[P, R_co]:
        """A copy with another `defer` option, for one call."""
        return self._changed("defer", self._checked(options.defer_parameters, defer, self.parameters))

    def with_memo(self, memo: bool | Names) -> Target[P, R_co]:
        """A copy with another `memo` option, for one call: also on a workflow, this is about the step here."""
        return self._changed("memo", self._checked(options.memo_parameters, memo, self.parameters))

    def with_delay(self, delay: Duration) -> Target[P, R_co]:
        """A copy with another `delay`, for one call."""
        return self._changed("delay", self._checked(options.seconds, "delay", delay))

    def with_timeout(self, timeout: Duration) -> Target[P, R_co]:
        """A copy with another `timeout` (0: none), for one call."""
        return self._changed("timeout", self._checked(options.seconds, "timeout", timeout))

    def with_requires(self, requires: dict[str, str | bool | list[str]] | None) -> Target[P, R_co]:
        """A copy with another `requires` option, for one call."""
        return self._changed("requires", self._checked(options.requirements, requires))

    @property
    def submitted_when(self) -> RetryFilter | None:
        """The retry filter that has to travel with a submission; `None`: the declared target has the right one."""
        if not self.is_stub and "retries" not in self.overrides:
            return None
        return self.when or options.instance_of(BaseException)

    def _call_function(self, /, *args: Any, **kwargs: Any) -> Any:
        value: Any = self.fn(*args, **kwargs)
        # Looked at in the result, not in the function: a plain wrapper around an `async def` returns a coroutine too.
        return _run_coroutine(value) if isinstance(value, CoroutineType) else value

    def _changed(self, option: str, value: object) -> Target[P, R_co]:
        changes: dict[str, Any] = {option: value}
        return self._copy(self.options._replace(**changes), self.when, self.overrides | {option})

    def _copy(self, options: TaskOptions, when: RetryFilter | None, overrides: Iterable[str]) -> Target[P, R_co]:
        copy = cast("Target[P, R_co]", object.__new__(Target))
        copy.__dict__.update(self.__dict__, options=options, when=when, overrides=frozenset(overrides))
        return copy

    def _checked(self, normalise: Callable[..., Any], *values: object) -> Any:
        return _with_place("stub" if self.is_stub else self.type, self.name, self.fn, normalise, *values)

    def __repr__(self) -> str:
        return f"<{'stub of ' if self.is_stub else ''}{self.type} {self.module}/{self.name}>"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_binder"}

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By reference where another process can import it, else by value, for dill.

        By value, a target is made empty and filled afterwards: its function may refer to the target itself.
        """
        if not _is_importable(self.fn):
            return super().__reduce_ex__(protocol)
        changes = (self.options, self.when, self.overrides) if self.overrides else ()
        return _imported, (self.fn.__module__, _key(self), *changes)


# -- declaring --------------------------------------------------------------------------------------------------------


def declare(
    fn: object,
    *,
    kind: TargetType,
    name: str | None,
    module: str | None,
    given: dict[str, object],
) -> Target[..., Any]:
    """Make the target of a decorated function and register it. `module` makes it a stub of a target there.

    Raises `TypeError` or `ValueError` naming the target, its file and line, the option and the bad value.
    """
    decorator = kind if module is None else "stub"
    function = _plain_function(decorator, fn)
    name = function.__name__ if name is None else name
    parameters = tuple(signature(function).parameters)
    _with_place(decorator, name or function.__name__, function, _check_name, name)
    run_memo = False
    if decorator == "workflow":
        run_memo = _with_place(decorator, name, function, _run_memo, given["memo"])
        given = given | {"memo": options.UNSET}
    declared, when = _with_place(decorator, name, function, options.task_options, parameters, **given)
    target: Target[..., Any] = Target(
        function,
        kind=kind,
        module=module or function.__module__,
        name=name,
        options=declared,
        when=when,
        run_memo=run_memo,
        is_stub=module is not None,
    )
    if target.is_stub:
        _stubs[_key(target)] = target
    else:
        _register(target)
    return target


def _register(target: Target[..., Any]) -> None:
    key = target.module, target.name
    present = registry.get(key)
    if present is not None and not present.by_value:
        if target.by_value:
            return  # what a function makes while it runs does not hide the module's own target
        if _place(present.fn) != _place(target.fn):
            duplicates.append((present, target))
    registry[key] = target


def _plain_function(decorator: str, fn: object) -> Callable[..., Any]:
    if not isinstance(fn, FunctionType):
        raise TypeError(f"@{decorator} decorates a plain function, not {_describe(fn)}")
    if isgeneratorfunction(fn) or isasyncgenfunction(fn):
        file, line = _place(fn)
        raise TypeError(
            f"{decorator} {fn.__name__!r} ({file}:{line}) is a generator function: return a list instead of yielding,"
            " or submit a task for each item"
        )
    return fn


def _describe(fn: object) -> str:
    match fn:
        case Target():
            return f"{fn!r}, which is a target already"
        case type():
            return f"the class {fn.__module__}.{fn.__qualname__}: decorate a function that uses it"
        case staticmethod() | classmethod():
            return f"the {type(fn).__name__} {fn.__qualname__}: decorate a function outside the class"
    advice = ": wrap it in a function" if callable(fn) else ""
    return f"{fn!r} (of type {type(fn).__name__}){advice}"


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("name must not be empty: leave it out, and the target has the function's")
    if "/" in name or not name.isprintable() or name != name.strip():
        raise ValueError(f"name must not have slashes, line ends or outer blanks, but is {name!r}")


def _run_memo(memo: object) -> bool:
    if memo is not options.UNSET and not isinstance(memo, bool):
        raise TypeError(f"memo of a workflow, the default of its run's steps, must be a bool, not {memo!r}")
    return bool(memo)


def _with_place(kind: str, name: str, fn: Callable[..., Any], check: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """`check(*args, **kw)`, with errors that tell which target they are about."""
    try:
        return check(*args, **kw)
    except (TypeError, ValueError) as error:
        file, line = _place(fn)
        error_class = TypeError if isinstance(error, TypeError) else ValueError
        raise error_class(f"{kind} {name!r} ({file}:{line}): {error}") from None


def _place(fn: Callable[..., Any]) -> tuple[str, int]:
    code = getattr(unwrap(fn), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if isinstance(code, CodeType) else ("unknown file", 0)


# -- pickling ---------------------------------------------------------------------------------------------------------


def _is_importable(fn: Callable[..., Any]) -> bool:
    return fn.__module__ not in _UNIMPORTABLE_MODULES and "<locals>" not in fn.__qualname__


def _key(target: Target[..., Any]) -> tuple[str, ...]:
    """What a target is registered by; longer for a stub, since there may be several of one target."""
    where = (target.fn.__module__, target.fn.__qualname__) if target.is_stub else ()
    return *where, target.module, target.name


def _imported(
    module: str,
    key: Any,
    changed: TaskOptions | None = None,
    when: RetryFilter | None = None,
    overrides: Iterable[str] = (),
) -> Target[..., Any]:
    """The target that a pickle refers to, with the options that its copy had."""
    importlib.import_module(module)
    target = registry.get(key) or _stubs.get(key)
    if target is None:
        raise LookupError(f"{module} does not define {key[-2]}/{key[-1]} any more, which a pickled value refers to")
    return target if changed is None else target._copy(changed, when, overrides)


# -- coroutines outside a run -----------------------------------------------------------------------------------------


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run `coroutine` to its end on an event loop of its own: in another thread, where a loop is running already."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        is_running = False
    else:
        is_running = True
    if not is_running:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="coflux-coroutine") as executor:
        return executor.submit(copy_context().run, asyncio.run, coroutine).result()
