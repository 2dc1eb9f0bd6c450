"""The dashboard as one uses it: keys go in, a screen comes out."""

from __future__ import annotations

import pytest

from coflux.tui.updates import CancelAsked, Failed, RerunAsked, RunOpened, StartAsked
from tests.tui.stage import HOSTILE, Stage, play

SIZES = [(80, 24), (120, 40), (200, 60)]


def test_home_shows_what_can_be_run_and_what_has_been() -> None:
    async def script(stage: Stage) -> None:
        assert "main   since: str = '06-01'" in stage.text
        assert "R1  main" in stage.text
        assert "R2  count" in stage.text

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
        assert "flow.py:3 in fetch" in stage.text
        await stage.press("escape", "escape")
        assert "Workflows 2" in stage.text

    play(script, size)


def test_a_run_is_started_from_the_form_which_tells_what_is_wrong() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("j", "r")
        assert "flow/count" in stage.text
        await stage.press("x", "enter")
        assert "number: 'x' is not a whole number" in stage.text
        await stage.press("backspace", "4", "2")
        assert "coflux run flow/count --number 42" in stage.text
        await stage.press("enter")
        assert StartAsked("flow", "", "count", ("--number", "42")) in stage.engine.asked
        assert "main('06-01')" in stage.text  # the run that was started is opened
        await stage.press("escape")
        await stage.press("r")
        assert "42" in stage.text  # what was typed last

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
        await stage.press("tab", "enter", "4")
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
        assert "1 unfinished run" in stage.text
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
        await stage.press("tab", "enter", "e", "1", "2", "3", "4", "5", "question_mark", "escape")
        for key in ("1", "2", "3", "4", "5"):
            await stage.press(key)
            for character in "\x1b\x07\u202e\ud83d":
                assert character not in stage.text
        if not unicode:
            assert stage.text.isascii()
        await stage.resize(size[0] + 5, size[1] + 2)

    play(script, size, unicode=unicode)
