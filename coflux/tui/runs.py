"""The list of runs as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import TypeVar

from coflux.executor.rows import RunRow, Status
from coflux.tui.tree import PROBLEMS, UNFINISHED
from coflux.tui.updates import RunBrief, RunsRead, Update

__all__ = ["Order", "Pick", "RunsModel", "is_active"]

_NOTHING = RunBrief()

_Member = TypeVar("_Member", bound=Enum)


class Pick(Enum):
    """Which runs are shown."""

    ALL = "all"
    ACTIVE = "active"
    PROBLEMS = "problems"


class Order(Enum):
    """What comes first: the newest, the longest, the first by name, or what needs somebody most."""

    START = "start"
    DURATION = "duration"
    TARGET = "target"
    STATE = "state"


_URGENCY: Sequence[str] = (
    "failed", "timed_out", "abandoned", "running", "queued", "suspended", "cancelled", "deferred", "spawned", "cached",
    "recurred", "succeeded",
)  # fmt: skip


class RunsModel:
    """The newest runs.

    Attributes:
        shown: those that pass the filter, in order, after `layout`.
        counts: how many runs there are in which state, listed or not.
        text: what must be in the id, the target, the arguments, the state or the problem.
    """

    def __init__(self) -> None:
        self.shown: list[RunRow] = []
        self.counts: Mapping[Status, int] = {}
        self.pick = Pick.ALL
        self.order = Order.START
        self.text = ""
        self._rows: dict[str, RunRow] = {}
        self._briefs: Mapping[str, RunBrief] = {}
        self._by_target: dict[tuple[str, str], list[RunRow]] = {}
        self._changed = True  # `shown` has to be worked out anew

    def take(self, update: Update) -> None:
        if isinstance(update, RunsRead):
            self._rows = {row.id: row for row in update.rows}
            self._briefs = update.briefs
            self.counts = update.counts
            self._by_target = {}
            for row in update.rows:
                self._by_target.setdefault((row.module, row.name), []).append(row)
            self._changed = True

    def filter(self, text: str) -> None:
        self.text, self._changed = text.lower(), True

    def next_pick(self) -> None:
        self.pick, self._changed = _next(self.pick), True

    def next_order(self) -> None:
        self.order, self._changed = _next(self.order), True

    def layout(self, now: float) -> bool:
        """Bring `shown` up to date. Returns whether anything has changed."""
        if not self._changed:
            return False
        self._changed = False
        self.shown = [row for row in self._rows.values() if self._passes(row)]
        match self.order:
            case Order.START:
                pass  # as they were read
            case Order.DURATION:
                self.shown.sort(key=lambda row: _seconds(row, now), reverse=True)
            case Order.TARGET:
                self.shown.sort(key=lambda row: (row.module, row.name))
            case Order.STATE:
                self.shown.sort(key=lambda row: _URGENCY.index(row.status))
        return True

    def _passes(self, row: RunRow) -> bool:
        if self.pick is Pick.ACTIVE and not is_active(row):
            return False
        if self.pick is Pick.PROBLEMS and row.status not in PROBLEMS:
            return False
        return not self.text or self.text in self._haystack(row)

    def _haystack(self, row: RunRow) -> str:
        brief = self.brief(row.id)
        arguments = " ".join(f"{name}={text}" for name, text in brief.arguments)
        return f"{row.id} {row.module}/{row.name} {row.status} {arguments} {brief.problem}".lower()

    def brief(self, run: str) -> RunBrief:
        return self._briefs.get(run, _NOTHING)

    def of_target(self, module: str, name: str, limit: int) -> list[RunRow]:
        """The newest runs of a target, newest first."""
        return self._by_target.get((module, name), [])[:limit]

    def newest(self, limit: int) -> list[RunRow]:
        """The newest runs, newest first, whatever is filtered."""
        return list(islice(self._rows.values(), limit))

    def get(self, run: str) -> RunRow | None:
        return self._rows.get(run)

    def __iter__(self) -> Iterator[RunRow]:
        """All that are listed, newest first."""
        return iter(list(self._rows.values()))

    @property
    def has_more(self) -> bool:
        """Whether there are older runs that are not listed."""
        return len(self._rows) < sum(self.counts.values())

    def finished(self) -> list[RunRow]:
        """Those that are shown and have settled."""
        return [row for row in self.shown if row.settled]

    def __len__(self) -> int:
        return len(self._rows)


def is_active(row: RunRow) -> bool:
    """Whether anything of it is unfinished: what it has left behind may go on when it has ended itself."""
    return row.status in UNFINISHED or not row.settled


def _seconds(row: RunRow, now: float) -> float:
    return -1.0 if row.started_at is None else (row.finished_at or now) - row.started_at


def _next(member: _Member) -> _Member:
    members = list(type(member))
    return members[(members.index(member) + 1) % len(members)]
