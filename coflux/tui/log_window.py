"""Which lines of which entries are on the screen, where entries may have any number of lines.

Nobody knows how many lines a log has in all: to know, one would have to read it. The window hangs on the entry at its
top (or, while it follows, on the last one), and only entries on the screen are ever measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

__all__ = ["LogWindow"]

HeightOf = Callable[[int], int]
Line = tuple[int, int]
"""An entry's index, and the number of one of its lines."""


class LogWindow:
    """
    Attributes:
        cursor: the index of an entry.
        first, skipped: the entry at the top, and how many of its lines are above.
        following: the cursor stays on the last entry, whatever comes.
    """

    def __init__(self, height_of: HeightOf) -> None:
        """`height_of` tells how many lines an entry has, one at least."""
        self.cursor = self.first = self.skipped = 0
        self.following = True
        self._height_of = height_of

    def lay_out(self, count: int, height: int) -> list[Line]:
        """The lines on a screen of `height`, for `count` entries. The cursor's are among them: all, if they fit."""
        height = max(height, 1)
        if not count:
            self.cursor = self.first = self.skipped = 0
            return []
        self.cursor = count - 1 if self.following else max(0, min(self.cursor, count - 1))
        self.first = max(0, min(self.first, count - 1))
        self.skipped = max(0, min(self.skipped, self._height_of(self.first) - 1))
        tall = self._height_of(self.cursor)
        if self.cursor < self.first:
            self.first, self.skipped = self.cursor, max(tall - height, 0)
        elif self.cursor == self.first:
            if tall <= height:
                self.skipped = 0
        elif tall >= height:
            self.first, self.skipped = self.cursor, 0
        elif self._between(height) + tall > height:
            self.first, self.skipped = self._above(self.cursor, height - tall)
        # Nothing is left blank below the end that could be filled from above.
        lines = self._lines(count, height)
        if len(lines) < height:
            self.first, self.skipped = self._above(count, height)
            lines = self._lines(count, height)
        return lines

    def scroll(self, lines: int, count: int, height: int) -> None:
        """Move by lines of the screen; the cursor stays at its place on it."""
        shown = self.lay_out(count, height)
        if not shown:
            return
        self.following = False
        place = next(place for place, (index, _) in enumerate(shown) if index == self.cursor)
        before = self.first, self.skipped
        if lines < 0:
            self.first, self.skipped = self._above(self.first, -lines - self.skipped)
        else:
            self._down(lines, count)
            bottom = self._above(count, height)
            if (self.first, self.skipped) > bottom:
                self.first, self.skipped = max(bottom, before)
        shown = self._lines(count, height)
        if (self.first, self.skipped) == before:  # at the end of the log
            self.cursor = self.first if lines < 0 else count - 1
        else:
            self.cursor = self._nearest(shown, place, height, lines < 0)

    def move(self, entries: int, count: int, height: int) -> None:
        """Move the cursor; through the lines of an entry that does not fit, line by line."""
        shown = self.lay_out(count, height)
        self.following = False
        if not shown:
            return
        last, line = shown[-1]
        if entries > 0 and last == self.cursor and line < self._height_of(last) - 1:
            self.first, self.skipped = self.cursor, self.skipped + 1
        elif entries < 0 and self.first == self.cursor and self.skipped:
            self.skipped -= 1
        else:
            self.cursor += entries

    def shift(self, entries: int) -> None:
        """There are more entries before all others: what is on the screen stays there."""
        self.cursor += entries
        self.first += entries

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _lines(self, count: int, height: int) -> list[Line]:
        lines: list[Line] = []
        index, line = self.first, self.skipped
        while len(lines) < height and index < count:
            lines += [(index, at) for at in range(line, min(self._height_of(index), line + height - len(lines)))]
            index, line = index + 1, 0
        return lines

    def _nearest(self, shown: list[Line], place: int, height: int, upwards: bool) -> int:
        """The entry nearest to a place of the screen that can have the cursor without moving everything: one that is
        there as a whole, or the first if no screen has room for it. If there is none, one that moves it on."""
        first, last = shown[0][0], shown[-1][0]
        count = Counter(index for index, _ in shown)
        fitting = [
            index
            for index in range(first, last + 1)
            if count[index] == self._height_of(index) or (index == first and self._height_of(index) > height)
        ]
        wanted = shown[min(place, len(shown) - 1)][0]
        return min(fitting, key=lambda index: abs(index - wanted), default=first if upwards else last)

    def _between(self, enough: int) -> int:
        """How many lines there are from the top to the cursor's entry, counted up to `enough`."""
        lines, index = -self.skipped, self.first
        while index < self.cursor and lines < enough:
            lines += self._height_of(index)
            index += 1
        return lines

    def _above(self, index: int, lines: int) -> Line:
        """The line that is so many lines above the first one of an entry; the very first, if there are fewer."""
        while lines > 0 and index > 0:
            index -= 1
            lines -= self._height_of(index)
        return index, max(-lines, 0)

    def _down(self, lines: int, count: int) -> None:
        left = self._height_of(self.first) - self.skipped
        while lines >= left and self.first < count - 1:
            lines -= left
            self.first, self.skipped = self.first + 1, 0
            left = self._height_of(self.first)
        self.skipped += min(lines, left - 1)
