"""The fair queue against a list that is searched from one end to the other."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coflux.executor.core.queue import Queues
from coflux.executor.core.state import Execution, Family, Pool, Route, Run, Step
from coflux.executor.messages import RunOptions
from coflux.worker_groups import WorkerGroup
from tests.core.factories import spec


class QueueMachine(RuleBasedStateMachine):
    """Four families share a queue. The model keeps what is ready in a list, and since when each family has been
    waiting with the slots that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queues()
        self.pool = Pool(WorkerGroup("default"))
        self.route = Route((self.pool,))
        self.ready: list[Execution] = []
        self.families: list[Family] = []
        self.since: dict[Family, int] = {}  # when it came to be where it stands
        self.moves = 0
        self.sequence = 0
        for number in range(4):
            self.families.append(Run(f"R{number}", None, None, RunOptions(), 0.0).family)

    def moved(self, family: Family) -> None:
        self.moves += 1
        self.since[family] = self.moves

    def waiting(self, family: Family) -> list[Execution]:
        mine = [execution for execution in self.ready if execution.step.run.family is family]
        return sorted(mine, key=lambda execution: (-execution.step.depth, execution.sequence))

    def expected(self) -> Execution | None:
        able = [
            family
            for family in self.families
            if self.waiting(family) and (family.cap is None or family.active < family.cap)
        ]
        if not able:
            return None
        return self.waiting(min(able, key=lambda family: (family.active, self.since[family])))[0]

    @rule(number=st.integers(0, 3), depth=st.integers(0, 5))
    def push(self, number: int, depth: int) -> None:
        family = self.families[number]
        self.sequence += 1
        step = Step(family.root, self.sequence, None, None, spec(), b"", (), depth, 0.0)
        step.route = self.route
        execution = Execution(step, 1, None, self.sequence, 0.0)
        if not self.waiting(family):
            self.moved(family)
        self.ready.append(execution)
        self.queue.push(execution)

    @rule()
    def pop(self) -> None:
        expected = self.expected()
        assert self.queue.peek(self.pool) is expected
        if expected is not None:
            self.queue.withdraw(expected)
            self.ready.remove(expected)
            self.queue.slot_taken(expected.step.run.family)
            self.moved(expected.step.run.family)

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), again=st.booleans())
    def withdraw(self, data: st.DataObject, again: bool) -> None:
        execution = data.draw(st.sampled_from(self.ready))
        self.queue.withdraw(execution)
        self.queue.withdraw(execution)  # to do it twice is as good as once
        self.ready.remove(execution)
        if again:
            if not self.waiting(execution.step.run.family):
                self.moved(execution.step.run.family)
            self.ready.append(execution)
            self.queue.push(execution)

    @rule(number=st.integers(0, 3))
    def give_slot_back(self, number: int) -> None:
        family = self.families[number]
        if family.active:
            self.queue.slot_given_back(family)
            self.moved(family)

    @rule(number=st.integers(0, 3), cap=st.sampled_from([None, 1, 2]))
    def set_cap(self, number: int, cap: int | None) -> None:
        self.families[number].cap = cap

    @invariant()
    def counts_what_is_ready(self) -> None:
        assert len(self.queue) == len(self.ready)


TestFairQueue = QueueMachine.TestCase
TestFairQueue.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
