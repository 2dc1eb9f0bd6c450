"""The log on the screen as data: the ids of the entries that are shown, and of the entries themselves a few pages.

A run may have a million entries, and a filter may leave any of them. What is held of each is its id, 8 bytes; entries
are asked for a page at a time when they come near the screen, and until they are there their lines say so.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from coflux.executor.history import LogEntry
from coflux.tui.updates import LogFilter, LogIds, LogPage, Update

__all__ = ["PAGE", "LogModel", "LogState"]

PAGE = 200  # entries
KEPT_PAGES = 40


class LogModel:
    """Entries in order of arrival; a new one for every filter."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._pages: OrderedDict[int, list[LogEntry | None]] = OrderedDict()
        self._wanted: dict[int, None] = {}
        self._asked: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, ids: Iterable[int]) -> None:
        """More entries match."""
        last_page = len(self._ids) // PAGE
        self._ids.extend(ids)
        # It may have been asked for, or be held, with fewer entries.
        self._pages.pop(last_page, None)
        self._asked.discard(last_page)

    def entry(self, index: int) -> LogEntry | None:
        """The entry on a line; `None` while it is not here, and then it is wanted."""
        number, offset = divmod(index, PAGE)
        page = self._pages.get(number)
        if page is None:
            self._wanted[number] = None
            return None
        self._pages.move_to_end(number)
        return page[offset] if offset < len(page) else None

    def take_wanted(self) -> list[tuple[int, Sequence[int]]]:
        """Pages that have come to be needed: the number of each, and the ids of its entries."""
        wanted = [number for number in self._wanted if number not in self._asked and number not in self._pages]
        self._wanted.clear()
        self._asked.update(wanted)
        return [(number, self._ids[number * PAGE : (number + 1) * PAGE]) for number in wanted]

    def supply(self, number: int, entries: Iterable[LogEntry]) -> range:
        """A page is here. Returns its lines."""
        self._asked.discard(number)
        ids = self._ids[number * PAGE : (number + 1) * PAGE]
        by_id = {entry.id: entry for entry in entries}
        self._pages[number] = [by_id.get(one) for one in ids]
        if len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
        return range(number * PAGE, number * PAGE + len(ids))


class LogState:
    """The log that is shown.

    Attributes:
        number: tells the answers about it from those about the ones before.
        lines: which lines look different now; `None` for all.
        grew: whether there are more.
    """

    def __init__(self) -> None:
        self.model = LogModel()
        self.filter: LogFilter | None = None
        self.number = 0
        self.lines: set[int] | None = set()
        self.grew = False

    def open(self, log_filter: LogFilter) -> int:
        """Begin another log; returns the number of the request for it."""
        self.model = LogModel()
        self.filter = log_filter
        self.number += 1
        self.lines = None
        return self.number

    def take(self, update: Update) -> None:
        match update:
            case LogIds(self.number, ids):
                self.model.extend(ids)
                self.grew = True
            case LogPage(self.number, page, entries):
                lines = self.model.supply(page, entries)
                if self.lines is not None:
                    self.lines.update(lines)
