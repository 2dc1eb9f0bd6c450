"""Pretend processes and the code they pretend to run, for the simulation. They obey commands and send events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from coflux.encoded import Value
from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered
from coflux.executor.core.events import Event
from coflux.executor.core.state import Execution, Requirements
from coflux.executor.messages import ArgumentKey, OpenGroup, Outcome, Succeeded, TargetSpec
from coflux.task_options import CacheOptions, RetryOptions
from coflux.worker_groups import WorkerGroup
from tests.core.factories import USAGE, failed, key, spec, succeeded, value
from tests.core.invariants import needs_of

__all__ = ["GROUPS", "MODULES", "TARGETS", "WORKSPACES", "Call", "Habits", "Process", "World"]
__all__ += ["random_call", "random_target"]


MOST_TARGETS = 3
TARGETS = tuple(f"{kind}{number}" for kind in ("task", "flow") for number in range(MOST_TARGETS))  # behind stubs
POLICIES = (None, None, RetryOptions(1, 0.0, 0.0), RetryOptions(3, 0.1, 2.0), RetryOptions(None, 0.1, 1.0))
ACTIONS = (
    *("submit", "submit", "result", "result", "select", "poll", "loop", "cancel", "work", "call"),
    *("suspense", "suspense", "suspend"),
)
CONTENTS = ("a", "b")  # arguments come from small sets, so that many are equal
WORKSPACES = ("default", "dev", "fix")  # each sees the results of those before it
PATIENCE = 30.0  # seconds until somebody kills what hangs
OPTIONS = ("memo", "cache", "defer", "wait", "recurrent", "workflow")


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
    unwinds_slowly: float
    tangles: bool  # code waits for executions that it should not know, so waits close cycles
    groups: bool  # there are several worker groups, steps require this and that, and stubs stand for other modules
    fan_out: int  # most children that one action submits
    options: tuple[str, ...]  # which of them are in use
    optional: float  # each of them, at one call
    targets: int  # how many there are, apart from their options
    contents: tuple[str, ...]  # what arguments there are
    workspaces: tuple[str, ...]
    restless: bool  # people cancel, pause and restart

    @classmethod
    def choose(cls, random: Random) -> Habits:
        rough = random.random() < 0.5

        def sometimes(most: float) -> float:
            return random.choice((0.0, random.random() * most)) if rough else 0.0

        return cls(
            dies_starting=sometimes(0.4),
            refused=sometimes(0.3),
            dies_busy=sometimes(0.3),
            dies_idle=sometimes(0.5),
            fails=random.choice((0.0, random.random() * 0.5)),
            unclean=sometimes(0.5),
            hangs=sometimes(0.1),
            late_report=0.3,
            unwinds_slowly=sometimes(0.5),
            tangles=random.random() < 0.3,
            groups=random.random() < 0.4,
            fan_out=random.choice((1, 2, 4)),
            options=OPTIONS if random.random() < 0.5 else tuple(random.sample(OPTIONS, random.randrange(4))),
            optional=random.choice((0.3, 0.6, 0.9)),
            targets=random.randint(1, MOST_TARGETS),
            contents=CONTENTS[: random.randint(1, 2)],
            workspaces=WORKSPACES if random.random() < 0.3 else WORKSPACES[:1],
            restless=rough or random.random() < 0.5,
        )


class World(Protocol):
    """What processes need of the simulation."""

    random: Random
    habits: Habits
    calm: bool  # the end is near: nothing fails any more, and no new work comes
    processes: dict[int, Process]

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
    suspends: bool = False


@dataclass(frozen=True)
class Suspend:
    handles: tuple[str, ...] = ()
    delay: float = 0.0


class Hang:
    pass


Coroutine = Generator[Pause | Ask | Suspend | Hang, Answered | None, None]


GROUPS = (
    WorkerGroup("gpu", provides={"gpu": frozenset({"A100"})}, concurrency=1),
    WorkerGroup("urgent", accepts={"urgent": True}, concurrency=2),
    WorkerGroup("stock", modules=("shop.stock",), python="/env/bin/python", concurrency=2),
)
REQUIREMENTS: tuple[Requirements, ...] = ({}, {}, {}, {"gpu": ["A100", "H100"]}, {"gpu": False}, {"urgent": ["yes"]})
MODULES = ("shop.orders", "shop.orders", "shop.stock", "shop.mail")


@dataclass(frozen=True)
class Call:
    """A target, and arguments for it."""

    spec: TargetSpec
    arguments: tuple[Value, ...]
    keys: tuple[ArgumentKey | None, ...]


def random_call(random: Random, habits: Habits, handles: Sequence[str] = (), *, root: bool = False) -> Call:
    options = random_routing(random, habits, root=root)
    for option in habits.options:
        if random.random() < habits.optional * (0.4 if option in {"recurrent", "workflow"} else 1.0):
            options[option] = True
    workflow = options.pop("workflow", False)
    if "memo" in options and (root or workflow):
        options["run_memo"] = options.pop("memo")  # a workflow's memo is about the steps of its run
    if "memo" in options:
        options["memo"] = random.choice((True, ("x",), False))
    if "cache" in options:
        params = random.choice((None, None, ("x",)))
        options["cache"] = CacheOptions(random.choice((None, None, 0.0, 1.0, 5.0)), params)
    if "defer" in options:
        options["defer"] = random.choice((("x",), ("x", "y")))
    if "wait" in options:
        options["wait"] = random.choice((("x",), ("x", "y")))
    name = f"{'flow' if workflow and options.get('stub') else 'task'}{random.randrange(habits.targets)}"
    target = spec(
        "nothing" if options.get("stub") and random.random() < 0.02 else name,
        type="workflow" if root or workflow else "task",
        parameters=("x", "y"),
        retries=random.choice(POLICIES),
        delay=random.choice((0.0, 0.0, 0.0, random.random() * 3)),
        timeout=random.choice((0.0, 0.0, 0.0, 0.1 + random.random() * 5)),
        **options,
    )
    contents = random.choice(habits.contents), random.choice(habits.contents)
    given = random.sample(handles, min(len(handles), random.choice((0, 0, 0, 1, 2)))), ()
    arguments = tuple(value(text, *held) for text, held in zip(contents, given, strict=True))
    keys = tuple(key(text, *held) for text, held in zip(contents, given, strict=True))
    return Call(target, arguments, (keys[0], None) if random.random() < 0.05 else keys)


def random_routing(random: Random, habits: Habits, *, root: bool) -> dict[str, Any]:
    """Where a call is to run. What is found without a stub is where its caller is."""
    if not habits.groups:
        return {}
    module = "shop.orders" if root else random.choice(MODULES)
    stub = not root and (module != "shop.orders" or random.random() < 0.1)
    requires = random.choice(REQUIREMENTS) if random.random() < 0.98 else {"gpu": ["none"]}
    return {"module": module, "stub": stub, "requires": requires}


def random_target(name: str, module: str, random: Random) -> TargetSpec:
    """What a stub turns out to stand for, which its name tells, but for mistakes."""
    kind = "task" if name.startswith("task") == (random.random() < 0.98) else "workflow"
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
        self.earlier = _submitted_before(execution) if execution.resumes else []
        self.groups = 0
        self.ended = False
        self.asked: dict[int, Coroutine] = {}
        self.polled: dict[Execution, None] = {}  # what it has asked for again and again
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
            case Ask(handles, timeout, suspends):
                self._requests += 1
                self.asked[self._requests] = coroutine
                self.process.send(ev.WaitAsked(self.process.id, self._requests, handles, timeout, suspends))
            case Suspend(handles, delay):
                self._suspend(handles, delay)
            case Hang():
                world = self.process.world
                world.at(world.time + PATIENCE, self._give_up)

    def _suspend(self, handles: tuple[str, ...], delay: float) -> None:
        """Ask to go on in another attempt, and unwind: in time, too late, or with requests that do not count."""
        world, process = self.process.world, self.process
        process.send(ev.SuspendAsked(process.id, delay, None, handles))
        self.ended = True
        if self.random.random() < 0.3:
            self._submit(1)
            process.send(ev.WaitAsked(process.id, 999, (f"@{self.submissions}",), None))
        slow = not world.calm and self.random.random() < self.habits.unwinds_slowly
        unwinding = self.random.random() * (8.0 if slow else 0.5)
        world.at(world.time + unwinding, self._unwound)

    def _unwound(self) -> None:
        if self.process.program is self and not self.process.ending:
            self.process.returned(self.outcome(), True)

    def _give_up(self) -> None:
        """Somebody notices that it hangs, and kills it."""
        if self.process.program is self:
            self.process.die(0.0, "killed by its user")

    def answered(self, answer: Answered) -> None:
        assert answer.wait.request in self.asked, f"{self.execution} is answered what it must not have asked"
        coroutine = self.asked.pop(answer.wait.request)
        if answer.ended is not None and isinstance(answer.ended.outcome, Succeeded):
            self.handles += [reference.id for reference in answer.ended.outcome.value.references]
        self.advance(coroutine, answer)

    def outcome(self) -> Outcome:
        random = self.random
        if not self.process.world.calm and random.random() < self.habits.fails:
            return failed()
        recurs = self.execution.step.spec.options.recurrent and not self.process.world.calm and random.random() < 0.8
        text = "null" if recurs else "1"
        return succeeded(text, *random.sample(self.handles, min(len(self.handles), random.randrange(3))))

    def _return(self) -> None:
        self.ended = True
        self.process.returned(self.outcome(), self.random.random() < 0.8)

    def _coroutine(self) -> Coroutine:  # noqa: C901, PLR0912  # an arm for each kind of action
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
                case "suspense":
                    handles = self._some(2)
                    if handles:
                        yield from self._suspense(handles)
                case "suspend":
                    if random.random() < 0.3:
                        yield Suspend(delay=random.choice((0.0, random.random() * 4)))
                case "loop":
                    yield from self._poll_loop()
                case "cancel":
                    self._cancel()
                case _:
                    yield Pause(random.expovariate(2.0))
                    if random.random() < self.habits.hangs:
                        yield Hang()

    def _suspense(self, handles: tuple[str, ...]) -> Coroutine:
        answer = yield Ask(handles, self.random.choice((0.0, self.random.random())), suspends=True)
        if answer is not None and answer.index < 0 and not answer.error:
            yield Suspend(handles)

    def _poll_loop(self) -> Coroutine:
        """Ask again and again, at first without a pause. Nobody may insist where it could be in vain: on what waits for
        this execution, since polls see no cycles, and on what may have no worker group."""
        handles = self._some(1, tangled=False)
        patience = self.random.randint(1, 10) if self.habits.groups else 10_000
        timeout = self.random.choice((0.0, 0.05))
        while handles and patience:
            answer = yield Ask(handles, timeout)
            if answer is None or answer.index >= 0 or answer.error:
                return
            patience -= 1
            self.polled.update(dict.fromkeys(answer.wait.targets))
            if self._waits_for_this(answer.wait.targets) and self.random.random() < 0.3:
                return
            yield Pause(0.05)

    def _waits_for_this(self, targets: list[Execution]) -> bool:
        line, seen = [target.end() for target in targets], set()
        while line:
            one = line.pop()
            if one not in seen:
                seen.add(one)
                line += [target.end() for wait in one.waits.values() for target in wait.targets]
                line += [other for need in needs_of(one) for other in need]
                process = None if one.worker is None else self.process.world.processes.get(one.worker.id)
                if process is not None and process.program is not None:
                    line += [target.end() for target in process.program.polled]
        return self.execution in seen

    def _submit(self, count: int) -> None:
        random, process = self.random, self.process
        group = None
        if random.random() < 0.1:
            self.groups += 1
            group = self.groups
            process.send(ev.GroupOpened(process.id, OpenGroup(group, None, None)))
        for _ in range(count):
            self.submissions += 1
            call = random_call(random, self.habits, self.handles)
            earlier = ""
            if self.earlier and random.random() < 0.7:
                found = self.earlier.pop(random.randrange(len(self.earlier)))
                earlier, call = found.id, replace(call, spec=found.step.spec, arguments=found.step.arguments)
            process.send(
                ev.Submitted(process.id, self.submissions, call.spec, b"", call.arguments, group, call.keys, earlier)
            )
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


def _submitted_before(execution: Execution) -> list[Execution]:
    """What earlier attempts of the step submitted, as one that resumes is told."""
    earlier = [one for one in execution.step.executions if one.attempt < execution.attempt]
    return list({child: None for one in earlier for child in one.children})


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
