"""Who runs next: deepest first inside a family, fair between families.

Families with ready work sit in buckets by the number of slots they hold; the next one is the longest-waiting of the
lowest bucket. There are never more buckets than slots, so a pop costs the same with ten thousand families queued.
"""

from __future__ import annotations

from heapq import heappop, heappush

from coflux.executor.core.state import Execution, Family

__all__ = ["FairQueue"]


class FairQueue:
    def __init__(self) -> None:
        self._buckets: dict[int, dict[Family, None]] = {}
        self._ready = 0

    def push(self, execution: Execution) -> None:
        family = execution.step.run.family
        execution.ready = True
        self._ready += 1
        heappush(family.heap, (-execution.step.depth, execution.sequence, execution))
        if len(family.heap) == 1:
            self.place(family)

    def peek(self) -> Execution | None:
        """The execution to hand over next, or `None`. The caller withdraws it and counts its slot (`slot_taken`)."""
        for active in sorted(self._buckets):
            for family in self._buckets[active]:
                if family.host is not None and not family.at_cap:
                    return family.heap[0][2]
        return None

    def withdraw(self, execution: Execution) -> None:
        """It no longer waits in the queue. Its entry is dropped when it comes up: the first of a heap always holds."""
        if not execution.ready:
            return
        execution.ready = False
        self._ready -= 1
        family = execution.step.run.family
        heap = family.heap
        while heap and not heap[0][2].ready:
            heappop(heap)
        if not heap:
            self._remove(family)

    def slot_taken(self, family: Family) -> None:
        self._remove(family)
        family.active += 1
        self.place(family)

    def slot_given_back(self, family: Family) -> None:
        self._remove(family)
        family.active -= 1
        self.place(family)

    def place(self, family: Family) -> None:
        if family.heap:
            self._buckets.setdefault(family.active, {})[family] = None

    def _remove(self, family: Family) -> None:
        bucket = self._buckets.get(family.active)
        if bucket is not None:
            bucket.pop(family, None)
            if not bucket:
                del self._buckets[family.active]

    def __len__(self) -> int:
        return self._ready
