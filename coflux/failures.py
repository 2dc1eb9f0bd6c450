"""Exceptions across process boundaries: captured as data where they were raised, rebuilt where they are waited for.

A rebuilt exception is an instance of `ExecutionError` and of its original class, so that callers can catch either.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from inspect import getattr_static
from types import GetSetDescriptorType, MemberDescriptorType, new_class
from typing import Literal, SupportsIndex, TypeGuard, cast

import msgspec
from msgspec import Struct

from coflux.encoded import Failure, Frame, Value
from coflux.errors import (
    ExecutionAbandoned,
    ExecutionCancelled,
    ExecutionError,
    ExecutionTerminated,
    ExecutionTimeout,
)
from coflux.previews import class_name, message_of
from coflux.redaction import THIS_PROCESS
from coflux.tracebacks import RemoteTraceback, clip, describe, printable
from coflux.values import BlobMissing, BlobStore, decode, pack

__all__ = ["Failure", "Frame", "NoBlobs", "capture", "packed_values", "rebuild", "terminated_error"]


class _Recipe(Struct, frozen=True, array_like=True):
    """How to make the exception again. `code` holds the class when it cannot be imported by its name.

    `lost` says what could not be sent; it becomes notes. `members` are those of an exception group.
    """

    module: str
    name: str
    code: Value | None
    args: Value
    attributes: dict[str, Value]
    members: tuple[Failure, ...] | None
    lost: tuple[str, ...]


def capture(error: BaseException, blobs: BlobStore) -> Failure:
    """Describe `error` so that it can be shown and rebuilt elsewhere.

    Never raises, whatever the exception's own code does: what cannot be had is a placeholder or a note.
    """
    try:
        recipe = _recipe(error, blobs)
    except BaseException:  # noqa: BLE001  # the exception's own code runs here; its text must get out all the same
        recipe = None
    description = describe(error)
    return Failure(
        printable(_type_of(error)), printable(clip(message_of(error))), description.text, description.frames, recipe
    )


def rebuild(failure: Failure, blobs: BlobStore | None = None) -> ExecutionError:
    """Make the exception to raise in the caller.

    It is an instance of `ExecutionError` and, where that can be imported and instantiated, of the original class, with
    its `args` and attributes, without its `__init__` being called. What could not be restored is told in notes. Its
    `__cause__` prints the remote traceback.

    Args:
        failure: what `capture` returned.
        blobs: where `capture` put big arguments and attributes; without it, they are missing.
    """
    error = _rebuild(failure, blobs or NoBlobs())
    error.__cause__ = RemoteTraceback(failure.traceback)
    return error


def packed_values(failure: Failure) -> Iterator[Value]:
    """The values that `rebuild` would decode: they may be in blobs, and hold handles."""
    if failure.exception is None:
        return
    recipe = msgspec.msgpack.decode(failure.exception, type=_Recipe)
    if recipe.code is not None:
        yield recipe.code
    yield recipe.args
    yield from recipe.attributes.values()
    for member in recipe.members or ():
        yield from packed_values(member)


def terminated_error(kind: Literal["cancelled", "timed_out", "abandoned"], message: str) -> ExecutionTerminated:
    """The exception for an outcome that the engine decided."""
    return _TERMINATED[kind](message)


_TERMINATED = {"cancelled": ExecutionCancelled, "timed_out": ExecutionTimeout, "abandoned": ExecutionAbandoned}

_OWN_ATTRIBUTES = frozenset({"error_type", "error_message", "remote_traceback"})
_NO_FIELDS = frozenset({object, BaseException, Exception, BaseExceptionGroup})  # theirs are rebuilt in other ways
_UNSENT_FIELDS = frozenset({"__dict__", "__weakref__", "obj"})  # an AttributeError's `obj` may be anything, of any size


def _type_of(error: BaseException) -> str:
    if type(error) is ExecutionError and error.error_type is not None:  # rebuilt without its original class
        return error.error_type
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _recipe(error: BaseException, blobs: BlobStore) -> bytes | None:
    original = getattr(type(error), "_coflux_original", type(error))
    if not _is_rebuildable(original):
        return None
    lost: list[str] = []
    module, name = original.__module__, original.__qualname__
    code = None if _find_class(module, name) is original else pack(original, blobs)
    args = THIS_PROCESS.data(list(error.args))  # they are its text, as messages are
    members = None
    if isinstance(error, ExceptionGroup):
        args = [THIS_PROCESS.text(error.message)]
        members = tuple([capture(member, blobs) for member in error.exceptions])
    try:
        packed_args = pack(args, blobs, name="args", identify=True)
    except Exception as failure:  # noqa: BLE001
        lost.append(f"args were not sent: {message_of(failure)}")
        packed_args = pack([message_of(error)], blobs)
    attributes = {}
    for attribute, value in _attributes(error).items():
        try:
            attributes[attribute] = pack(THIS_PROCESS.data(value), blobs, name=attribute, identify=True)
        except Exception as failure:  # noqa: BLE001
            lost.append(f"attribute {attribute!r} was not sent: {message_of(failure)}")
    notes = tuple([printable(text) for text in lost])
    return msgspec.msgpack.encode(_Recipe(module, name, code, packed_args, attributes, members, notes))


def _attributes(error: BaseException) -> dict[str, object]:
    """What the exception holds besides `args`: the fields of built-in classes, slots and its `__dict__`."""
    attributes = {}
    for cls in type(error).__mro__:
        for name, member in vars(cls).items() if cls not in _NO_FIELDS else ():
            if isinstance(member, (MemberDescriptorType, GetSetDescriptorType)) and name not in _UNSENT_FIELDS:
                value = getattr(error, name, None)
                if value is not None:
                    attributes[name] = value
    attributes.update(vars(error))
    return {name: value for name, value in attributes.items() if name not in _OWN_ATTRIBUTES}


def _rebuild(failure: Failure, blobs: BlobStore) -> ExecutionError:
    error = None
    if failure.exception is not None:
        try:
            error = _from_recipe(msgspec.msgpack.decode(failure.exception, type=_Recipe), blobs)
        except Exception:  # noqa: BLE001  # not importable here, or its class refuses: the type's name still tells
            error = None
    if error is None:
        error = ExecutionError(failure.message or failure.type)
    vars(error).update(error_type=failure.type, error_message=failure.message, remote_traceback=failure.traceback)
    return error


def _from_recipe(recipe: _Recipe, blobs: BlobStore) -> ExecutionError:
    original = decode(recipe.code, blobs) if recipe.code else _find_class(recipe.module, recipe.name)
    args = cast("list[object]", decode(recipe.args, blobs))
    if recipe.members is not None:
        args.append([_rebuild(member, blobs) for member in recipe.members])
    error = _make(cast("type[Exception]", original), tuple(args))
    notes = list(recipe.lost)
    attributes = {}
    for name, value in recipe.attributes.items():
        try:
            attributes[name] = decode(value, blobs)
        except Exception as failure:  # noqa: BLE001
            notes.append(f"attribute {name!r} was not restored: {message_of(failure)}")
    _set_attributes(error, attributes)
    for note in notes:
        error.add_note(f"coflux: {note}")
    return error


def _make(original: type[Exception], args: tuple[object, ...]) -> ExecutionError:
    """An instance of the dual class, its `__init__` not called."""
    cls = _dual_class(original)  # type: ignore[arg-type]  # mypy: classes are hashable by their metaclass
    error = cls.__new__(cls, *args)
    if not isinstance(error, cls):
        raise TypeError(f"{original.__qualname__}.__new__ returned a {class_name(type(error))}")
    error.args = args
    return error


def _set_attributes(error: ExecutionError, attributes: dict[str, object]) -> None:
    for name, value in attributes.items():
        if isinstance(getattr_static(type(error), name, None), (MemberDescriptorType, GetSetDescriptorType)):
            object.__setattr__(error, name, value)  # the class may forbid plain assignment
        else:
            vars(error)[name] = value


@lru_cache(maxsize=1024)
def _dual_class(original: type[Exception]) -> type[ExecutionError]:
    """A subclass of `ExecutionError` and `original` that passes for `original`."""
    if not _is_rebuildable(original):
        raise TypeError(f"{original!r} is not a class of exceptions that can be raised from a call")
    if original in (Exception, ExecutionError):
        return ExecutionError
    bases = (original,) if issubclass(original, ExecutionError) else (ExecutionError, original)
    namespace = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "__str__": _message,
        "__reduce_ex__": _reduce,
        "__setstate__": _restore,
        "_coflux_original": original,
    }
    return cast(
        "type[ExecutionError]", new_class(original.__name__, bases, exec_body=lambda body: body.update(namespace))
    )


def _message(error: ExecutionError) -> str:
    """`__str__` of dual classes: the original's may need what could not be sent."""
    return error.error_message


def _reduce(error: ExecutionError, protocol: SupportsIndex) -> tuple[object, ...]:
    """`__reduce_ex__` of dual classes: a rebuilt exception can be pickled and copied in its turn."""
    own = {name: getattr(error, name) for name in _OWN_ATTRIBUTES}
    state = (_attributes(error), own, error.__cause__)
    return _make, (type(error)._coflux_original, error.args), state  # type: ignore[attr-defined]


def _restore(error: ExecutionError, state: tuple[dict[str, object], dict[str, object], BaseException | None]) -> None:
    """`__setstate__` of dual classes."""
    attributes, own, error.__cause__ = state
    _set_attributes(error, attributes)
    vars(error).update(own)


def _is_rebuildable(cls: object) -> TypeGuard[type[Exception]]:
    """A StopIteration would end the caller's loops; what is no `Exception` would end more than that."""
    return (
        isinstance(cls, type)
        and issubclass(cls, Exception)
        and not issubclass(cls, (StopIteration, StopAsyncIteration))
    )


def _find_class(module: str, name: str) -> object:
    """The class of that name, `None` when there is none. Every process has its own `__main__`, so that never counts."""
    if module == "__main__":
        return None
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


class NoBlobs:
    """The store of a caller that has none."""

    def write(self, parts: Sequence[bytes | memoryview]) -> str:
        raise TypeError("there is no blob store here")

    def open(self, digest: str, size: int) -> memoryview:
        raise BlobMissing(f"blob {digest} of {size} bytes: there is no blob store here")

    def exists(self, digest: str) -> bool:
        return False

    def write_pieces(self, pieces: Iterable[bytes], *, sync: bool = False) -> str:
        raise TypeError("there is no blob store here")

    def pieces(self, digest: str) -> Iterator[bytes]:
        raise BlobMissing(f"blob {digest}: there is no blob store here")
