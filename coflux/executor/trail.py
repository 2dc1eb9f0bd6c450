"""The trail of an import: which of the user's files are being executed, for whoever finds the process dead.

The module host writes it to its crash file, and `faulthandler` adds the stacks at a crash or when asked for them. Where
no stack can be had (SIGKILL) there is still the file.
"""

from __future__ import annotations

import faulthandler
import os
import re
from types import CodeType
from typing import NamedTuple, NoReturn, Self
from weakref import ref

from coflux.executor.signals import DUMP_SIGNAL

__all__ = ["ImportTrail", "LastPlace", "last_place"]

_BEGUN, _ENDED = "begun: ", "ended: "
_FRAME = r'  File "(.*)", line (\d+) in '


class ImportTrail:
    """Writes the trail to a descriptor, which it closes at the end. To be used in a `with` statement."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._process = os.getpid()
        self._running: list[ref[CodeType]] = []
        self._exit = os._exit

    def __enter__(self) -> Self:
        faulthandler.enable(self._descriptor, all_threads=True)
        faulthandler.register(DUMP_SIGNAL, self._descriptor, all_threads=True, chain=False)
        os._exit = self._exit_with_stack
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        os._exit = self._exit
        faulthandler.unregister(DUMP_SIGNAL)
        faulthandler.disable()
        os.close(self._descriptor)

    def follow(self, code: CodeType) -> None:
        """A module's code is about to be executed: note that, and when it is done."""
        path = code.co_filename
        self._note(_BEGUN, path)
        # Nothing else keeps a module's code. A call around its execution would show up in the user's tracebacks.
        self._running.append(ref(code, lambda _: self._note(_ENDED, path)))

    def _note(self, what: str, path: str) -> None:
        if os.getpid() == self._process:  # else a fork that the module made
            os.write(self._descriptor, os.fsencode(f"{what}{path}\n"))

    def _exit_with_stack(self, status: int) -> NoReturn:
        if os.getpid() == self._process:
            faulthandler.dump_traceback(self._descriptor, all_threads=False)
        self._exit(status)


class LastPlace(NamedTuple):
    """Where an import ended: the user's file ("" if none had begun), the line (0 if unknown), and the stacks."""

    file: str
    line: int
    dump: str


def last_place(trail: bytes) -> LastPlace:
    """Read what an import left in its crash file."""
    running: list[str] = []
    known: dict[str, str] = {}  # as `faulthandler` writes it -> path
    dump: list[str] = []
    for line in os.fsdecode(trail).splitlines():
        if line.startswith(_BEGUN):
            path = line.removeprefix(_BEGUN)
            running.append(path)
            known[path.encode("ascii", "backslashreplace").decode()] = path
            dump.clear()  # what was dumped before was not the end
        elif line.startswith(_ENDED):
            running.remove(line.removeprefix(_ENDED))
            dump.clear()
        else:
            dump.append(line)
    text = "\n".join(dump)
    for found in re.finditer(_FRAME, _current_thread(text)):
        if found[1] in known:
            return LastPlace(known[found[1]], int(found[2]), text)
    return LastPlace(running[-1] if running else "", 0, text)


def _current_thread(dump: str) -> str:
    """The part of a dump that is about the thread which crashed, or which was asked."""
    return dump[max(dump.find("Current thread"), 0) :]
