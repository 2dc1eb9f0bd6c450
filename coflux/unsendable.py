"""Why a value cannot be sent, and what in it: the path to the culprit, its type and what to do instead."""

from __future__ import annotations

import io
import socket
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    ModuleType,
    TracebackType,
)
from typing import NamedTuple

from coflux import pickling
from coflux.previews import message_of, preview, type_name

__all__ = ["LOCK_TYPES", "explain", "is_refused", "path_of"]

LOCK_TYPES: tuple[type, ...] = (type(threading.Lock()), type(threading.RLock()))

_REMEDIES: tuple[tuple[tuple[type, ...], str], ...] = (
    (LOCK_TYPES, "create it in the process that uses it"),
    ((io.BufferedIOBase, io.RawIOBase, io.TextIOBase), "send its path, or its content"),
    ((GeneratorType, AsyncGeneratorType), "send a list of its items"),
    ((CoroutineType,), "await it, and send its result"),
    ((ModuleType,), "import it in the function that uses it"),
    ((socket.socket,), "connect in the process that uses it"),
    ((threading.Thread,), "start it in the process that uses it"),
    ((weakref.ReferenceType, *weakref.ProxyTypes), "send the object itself"),
    ((FrameType, TracebackType), "send its text"),
    ((memoryview,), "send bytes(view)"),
)
_REFUSED = tuple(kind for kinds, _ in _REMEDIES for kind in kinds)
_IN_MEMORY_FILES = (io.BytesIO, io.StringIO)  # files that do pickle
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})

SEARCHED_NODES = 10_000


def is_refused(value: object) -> bool:
    """Whether no other process could have the same object, whatever dill makes of it."""
    kind = type(value)
    return issubclass(kind, _REFUSED) and not issubclass(kind, _IN_MEMORY_FILES)


def explain(value: object, name: str, handle_types: tuple[type, ...], failed: pickling.PickleFailed) -> str:
    """One sentence: `result['a'][0]: _thread.lock cannot be sent; create it in the process that uses it`."""
    if failed.too_deep:
        return f"{name}: {type_name(value)} is nested too deeply to be sent"
    path, culprit = _find(value, name, handle_types)
    if is_refused(culprit):
        remedy = next(text for kinds, text in _REMEDIES if issubclass(type(culprit), kinds))
        return f"{path}: {type_name(culprit)} cannot be sent; {remedy}"
    cause = failed.__cause__
    return f"{path}: {type_name(culprit)} cannot be sent ({type(cause).__name__}: {message_of(cause)})"


def path_of(values: Sequence[object], name: str) -> str:
    """The path to the last of `values`, each of which is in the one before; as far as that can be seen from outside."""
    node = _Node(name, "", None, values[0])
    for value in values[1:]:
        node = next((part for part in _parts(node) if part.value is value), node)
    return node.path()


def _find(value: object, name: str, handle_types: tuple[type, ...]) -> tuple[str, object]:
    """Path and object of the innermost part that cannot be sent, among the first `SEARCHED_NODES`."""
    nodes = [_Node(name, "", None, value)]
    seen = {id(value)}
    for node in nodes:  # grows while it is walked, so that deeper parts come later
        if is_refused(node.value):
            return node.path(), node.value
        for part in _parts(node):
            if len(nodes) < SEARCHED_NODES and type(part.value) not in _ATOMS and id(part.value) not in seen:
                seen.add(id(part.value))
                nodes.append(part)
    for node in reversed(nodes):
        if not pickling.is_sendable(node.value, handle_types):
            return node.path(), node.value
    return name, value


class _Node(NamedTuple):
    """A part of a value; its path is `before`, the parent's path, `after`."""

    before: str
    after: str
    parent: _Node | None
    value: object

    def path(self) -> str:
        before, after = "", ""
        node: _Node | None = self
        while node is not None:
            before, after = before + node.before, node.after + after
            node = node.parent
        return before + after


def _parts(node: _Node) -> list[_Node]:
    """The parts one level down. An object whose attributes cannot be listed has none."""
    value = node.value
    try:
        if isinstance(value, dict):
            keys = [_Node("list(", f")[{index}]", node, key) for index, key in enumerate(value)]
            return keys + [_Node("", f"[{preview(key)}]", node, part) for key, part in value.items()]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return [_Node("", f".{field}", node, part) for field, part in zip(value._fields, value, strict=False)]
        if isinstance(value, (list, tuple, deque)):
            return [_Node("", f"[{index}]", node, part) for index, part in enumerate(value)]
        if isinstance(value, (set, frozenset)):
            return [_Node("list(", f")[{index}]", node, part) for index, part in enumerate(value)]
        if isinstance(value, (type, FunctionType, ModuleType)):
            return []
        return [_Node("", f".{attribute}", node, part) for attribute, part in _attributes(value)]
    except Exception:  # noqa: BLE001  # the user's properties and iterators
        return []


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType) and name != "__dict__" and hasattr(value, name):
                yield name, getattr(value, name)
