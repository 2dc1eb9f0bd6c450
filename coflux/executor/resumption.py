"""Which of the earlier submissions of a step a new one equals, when its run is resumed.

What an earlier attempt submitted answers an equal submission of the attempt that resumes it, each once: of several
equal ones the first submission gets the first, and those that succeeded go before the others.

Equal are the same target with equal arguments, by their bytes: for that nothing has to be decoded. Bytes may differ
where values do not (a set that was built in another order), so if there is no such child, content keys decide. They
cost the earlier arguments of the target once, and are made only then.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from coflux import values
from coflux.encoded import Value
from coflux.executor.messages import EarlierChild
from coflux.keys import UnkeyableValue, key_of
from coflux.target import Target
from coflux.values import BlobStore

__all__ = ["EarlierChildren"]

_Name = tuple[str, str]
_Queues = defaultdict[Hashable, deque[int]]
"""Indexes of children by what identifies their arguments, those that are to be taken first in front."""


class EarlierChildren:
    """What earlier attempts of a step submitted, and what of it is not taken yet. Any thread may ask."""

    def __init__(self, children: Iterable[EarlierChild], blobs: BlobStore, identify: Callable[[int], str]) -> None:
        """`identify` gives the execution id of the n-th submission of the attempt that resumes."""
        self._children = sorted(children, key=_failed)
        self._blobs = blobs
        self._identify = identify
        self._ids: dict[str, str] = {}  # of what the new attempt has submitted, by `@n`
        self._by_target: defaultdict[_Name, list[int]] = defaultdict(list)
        # By target and bytes, then by what the references refer to: only that may need a question to the engine.
        self._by_bytes: defaultdict[Hashable, _Queues] = defaultdict(_new_queues)
        self._by_content: dict[_Name, _Queues] = {}
        self._taken: set[int] = set()
        self._lock = threading.Lock()
        for index, child in enumerate(self._children):
            name = child.module, child.name
            self._by_target[name].append(index)
            self._by_bytes[name, _bytes_of(child.arguments)][_references_of(child.arguments)].append(index)

    def take(self, target: Target[..., Any], arguments: Sequence[object], encoded: tuple[Value, ...]) -> str:
        """The execution id of the child that a submission equals, "" for none. It is not given again."""
        name = target.module, target.name
        if name not in self._by_target:
            return ""
        same_bytes = self._by_bytes.get((name, _bytes_of(encoded)))
        if same_bytes is not None:
            taken = self._take_first(same_bytes.get(self._identified(_references_of(encoded))))
            if taken:
                return taken
        queues = self._by_content.get(name)
        if queues is None:
            queues = self._by_content.setdefault(name, self._keyed(name))
        return self._take_first(queues.get(tuple(map(self._identity, encoded, arguments))))

    def _take_first(self, queue: deque[int] | None) -> str:
        with self._lock:
            while queue:
                index = queue.popleft()
                if index not in self._taken:
                    self._taken.add(index)
                    return self._children[index].execution
        return ""

    # -- content -------------------------------------------------------------------------------------------------

    def _keyed(self, name: _Name) -> _Queues:
        """All children of a target that are left, by content."""
        queues = _new_queues()
        for index in self._by_target[name]:
            if index not in self._taken:
                arguments = self._children[index].arguments
                queues[tuple(map(self._stored_identity, arguments))].append(index)
        return queues

    def _stored_identity(self, value: Value) -> Hashable:
        try:
            argument = values.decode(value, self._blobs)
        except Exception:  # noqa: BLE001 (the user's own code takes part; what cannot be loaded is known by its bytes)
            return self._identity_of_bytes(value)
        return self._identity(value, argument)

    def _identity(self, value: Value, argument: object) -> Hashable:
        """What identifies an argument: its content key or, where it has none, its bytes."""
        try:
            digest, handles = key_of(argument)
        except UnkeyableValue:
            return self._identity_of_bytes(value)
        return digest, self._identified(tuple([handle.reference().id for handle in handles]))

    def _identity_of_bytes(self, value: Value) -> Hashable:
        return _bytes_of((value,)), self._identified(_references_of((value,)))

    def _identified(self, references: tuple[str, ...]) -> tuple[str, ...]:
        return tuple([self._id_of(reference) if reference.startswith("@") else reference for reference in references])

    def _id_of(self, token: str) -> str:
        known = self._ids.get(token)
        if known is None:
            known = self._ids[token] = self._identify(int(token[1:]))
        return known


def _new_queues() -> _Queues:
    return defaultdict(deque)


def _failed(child: EarlierChild) -> bool:
    return not child.succeeded


def _bytes_of(arguments: Sequence[Value]) -> Hashable:
    """What is equal for values of equal bytes. Previews and the like follow from the value, and may be cut short."""
    return tuple([(value.format, value.data, value.blob) for value in arguments])


def _references_of(arguments: Sequence[Value]) -> tuple[str, ...]:
    return tuple([reference.id for value in arguments for reference in value.references])
