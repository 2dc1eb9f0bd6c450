"""What the command palette finds: commands, targets, runs and steps, by the letters that were typed."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from coflux.tui.painting import Glyphs, Piece
from coflux.tui.state import State
from coflux.tui.text import cell_len, clean, fit, pad

__all__ = [
    "COMMAND_LINES",
    "LIMIT",
    "PREFIXES",
    "Entry",
    "Found",
    "Search",
    "command_line",
    "entries_of",
    "paint_entry",
    "score",
]

LIMIT = 50  # entries that are found at most
KIND_WIDTH = 8  # cells
LONGEST = 200  # characters of an entry that are searched

Kind = Literal["command", "target", "run", "step", "log"]
PREFIXES: dict[str, Kind] = {">": "command", "@": "target", "#": "run", ".": "step", "/": "log"}
"""What is typed first, to find only entries of a kind; the last finds everything but commands, in the log, too."""

COMMAND_LINES = {
    "home.run": "coflux run TARGET",
    "home.rerun": "coflux runs rerun RUN",
    "home.cancel": "coflux runs cancel RUN",
    "run.rerun": "coflux runs rerun RUN:STEP",
    "run.resume": "coflux runs resume RUN",
    "run.cancel": "coflux runs cancel RUN:STEP:ATTEMPT",
    "run.cancel_run": "coflux runs cancel RUN",
    "app.system": "coflux doctor",
}
"""The commands that do the same as a key, by the id of its binding."""


class Entry(NamedTuple):
    """Something that can be done. `what` is for whoever does it: an action, the place of a target, the id of a run or
    a step, a text to search for. `note` stands at the end of its line: its key, and the command that does the same."""

    kind: Kind
    title: str
    note: str
    what: object


class Found(NamedTuple):
    score: int
    order: int  # the negative of its place among all: of equals, the first is the best
    entry: Entry


def command_line(binding: str, run: str) -> str:
    """The command that does the same as the key of a binding; "" where there is none. `run` is the one it is about."""
    line = COMMAND_LINES.get(binding, "")
    return line.replace("RUN", run, 1) if run else line


def entries_of(state: State) -> Iterator[Entry]:
    """Targets, runs, and the steps of the run that is open."""
    for info in state.engine.targets:
        name = f"{info.spec.module}/{info.spec.name}"
        yield Entry("target", name, f"coflux run {name}", (info.spec.module, info.spec.name))
    for row in state.runs:
        yield Entry("run", f"{row.id} {row.module}/{row.name} {row.status.replace('_', ' ')}", "", row.id)
    if state.run is not None:
        for (run, number), node in state.run.tree.steps():
            arguments = "" if node.info is None else ", ".join(node.info.arguments)
            title = f"{node.title}({arguments[:LONGEST]}) {node.state.replace('_', ' ')}"
            yield Entry("step", title, f"{run}:{number}", (run, number))


def score(query: str, text: str) -> int:
    """How well the letters of a lower-case query fit a text that has them in this order: most where they are together,
    and begin words. The text must have them."""
    lowered = text.lower()
    at = lowered.find(query)
    if at >= 0:
        return 1000 - min(at, 100) + (200 if at == 0 or not lowered[at - 1].isalnum() else 0)
    total = place = 0
    for letter in query:
        found = lowered.index(letter, place)
        begins = found == 0 or not lowered[found - 1].isalnum()
        total += 10 if begins else 5 if found == place else 1
        place = found + 1
    return total


class Search:
    """A search through entries, some at a time.

    Attributes:
        kind: the only kind that is searched for, `None` for any.
        text: what is searched for, in lower case.
    """

    def __init__(self, typed: str, entries: Callable[[Kind | None], Iterable[Entry]]) -> None:
        """`entries` gives those to search, for a kind."""
        self.kind: Kind | None = PREFIXES.get(typed[:1])
        self.text = (typed[1:] if self.kind else typed).strip().lower()
        self._entries = enumerate(entries(self.kind))
        self._best: list[Found] = []
        self._in_log: list[Entry] = []  # it fits whatever is typed, so it comes after what fits better
        letters = [re.escape(letter) for letter in self.text if not letter.isspace()]
        self._letters = "".join(letter for letter in self.text if not letter.isspace())
        self._pattern = re.compile(".*?".join(letters), re.IGNORECASE | re.DOTALL)

    def step(self, count: int) -> bool:
        """Look at `count` more entries. Returns whether there may be more."""
        for _ in range(count):
            following = next(self._entries, None)
            if following is None:
                return False
            number, entry = following
            title = entry.title[:LONGEST]
            if entry.kind == "log":
                self._in_log.append(entry)
            elif self._is_wanted(entry) and self._pattern.search(title):
                self._keep(Found(self._score(title), -number, entry))
        return True

    def _is_wanted(self, entry: Entry) -> bool:
        return self.kind in (None, entry.kind) or (self.kind == "log" and entry.kind != "command")

    def _score(self, title: str) -> int:
        if not self._letters:
            return 0
        return score(self.text if self.text in title.lower() else self._letters, title)

    def _keep(self, found: Found) -> None:
        if len(self._best) < LIMIT:
            heapq.heappush(self._best, found)
        else:
            heapq.heappushpop(self._best, found)

    @property
    def found(self) -> list[Entry]:
        """The best so far, best first."""
        return [one.entry for one in sorted(self._best, reverse=True)] + self._in_log


def paint_entry(entry: Entry, width: int, glyphs: Glyphs) -> list[Piece]:
    """An entry in one line: its kind, its title, and its note if there is room."""
    room = width - KIND_WIDTH - 1
    title = fit(clean(entry.title), room, glyphs.ellipsis)
    note = clean(entry.note)
    left = room - cell_len(title) - 2
    note = note if cell_len(note) <= left else fit(note, left, glyphs.ellipsis) if left > 12 else ""
    return [
        (pad(fit(entry.kind, KIND_WIDTH), KIND_WIDTH), "dim"),
        (title, ""),
        (" " * (room - cell_len(title) - cell_len(note)), ""),
        (note, "dim"),
        (" ", ""),
    ]
