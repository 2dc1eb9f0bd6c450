"""Pickle with out-of-band buffers and a table of handles; dill where pickle does not reach.

Layout of a payload (integers are unsigned 64-bit, little-endian; offsets count from the payload's first byte):

    number of buffers n | length of the pickle | n buffer lengths | the pickle | buffer | buffer | …

Every buffer starts at the next multiple of 64, so that arrays in a mapped payload are aligned. Buffers are written from
where they are and read where they lie, without a copy; buffers below `INLINE_LIMIT` stay in the pickle, so a payload
that travels inline has none.

A handle is a persistent id in the pickle: its index in a table that travels beside the payload.
"""

from __future__ import annotations

import operator
import pickle
import struct
from collections.abc import Sequence
from types import FunctionType
from typing import Any, Literal, NamedTuple

from coflux.previews import message_of

__all__ = [
    "INLINE_LIMIT",
    "HandleTable",
    "LoadFailed",
    "LoadingNames",
    "PickleFailed",
    "Pickled",
    "dump",
    "is_sendable",
    "load",
    "reduce_parametrized",
]

INLINE_LIMIT = 16 * 1024  # bytes; anything bigger goes to a blob
ALIGNMENT = 64  # bytes; a cache line, and what vector instructions like
PROTOCOL = 5

_HEADER = struct.Struct("<QQ")


class PickleFailed(Exception):
    """Neither pickle nor dill can send a value. `too_deep` says that it is nested too deeply, else `__cause__` why."""

    def __init__(self, too_deep: bool) -> None:
        super().__init__(too_deep)
        self.too_deep = too_deep


class LoadFailed(Exception):
    """A payload cannot be loaded; the message names the types that it holds and what went wrong."""


class Pickled(NamedTuple):
    format: Literal["pickle", "dill"]
    parts: list[bytes | memoryview]
    size: int
    handles: list[object]


def dump(value: object, handle_types: tuple[type, ...]) -> Pickled:
    """Pickle `value`; its instances of `handle_types` go to the table. Raises `PickleFailed`."""
    try:
        return _dump("pickle", _Pickler, value, handle_types)
    except _HandleFound:
        pass
    except RecursionError as error:
        raise PickleFailed(too_deep=True) from error  # dill needs more stack, not less
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # the user's own code takes part in pickling
        return _dump_by_value(value, handle_types)
    try:
        return _dump("pickle", _ReferencingPickler, value, handle_types)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001
        return _dump_by_value(value, handle_types)


def _dump_by_value(value: object, handle_types: tuple[type, ...]) -> Pickled:
    from coflux.by_value import Pickler  # and with it dill, which most processes never need

    try:
        return _dump("dill", Pickler, value, handle_types)
    except MemoryError:
        raise
    except Exception as error:
        raise PickleFailed(too_deep=isinstance(error, RecursionError)) from error


def is_sendable(value: object, handle_types: tuple[type, ...]) -> bool:
    """Whether `dump` would succeed."""
    try:
        dump(value, handle_types)
    except PickleFailed:
        return False
    return True


def load(format_: Literal["pickle", "dill"], payload: bytes | memoryview, handles: Sequence[object]) -> object:
    """Load what `dump` made. Raises `LoadFailed`."""
    view = memoryview(payload)
    count, length = _HEADER.unpack_from(view)
    lengths = struct.unpack_from(f"<{count}Q", view, _HEADER.size)
    start = _HEADER.size + 8 * count
    end = offset = start + length
    buffers = []
    for buffer_length in lengths:
        offset += -offset % ALIGNMENT
        buffers.append(view[offset : offset + buffer_length])
        offset += buffer_length
    unpickler = _unpickler_class(format_)(_Reader(view[start:end]), buffers=buffers)
    unpickler.handles = handles
    unpickler.types = []
    try:
        return unpickler.load()
    except MemoryError:
        raise
    except Exception as error:
        holds = " and ".join(dict.fromkeys(unpickler.types)) or "no class"
        raise LoadFailed(
            f"a value holding {holds} cannot be loaded here: {type(error).__name__}: {message_of(error)}"
        ) from error


def _unpickler_class(format_: Literal["pickle", "dill"]) -> Any:
    if format_ == "pickle":
        return _Unpickler
    from coflux.by_value import Unpickler

    return Unpickler


def _dump(
    format_: Literal["pickle", "dill"], pickler_class: Any, value: object, handle_types: tuple[type, ...]
) -> Pickled:
    buffers: list[memoryview] = []

    def keep_out(buffer: pickle.PickleBuffer) -> bool:
        """Pickle's question whether a buffer belongs in the pickle."""
        view = buffer.raw()
        if view.nbytes < INLINE_LIMIT:
            return True
        buffers.append(view)
        return False

    chunks = _Chunks()
    pickler = pickler_class(chunks, PROTOCOL, buffer_callback=keep_out)
    pickler.handle_types = handle_types
    pickler.handles = {}
    pickler.dump(value)
    length = sum(map(len, chunks))
    header = struct.pack(f"<{2 + len(buffers)}Q", len(buffers), length, *[view.nbytes for view in buffers])
    parts: list[bytes | memoryview] = [header, *chunks]
    size = len(header) + length
    for view in buffers:
        padding = -size % ALIGNMENT
        parts += (bytes(padding), view)
        size += padding + view.nbytes
    return Pickled(format_, parts, size, list(pickler.handles.values()))


class _Chunks(list[bytes]):
    """A file that a pickler writes to: big `bytes` objects arrive as themselves, so to keep them copies nothing."""

    write = list.append


class _Reader:
    """A file over a mapped pickle. `io.BytesIO` would copy all of it first."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._offset = 0

    def read(self, size: int) -> bytes:
        start = self._offset
        self._offset = start + size
        return bytes(self._view[start : start + size])

    def readinto(self, target: bytearray) -> int:
        piece = self._view[self._offset : self._offset + len(target)]
        target[: len(piece)] = piece
        self._offset += len(piece)
        return len(piece)

    def readline(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n") and self._offset < len(self._view):
            line += self.read(1)
        return bytes(line)


class _HandleFound(Exception):
    """A handle turned up: the value must be pickled again with a table.

    A `persistent_id` method costs a Python call for every object in a value, so only values with handles pay for it.
    """


class _FoundInMain(Exception):
    """A class or function of `__main__` turned up. All that pickle sends is its name, which means nothing elsewhere."""


class _Pickler(pickle.Pickler):
    handle_types: tuple[type, ...]
    handles: dict[int, object]

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, self.handle_types):
            raise _HandleFound
        if isinstance(obj, (type, FunctionType)):
            if obj.__module__ == "__main__":
                raise _FoundInMain(obj.__qualname__)
            return reduce_parametrized(obj)
        return NotImplemented


def reduce_parametrized(code: type | FunctionType) -> Any:
    """Pickle's recipe for a pydantic model like `Page[int]`, whose name leads nowhere; `NotImplemented` for others."""
    metadata = vars(code).get("__pydantic_generic_metadata__")
    if not metadata or metadata["origin"] is None:
        return NotImplemented
    return operator.getitem, (metadata["origin"], metadata["args"])


class HandleTable:
    """The half of a pickler that numbers handles in the order of their first occurrence."""

    handle_types: tuple[type, ...]
    handles: dict[int, object]  # by id(); holding the object keeps its id from being reused

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._indexes: dict[int, int] = {}

    def persistent_id(self, obj: object) -> int | None:
        if not isinstance(obj, self.handle_types):
            return None
        self.handles[id(obj)] = obj
        return self._indexes.setdefault(id(obj), len(self._indexes))


class _ReferencingPickler(HandleTable, _Pickler):
    pass


class LoadingNames:
    """The half of an unpickler that resolves handles and notes the classes it meets, for the message of a failure."""

    handles: Sequence[object]
    types: list[str]

    def persistent_load(self, index: int) -> object:
        return self.handles[index]

    def find_class(self, module: str, name: str) -> Any:
        self.types.append(f"{module}.{name}")
        found = super().find_class(module, name)  # type: ignore[misc]  # of the unpickler this is mixed into
        if not isinstance(found, type):
            self.types.pop()
        return found


class _Unpickler(LoadingNames, pickle.Unpickler):
    pass
