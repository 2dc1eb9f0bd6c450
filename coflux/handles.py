"""Handles of executions, and what can be done with several of them.

A handle is a reference: it can be an argument, a result, or lie anywhere inside one, and is never replaced by the value
that it stands for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar, cast, overload

from coflux import backend
from coflux.options import Duration, duration

if TYPE_CHECKING:
    from coflux.backend import Backend
    from coflux.values import Reference

__all__ = ["Execution", "cancel", "select"]

T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")
T = TypeVar("T")

_local_numbers = count(1)


class _Outcome(NamedTuple):
    """What a call outside a run ended with."""

    value: Any
    error: Exception | None
    traceback: TracebackType | None


class Execution(Generic[T_co]):
    """A running or finished execution of a target; a future of its result. Returned by `target.submit(...)`.

    Two handles are equal when they stand for the same execution.

    Attributes:
        module: the module of the target.
        target: the name of the target.
    """

    __slots__ = ("__weakref__", "_id", "_number", "_outcome", "_submitter", "module", "target")

    def __init__(self, id: str | None = None, *, module: str, target: str, number: int | None = None) -> None:  # noqa: A002
        """For the engine. A received handle has an `id`; one of a submission made here has its `number` among those of
        the running execution (from 1), until somebody asks for its id."""
        if (id is None) == (number is None):
            raise ValueError("a handle has either an id or a number")
        self.module = module
        self.target = target
        self._id = id
        self._number = number
        self._outcome: _Outcome | None = None
        # Numbers count within one execution, but a module's globals outlive it in a reused process.
        self._submitter = _running_execution() if id is None else None

    @classmethod
    def finished(cls, module: str, target: str, value: Any, error: Exception | None = None) -> Execution[Any]:
        """The handle of a call that was made outside a run: it has ended with `value`, or with `error`."""
        handle: Execution[Any] = cls(f"local:{next(_local_numbers)}", module=module, target=target)
        handle._outcome = _Outcome(value, error, None if error is None else error.__traceback__)
        return handle

    @classmethod
    def from_reference(cls, reference: Reference) -> Execution[Any]:
        """The handle that a value's reference table stands for."""
        if reference.kind != "execution":
            raise ValueError(f"{reference!r} does not refer to an execution")
        return cls(reference.id, module=reference.module, target=reference.target)

    def reference(self) -> Reference:
        """What represents this handle in the reference table of an encoded value."""
        from coflux.values import Reference

        if self._outcome is not None:
            raise RuntimeError(f"{self!r} was called outside a run: it cannot be sent to an execution, its result can")
        return Reference("execution", self._id or f"@{self._checked_number()}", self.module, self.target)

    @property
    def id(self) -> str:
        """The execution's id: `RUN:STEP:ATTEMPT` (or `local:N` when it was called outside a run)."""
        if self._id is None:
            self._checked_number()
            self._id = _engine("id").identify(self)
        return self._id

    @property
    def number(self) -> int | None:
        """For the engine: the number among the running execution's submissions; `None` where only the id counts."""
        if self._id is None:
            return self._checked_number()
        return self._number if self._submitter == _running_execution() else None

    def result(self) -> T_co:
        """Block until the execution has ended, through retries and the like, and return its result.

        Raises:
            ExecutionError: it failed; the error is an instance of the original exception's class too, where possible.
            ExecutionCancelled: it was cancelled.
            ExecutionTimeout: it ran longer than its timeout.
        """
        if self._outcome is not None:
            return self._finished_result()
        return cast(T_co, _engine("result()").result(self))

    @overload
    def poll(self, timeout: Duration | None = None) -> T_co | None: ...

    @overload
    def poll(self, timeout: Duration | None = None, *, default: D) -> T_co | D: ...

    def poll(self, timeout: Duration | None = None, *, default: Any = None) -> Any:
        """Return the result if there is one within `timeout` seconds (`None`: a look at once), else `default`.

        Never suspends the caller. Raises like `result()`.
        """
        # A deadline that has just passed makes a negative timeout: that is a look at once.
        limit = None if timeout is None else max(0.0, duration("timeout", timeout))
        if self._outcome is not None:
            return self._finished_result()
        return _engine("poll()").poll(self, limit, default)

    def cancel(self) -> None:
        """Cancel the execution and its descendants. One that has ended keeps its outcome."""
        cancel([self])

    def __await__(self) -> Generator[Any, None, T_co]:
        """As `result()`, without blocking the event loop."""
        return self._result_async().__await__()

    async def _result_async(self) -> T_co:
        if self._outcome is not None:
            return self._finished_result()
        return cast(T_co, await _engine("await").result_async(self))

    def _finished_result(self) -> T_co:
        assert self._outcome is not None
        value, error, traceback = self._outcome
        if error is not None:
            # As it was: every raise of an exception lengthens its traceback.
            raise error.with_traceback(traceback)
        return cast(T_co, value)

    def _checked_number(self) -> int:
        assert self._number is not None
        if self._submitter != _running_execution():
            raise RuntimeError(
                f"{self!r} was submitted by execution {self._submitter}, which has ended: pass handles as arguments or"
                " results instead of keeping them in global variables"
            )
        return self._number

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Execution):
            return NotImplemented
        return self is other or self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        # Without the id where it would have to be asked for: a `print` must not wait for the engine.
        return f"<Execution {self._id + ' ' if self._id else ''}of {self.module}/{self.target}>"

    def __copy__(self) -> Execution[T_co]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Execution[T_co]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {self!r}: pass it as an argument or return it, coflux sends it as a reference;"
            " elsewhere keep its id"
        )


def cancel(handles: Iterable[Execution[Any]]) -> None:
    """Cancel executions and their descendants. Those that have ended keep their outcome; none at all is fine."""
    unfinished = [handle for handle in _checked_handles("cancel", handles) if handle._outcome is None]
    if unfinished:
        _engine("cancel()").cancel(unfinished)


def select(handles: Iterable[Execution[T]], cancel_remaining: bool = False) -> tuple[Execution[T], list[Execution[T]]]:
    """Wait for the first of `handles` to end, well or not. How it has ended, the winner's `result()` tells.

    Args:
        handles: at least one; if several have ended, the earliest in this order wins.
        cancel_remaining: cancel the executions that lost.

    Returns:
        the winner and the remaining handles, in their order.

    Raises:
        ValueError: there are no handles.
        TypeError: something is no handle; the message names it.
        ExecutionError: each of the handles waits, in the end, for this execution itself.
    """
    candidates = _checked_handles("select", handles)
    if not candidates:
        raise ValueError("select() needs at least one handle")
    # One of a call outside a run ended long before those that the engine would have to be asked about.
    finished = (index for index, handle in enumerate(candidates) if handle._outcome is not None)
    index = next(finished, None)
    if index is None:
        index = _engine("select()").select(candidates)
    winner = candidates.pop(index)
    if cancel_remaining:
        # By id: equal calls may share one execution, and that of the winner has not lost.
        cancel([handle for handle in candidates if handle != winner])
    return winner, candidates


def _checked_handles(function: str, handles: Iterable[Execution[T]]) -> list[Execution[T]]:
    if isinstance(handles, Execution) or not isinstance(handles, Iterable):
        raise TypeError(f"{function}() takes a list of handles, not {handles!r}")
    checked = list(handles)
    for handle in checked:
        if not isinstance(handle, Execution):
            raise TypeError(f"{function}() takes handles, not {handle!r}: handles come from target.submit(...)")
    return checked


def _running_execution() -> str | None:
    engine = backend.current()
    return None if engine is None else engine.execution_id()


def _engine(what: str) -> Backend:
    """The current backend. Raises `RuntimeError` outside a run: `what` needs one there."""
    engine = backend.current()
    if engine is None:
        raise _outside_error(what)
    return engine


def _outside_error(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} needs the engine for a handle that came out of a run: it works inside executions only"
        " (outside, use what cf.run(...) and cf.start(...) return)"
    )
