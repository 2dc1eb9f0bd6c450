"""What a worker's process, its C code and its children write: pipes in, log rows out.

Lines are cut at newlines; of a line that is drawn again and again (a progress bar) the latest picture counts, see
`line_screen`. A line that is not finished is kept until its end comes, or the execution's; one that rests is shown as
it is, up to what may be the beginning of a secret.
"""

from __future__ import annotations

import fcntl
import os
import termios
from collections.abc import Callable, Iterator

from coflux.executor.line_screen import LineScreen, Picture
from coflux.executor.rows import LogRow
from coflux.logs import Level
from coflux.redaction import Redactor

__all__ = ["CUT_BEGINNING", "REFRESH", "EntryLimit", "OutputPipe"]

ATTEMPT_LIMIT = 64 << 20  # bytes of one attempt: for each stream, and for entries; what follows is dropped and counted
ROW_SIZE = 16  # bytes that a row counts for beside its text: millions of short ones are much, too
REFRESH = 0.2  # seconds between two looks at unfinished lines
REST = 0.15  # seconds without more until a partial line is shown
CUT_BEGINNING = 4  # characters of a secret that are not shown where output ends
READ_SIZE = 1 << 16  # bytes, the most
LINES_AT_ONCE = 500  # about as many are read: a turn of the supervisor's has to be short, and lines can be


class OutputPipe:
    """One stream of one worker. `emit` gets the rows; rows go to the execution that ran when they were read. `bars`
    numbers progress bars, and has to be the same for both streams."""

    def __init__(
        self,
        descriptor: int,
        level: Level,
        emit: Callable[[LogRow], None],
        bars: Iterator[int],
        redactor: Redactor,
    ) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._level = level
        self._emit = emit
        self._redactor = redactor
        self._owner: tuple[str, int, int] | None = None
        self._bars = bars
        self._screen: LineScreen | None = None  # once there is output
        self._room = ATTEMPT_LIMIT
        self._dropped = 0
        self._read_size = LINES_AT_ONCE

    def belongs_to(self, owner: tuple[str, int, int] | None) -> None:
        """What is read from now on is this execution's (run, step, attempt)."""
        self._owner = owner
        self._screen = None
        self._room = ATTEMPT_LIMIT
        self._dropped = 0

    def read(self, wall: float) -> bool:
        """Take some of what there is. False at the end of the stream."""
        try:
            data = os.read(self.descriptor, self._read_size)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._take(data, wall)
        line_size = len(data) // (data.count(b"\n") + 1) + 1
        self._read_size = min(line_size * LINES_AT_ONCE, READ_SIZE)
        return bool(data)

    def drain(self, wall: float) -> None:
        """Take what the pipe holds now, and finish all lines: the execution has ended."""
        left = self._readable()
        while left > 0:
            try:
                data = os.read(self.descriptor, min(left, READ_SIZE))
            except BlockingIOError:
                break
            if not data:
                break
            left -= len(data)
            self._take(data, wall)
        if self._screen is not None:
            self._put(self._screen.close(), wall, cut=CUT_BEGINNING)
            self._screen = None
        if self._dropped:
            self._put_marker(f"{self._dropped:,} bytes of output dropped", wall)
            self._dropped = 0

    def show_unfinished(self, wall: float) -> None:
        """Show what has changed and is not finished: progress bars, and a partial line that rests (a prompt)."""
        if self._screen is not None:
            self._put(self._screen.settle(wall, REST, self._redactor.held), wall)

    @property
    def unfinished(self) -> bool:
        """Whether there is something to show."""
        return self._screen is not None and self._screen.open

    def _readable(self) -> int:
        try:
            return int.from_bytes(fcntl.ioctl(self.descriptor, termios.FIONREAD, b"\0\0\0\0"), "little")
        except OSError:
            return 0

    def _take(self, data: bytes, wall: float) -> None:
        if self._room <= 0:
            self._dropped += len(data)
            return
        if self._screen is None:
            self._screen = LineScreen(self._bars)
        self._put(self._screen.feed(data, wall), wall)

    def _put(self, pictures: list[Picture], wall: float, cut: int = 0) -> None:
        """Lines become rows: here, and nowhere else. `cut`: see `Redactor.text`."""
        if self._owner is None:
            return
        run, step, attempt = self._owner
        for data, bar, live, dropped in pictures:
            text = data.decode("utf-8", "backslashreplace")
            text = self._redactor.text(text, cut=CUT_BEGINNING if live or dropped else cut)
            if dropped:
                text += f" … {dropped:,} bytes of this line dropped"
            if not live:
                self._room -= len(data) + ROW_SIZE
                if self._room < 0 and bar is None:
                    self._dropped += len(data) + 1
                    continue
            self._emit(LogRow(run, step, attempt, wall, self._level, text, None, None, bar, live))

    def _put_marker(self, text: str, wall: float) -> None:
        if self._owner is not None:
            marker = f"… {text} (the limit is {ATTEMPT_LIMIT >> 20} MiB)"
            self._emit(LogRow(*self._owner, wall, self._level, marker, None))

    def close(self) -> None:
        os.close(self.descriptor)


class EntryLimit:
    """How much of what one execution logs is recorded."""

    def __init__(self) -> None:
        self._room = ATTEMPT_LIMIT
        self._entries = 0
        self._bytes = 0

    def admits(self, size: int) -> bool:
        """Whether an entry of this size (bytes) is recorded; if not, it is counted."""
        self._room -= size + ROW_SIZE
        if self._room >= 0:
            return True
        self._entries += 1
        self._bytes += size
        return False

    def marker(self) -> str | None:
        """What became of the entries that were not recorded; `None` if there are none."""
        if not self._entries:
            return None
        return (
            f"… {self._entries:,} log entries ({self._bytes:,} bytes) dropped (the limit is {ATTEMPT_LIMIT >> 20} MiB)"
        )
