"""What is around the screens: the palette, help, the engine's page, themes, freezing and leaving."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.executor.messages import ModuleError
from coflux.tui.about import About
from coflux.tui.preferences import Preferences
from coflux.tui.screens.palette import Palette
from coflux.tui.updates import (
    CancelAsked,
    Connected,
    Disconnected,
    RerunAsked,
    RunProgressed,
    RunsRead,
    Said,
    SampleRead,
    TargetsRead,
)
from tests.tui.pretend import NOW, run_row, sample, step
from tests.tui.stage import HOSTILE, Stage, play

SIZES = [(80, 24), (120, 40), (200, 60)]


async def find(stage: Stage, typed: str) -> None:
    await stage.press(*typed)
    assert isinstance(stage.app.screen, Palette)
    await stage.app.screen.done.wait()
    await stage.look()


def test_everything_is_found_by_a_few_letters_and_done() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("colon")
        await find(stage, "@mai")
        assert "target  flow/main" in stage.text
        assert "coflux run flow/main" in stage.text
        await stage.press("enter")
        assert "Load the orders." in stage.text  # its form
        await stage.press("escape", "colon")
        await find(stage, "#count")
        assert "R2 flow/count failed" in stage.text
        await stage.press("escape", "ctrl+p")
        await find(stage, "R1")
        await stage.press("enter")
        assert "[Fetch pages]" in stage.text  # the run is opened
        await stage.press("ctrl+f")
        await find(stage, "fet1")
        assert "step    fetch(1) succeeded" in stage.text
        assert "R1:2" in stage.text
        assert "search the log of R1" in stage.text
        await stage.press("enter")
        assert "R1:2:1" in stage.text  # of the step that the cursor is on
        await stage.press("ctrl+f")
        await find(stage, "GET")
        await stage.press("pagedown", "enter")
        assert "GET /1" in stage.text
        assert "/ GET 1 " in stage.text  # one entry has it
        await stage.press("escape", "colon")
        await find(stage, ">resum")
        assert "coflux runs resume R1" in stage.text
        await stage.press("enter")
        assert RerunAsked("R1", 1, resume=True) in stage.engine.asked

    play(script, (120, 40))


@pytest.mark.parametrize("unicode", [True, False])
def test_the_palette_shows_texts_as_they_are(unicode: bool) -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "colon")
        await find(stage, ".fetch")
        assert "[/] [bold]" in stage.text
        assert not any(character in stage.text for character in "\x1b\x07\u202e\ud83d")
        assert unicode or stage.text.isascii()
        for width, height in ((20, 5), (5, 3), (80, 24)):
            await stage.resize(width, height)

    play(script, unicode=unicode)


def test_letters_that_come_at_once_are_all_searched_for() -> None:
    """Twenty thousand steps, and the keys need not wait for any of them."""

    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        tree = stage.app.state.run
        assert tree is not None
        for number in range(10, 20_010):
            tree.tree.add_step(step(number, "R1:1:1", name=f"step{number}"))
        stage.app.action_palette()
        await find(stage, ".step15000")
        assert "step15000()" in stage.text
        assert stage.text.count("step  ") <= 50

    play(script, (120, 40))


@pytest.mark.parametrize("size", SIZES)
def test_help_lists_the_keys_of_what_has_the_focus_of_the_screen_and_of_the_app(size: tuple[int, int]) -> None:
    async def script(stage: Stage) -> None:
        await stage.press("question_mark")
        assert "What can be run" in stage.text
        assert "What has the focus" in stage.text
        await stage.press("G")
        assert "version        coflux" in stage.text
        await stage.press("escape", "x", "question_mark", "escape", "escape", "exclamation_mark", "f1")
        assert "worker processes" in stage.text

    play(script, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_engines_page_tells_of_workers_code_and_notices(size: tuple[int, int]) -> None:
    async def script(stage: Stage) -> None:
        stage.engine.told.append(Said("warning", f"slow disk {HOSTILE[:12]}"))
        error = ModuleError("flow", "'(' was never closed", 'File "flow.py"\nSyntaxError', "flow.py", 42)
        generation = sample().generations[0]
        broken = type(generation)(2, ("flow",), "ready", False, (error,))
        stage.engine.told.append(SampleRead(sample(NOW + 2, cpu_seconds=11.0, generations=(generation, broken))))
        await stage.look()
        stage.app.second()
        await stage.look()
        assert "✗ flow.py:42 '(' was" in stage.text  # at the top
        await stage.press("exclamation_mark")
        assert "50% of a core" in stage.text
        assert "R1:1:1" in stage.text
        assert "default: 2 of 4 slots" in stage.text
        await stage.press("G")
        assert "slow disk x [/] [bold]" in stage.text
        assert "SyntaxError" in stage.text
        await stage.press("escape")
        assert "Workflows 2" in stage.text

    play(script, size)


def test_a_lost_engine_is_told_until_there_is_one() -> None:
    async def script(stage: Stage) -> None:
        stage.engine.told.append(Disconnected("no engine runs"))
        await stage.look()
        assert "! reconnecting: no engine runs" in stage.text
        stage.engine.told.append(Connected(4712))
        await stage.look()
        assert "reconnecting" not in stage.text

    play(script)


def test_a_theme_is_chosen_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "config" / "dashboard.json"

    async def script(stage: Stage) -> None:
        stage.app.preferences = Preferences(str(path))
        await stage.press("colon")
        await find(stage, "coflight")
        await stage.press("enter")
        await stage.app.workers.wait_for_complete()
        assert stage.app.theme == "coflux-light"

    play(script)
    remembered = Preferences(str(path))
    remembered.read()
    assert remembered.get("theme") == "coflux-light"
    path.write_text("{")
    Preferences(str(path)).read()  # spoilt: as if there were none


def test_what_happens_while_the_display_is_frozen_is_counted_and_then_shown() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("p")
        stage.engine.told += [RunsRead([run_row("R3"), run_row()], {"running": 2}), RunProgressed("R9", ())]
        await stage.look()
        assert "frozen +2: p goes on" in stage.text
        assert "R3  main" not in stage.text
        await stage.press("p")
        assert "frozen" not in stage.text
        assert "R3  main" in stage.text

    play(script)


def test_leaving_waits_if_that_is_wanted() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("q")
        assert "w   wait, then leave" in stage.text
        await stage.press("w")
        assert "leaving when 1 ended: q stays" in stage.text
        await stage.press("q", "q", "w")
        assert stage.app.return_code is None
        stage.engine.told.append(RunsRead([run_row("R1", "succeeded")], {}))
        await stage.look()
        assert stage.app.return_code == 0

    play(script)


def test_cancelling_when_leaving_asks_for_that() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("q", "c")
        assert stage.engine.asked[-1] == CancelAsked("R1")
        assert stage.app.return_code == 0

    play(script)


def test_a_second_ctrl_c_leaves_what_runs_alone() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("ctrl+c")
        assert "Ctrl-C again to leave" in stage.text
        await stage.press("ctrl+c")
        assert stage.app.return_code == 130
        assert not any(isinstance(one, CancelAsked) for one in stage.engine.asked)

    play(script)


def test_coflux_run_shows_its_run_and_how_it_ended_and_its_ctrl_c_cancels() -> None:
    async def ends(stage: Stage) -> None:
        assert "[Fetch pages]" in stage.text
        ended = run_row("R1", "succeeded", settled=True, finished_at=NOW + 3.2, started_at=NOW)
        stage.engine.told.append(RunsRead([ended], {}))
        await stage.look()
        assert "succeeded in 3.2s: q leaves" in stage.text
        await stage.press("q")
        assert stage.app.return_code == 0

    async def interrupted(stage: Stage) -> None:
        await stage.press("ctrl+c")
        assert "Ctrl-C again to cancel R1 and leave" in stage.text
        await stage.press("ctrl+c")
        assert CancelAsked("R1") in stage.engine.asked
        assert "cancelling, then leaving" in stage.text
        stage.engine.told.append(RunsRead([run_row("R1", "cancelled", settled=True)], {}))
        await stage.look()
        assert stage.app.return_code == 130

    about = About("flow", run="R1", own_run=True)
    play(ends, (120, 40), about=about)
    play(interrupted, (120, 40), about=about)


def test_runs_that_end_unseen_are_told() -> None:
    async def script(stage: Stage) -> None:
        stage.engine.told.append(RunsRead([run_row("R1", "failed"), run_row("R2", "failed", "count")], {}))
        await stage.look()
        await stage.look()
        assert "✗ flow/main failed (R1)" in stage.text

    play(script)


def test_a_fault_of_the_dashboard_is_told_and_the_second_in_a_row_ends_it(tmp_path: Path) -> None:
    log = tmp_path / "dashboard.log"

    async def script(stage: Stage) -> None:
        app = stage.app
        app.live = True  # without that a test would fail by it, as it should
        stage.engine.told.append(TargetsRead(None, ()))  # type: ignore[arg-type]  # which nobody can draw
        app.pump()
        await stage.look()
        assert "a fault of the dashboard: TypeError" in app.heard[-1].text
        assert app.return_code is None

    play(script, log=str(log))
    assert "TypeError" in log.read_text()
