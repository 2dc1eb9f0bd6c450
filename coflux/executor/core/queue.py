"""Who runs next: deepest first inside a family, fair between families.

There is a queue for each route. In it, families with ready work sit in buckets by the number of slots they hold; the
next one is the longest-waiting of the lowest bucket. There are never more buckets than slots, so a pop costs the same
with ten thousand families queued.
"""

from __future__ import annotations

from heapq import heappop, heappush

from coflux.executor.core.state import Execution, Family, Pool, Route

__all__ = ["FairQueue", "Queues"]


class FairQueue:
    """What is ready on one route."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Family, None]] = {}
        self._heaps: dict[Family, list[tuple[int, int, Execution]]] = {}  # (-depth, sequence, execution)
        self._ready = 0

    def push(self, execution: Execution) -> None:
        family = execution.step.run.family
        execution.ready = True
        self._ready += 1
        heap = self._heaps.get(family)
        if heap is None:
            heap = self._heaps[family] = []
            self._buckets.setdefault(family.active, {})[family] = None
        heappush(heap, (-execution.step.depth, execution.sequence, execution))

    def peek(self) -> Execution | None:
        """The execution to hand over next, or `None`. The caller withdraws it and counts its slot."""
        for active in sorted(self._buckets):
            for family in self._buckets[active]:
                if not family.at_cap:
                    return self._heaps[family][0][2]
        return None

    def withdraw(self, execution: Execution) -> None:
        """It no longer waits in the queue. Its entry is dropped when it comes up: the first of a heap always holds."""
        execution.ready = False
        self._ready -= 1
        family = execution.step.run.family
        heap = self._heaps[family]
        while heap and not heap[0][2].ready:
            heappop(heap)
        if not heap:
            del self._heaps[family]
            self._remove(family, family.active)

    def moved(self, family: Family, before: int) -> None:
        """The family holds another number of slots than before."""
        if family in self._heaps:
            self._remove(family, before)
            self._buckets.setdefault(family.active, {})[family] = None

    def _remove(self, family: Family, active: int) -> None:
        bucket = self._buckets[active]
        del bucket[family]
        if not bucket:
            del self._buckets[active]

    def __len__(self) -> int:
        return self._ready


class Queues:
    """The queues of all routes."""

    def __init__(self) -> None:
        self._queues: dict[Route, FairQueue] = {}
        self._of_pool: dict[Pool, list[FairQueue]] = {}

    def push(self, execution: Execution) -> None:
        route = execution.step.route
        assert route is not None  # nobody is ready who has nowhere to go
        queue = self._queues.get(route)
        if queue is None:
            queue = self._queues[route] = FairQueue()
            for pool in route.pools:
                self._of_pool.setdefault(pool, []).append(queue)
        queue.push(execution)

    def peek(self, pool: Pool) -> Execution | None:
        """The execution that is the next to get a slot of this group, or `None`."""
        queues = self._of_pool.get(pool, ())
        if len(queues) == 1:
            return queues[0].peek()
        heads = [head for queue in queues if (head := queue.peek()) is not None]
        return min(heads, key=_order, default=None)

    def withdraw(self, execution: Execution) -> None:
        """It no longer waits for a slot, nor for what it needs before. Nothing happens if it did not."""
        step = execution.step
        if execution.ready:
            assert step.route is not None
            self._queues[step.route].withdraw(execution)
            return
        step.run.family.unroutable.pop(execution, None)
        if step.site is not None:
            step.site.waiting.pop(execution, None)

    def slot_taken(self, family: Family) -> None:
        family.active += 1
        for queue in self._queues.values():
            queue.moved(family, family.active - 1)

    def slot_given_back(self, family: Family) -> None:
        family.active -= 1
        for queue in self._queues.values():
            queue.moved(family, family.active + 1)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())


def _order(execution: Execution) -> tuple[int, int, int]:
    """Who goes first of those that are next on their routes."""
    return execution.step.run.family.active, -execution.step.depth, execution.sequence
