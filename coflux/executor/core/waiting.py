"""Waits: one execution asks for the first of some others to end, and is told once it has a slot again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from coflux.executor.core.admission import Admission
from coflux.executor.core.agenda import Agenda
from coflux.executor.core.commands import Answered
from coflux.executor.core.cycles import closed_cycle, describe_cycle, queued_behind
from coflux.executor.core.effects import Outbox
from coflux.executor.core.fleet import Fleet
from coflux.executor.core.holds import Holds
from coflux.executor.core.slots import Slots
from coflux.executor.core.state import Execution, Hold, Instant, Run, Wait

__all__ = ["GATHERING", "HELD_BACK", "QUICK", "QUICK_IN_A_ROW", "Waits"]

QUICK = 0.005  # seconds from hand-over to outcome of a quick execution
QUICK_IN_A_ROW = 8  # children that were quick, until their parent is told of several at once
GATHERING = 0.01  # seconds from then on in which more of them may start before the parent is told
HELD_BACK = 0.02  # seconds after which it is told, over the limit if need be: what started was not quick


class Waits:
    def __init__(
        self,
        slots: Slots,
        fleet: Fleet,
        admission: Admission,
        holds: Holds,
        deadlines: Agenda[Execution | Wait],
        order: Iterator[int],
        outbox: Outbox,
    ) -> None:
        """
        Args:
            slots: whoever waits gives its slot back, and whoever is answered takes one.
            fleet: starts what a plain poll waits for.
            admission: takes what would wait for its own end, if it had its result from the cache.
            holds: queued executions that wait.
            deadlines: takes the end of waits with a timeout.
            order: where a wait stands among the deadlines of the same time.
            outbox: takes the answers.
        """
        self.resumable: deque[Wait] = deque()  # answers that wait for a slot, longest first; some may be over
        self._slots = slots
        self._fleet = fleet
        self._admission = admission
        self._holds = holds
        self._deadlines = deadlines
        self._order = order
        self._outbox = outbox

    # -- asking --------------------------------------------------------------------------------------------------

    def begin(self, wait: Wait, timeout: float | None, now: Instant, *, suspends: bool = False) -> None:
        """Take in a wait that a running execution asks for, for `timeout` seconds at most.

        `suspends`: it will suspend itself after that time, so that an answer is not the only way out.
        """
        execution, targets = wait.execution, wait.targets
        plain = timeout is not None and timeout <= 0
        ended = _first_ended(targets)
        if ended is not None and (plain or execution.holds_slot):
            self._tell(wait, ended, targets[ended].end())
            return
        cycle = self._closed_cycle(wait) if ended is None else None
        if cycle is not None and (timeout is None or suspends):
            self.refuse(wait, describe_cycle(cycle))
            return
        if plain:
            self._tell(wait, -1, None)
            if not suspends:
                self._start_polled(execution, targets, now)
            return
        self._slots.begin_wait(wait)
        if timeout is not None:
            wait.timed = True
            self._deadlines.put(now.monotonic + timeout, next(self._order), wait)
        if ended is not None:
            # Another of its waits is outstanding, so it holds no slot and waits for one like everybody else.
            self._resolve(wait)
            return
        for target in targets:
            target.end().waiters.append(wait)

    def _closed_cycle(self, wait: Wait) -> list[Execution] | None:
        """The cycle that the wait would close. What waits there for a result of the cache is executed instead."""
        while True:
            cycle = closed_cycle(wait.execution, wait.targets)
            if cycle is None:
                return None
            if not self._holds.unlink_one(cycle):
                return cycle

    def refuse(self, wait: Wait, error: str) -> None:
        """Answer a wait that cannot begin."""
        self._tell(wait, -1, None, error)

    def _start_polled(self, execution: Execution, targets: list[Execution], now: Instant) -> None:
        """A loop of plain polls holds its slot: what it polls for gets on all the same, over the limit if need be."""
        if self._slots.free_for(execution.step.run.family):
            return
        held_up = _held_up(targets, execution)
        if isinstance(held_up, Wait):
            self.answer(held_up)
        elif held_up is not None:
            self._slots.queue.withdraw(held_up)
            self._fleet.hand_over(held_up, now)

    # -- what is waited for ends ---------------------------------------------------------------------------------

    def pass_on(self, execution: Execution, successor: Execution) -> None:
        """It has ended, and its chain has not: who waits for it goes on waiting for its successor."""
        successor.waiters += execution.waiters
        execution.waiters = []

    def ended(self, execution: Execution) -> list[Run]:
        """It has ended, and its chain with it: who waits for it is answered, or stands in line for a slot.

        Returns the runs whose chains have ended with it.
        """
        waiters, execution.waiters = execution.waiters, []
        end = execution.end()
        runs = []
        for waiter in waiters:
            if isinstance(waiter, Wait):
                self._resolve(waiter)
            elif isinstance(waiter, Hold):
                self._holds.ended(waiter, end)
            else:
                runs.append(waiter)
        return runs

    def _resolve(self, wait: Wait) -> None:
        if wait.over or wait.resolved:
            return
        wait.resolved = True
        if wait.execution.holds_slot:
            self.answer(wait)
        else:
            wait.execution.withheld.append(wait)
            self.resumable.append(wait)

    # -- answering -----------------------------------------------------------------------------------------------

    def next_resumable(self, startable: Execution | None, now: Instant) -> Wait | None:
        """Take the first wait that can be answered out of the line; `None` if `startable` may go before all of them."""
        if not self.resumable:
            return None
        found = None
        passed: list[Wait] = []
        while self.resumable and found is None:
            wait = self.resumable.popleft()
            if wait.over:
                continue
            if wait.execution.step.run.family.at_cap or _gathers(wait, startable, now):
                passed.append(wait)
            else:
                found = wait
        self.resumable.extendleft(reversed(passed))
        if found is None and startable is not None:
            for wait in passed:
                if wait.execution is startable.step.parent and wait.held_since is None:
                    wait.held_since = now.monotonic
                    self._deadlines.put(now.monotonic + HELD_BACK, next(self._order), wait)
        return found

    def answer(self, wait: Wait) -> None:
        """Answer a wait, with the first of its targets that has ended, and give its execution a slot."""
        execution = wait.execution
        self._end(wait)
        if not execution.holds_slot:
            self._slots.take(execution)
        withheld, execution.withheld = execution.withheld, []
        index = _first_ended(wait.targets) if wait.resolved else None
        if index is None:
            self._tell(wait, -1, None)
        else:
            self._tell(wait, index, wait.targets[index].end())
        for other in withheld:
            # It has its slot, and may never wait again: `asyncio.gather` asks for everything first.
            if not other.over:
                self.answer(other)

    def expire(self, wait: Wait) -> None:
        """The time of a poll is up, or an answer was held back for long enough: answered at once, with a slot over the
        limit if need be."""
        self.answer(wait)

    def leave(self, execution: Execution, now: Instant) -> None:
        """The execution has ended: it is not answered any more, and its parent is told whether it was quick."""
        for wait in list(execution.waits.values()):
            self._end(wait)
        execution.withheld.clear()
        parent = execution.step.parent
        if parent is not None and execution.started_at is not None:
            quick = now.wall - execution.started_at < QUICK
            parent.quick_children = parent.quick_children + 1 if quick else 0

    def _end(self, wait: Wait) -> None:
        """It is answered, or its execution has ended: nobody needs to know it any more."""
        wait.over = True
        self._slots.end_wait(wait)
        for target in wait.targets:
            waiters = target.end().waiters
            if wait in waiters:
                waiters.remove(wait)

    def _tell(self, wait: Wait, index: int, ended: Execution | None, error: str = "") -> None:
        worker = wait.execution.worker
        assert worker is not None  # only running executions wait
        self._outbox.commands.append(Answered(worker.id, wait, index, ended, error))


def _first_ended(targets: list[Execution]) -> int | None:
    for index, target in enumerate(targets):
        if not target.end().unfinished:
            return index
    return None


def _held_up(targets: list[Execution], poller: Execution) -> Execution | Wait | None:
    """What lacks nothing but a slot to start or to resume, of these and of all that they wait for.

    One at a time, and none while something of it computes: the poll will be repeated, and to let everything get on at
    once would bring up a process for each of a thousand children.
    """
    line = deque(target.end() for target in targets)
    seen = {poller}
    found: Execution | Wait | None = None
    while line:
        pending = line.popleft()
        if pending in seen:
            continue
        seen.add(pending)
        if pending.holds_slot and not pending.waits:
            return None
        if found is None and pending.ready and pending.step.run.family.host is not None:
            found = pending
        for wait in pending.waits.values():
            if not wait.resolved:
                line.extend(target.end() for target in wait.targets)
            elif found is None:
                found = wait
        line.extend(one for need in queued_behind(pending) for one in need)
    return found


def _gathers(wait: Wait, startable: Execution | None, now: Instant) -> bool:
    """Whether the waiting execution lets this child of its own start first.

    One that collects the results of many quick children would take a slot back for every one of them, and a process
    would be idle while the answer is on its way. It is told of several at once instead, some milliseconds later. A
    child that turns out slow, or waits for its parent in some way that nobody knows, holds it up for no longer.
    """
    parent = wait.execution
    return (
        startable is not None
        and startable.step.parent is parent
        and parent.quick_children >= QUICK_IN_A_ROW
        and (wait.held_since is None or now.monotonic - wait.held_since < GATHERING)
    )
