"""A stage for the dashboard: keys go in, a screen comes out. What it is told comes from the test, not an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from textual import _wait
from textual.pilot import Pilot
from textual.widget import Widget

from coflux.display.feed import ExecutionChanged, GroupOpened, RunChanged, StepSubmitted
from coflux.encoded import Failure, Frame
from coflux.executor.history import LogEntry
from coflux.executor.messages import Failed as FailedOutcome
from coflux.executor.messages import ParameterInfo, Shape, TargetInfo, TargetSpec
from coflux.logs import Level
from coflux.task_options import TaskOptions
from coflux.tui.about import About
from coflux.tui.app import Dashboard
from coflux.tui.updates import (
    Connected,
    Details,
    DetailsAsked,
    LogEntriesAsked,
    LogEntryAsked,
    LogsAsked,
    LogSearchAsked,
    LogTimeAsked,
    Request,
    RunOpened,
    RunProgressed,
    RunsRead,
    RunStarted,
    SampleRead,
    StartAsked,
    TargetsRead,
    Update,
)
from tests.tui.pretend import NOW, details, execution, group, run_row, sample, step
from tests.tui.pretend_log import Log

HOSTILE = "x [/] [bold]\x1b[2J\x1b]0;gone\x07 \u202eright \ud83d [@click=app.quit]"


class Engine:
    """Answers as the engine would; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.told: list[Update] = []
        self.answer: Callable[[Request], Sequence[Update]] = lambda request: ()  # what else it tells
        self.start: Callable[[Request], Sequence[Update]] = lambda request: [RunStarted("R1", request)]
        self.log = Log(ENTRIES)
        self.details: dict[str, Details] = {}  # of more executions

    def ask(self, request: Request) -> None:
        self.asked.append(request)
        self.told += self.answer(request)
        match request:
            case RunOpened("R1"):
                self.told.append(RunProgressed("R1", list(events())))
            case LogsAsked() | LogEntriesAsked() | LogEntryAsked() | LogSearchAsked() | LogTimeAsked():
                self.told += self.log.answer(request)
            case DetailsAsked("R1:3:1"):
                self.told.append(details(execution(3, "failed"), FailedOutcome(FAILURE)))
            case DetailsAsked(known) if known in self.details:
                self.told.append(self.details[known])
            case StartAsked():
                self.told += self.start(request)

    def take(self) -> Iterator[Update]:
        told, self.told = self.told, []
        yield from told


FAILURE = Failure(
    "builtins.ConnectionError",
    "reset by peer",
    "Traceback (most recent call last):\n"
    '  File "flow.py", line 3, in fetch\n    get()\nConnectionError: reset by peer\n',
    (Frame("flow.py", 3, "fetch", "get()"),),
)
ENTRIES = [
    LogEntry(1, "R1", 2, 1, NOW + 0.5, Level.STDOUT, "GET /1", None),
    LogEntry(2, "R1", 3, 1, NOW + 0.7, Level.ERROR, HOSTILE.encode("utf-8", "replace").decode(), None),
    LogEntry(3, "R1", 3, 1, NOW + 0.8, Level.INFO, "page {page}", b'{"page":7,"url":"https://example.org"}'),
]


def events() -> Iterator[RunChanged | GroupOpened | StepSubmitted | ExecutionChanged]:
    yield RunChanged(run_row())
    yield StepSubmitted(step(1, name="main", text="'06-01'"), None)
    yield ExecutionChanged(execution(1, "running"), None)
    yield GroupOpened(group(0, name="Fetch pages"))
    yield StepSubmitted(step(2, "R1:1:1", name="fetch", text="1", group=0), None)
    yield StepSubmitted(step(3, "R1:1:1", name="fetch", text=repr(HOSTILE), group=0), None)
    yield ExecutionChanged(execution(2, "succeeded"), None)
    yield ExecutionChanged(execution(3, "failed"), FailedOutcome(FAILURE))


def target(name: str, *parameters: ParameterInfo, doc: str = "") -> TargetInfo:
    names = tuple(parameter.name for parameter in parameters)
    return TargetInfo(TargetSpec("flow", name, "workflow", names, TaskOptions()), parameters, doc, "flow.py", 1)


TEXT, NUMBER = Shape("scalar", "str"), Shape("scalar", "int")

TARGETS = TargetsRead(
    [
        target("main", ParameterInfo("since", "POSITIONAL_OR_KEYWORD", "str", "'06-01'", TEXT), doc="Load the orders."),
        target("count", ParameterInfo("number", "POSITIONAL_OR_KEYWORD", "int", None, NUMBER)),
    ],
    [],
)

RUNS = RunsRead([run_row(), run_row("R2", "failed", "count", created_at=NOW - 60)], {"running": 1, "failed": 1})

# The pilot takes it as a sign that all is done when the process has been at rest for so long, twice for each key. We
# look for ourselves.
_wait.SLEEP_GRANULARITY = 0.002  # seconds

RESIZE = 0.04  # seconds: Textual waits whether there will be another size

Play = Callable[["Stage"], Awaitable[None]]


class Stage:
    """An app without timers, and the engine that it believes in."""

    def __init__(self, app: Dashboard, engine: Engine, pilot: Pilot[None]) -> None:
        self.app = app
        self.engine = engine
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self._pilot.press(key)
            await self.look()

    async def click(self, widget: Widget, offset: tuple[int, int] = (0, 0)) -> None:
        await self._pilot.click(widget, offset=offset)
        await self.look()

    async def look(self) -> None:
        for _ in range(4):  # what is asked for at one look is there at the next, and may lead to more
            self.app.pump()
            await self._pilot.pause(0)  # without waiting for the process to rest

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause(RESIZE)
        await self.look()

    @property
    def text(self) -> str:
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def play(
    script: Play,
    size: tuple[int, int] = (80, 24),
    *,
    unicode: bool = True,
    about: About = About("flow"),  # noqa: B008  # it cannot be changed
    log: str = "",
) -> None:
    async def run() -> None:
        engine = Engine()
        engine.told += [
            Connected(4711),
            SampleRead(sample()),
            TARGETS,
            RunsRead([run_row(), run_row("R2", "failed", "count", created_at=NOW - 60)], {"running": 1, "failed": 1}),
        ]
        app = Dashboard(engine, about=about, unicode=unicode, log=log, clock=lambda: NOW + 2, live=False)
        async with app.run_test(size=size, notifications=True) as pilot:
            stage = Stage(app, engine, pilot)
            await stage.look()
            await script(stage)

    asyncio.run(run())
