"""What is to happen at a given time on one clock."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

__all__ = ["Agenda"]

T = TypeVar("T")

TIDY_FROM = 32  # items from which on it is worth while to look for those that are over


class Agenda(Generic[T]):
    __slots__ = ("_heap", "_pending", "_tidy_at", "next_at")

    def __init__(self, pending: Callable[[T], bool]) -> None:
        """
        Args:
            pending: whether an item still is to happen; what does not is never taken, and not kept for long.
        """
        self.next_at = inf  # when there is something to take, at the earliest
        self._pending = pending
        self._heap: list[tuple[float, int, T]] = []
        self._tidy_at = TIDY_FROM

    def put(self, at: float, order: int, item: T) -> None:
        """`order` is another for each item: it decides between those of the same time."""
        if len(self._heap) >= self._tidy_at:
            self._tidy()
        heappush(self._heap, (at, order, item))
        self.next_at = self._heap[0][0]

    def take_due(self, now: float) -> T | None:
        """Take out the next item whose time has come, `None` if there is none."""
        heap = self._heap
        found = None
        while found is None and heap and heap[0][0] <= now:
            item = heappop(heap)[2]
            if self._pending(item):
                found = item
        self.next_at = heap[0][0] if heap else inf
        return found

    def _tidy(self) -> None:
        """Let go of what is over: what took a second is not kept for the hours of its timeout."""
        self._heap = [entry for entry in self._heap if self._pending(entry[2])]
        heapify(self._heap)
        self._tidy_at = max(2 * len(self._heap), TIDY_FROM)

    def items(self) -> list[T]:
        """All that is kept, in no order."""
        return [item for _, _, item in self._heap]
