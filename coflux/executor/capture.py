"""Standard output of a worker: Python's writes become whole lines, whatever thread they come from.

The descriptors 1 and 2 are pipes to the supervisor, so C code and child processes are captured without our help. What
Python writes is assembled per thread and written a line at a time, so that lines of two threads never mix. C is told to
write lines, too.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

__all__ = [
    "STDERR",
    "STDOUT",
    "NoInput",
    "OutputStream",
    "flush_c_buffers",
    "install_streams",
    "output_dropped",
    "write_all",
    "write_c_lines",
]

_IOLBF = 1  # of glibc, musl and macOS
_C_BUFFER_SIZE = 1 << 16

_dropping: set[int] = set()  # threads whose writes go nowhere


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class OutputStream(io.TextIOBase):
    """A text stream over a descriptor, line-buffered per thread."""

    encoding = "utf-8"
    errors = "backslashreplace"  # a lone surrogate is no reason to fail a print

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._partial: dict[int, list[str]] = {}
        self._lock = threading.RLock()  # a finalizer or a signal handler may print in the middle of a print
        self.name = name
        self.mode = "w"
        self.buffer = _RawOutput(descriptor, self)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        thread = threading.get_ident()
        if thread in _dropping:
            return len(text)
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        if not end:
            self._partial.setdefault(thread, []).append(text)
            return len(text)
        parts = self._partial.pop(thread, None)
        line = text[:end] if parts is None else "".join(parts) + text[:end]
        if end < len(text):
            self._partial[thread] = [text[end:]]
        self._put(line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what this thread has begun."""
        parts = self._partial.pop(threading.get_ident(), None)
        if parts:
            self._put("".join(parts))

    def flush_all(self) -> None:
        """Write what any thread has begun."""
        while self._partial:
            _, parts = self._partial.popitem()
            self._put("".join(parts))

    def _put(self, text: str) -> None:
        with self._lock:
            write_all(self._descriptor, text.encode("utf-8", self.errors))

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Flushes only: the next execution of this process needs the stream."""
        self.flush_all()

    @property
    def line_buffering(self) -> bool:
        return True

    def reconfigure(self, **options: object) -> None:
        """Accepted as by a usual standard stream; the encoding stays UTF-8."""

    def detach(self) -> io.RawIOBase:  # type: ignore[override]
        """The binary stream, for whoever wraps it anew; this stream goes on working."""
        self.flush_all()
        return self.buffer


class _RawOutput(io.RawIOBase):
    """`sys.stdout.buffer`: bytes go straight to the descriptor, after what this thread has begun as text."""

    def __init__(self, descriptor: int, text: OutputStream) -> None:
        self._descriptor = descriptor
        self._text = text

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if threading.get_ident() not in _dropping:
            self._text.flush()
            write_all(self._descriptor, bytes(data))
        return len(data)

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Stays open, as the text stream does."""


STDOUT = OutputStream(1, "<stdout>")
STDERR = OutputStream(2, "<stderr>")


def install_streams() -> None:
    """Make these the standard streams of this process. Done before the user's modules are imported, since some keep the
    streams that they find (`logging.basicConfig()`, loguru)."""
    sys.stdout, sys.stderr = STDOUT, STDERR


@contextmanager
def output_dropped() -> Iterator[None]:
    """Drop what this thread writes to our streams."""
    thread = threading.get_ident()
    if thread in _dropping:
        yield
        return
    _dropping.add(thread)
    try:
        yield
    finally:
        _dropping.discard(thread)


class NoInput(io.TextIOBase):
    """`sys.stdin` of an execution: reading says why there is nothing to read."""

    encoding = "utf-8"

    def _refuse(self) -> NoReturn:
        raise EOFError("an execution has no standard input: pass what it needs as an argument")

    def read(self, size: int | None = -1) -> str:
        self._refuse()

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        self._refuse()

    def __next__(self) -> str:  # type: ignore[override]
        self._refuse()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def isatty(self) -> bool:
        return False


_c_flush = None
_c_buffer: object = None  # kept, since C writes into it


def flush_c_buffers() -> None:
    """Flush C's own buffers, if anything in this process can have filled them."""
    global _c_flush
    if _c_flush is None:
        if "ctypes" not in sys.modules:
            return
        import ctypes

        _c_flush = ctypes.CDLL(None).fflush
    _c_flush(None)


def write_c_lines() -> None:
    """Have C write its standard output line by line, as on a terminal, in this process and those forked from it.

    To a pipe it would be written in blocks, whose ends cut lines. For the start of a process: before C writes anything.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    stream = ctypes.c_void_p.in_dll(libc, "__stdoutp" if sys.platform == "darwin" else "stdout")
    global _c_buffer
    _c_buffer = ctypes.create_string_buffer(_C_BUFFER_SIZE)  # glibc's own would be smaller than many a line
    libc.setvbuf(stream, _c_buffer, _IOLBF, ctypes.c_size_t(_C_BUFFER_SIZE))
