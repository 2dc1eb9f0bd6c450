"""What an import leaves in a process that workers forked from it would lack, or would share with each other."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from types import AsyncGeneratorType, GeneratorType, ModuleType
from typing import Any

from coflux.executor.messages import SharedResource

__all__ = ["open_descriptors", "reason_not_to_fork", "shared_resources"]

DEPTH = 2  # attributes and items that are followed from a module's global
ITEMS = 100  # of a container that are looked at

_SOCKET = "socket"

# CUDA and ROCm keep them open while a context exists, which does not survive a fork.
_GPU_DEVICES = ("/dev/nvidia-uvm", "/dev/kfd")


def open_descriptors() -> dict[int, str]:
    """What this process's descriptors lead to; nothing where there is no /proc."""
    found = {}
    try:
        descriptors = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return {}
    for descriptor in descriptors:
        try:
            found[int(descriptor)] = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            pass  # the listing's own
    return found


def reason_not_to_fork(modules: Collection[str], descriptors: Collection[str]) -> str:
    """Why workers cannot be forked once `modules` are imported and `descriptors` are open, or ""."""
    importing = f"importing {', '.join(sorted(modules)[:3])}{', …' if len(modules) > 3 else ''}"
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if threads:
        return (
            f"{importing} started a thread ({', '.join(threads)}), which a fork would lack: start it inside the task "
            "that uses it, and workers are forked"
        )
    devices = [link for link in descriptors if link.startswith(_GPU_DEVICES)]
    if devices:
        return (
            f"{importing} opened {devices[0]}, and what is on a GPU does not survive a fork: use it only inside tasks, "
            "and workers are forked"
        )
    return ""


def shared_resources(files: Collection[str], before: Collection[str]) -> tuple[SharedResource, ...]:
    """What the modules of `files` made that all forks would share. `before` is what descriptors led to before the
    imports."""
    search = _Search({name: module for name, module in list(sys.modules.items()) if _file(module) in files})
    found = search.run()
    connections = _connections(before, search.descriptors)
    return (*sorted(found, key=lambda resource: resource.name), *connections)


def _file(module: object) -> str | None:
    return getattr(module, "__file__", None) if isinstance(module, ModuleType) else None


class _Search:
    """Looks through the globals of modules: their values, and what is in containers and in objects of their classes."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self.descriptors: set[int] = set()  # of the sockets that were found
        self._modules = modules
        self._kinds = _kinds()
        self._known: dict[type, tuple[str, Callable[[Any], bool]]] = {}
        self._seen: set[int] = set()

    def run(self) -> list[SharedResource]:
        found = []
        for home, module in self._modules.items():  # in the order in which they were done: owners before borrowers
            for attribute, value in list(vars(module).items()):
                if not attribute.startswith("__"):
                    for name, kind in self._look(value, f"{home}.{attribute}", DEPTH):
                        found.append(SharedResource(name, kind, _file(module) or ""))
        return found

    def _look(self, value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
        kind = self._kind_of(value)
        if kind:
            if id(value) not in self._seen:
                self._seen.add(id(value))
                yield name, kind
        elif depth:
            for inner, text in self._parts(value):
                yield from self._look(inner, name + text, depth - 1)

    def _kind_of(self, value: Any) -> str:
        kind, in_use = self._kind_of_type(type(value))
        if not kind or not in_use(value):
            return ""
        if kind == _SOCKET:
            self.descriptors.add(value.fileno())
        return kind

    def _kind_of_type(self, found: type) -> tuple[str, Callable[[Any], bool]]:
        """By its type: asking the value itself (`isinstance`) would wake what is lazy."""
        known = self._known.get(found)
        if known is None:
            matches = ((kind, in_use) for base, kind, in_use in self._kinds if issubclass(found, base))
            known = self._known[found] = next(matches, ("", bool))
        return known

    def _parts(self, value: Any) -> list[tuple[Any, str]]:
        if type(value) in (list, tuple):
            return [(item, f"[{index}]") for index, item in enumerate(value[:ITEMS])]
        if type(value) is dict:
            return [(item, f"[{key!r}]") for key, item in list(value.items())[:ITEMS] if isinstance(key, str | int)]
        attributes = self._attributes(value)
        return [(item, f".{name}") for name, item in list(attributes.items())[:ITEMS] if not name.startswith("__")]

    def _attributes(self, value: Any) -> Mapping[str, Any]:
        """Of a class that one of the modules defines, or of an instance of one."""
        if issubclass(type(value), type):
            return vars(value) if value.__module__ in self._modules else {}
        if type(value).__module__ not in self._modules:
            return {}
        try:
            attributes: dict[str, Any] = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return {}  # it has slots
        return attributes


def _kinds() -> list[tuple[type, str, Callable[[Any], bool]]]:
    """Types that a fork shares, in words, and whether one that was found is in use. Where nobody has imported a type's
    module, there is none of it."""
    table: list[tuple[str, str, str, Callable[[Any], bool]]] = [
        ("sqlite3", "Connection", "SQLite connection", _is_connected),
        ("asyncio", "AbstractEventLoop", "event loop", lambda loop: not loop.is_closed()),
        ("concurrent.futures.process", "ProcessPoolExecutor", "process pool", lambda pool: True),
        ("multiprocessing.queues", "Queue", "queue between processes", lambda queue: True),
        ("multiprocessing.connection", "Connection", "pipe between processes", lambda pipe: not pipe.closed),
        ("subprocess", "Popen", "child process", lambda child: child.returncode is None),
    ]
    imported = [
        (getattr(sys.modules[module], name), kind, in_use)
        for module, name, kind, in_use in table
        if module in sys.modules
    ]
    return [
        (socket.socket, _SOCKET, lambda sock: sock.fileno() != -1),
        (GeneratorType, "generator", lambda generator: generator.gi_frame is not None),
        (AsyncGeneratorType, "generator", lambda generator: generator.ag_frame is not None),
        *imported,
        (_file_base(), "open file", _has_position),
    ]


def _file_base() -> type:
    import io

    return io.IOBase.__mro__[1]  # what files in C derive from: the class itself asks each type's registry


def _is_connected(connection: Any) -> bool:
    try:
        return bool(connection.total_changes >= 0)
    except sys.modules["sqlite3"].ProgrammingError:
        return False


def _has_position(file: Any) -> bool:
    """Whether forks would read and write it at one common position."""
    try:
        descriptor = file.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return False  # closed, or in memory
    return descriptor > 2 and (stat.S_ISREG(mode) or stat.S_ISFIFO(mode))


def _connections(before: Collection[str], known: Collection[int]) -> list[SharedResource]:
    """Connections that the imports opened, and that no module holds where we look: those of drivers and clients."""
    found = []
    for descriptor, link in sorted(open_descriptors().items()):
        if link.startswith("socket:") and link not in before and descriptor not in known:
            with socket.socket(fileno=os.dup(descriptor)) as sock:
                peer = _peer(sock)
            if peer:
                found.append(SharedResource(f"a connection to {peer}", _SOCKET))
    return found


def _peer(sock: socket.socket) -> str:
    """Who is at the other end; "" for pairs of sockets, which event loops have for themselves."""
    try:
        address = sock.getpeername()
    except OSError:
        return ""
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return os.fsdecode(address)
