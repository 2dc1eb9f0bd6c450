"""What a stream can show, and writing to it without ever blocking on its reader or failing with it."""

from __future__ import annotations

import codecs
import errno
import os
import select
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["BACKLOG", "Output", "Terminal", "is_interactive", "takes_unicode", "terminal_of"]

BACKLOG = 64 * 1024  # bytes that wait for a slow reader before whoever writes had better wait, too
CHUNK = 4096  # bytes; a pipe that polls as writable takes that much without blocking (PIPE_BUF)


class Terminal(NamedTuple):
    """live: a terminal that can be redrawn. color: escape sequences for colours are wanted."""

    live: bool
    color: bool
    unicode: bool
    width: int
    height: int


def terminal_of(fd: int, encoding: str, environment: Mapping[str, str]) -> Terminal:
    """What the stream on descriptor `fd` can show.

    `NO_COLOR` and `TERM=dumb` switch colours off, `FORCE_COLOR` switches them on, also for a pipe. `NO_COLOR` is about
    colours only: the live tree keeps its bold and dim text, as everything does that is drawn with rich.
    """
    interactive = os.isatty(fd) and environment.get("TERM", "dumb") != "dumb"
    color = (interactive or bool(environment.get("FORCE_COLOR"))) and not environment.get("NO_COLOR")
    try:
        width, height = os.get_terminal_size(fd)
    except OSError:
        width, height = 0, 0
    return Terminal(interactive, color, takes_unicode(encoding, environment), width or 80, height or 24)


def can_draw(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a program that fills a terminal can be shown: all standard streams are a terminal, not a dumb one."""
    return all(os.isatty(fd) for fd in (0, 1, 2)) and environment.get("TERM", "dumb") != "dumb"


def is_interactive(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a person at the terminal, not a job of continuous integration that was given one."""
    return can_draw(environment) and not environment.get("CI")


def takes_unicode(encoding: str, environment: Mapping[str, str]) -> bool:
    """Whether our marks can be shown."""
    try:
        "✓►…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return environment.get("TERM") != "linux"  # the console's font lacks the marks


def _escape_for_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4)), error.end


_JSON_ESCAPES = "coflux.json"
codecs.register_error(_JSON_ESCAPES, _escape_for_json)


class Output:
    """A standard stream as a queue: `write` never waits, `push` hands over what the reader takes at this moment.

    A reader that is gone or a full disk ends the stream quietly: `error` tells, and later text is dropped. So nothing
    that happens to the stream can disturb whoever writes to it.
    """

    def __init__(self, fd: int, encoding: str) -> None:
        self.fd = fd
        self.encoding = encoding
        self.error: OSError | None = None
        self._queue = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    @property
    def pending(self) -> int:
        """Bytes that wait for the reader."""
        return len(self._queue)

    def put(self, text: str, errors: str = "backslashreplace") -> None:
        """Queue it for the next `push`: many lines in one go are much cheaper than one by one."""
        if self.error is None:
            self._queue += text.encode(self.encoding, errors)

    def write(self, text: str, errors: str = "backslashreplace") -> int:
        self.put(text, errors)
        self.push()
        return len(text)

    def line(self, text: str) -> None:
        self.write(text + "\n")

    def json(self, document: bytes | str) -> None:
        """Write JSON and the end of its line; what the encoding lacks as JSON's own `\\u` escapes."""
        text = document if isinstance(document, str) else document.decode()
        self.write(text + "\n", _JSON_ESCAPES)

    def push(self) -> None:
        """Write what can be written now."""
        while self._queue and self._poll.poll(0):
            self._write_chunk()

    def flush(self) -> None:
        """Wait until everything is written, or the stream has failed."""
        while self._queue:
            self._poll.poll()
            self._write_chunk()

    def _write_chunk(self) -> None:
        try:
            del self._queue[: os.write(self.fd, self._queue[:CHUNK])]
        except BlockingIOError:
            self._poll.poll(50)  # somebody made the stream non-blocking: its poll may promise too much
        except OSError as error:
            self.error = error
            self._queue.clear()

    def failure(self) -> str:
        """What went wrong, for people; "" when nothing did, or when the reader simply left."""
        if self.error is None or self.error.errno in (errno.EPIPE, errno.EIO, errno.EBADF):
            return ""
        return self.error.strerror or str(self.error)
