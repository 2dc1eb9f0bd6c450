"""Slots: how many executions may compute at once, who holds one, and the queue of those that are ready for one."""

from __future__ import annotations

from coflux.executor.core.queue import FairQueue
from coflux.executor.core.state import Execution, Family, Wait

__all__ = ["Slots"]


class Slots:
    """Some number of slots, and whoever shares them.

    An execution that asks to wait gives its slot back. With an answer it gets one again, also while other waits of its
    are outstanding: the slot is *lent* then, since its holder may do nothing but wait for the rest.
    """

    __slots__ = ("active", "concurrency", "lent", "queue")

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.active = 0  # slots that are held; more than there are, for polls and when all are lent
        self.lent = 0  # of those: held by executions that wait for something else
        self.queue = FairQueue()

    def has_room(self) -> bool:
        """Whether one more may compute: a slot is free, or all who hold one wait as well and may be doing nothing."""
        return self.active < self.concurrency or self.active == self.lent

    def free_for(self, family: Family) -> bool:
        """Whether the family may take a slot that nobody holds."""
        return self.active < self.concurrency and (family.cap is None or family.active < family.cap)

    def take(self, execution: Execution) -> None:
        family = execution.step.run.family
        execution.holds_slot = True
        self.active += 1
        if execution.waits:
            self.lent += 1
            family.lent += 1
        self.queue.slot_taken(family)

    def give_back(self, execution: Execution) -> None:
        """Nothing happens if it holds none."""
        if execution.holds_slot:
            family = execution.step.run.family
            execution.holds_slot = False
            self.active -= 1
            if execution.waits:
                self.lent -= 1
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
            self.lent -= 1
            execution.step.run.family.lent -= 1
