"""A real terminal for a command: a pseudo-terminal of a size, and what its program would show on it.

What is written is kept with the time at which it came, so that a test can look at the bytes themselves, and a benchmark
at when something was to be seen.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyte

__all__ = ["KEYS", "Chunk", "Terminal"]

READ = 1 << 16  # bytes at a time

KEYS = {
    "enter": b"\r",
    "escape": b"\x1b",
    "tab": b"\t",
    "backspace": b"\x7f",
    "down": b"\x1b[B",
    "up": b"\x1b[A",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "ctrl+c": b"\x03",
    "ctrl+r": b"\x12",
}


_OF_ANOTHER = {"CI", "NO_COLOR", "FORCE_COLOR", "SSH_CONNECTION", "COLUMNS", "LINES"}  # what is said of the tests' own


class Chunk(NamedTuple):
    at: float  # monotonic seconds
    data: bytes


class Terminal:
    """Runs a command on a terminal of its own, in a session of its own.

    Attributes:
        process: the command.
        written: all that it has written, as it came.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path | str,
        size: tuple[int, int] = (120, 40),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._terminal, self._line = pty.openpty()
        self.written: list[Chunk] = []
        self._shown = 0  # chunks that the screen has taken in
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._resize(*size)
        self.settings = termios.tcgetattr(self._line)  # as they are before the command
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={
                **{name: value for name, value in (environment or os.environ).items() if name not in _OF_ANOTHER},
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "LANG": "C.UTF-8",
            },
            stdin=self._line,
            stdout=self._line,
            stderr=self._line,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509  # the tests and benchmarks that use it have one thread
        )

    # -- keys and size -----------------------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Press keys: those with a name (see `KEYS`), characters."""
        for key in keys:
            os.write(self._terminal, KEYS.get(key) or key.encode())

    def resize(self, columns: int, lines: int) -> None:
        self.text()  # what was written for the old size
        self._resize(columns, lines)
        self._screen.resize(lines, columns)

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    # -- what is seen ------------------------------------------------------------------------------------------------

    def look(self, seconds: float) -> None:
        """Take in what is written within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._take(left):
            pass

    def _take(self, seconds: float) -> bool:
        """Take in what there is, or what comes first within `seconds`. Returns whether there was something."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._terminal, READ)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False  # nobody has the terminal open any more
        self.written.append(Chunk(time.monotonic(), data))
        return True

    def show(self) -> Iterator[float]:
        """Show what was written and has not been shown, chunk by chunk: gives the time of each, once it is shown."""
        while self._shown < len(self.written):
            chunk = self.written[self._shown]
            self._shown += 1
            self._stream.feed(chunk.data)
            yield chunk.at

    @property
    def lines(self) -> list[str]:
        """The screen as it was shown last."""
        return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        """All that is on the screen now."""
        for _ in self.show():
            pass
        return "\n".join(self.lines)

    def cell(self, column: int, line: int) -> Any:
        """A cell of the screen as it was shown last, with its colours (`pyte.screens.Char`)."""
        return self._screen.buffer[line][column]

    def wait(self, what: str | Callable[[str], object], seconds: float = 10.0) -> float:
        """Wait until a text is on the screen, or something is true of the screen. Returns when it was, in monotonic
        seconds; raises `AssertionError` with the screen when it does not come."""
        is_there = what if callable(what) else lambda text: what in text
        deadline = time.monotonic() + seconds
        while True:
            for at in self.show():
                if is_there("\n".join(self.lines)):
                    return at
            if is_there("\n".join(self.lines)):
                return time.monotonic()
            left = deadline - time.monotonic()
            alive = self.process.poll() is None
            if left <= 0 or (not self._take(min(left, 0.1)) and not alive):
                raise AssertionError(f"{what!r} is not there after {seconds} s:\n{self.text()}")

    @property
    def raw(self) -> bytes:
        """Every byte that was written."""
        return b"".join(chunk.data for chunk in self.written)

    # -- the end -----------------------------------------------------------------------------------------------------

    def ended(self, seconds: float = 10.0) -> int:
        """Wait for the end of the command, and return its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text()}"
            self._take(0.02)
        while self._take(0.0):
            pass
        return self.process.returncode

    @property
    def is_clean(self) -> bool:
        """Whether the terminal is as it was before the command: settings, main screen, cursor, no reports."""
        modes = {"?1049": b"", "?25": b"h", "?1000": b"l", "?1003": b"l", "?1006": b"l", "?2004": b"l"}
        raw = self.raw
        for mode, rest in modes.items():
            on, off = f"\x1b[{mode}h".encode(), f"\x1b[{mode}l".encode()
            wanted, other = (on, off) if rest == b"h" else (off, on)
            if raw.rfind(other) > raw.rfind(wanted):
                return False
        return termios.tcgetattr(self._line) == self.settings

    def close(self) -> None:
        """End the command, if it has not ended, and give the terminal back."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._line)
        os.close(self._terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
