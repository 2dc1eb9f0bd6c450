"""The dashboard as one uses it: keys go in, a screen comes out. What it is told comes from the test, not an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from textual.pilot import Pilot

from coflux.display.feed import ExecutionChanged, GroupOpened, RunChanged, StepSubmitted
from coflux.encoded import Failure
from coflux.executor.history import LogEntry
from coflux.executor.messages import Failed as FailedOutcome
from coflux.executor.messages import ParameterInfo, TargetInfo, TargetSpec
from coflux.logs import Level
from coflux.task_options import TaskOptions
from coflux.tui.app import Dashboard
from coflux.tui.updates import (
    CancelAsked,
    Details,
    DetailsAsked,
    Failed,
    LogIds,
    LogPage,
    LogPageAsked,
    LogsAsked,
    Request,
    RerunAsked,
    RunOpened,
    RunProgressed,
    RunsRead,
    RunStarted,
    StartAsked,
    TargetsRead,
    Update,
)
from tests.tui.pretend import NOW, execution, group, run_row, step

SIZES = [(80, 24), (120, 40), (200, 60)]

HOSTILE = "x [/] [bold]\x1b[2J\x1b]0;gone\x07 \u202eright \ud83d [@click=app.quit]"


class Engine:
    """Answers as the engine would; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.told: list[Update] = []

    def ask(self, request: Request) -> None:
        self.asked.append(request)
        match request:
            case RunOpened("R1"):
                self.told.append(RunProgressed("R1", list(events())))
            case LogsAsked(number, wanted):
                ids = [entry.id for entry in ENTRIES if wanted.step in (None, entry.step)]
                if wanted.text:
                    ids = [entry.id for entry in ENTRIES if wanted.text in (entry.template or "")]
                self.told.append(LogIds(number, ids))
            case LogPageAsked(number, page, ids):
                self.told.append(LogPage(number, page, [entry for entry in ENTRIES if entry.id in ids]))
            case DetailsAsked("R1:3:1"):
                self.told.append(Details(execution(3, "failed"), (), FailedOutcome(FAILURE)))
            case StartAsked():
                self.told.append(RunStarted("R1"))

    def take(self) -> Iterator[Update]:
        told, self.told = self.told, []
        yield from told


FAILURE = Failure(
    "builtins.ConnectionError",
    "reset by peer",
    "Traceback (most recent call last):\n"
    '  File "flow.py", line 3, in fetch\n    get()\nConnectionError: reset by peer\n',
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


TARGETS = TargetsRead(
    [
        target("main", ParameterInfo("since", "POSITIONAL_OR_KEYWORD", "str", "'06-01'"), doc="Load the orders."),
        target("count", ParameterInfo("number", "POSITIONAL_OR_KEYWORD", "int")),
    ],
    [],
)

Play = Callable[["Stage"], Awaitable[None]]


class Stage:
    """An app without timers, and the engine that it believes in."""

    def __init__(self, app: Dashboard, engine: Engine, pilot: Pilot[int]) -> None:
        self.app = app
        self.engine = engine
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self._pilot.press(key)
            await self.look()

    async def look(self) -> None:
        for _ in range(4):  # what is asked for at one look is there at the next, and may lead to more
            self.app.pump()
            await self._pilot.pause()

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)
        await self.look()

    @property
    def text(self) -> str:
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def play(script: Play, size: tuple[int, int] = (80, 24), *, unicode: bool = True) -> None:
    async def run() -> None:
        engine = Engine()
        engine.told += [TARGETS, RunsRead([run_row(), run_row("R2", "failed", "count", created_at=NOW - 60)])]
        app = Dashboard(engine, title="flow", unicode=unicode, clock=lambda: NOW + 2, live=False)
        async with app.run_test(size=size, notifications=True) as pilot:
            stage = Stage(app, engine, pilot)
            await stage.look()
            await script(stage)

    asyncio.run(run())


def test_home_shows_what_can_be_run_and_what_has_been() -> None:
    async def script(stage: Stage) -> None:
        assert "flow/main(since='06-01')" in stage.text
        assert "R1 flow/main" in stage.text
        assert "R2 flow/count  failed" in stage.text

    play(script)


@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_opened_its_tree_and_the_failure_are_there(size: tuple[int, int]) -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        assert RunOpened("R1") in stage.engine.asked
        assert "main('06-01')" in stage.text
        assert "[Fetch pages] ✗1 ✓1" in stage.text
        await stage.press("e")
        if size[0] < 100:
            await stage.press("1")
        assert 'File "flow.py", line 3, in fetch' in stage.text
        await stage.press("escape", "escape")
        assert "Targets 2" in stage.text

    play(script, size)


def test_a_run_is_started_from_the_form_which_tells_what_is_wrong() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("j", "r")
        assert "flow/count" in stage.text
        await stage.press("x", "enter")
        assert "number: not a whole number" in stage.text
        await stage.press("backspace", "4", "2")
        assert "coflux run flow/count --number 42" in stage.text
        await stage.press("enter")
        assert StartAsked("flow", "count", ("--number", "42")) in stage.engine.asked
        assert "main('06-01')" in stage.text  # the run that was started is opened
        await stage.press("escape")
        await stage.press("r")
        assert "42" in stage.text  # what was typed last

    play(script)


def test_the_log_is_shown_filtered_and_of_one_step() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "2")
        assert "GET /1" in stage.text
        assert "page 7 url=https://example.org" in stage.text
        await stage.press("slash", *"GET", "enter")
        assert "page 7" not in stage.text
        assert "GET /1" in stage.text
        await stage.press("slash", *["backspace"] * 3, "enter", "escape", "e", "a", "2")
        assert "page 7" in stage.text
        assert "GET /1" not in stage.text

    play(script)


def test_the_tree_is_filtered_as_one_types() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "slash", *"reset")
        assert "fetch(1)" not in stage.text
        assert "✗ fetch(" in stage.text
        await stage.press("escape")
        assert "fetch(1)" in stage.text

    play(script)


def test_the_timeline_has_a_bar_for_each_step() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "3")
        assert "0ms" in stage.text
        assert "██" in stage.text

    play(script, (120, 40))


def test_cancelling_asks_first_and_running_again_does_not() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "X")
        assert "Cancel R1?" in stage.text
        assert "1 steps are unfinished" in stage.text
        await stage.press("escape")
        assert not any(isinstance(one, CancelAsked) for one in stage.engine.asked)
        await stage.press("X", "y")
        assert CancelAsked("R1") in stage.engine.asked
        await stage.press("e", "R")
        assert RerunAsked("R1", 3) in stage.engine.asked
        await stage.press("c")
        assert RerunAsked("R1", 1, resume=True) in stage.engine.asked

    play(script)


def test_leaving_asks_what_is_to_become_of_unfinished_runs() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("q")
        assert "1 unfinished runs" in stage.text
        await stage.press("d")
        assert stage.app.return_code == 0

    play(script)


def test_a_refusal_is_told_as_it_is() -> None:
    async def script(stage: Stage) -> None:
        stage.engine.told.append(Failed(CancelAsked("R1"), f"cannot: {HOSTILE[:12]}"))
        await stage.look()
        await stage.look()
        assert "cannot: x [/] [bold]" in stage.text

    play(script)


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (40, 8), (80, 24), (300, 80)])
@pytest.mark.parametrize("unicode", [True, False])
def test_nothing_of_the_users_text_reaches_the_terminal_as_it_is(size: tuple[int, int], unicode: bool) -> None:
    """Control characters, markup and text that runs the other way, at any size."""

    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "e", "1", "2", "3", "question_mark", "escape")
        for key in ("1", "2", "3"):
            await stage.press(key)
            for character in "\x1b\x07\u202e\ud83d":
                assert character not in stage.text
        if not unicode:
            assert stage.text.isascii()
        await stage.resize(size[0] + 5, size[1] + 2)

    play(script, size, unicode=unicode)
