"""What a worker's process, its C code and its children write: pipes in, log rows out.

Lines are cut at newlines; of a line that carriage returns redraw (a progress bar) the last picture counts. A line that
is not finished is kept until its end comes, or the execution's; one that rests is shown as it is, up to what may be the
beginning of a secret.
"""

from __future__ import annotations

import fcntl
import os
import termios
from collections.abc import Callable

from coflux.executor.rows import LogRow
from coflux.logs import Level
from coflux.redaction import Redactor

__all__ = ["CUT_BEGINNING", "OutputPipe"]

LINE_LIMIT = 1 << 20  # bytes of one line; the rest of it is dropped, with a marker
ATTEMPT_LIMIT = 64 << 20  # bytes of one attempt and stream; what follows is dropped, with a marker
REST = 0.2  # seconds without a newline until a partial line is shown
CUT_BEGINNING = 4  # characters of a secret that are not shown where output ends
READ_SIZE = 1 << 16
READS_A_TURN = 16


class OutputPipe:
    """One stream of one worker. `emit` gets the rows; rows go to the execution that ran when they were read."""

    def __init__(self, descriptor: int, level: Level, emit: Callable[[LogRow], None], redactor: Redactor) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._level = level
        self._emit = emit
        self._redactor = redactor
        self._owner: tuple[str, int, int] | None = None
        self._line = bytearray()
        self._taken = 0
        self._dropped = 0
        self._line_dropped = 0
        self._touched_at = 0.0

    def belongs_to(self, owner: tuple[str, int, int] | None) -> None:
        """What is read from now on is this execution's (run, step, attempt)."""
        self._owner = owner
        self._taken = self._dropped = 0

    def read(self, wall: float) -> bool:
        """Take what there is. False at the end of the stream."""
        for _ in range(READS_A_TURN):
            try:
                data = os.read(self.descriptor, READ_SIZE)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._take(data, wall)
            if len(data) < READ_SIZE:
                return True
        return True

    def drain(self, wall: float) -> None:
        """Take what the pipe holds now, and finish the line: the execution has ended."""
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
        self._finish_line(wall, cut=CUT_BEGINNING)
        if self._dropped:
            self._put(f"… {self._dropped:,} bytes of output dropped (the limit is {ATTEMPT_LIMIT >> 20} MiB)", wall)
            self._dropped = 0

    def show_resting(self, wall: float) -> None:
        """Show a partial line to which nothing has been added for a while (a prompt, a progress bar)."""
        if self._line and wall - self._touched_at >= REST:
            held = self._redactor.held(self._line)
            shown = len(self._line) - held
            rest = self._line[shown:]
            del self._line[shown:]
            self._finish_line(wall)
            self._line += rest

    @property
    def resting(self) -> bool:
        return bool(self._line)

    def _readable(self) -> int:
        try:
            return int.from_bytes(fcntl.ioctl(self.descriptor, termios.FIONREAD, b"\0\0\0\0"), "little")
        except OSError:
            return 0

    def _take(self, data: bytes, wall: float) -> None:
        room = ATTEMPT_LIMIT - self._taken
        if len(data) > room:
            self._dropped += len(data) - max(room, 0)
            data = data[: max(room, 0)]
        self._taken += len(data)
        self._touched_at = wall
        if b"\n" not in data:
            self._extend(data)
            return
        first, *lines = data.split(b"\n")
        self._extend(first)
        for line in lines:
            self._finish_line(wall)
            self._extend(line)

    def _extend(self, data: bytes) -> None:
        room = LINE_LIMIT - len(self._line)
        if len(data) > room:
            self._line_dropped += len(data) - room
            data = data[:room]
        self._line += data
        if b"\r" in data:
            self._redraw()

    def _redraw(self) -> None:
        """Of what carriage returns have overwritten, keep only the last picture."""
        kept = self._line.rstrip(b"\r")
        ends = len(self._line) - len(kept)
        at = kept.rfind(b"\r")
        if at >= 0:
            kept = kept[at + 1 :]
        self._line = kept + b"\r" * min(ends, 1)

    def _finish_line(self, wall: float, cut: int = 0) -> None:
        """Emit what was begun. Blank lines are left out. `cut`: see `Redactor.text`."""
        if not self._line:
            return
        text = bytes(self._line.rstrip(b"\r")).decode("utf-8", "surrogateescape")
        text = text.encode("utf-8", "backslashreplace").decode()
        text = self._redactor.text(text, cut=CUT_BEGINNING if self._line_dropped else cut)
        self._line.clear()
        if self._line_dropped:
            text += f" … {self._line_dropped:,} bytes of this line dropped"
            self._line_dropped = 0
        if text:
            self._put(text, wall)

    def _put(self, text: str, wall: float) -> None:
        if self._owner is not None:
            run, step, attempt = self._owner
            self._emit(LogRow(run, step, attempt, wall, self._level, text, None))

    def close(self) -> None:
        os.close(self.descriptor)
