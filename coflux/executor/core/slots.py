"""Slots: how many executions may compute at once, who holds one, and the queues of those that are ready for one."""

from __future__ import annotations

from collections.abc import Iterable

from coflux.executor.core.queue import Queues
from coflux.executor.core.state import Execution, Family, Pool, Wait
from coflux.worker_groups import WorkerGroup

__all__ = ["Slots"]


class Slots:
    """The slots of all worker groups, and whoever shares them.

    An execution that asks to wait gives its slot back. With an answer it gets one of the same group again, also while
    other waits of its are outstanding: the slot is *lent* then, since its holder may do nothing but wait for the rest.
    """

    __slots__ = ("concurrency", "pools", "queue")

    def __init__(self, groups: Iterable[WorkerGroup]) -> None:
        self.pools = tuple(Pool(group) for group in groups)
        self.concurrency = sum(pool.group.concurrency for pool in self.pools)  # how many slots there are
        self.queue = Queues()

    @property
    def active(self) -> int:
        """How many are held; more than there are, for polls and when all are lent."""
        return sum(pool.active for pool in self.pools)

    def free_for(self, family: Family, pools: Iterable[Pool]) -> bool:
        """Whether the family may take a slot of one of these groups that nobody holds."""
        return (family.cap is None or family.active < family.cap) and any(
            pool.active < pool.group.concurrency for pool in pools
        )

    def take(self, execution: Execution, pool: Pool) -> None:
        """Give it a slot of that group. Until it ends, or its start is lost, it is that group's."""
        family = execution.step.run.family
        execution.pool = pool
        execution.holds_slot = True
        pool.active += 1
        if execution.waits:
            pool.lent += 1
            family.lent += 1
        self.queue.slot_taken(family)

    def give_back(self, execution: Execution) -> None:
        """Nothing happens if it holds none."""
        if execution.holds_slot:
            pool = execution.pool
            assert pool is not None  # whose slot it holds
            family = execution.step.run.family
            execution.holds_slot = False
            pool.active -= 1
            if execution.waits:
                pool.lent -= 1
                family.lent -= 1
            self.queue.slot_given_back(family)

    def begin_wait(self, wait: Wait) -> None:
        execution = wait.execution
        self.give_back(execution)
        execution.waits[wait.request] = wait

    def end_wait(self, wait: Wait) -> None:
        """One that holds a slot and waits for nothing else computes: its slot is no longer lent."""
        execution = wait.execution
        del execution.waits[wait.request]
        if execution.holds_slot and not execution.waits:
            assert execution.pool is not None  # whose slot it holds
            execution.pool.lent -= 1
            execution.step.run.family.lent -= 1
