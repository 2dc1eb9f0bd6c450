"""Pretend processes and the code they pretend to run, for the simulation. They obey commands and send events."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered
from coflux.executor.core.events import Event
from coflux.executor.core.state import Execution, Requirements
from coflux.executor.messages import OpenGroup, Outcome, Succeeded, TargetSpec
from coflux.task_options import RetryOptions
from coflux.worker_groups import WorkerGroup
from tests.core.factories import USAGE, failed, spec, succeeded, value

__all__ = ["GROUPS", "MODULES", "TARGETS", "Habits", "Process", "World", "random_spec", "random_target"]


TARGETS = tuple(f"task{number}" for number in range(5))
POLICIES = (None, None, RetryOptions(1, 0.0, 0.0), RetryOptions(3, 0.1, 2.0), RetryOptions(None, 0.1, 1.0))
ACTIONS = ("submit", "submit", "result", "result", "select", "poll", "loop", "cancel", "work", "call")
PATIENCE = 30.0  # seconds until somebody kills what hangs


@dataclass(frozen=True)
class Habits:
    """What one simulated world is like: probabilities, unless it says otherwise."""

    dies_starting: float
    refused: float
    dies_busy: float
    dies_idle: float
    fails: float
    unclean: float
    hangs: float
    late_report: float
    tangles: bool  # code waits for executions that it should not know, so waits close cycles
    groups: bool  # there are several worker groups, steps require this and that, and stubs stand for other modules
    fan_out: int  # most children that one action submits

    @classmethod
    def choose(cls, random: Random) -> Habits:
        def sometimes(most: float) -> float:
            return random.choice((0.0, random.random() * most))

        return cls(
            dies_starting=sometimes(0.4),
            refused=sometimes(0.3),
            dies_busy=sometimes(0.3),
            dies_idle=sometimes(0.5),
            fails=sometimes(0.5),
            unclean=sometimes(0.5),
            hangs=sometimes(0.1),
            late_report=0.3,
            tangles=random.random() < 0.3,
            groups=random.random() < 0.4,
            fan_out=random.choice((1, 2, 4)),
        )


class World(Protocol):
    """What processes need of the simulation."""

    random: Random
    habits: Habits
    calm: bool  # the end is near: nothing fails any more, and no new work comes

    @property
    def time(self) -> float: ...

    def at(self, time: float, action: Callable[[], None]) -> None: ...

    def deliver(self, event: Event) -> None: ...

    def anybody(self) -> str | None: ...


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Ask:
    handles: tuple[str, ...]
    timeout: float | None


class Hang:
    pass


Coroutine = Generator[Pause | Ask | Hang, Answered | None, None]


GROUPS = (
    WorkerGroup("gpu", provides={"gpu": frozenset({"A100"})}, concurrency=1),
    WorkerGroup("urgent", accepts={"urgent": True}, concurrency=2),
    WorkerGroup("stock", modules=("shop.stock",), python="/env/bin/python", concurrency=2),
)
REQUIREMENTS: tuple[Requirements, ...] = ({}, {}, {}, {"gpu": ["A100", "H100"]}, {"gpu": False}, {"urgent": ["yes"]})
MODULES = ("shop.orders", "shop.orders", "shop.stock", "shop.mail")


def random_spec(random: Random, habits: Habits) -> TargetSpec:
    routing: dict[str, Any] = {}
    if habits.groups:
        routing = {"module": random.choice(MODULES), "requires": random.choice(REQUIREMENTS)}
        routing["stub"] = routing["module"] != "shop.orders" or random.random() < 0.1
        if random.random() < 0.02:
            routing["requires"] = {"gpu": ["none"]}
    return spec(
        random.choice(TARGETS) if random.random() < 0.98 else "nothing",
        retries=random.choice(POLICIES),
        delay=random.choice((0.0, 0.0, 0.0, random.random() * 3)),
        timeout=random.choice((0.0, 0.0, 0.0, 0.1 + random.random() * 5)),
        **routing,
    )


def random_target(name: str, module: str, random: Random) -> TargetSpec:
    """What a stub turns out to stand for."""
    kind = "task" if random.random() < 0.97 else "workflow"
    return spec(name, module=module, type=kind, requires=random.choice(REQUIREMENTS))


class Program:
    """The code of one execution: some coroutines (one, for most), which end all together or when the first does."""

    def __init__(self, process: Process, execution: Execution) -> None:
        self.process = process
        self.execution = execution
        self.random = process.world.random
        self.habits = process.world.habits
        self.handles = [
            reference.id for argument in execution.step.arguments for reference in argument.references
        ]  # what it knows
        self.submissions = 0
        self.groups = 0
        self.ended = False
        self.asked: dict[int, Coroutine] = {}
        self._requests = 0
        self._race = self.random.random() < 0.2
        self._coroutines = [self._coroutine() for _ in range(self.random.choice((1, 1, 1, 2, 3)))]

    def start(self) -> None:
        for coroutine in list(self._coroutines):
            self.advance(coroutine, None)

    def advance(self, coroutine: Coroutine, answer: Answered | None) -> None:
        """Let one coroutine run until it wants something."""
        if self.ended or self.process.ending:
            return
        try:
            wish = coroutine.send(answer)
        except StopIteration:
            self._coroutines.remove(coroutine)
            if self._race or not self._coroutines:
                self._return()
            return
        match wish:
            case Pause(seconds):
                world = self.process.world
                world.at(world.time + seconds, lambda: self.advance(coroutine, None))
            case Ask(handles, timeout):
                self._requests += 1
                self.asked[self._requests] = coroutine
                self.process.send(ev.WaitAsked(self.process.id, self._requests, handles, timeout))
            case Hang():
                world = self.process.world
                world.at(world.time + PATIENCE, self._give_up)

    def _give_up(self) -> None:
        """Somebody notices that it hangs, and kills it."""
        if self.process.program is self:
            self.process.die(0.0, "killed by its user")

    def answered(self, answer: Answered) -> None:
        coroutine = self.asked.pop(answer.wait.request)
        if answer.ended is not None and isinstance(answer.ended.outcome, Succeeded):
            self.handles += [reference.id for reference in answer.ended.outcome.value.references]
        self.advance(coroutine, answer)

    def outcome(self) -> Outcome:
        random = self.random
        if not self.process.world.calm and random.random() < self.habits.fails:
            return failed()
        return succeeded("null", *random.sample(self.handles, min(len(self.handles), random.randrange(3))))

    def _return(self) -> None:
        self.ended = True
        self.process.returned(self.outcome(), self.random.random() < 0.8)

    def _coroutine(self) -> Coroutine:
        random, world = self.random, self.process.world
        for _ in range(random.choice((0, 1, 2, 4, 8))):
            if world.calm:
                return
            match random.choice(ACTIONS):
                case "submit":
                    self._submit(random.randint(1, self.habits.fan_out))
                case "call":
                    self._submit(1)
                    yield Ask((self.handles[-1],), None)
                case "result" | "select" as kind:
                    handles = self._some(1 if kind == "result" else 4)
                    if handles:
                        yield Ask(handles, None)
                case "poll":
                    handles = self._some(2)
                    if handles:
                        yield Ask(handles, random.choice((0.0, random.random() * 2)))
                case "loop":
                    yield from self._poll_loop()
                case "cancel":
                    self._cancel()
                case _:
                    yield Pause(random.expovariate(2.0))
                    if random.random() < self.habits.hangs:
                        yield Hang()

    def _poll_loop(self) -> Coroutine:
        """Ask again and again, at first without a pause. Nobody may insist where it could be in vain: in a tangle,
        since polls see no cycles, and on what may have no worker group."""
        handles = self._some(1, tangled=False)
        patience = self.random.randint(1, 10) if self.habits.tangles or self.habits.groups else 10_000
        timeout = self.random.choice((0.0, 0.05))
        while handles and patience:
            answer = yield Ask(handles, timeout)
            if answer is None or answer.index >= 0 or answer.error:
                return
            patience -= 1
            yield Pause(0.05)

    def _submit(self, count: int) -> None:
        random, process = self.random, self.process
        group = None
        if random.random() < 0.1:
            self.groups += 1
            group = self.groups
            process.send(ev.GroupOpened(process.id, OpenGroup(group, None, None)))
        for _ in range(count):
            self.submissions += 1
            given = random.sample(self.handles, min(len(self.handles), random.randrange(3)))
            target = random_spec(random, self.habits)
            process.send(ev.Submitted(process.id, self.submissions, target, b"", (value("null", *given),), group))
            self.handles.append(f"@{self.submissions}")
            if random.random() < 0.1:
                process.send(ev.IdentifyAsked(process.id, 1000 + self.submissions, self.submissions))

    def _cancel(self) -> None:
        handles = self._some(2)
        if handles and self.random.random() < 0.5:
            self.process.send(ev.CancelAsked(self.process.id, handles))

    def _some(self, most: int, *, tangled: bool = True) -> tuple[str, ...]:
        stranger = self.process.world.anybody() if tangled and self.habits.tangles else None
        known = self.handles if stranger is None or self.random.random() < 0.5 else [*self.handles, stranger]
        if not known:
            return ()
        return tuple(self.random.choice(known) for _ in range(self.random.randint(1, most)))


class Process:
    """A worker process. What it sends arrives in order, and its exit last."""

    def __init__(self, world: World, worker: int, host: int) -> None:
        self.world = world
        self.id = worker
        self.host = host
        self.program: Program | None = None
        self.ready = False
        self.ending = False  # it reads and runs nothing any more
        self.gone = False
        self._last_arrival = 0.0

    def send(self, event: Event, delay: float | None = None) -> None:
        world = self.world
        wait = world.random.choice((0.0, world.random.random() * 0.05)) if delay is None else delay
        self._last_arrival = max(self._last_arrival, world.time + wait)
        world.at(self._last_arrival, lambda: self._arrive(event))

    def _arrive(self, event: Event) -> None:
        self.gone = isinstance(event, ev.WorkerExited | ev.WorkerRefused)
        self.world.deliver(event)

    def start(self) -> None:
        random, habits = self.world.random, self.world.habits
        delay = random.random() * 0.2
        fate = 1.0 if self.world.calm else random.random()
        if fate < habits.refused:
            self.ending = True
            self.send(ev.WorkerRefused(self.id, "too many processes"), delay)
        elif fate < habits.refused + habits.dies_starting:
            self.die(delay)
        else:
            self.world.at(self.world.time + delay, self._get_ready)

    def _get_ready(self) -> None:
        if not self.ending:
            self.ready = True
            self.send(ev.WorkerReady(self.id, 1000 + self.id))
            self._perhaps_die(self.world.habits.dies_idle)

    def execute(self, execution: Execution) -> None:
        assert self.program is None, f"process {self.id} was given {execution} while it had another"
        assert self.ready, f"process {self.id} was given {execution} before it was ready"
        if not self.ending:
            self.program = Program(self, execution)
            self._perhaps_die(self.world.habits.dies_busy)
            self.program.start()

    def answer(self, answer: Answered) -> None:
        """An answer may cross with the end of its execution, but never reaches another one."""
        if not self.ending:
            program = self.program
            if program is not None and program.execution is answer.wait.execution:
                program.answered(answer)

    def returned(self, outcome: Outcome, retryable: bool) -> None:
        assert self.program is not None
        habits, random = self.world.habits, self.world.random
        unclean = "a thread is left" if random.random() < habits.unclean else ""
        execution = self.program.execution.id
        self.program = None
        self.send(ev.Returned(self.id, execution, outcome, retryable, unclean, USAGE))
        self._perhaps_die(habits.dies_idle)

    def _perhaps_die(self, probability: float) -> None:
        """Soon, whatever it does then."""
        random = self.world.random
        if not self.world.calm and random.random() < probability:
            self.world.at(self.world.time + random.random() * 2, lambda: self.die(random.random() * 0.1))

    def die(self, delay: float, evidence: str = "exit code 7") -> None:
        if not self.ending:
            self.ending = True
            self.send(ev.WorkerExited(self.id, evidence, None), delay)

    def kill(self) -> None:
        """It may still report, and what it says was perhaps under way already."""
        random = self.world.random
        if self.program is not None and not self.ending and random.random() < self.world.habits.late_report:
            program = self.program
            program.ended = True
            self.send(ev.Returned(self.id, program.execution.id, program.outcome(), True, "", USAGE))
        self.die(random.random() * 3, "killed")
