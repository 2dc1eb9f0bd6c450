"""The log on the screen as data: the ids of the entries that are shown, and of the entries themselves those near it.

A run may have a million entries, and a filter may leave any of them. What is held of each is its id, 8 bytes; they come
from the end of the log backwards, and what is new meanwhile. Entries are asked for when they come near the screen, and
until they are there their lines say so.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import overload

from coflux.executor.history import LogEntry
from coflux.tui.log_query import matches
from coflux.tui.updates import (
    LogEntries,
    LogFileThere,
    LogFilter,
    LogGone,
    LogIds,
    LogLive,
    LogMatches,
    LogSaveAsked,
    LogSearch,
    LogTimeFound,
    LogWhole,
    Update,
)

__all__ = ["Ids", "LogModel", "LogState"]

KEPT = 4000  # entries
FEW = 20  # ids that are taken out one by one

BarKey = tuple[str, int, int, int]


class Ids(Sequence[int]):
    """Increasing numbers, 8 bytes each, to which more are added at either end."""

    def __init__(self) -> None:
        self._before = array("q")  # backwards
        self._after = array("q")

    def __len__(self) -> int:
        return len(self._before) + len(self._after)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        at = index - len(self._before)
        return self._after[at] if at >= 0 else self._before[-at - 1]

    def extend(self, ids: Iterable[int]) -> None:
        """Add greater ones."""
        self._after.extend(ids)

    def prepend(self, ids: Sequence[int]) -> None:
        """Add smaller ones, which are in order themselves."""
        self._before.extend(reversed(ids))

    @property
    def lead(self) -> int:
        """How many have been added before all others: by so much each has moved."""
        return len(self._before)

    def place(self, number: int) -> int:
        """Where a number is, or would be."""
        return bisect_left(self, number)

    def discard(self, numbers: Collection[int]) -> None:
        if len(numbers) > FEW:
            self._before = array("q", [one for one in self._before if one not in numbers])
            self._after = array("q", [one for one in self._after if one not in numbers])
            return
        for number in numbers:
            index = self.place(number)
            if index < len(self) and self[index] == number:
                at = index - len(self._before)
                if at >= 0:
                    self._after.pop(at)
                else:
                    self._before.pop(-at - 1)


class LogModel:
    """A new one for every filter. On its lines are all entries in order of arrival, or only the `matches` of a search
    if those are all that is shown (`hiding`); then those that are still drawn again and again (`live`).

    Attributes:
        left, matches_left: the share of the store that has not been looked through, for entries and for matches.
        search: what is looked for; `None` for nothing.
        hiding: what is not looked for is not shown.
        gone: entries were there, and have been removed.
        trouble: why no entries can be read; "" if they can.
    """

    def __init__(self) -> None:
        self.ids = Ids()
        self.matches = Ids()
        self.left = self.matches_left = 1.0
        self.search: LogSearch | None = None
        self.search_number = 0
        self.hiding = False
        self.gone = False
        self.trouble = ""
        self._live: Sequence[LogEntry] = ()
        self._entries: OrderedDict[int, LogEntry] = OrderedDict()
        self._bars: dict[BarKey, int] = {}  # of those entries
        self._wholes: dict[int, LogWhole] = {}
        self._asked: set[int] = set()

    # -- lines -------------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> Ids:
        """The ids on the lines, but for those that are live."""
        return self.matches if self.hiding and self.search is not None else self.ids

    @property
    def live(self) -> Sequence[LogEntry]:
        if self.shown is self.ids:
            return self._live
        return [entry for entry in self._live if self.search is None or matches(self.search, entry)]

    def __len__(self) -> int:
        return len(self.shown) + len(self.live)

    @property
    def shown_left(self) -> float:
        return self.left if self.shown is self.ids else self.matches_left

    def id_at(self, index: int) -> int:
        """The id on a line."""
        at = index - len(self.shown)
        return self.shown[index] if at < 0 else self.live[at].id

    def entry(self, index: int) -> LogEntry | None:
        """The entry on a line; `None` while it is not here."""
        at = index - len(self.shown)
        if at >= 0:
            return self.live[at]
        entry = self._entries.get(self.shown[index])
        if entry is not None:
            self._entries.move_to_end(entry.id)
        return entry

    def whole(self, entry_id: int) -> LogWhole | None:
        return self._wholes.get(entry_id)

    def lacks(self, start: int, stop: int) -> bool:
        """Whether an entry on these lines is not here."""
        shown = self.shown
        return any(shown[index] not in self._entries for index in range(max(start, 0), min(stop, len(shown))))

    def want(self, start: int, stop: int) -> list[int]:
        """The ids on these lines whose entries are to be asked for: those that are neither here nor asked for."""
        shown = self.shown
        ids = [shown[index] for index in range(max(start, 0), min(stop, len(shown)))]
        wanted = [one for one in ids if one not in self._entries and one not in self._asked]
        self._asked.update(wanted)
        return wanted

    # -- searching ---------------------------------------------------------------------------------------------------

    def look_for(self, search: LogSearch | None) -> int:
        """Look for something else. Returns the number of the search."""
        self.search = search
        self.matches = Ids()
        self.matches_left = 1.0
        self.search_number += 1
        return self.search_number

    def match_from(self, entry_id: int, *, backwards: bool) -> int | None:
        """The nearest match to an entry, after it or before."""
        place = self.matches.place(entry_id)
        if backwards:
            return self.matches[place - 1] if place else None
        place += place < len(self.matches) and self.matches[place] == entry_id
        return self.matches[place] if place < len(self.matches) else None

    # -- what is told ------------------------------------------------------------------------------------------------

    def extend(self, told: LogIds) -> None:
        if told.before:
            self.ids.prepend(told.ids)
        else:
            self.ids.extend(told.ids)
        self.left = told.left
        self.trouble = ""
        self.gone = self.gone and not self.ids

    def extend_matches(self, told: LogMatches) -> None:
        if told.before:
            self.matches.prepend(told.ids)
        else:
            self.matches.extend(told.ids)
        self.matches_left = told.left

    def supply(self, told: LogEntries) -> None:
        """Entries are here. Those that are not there any more have come under another id since, or were removed."""
        self._asked.difference_update(told.ids)
        for entry in told.entries:
            self._entries[entry.id] = entry
            if entry.bar is not None:
                self._bars[entry.run, entry.step, entry.attempt, entry.bar] = entry.id
        if len(told.entries) < len(told.ids):
            self._discard({*told.ids} - {entry.id for entry in told.entries})
        while len(self._entries) > KEPT:
            _, entry = self._entries.popitem(last=False)
            if entry.bar is not None:
                self._bars.pop((entry.run, entry.step, entry.attempt, entry.bar), None)

    def supply_whole(self, told: LogWhole) -> None:
        self._wholes[told.entry.id] = told

    def set_live(self, entries: Sequence[LogEntry]) -> None:
        self._live = entries
        again = set()
        for entry in entries:
            assert entry.bar is not None
            key = entry.run, entry.step, entry.attempt, entry.bar
            if self._bars.get(key, entry.id) != entry.id:
                again.add(self._bars.pop(key))  # it was complete, and is drawn again under another id
        if again:
            self._discard(again)

    def _discard(self, ids: Collection[int]) -> None:
        self.ids.discard(ids)
        self.matches.discard(ids)
        for one in ids:
            self._entries.pop(one, None)


class LogState:
    """The log that is shown.

    Attributes:
        number: tells the answers about it from those about the ones before.
        added: how many entries have come at its end since somebody looked.
        changed: its lines are others, or look different.
        found: an entry of the time that was asked for.
        unsaved: what was to be saved where a file is already, and has not been asked about.
    """

    def __init__(self) -> None:
        self.model = LogModel()
        self.filter: LogFilter | None = None
        self.number = 0
        self.added = 0
        self.changed = True
        self.found: int | None = None
        self.unsaved: list[LogSaveAsked] = []

    def open(self, log_filter: LogFilter) -> int:
        """Begin another log; returns the number of the request for it."""
        self.model = LogModel()
        self.filter = log_filter
        self.number += 1
        self.added = 0
        self.changed = True
        self.found = None
        return self.number

    def take(self, update: Update) -> None:
        model = self.model
        searched = model.search_number
        match update:
            case LogIds(self.number):
                model.extend(update)
                self.added += 0 if update.before or model.shown is not model.ids else len(update.ids)
            case LogMatches(self.number, number) if number == searched:
                model.extend_matches(update)
                self.added += 0 if update.before or model.shown is model.ids else len(update.ids)
            case LogEntries(self.number):
                model.supply(update)
            case LogWhole(self.number):
                model.supply_whole(update)
            case LogLive(self.number, entries):
                model.set_live(entries)
            case LogGone(self.number, why):
                self._forget(why)
            case LogTimeFound(self.number, found):
                self.found = found
            case LogFileThere(request):
                self.unsaved.append(request)
                return
            case _:
                return
        self.changed = True

    def _forget(self, why: str) -> None:
        """Nothing of what was told is there any more; the same is looked for in what may come."""
        before, self.model = self.model, LogModel()
        self.model.search, self.model.search_number = before.search, before.search_number
        self.model.hiding, self.model.trouble = before.hiding, why
        self.model.gone = not why
        self.added = 0
