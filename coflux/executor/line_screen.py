"""A stream of output as lines, of which those that are drawn again and again (progress bars) count as they look last.

A small model of a terminal, for the last lines only. It knows what redraws lines: carriage returns, the cursor's way up
and down, the erasing of lines. All else is text, and stays in it as it is.

    plain text     ─ "\\n" ─▶ finished at once
    a drawn line   ─ "\\n" ─▶ stays open, since the cursor may come back, until it has been at rest for a while, plain
                             lines follow, or it is too far up
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["LineScreen", "Picture"]

LINE_LIMIT = 1 << 20  # bytes of one line; the rest of it is dropped
WINDOW = 32  # lines that the cursor can come back to
LONGEST_TOKEN = 12  # bytes
SETTLED = 1.0  # seconds after which a drawn line above the cursor is taken for finished

_TOKEN = re.compile(rb"\n|\r|\x1b\[(?:\?25(?P<cursor>[lh])|(?P<number>[0-9]*)(?P<command>[ABEFGJK]))")
_DRAWING = re.compile(rb"\r|\x1b\[(?:\?25[lh]|[0-9]*[ABEFGJK])")
_CUT_TOKEN = re.compile(rb"\x1b(?:\[(?:\??[0-9]{0,8})?)?\Z")  # at the end of what was read: the rest is to come


class Picture(NamedTuple):
    """A line as it is now. `bar` tells drawn lines of the stream's owner apart; `live`: it will probably be drawn
    again. `dropped`: how many bytes it was longer."""

    text: bytes
    bar: int | None = None
    live: bool = False
    dropped: int = 0


class _Line:
    """A line that the cursor may come back to."""

    __slots__ = ("bar", "changed_at", "drawn", "dropped", "earlier", "final", "fresh", "settled", "text")

    def __init__(self) -> None:
        self.text = bytearray()
        self.dropped = 0
        self.drawn = False  # it has been drawn over, or is likely to be
        self.earlier = b""  # the last text that it had before this one and that was not blank
        self.bar: int | None = None  # once it has been shown as a bar
        self.fresh = False  # it has not been shown as it is now
        self.settled = False  # it has come to rest, and has been shown as finished
        self.final: Picture | None = None  # the last picture that was given, if it was as finished
        self.changed_at = 0.0

    def add(self, data: bytes) -> None:
        room = LINE_LIMIT - len(self.text)
        self.dropped += max(len(data) - room, 0)
        self.text += data if len(data) <= room else data[: max(room, 0)]
        self.fresh = True
        self.settled = False

    def clear(self) -> None:
        if self.text.strip():
            self.earlier = bytes(self.text)
        self.text.clear()
        self.dropped = 0
        self.drawn = True

    def picture(self, *, live: bool = False) -> Picture:
        """As it looks; one that was wiped at its end, as it looked before."""
        wiped = self.earlier and not self.text.strip()
        return Picture(self.earlier if wiped else bytes(self.text), self.bar, live, 0 if wiped else self.dropped)

    def give(self, *, live: bool = False) -> list[Picture]:
        """Its picture, but for one that was given as finished and is still the same."""
        picture = self.picture(live=live)
        if self.final == picture._replace(live=False):
            return []
        self.final = None if live else picture
        return [picture]


class LineScreen:
    """Takes what a stream writes, and gives lines, in order. Blank lines are left out.

    `bars` gives the numbers of drawn lines.
    """

    def __init__(self, bars: Iterator[int]) -> None:
        self._bars = bars
        self._lines = [_Line()]  # the last ones; the cursor is on one of them, and only the last may be plain
        self._row = 0
        self._above = 0  # finished lines above them, as far as the cursor can get
        self._replaces = False  # what is written next takes the place of what the line holds
        self._hidden = False  # the cursor, as while a program draws many lines at once
        self._cut = b""  # the beginning of an escape sequence

    def feed(self, data: bytes, now: float) -> list[Picture]:
        """Take `data`; return what it has finished. `now` is in seconds."""
        if self._cut:
            data = self._cut + data
            self._cut = b""
        drawn = self._replaces or self._hidden or len(self._lines) > 1 or self._lines[0].drawn
        if not drawn and not _DRAWING.search(data):
            return self._feed_plain(data, now)
        finished: list[Picture] = []
        at = 0
        for token in _TOKEN.finditer(data):
            if token.start() > at:
                self._write(data[at : token.start()], now)
            at = token.end()
            self._obey(token, finished, now)
        self._write_last(data[at:], now)
        return finished

    def _feed_plain(self, data: bytes, now: float) -> list[Picture]:
        """What most programs write most of the time: text and newlines."""
        if b"\n" not in data:
            self._write_last(data, now)
            return []
        line = self._lines[0]
        first, *rest, last = data.split(b"\n")
        line.add(first)
        finished = [line.picture()] if line.text else []
        self._lines[0] = _Line()
        self._above = min(self._above + 1 + len(rest), WINDOW)
        finished += [
            Picture(text) if len(text) <= LINE_LIMIT else Picture(text[:LINE_LIMIT], dropped=len(text) - LINE_LIMIT)
            for text in rest
            if text
        ]
        self._write_last(last, now)
        return finished

    @property
    def open(self) -> bool:
        """Whether there is anything that `settle` has to show, now or later."""
        return any(
            line.fresh or (line.drawn and row < self._row and not line.settled) for row, line in enumerate(self._lines)
        )

    def settle(self, now: float, rest: float, held: Callable[[bytearray], int] = lambda text: 0) -> list[Picture]:
        """Show drawn lines as they are now, and a plain one to which nothing has been added for `rest` seconds, such as
        a prompt: what is written later is another line. `held` says how many bytes at its end are not to be shown yet:
        the other line begins with them."""
        shown: list[Picture] = []
        for row, line in enumerate(self._lines):
            if line.drawn:
                shown += self._show(line, above=row < self._row, now=now)
        last = self._lines[-1]
        if not last.drawn and last.text and now - last.changed_at >= rest and not self._cut:
            end = len(last.text) - held(last.text)
            following = _Line()
            following.text, following.changed_at = last.text[end:], last.changed_at
            del last.text[end:]
            if last.text:
                shown.append(last.picture())
            self._lines[-1] = following
        return shown

    def _show(self, line: _Line, *, above: bool, now: float) -> list[Picture]:
        """A drawn line if it has changed, or has come to rest above the cursor."""
        settles = above and not line.settled and now - line.changed_at >= SETTLED
        if not (line.fresh or settles):
            return []
        line.fresh = False
        line.settled = settles
        if not (line.text.strip() or line.earlier):
            return []
        if line.bar is None:
            line.bar = next(self._bars)
        return line.give(live=not settles)

    def close(self) -> list[Picture]:
        """Finish everything: nothing more will come."""
        if self._cut:
            self._lines[self._row].add(self._cut)
        finished: list[Picture] = []
        self._finish(len(self._lines), finished)
        return finished

    # -- text ---------------------------------------------------------------------------------------------------------

    def _write_last(self, data: bytes, now: float) -> None:
        """Write what a chunk ends with, but for an escape sequence that is cut off there."""
        if cut := _CUT_TOKEN.search(data, max(len(data) - LONGEST_TOKEN, 0)):
            self._cut = cut[0]
            data = data[: cut.start()]
        if data:
            self._write(data, now)

    def _write(self, data: bytes, now: float) -> None:
        line = self._lines[self._row]
        if self._replaces:
            self._replaces = False
            line.clear()
        line.drawn = line.drawn or self._hidden
        line.changed_at = now
        line.add(data)

    # -- what moves the cursor ----------------------------------------------------------------------------------------

    def _obey(self, token: re.Match[bytes], finished: list[Picture], now: float) -> None:
        if token[0] == b"\n":
            self._next_line(finished)
        elif token[0] == b"\r":
            self._replaces = True
        elif token["cursor"]:
            self._hidden = token["cursor"] == b"l"
        elif not self._move(token["command"], int(token["number"] or 0)):
            self._write(token[0], now)

    def _next_line(self, finished: list[Picture]) -> None:
        if self._row < len(self._lines) - 1:
            self._row += 1
            self._replaces = True
            return
        line = self._lines[-1]
        self._replaces = False
        if line.drawn or self._hidden or (not line.text and self._row):
            self._lines.append(_Line())
            self._row += 1
            self._finish(len(self._lines) - WINDOW, finished)
        else:  # a plain line: what was drawn above it is over
            self._finish(len(self._lines), finished)
            self._lines = [_Line()]
            self._row = 0

    def _finish(self, count: int, finished: list[Picture]) -> None:
        """Let the first `count` lines go."""
        for line in self._lines[: max(count, 0)]:
            if line.text or line.earlier:
                finished += line.give()
            self._above = min(self._above + 1, WINDOW)
        if count > 0:
            del self._lines[:count]
            self._row = max(self._row - count, 0)

    def _move(self, command: bytes, number: int) -> bool:
        """Obey an escape sequence. False if it has no effect that matters: then it is text."""
        match command:
            case b"A" | b"F":
                return self._up(max(number, 1))
            case b"B" | b"E":
                return self._down(max(number, 1))
            case b"G" if number <= 1:
                self._replaces = True
                return True
            case b"K":
                return self._erase_line(number)
            case b"J" if number == 0:
                return self._erase_below()
            case _:
                return False

    def _up(self, number: int) -> bool:
        moved = False
        for _ in range(min(number, WINDOW)):
            if self._row:
                self._row -= 1
            elif self._above:  # over a finished line: what is drawn there is a new one
                self._above -= 1
                self._lines.insert(0, _Line())
            else:
                break
            moved = True
        self._replaces = self._replaces or moved
        return moved

    def _down(self, number: int) -> bool:
        row = min(self._row + number, len(self._lines) - 1)
        moved = row != self._row
        self._row = row
        self._replaces = self._replaces or moved
        return moved

    def _erase_line(self, number: int) -> bool:
        line = self._lines[self._row]
        if number == 2 and (line.text or self._replaces):
            self._replaces = True
        return self._replaces or (number == 0 and line.drawn)

    def _erase_below(self) -> bool:
        for line in self._lines[self._row + 1 :]:
            line.clear()
        return self._replaces or self._row < len(self._lines) - 1
