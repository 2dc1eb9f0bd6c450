"""The log as one uses it."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from coflux.logs import Level
from coflux.tui.panes.logs import LogsPane
from coflux.tui.updates import LogFileThere, LogGone, LogLive, LogsAsked, LogSaveAsked
from tests.tui.pretend_log import Log, clock, entry, realistic
from tests.tui.stage import Stage, play


async def open_log(stage: Stage, count: int = 60) -> None:
    stage.engine.log = Log(realistic(count))
    await stage.press("tab", "enter", "L")


async def search(stage: Stage, text: str) -> None:
    await stage.press("slash")
    stage.app.screen.query_one("#search", Input).value = text
    await stage.press("enter")


async def go_to_time(stage: Stage, text: str) -> None:
    await stage.press("t")
    stage.app.screen.query_one("#log-time", Input).value = text
    await stage.press("enter")


def last_filter(stage: Stage) -> LogsAsked:
    return [one for one in stage.engine.asked if isinstance(one, LogsAsked)][-1]


def line_with(stage: Stage, text: str) -> str:
    return next((line for line in stage.text.splitlines() if text in line), "")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_the_log_opens_at_its_end_and_follows_until_one_goes_elsewhere(size: tuple[int, int]) -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        assert "19.883" in stage.text  # the last one
        stage.engine.told += stage.engine.log.add(entry(100, Level.INFO, "late", at=30))
        await stage.look()
        assert "30.000" in stage.text
        await stage.press("pageup", "pageup", "pageup", "pageup", "pageup")
        stage.engine.told += stage.engine.log.add(*(entry(101 + n, Level.INFO, "later", at=31 + n) for n in range(3)))
        await stage.look()
        assert "▼ 3 new   G: follow" in stage.text
        assert "0.000" in stage.text if size[1] == 24 else True
        await stage.press("G")
        assert "33.000" in stage.text
        assert "new" not in stage.text

    play(script, size)


def test_levels_scopes_and_values_say_which_entries_are_shown() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        await stage.press("v", "v")
        assert "warning up" in stage.text
        assert "requesting" not in stage.text
        assert last_filter(stage).filter.levels == [Level.WARNING, Level.ERROR]
        await stage.press("V", "V")
        assert "all levels" in stage.text
        await search(stage, "=currency")
        assert "requesting" not in stage.text
        assert "currency=円" in stage.text
        await search(stage, "")
        await stage.press("escape", "e", "L", "a")
        assert "step and below" in stage.text
        assert (last_filter(stage).filter.step, last_filter(stage).filter.attempt) == (3, None)
        await stage.press("a")
        assert "attempt 1" in stage.text
        assert last_filter(stage).filter.attempt == 1
        await stage.press("a")
        assert "whole run" in stage.text

    play(script)


def test_a_group_has_a_log_of_its_own() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        await stage.press("escape", "g", "j", "L", "a")
        assert "this group" in stage.text
        wanted = last_filter(stage).filter
        assert (wanted.run, wanted.step, wanted.attempt, wanted.group) == ("R1", 1, 1, 0)

    play(script)


def test_a_search_dims_and_goes_from_match_to_match() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        await search(stage, "SLOW")
        assert "/ SLOW 6  & dimmed" in stage.text
        assert "requesting" in stage.text  # the others are still there
        view = stage.app.screen.query_one("LogView")
        places = [view.cursor]  # type: ignore[attr-defined]
        for key in ("N", "N", "n", "n", "n"):
            await stage.press(key)
            places.append(view.cursor)  # type: ignore[attr-defined]
        assert places == [53, 43, 33, 43, 53, 3]  # round the end
        await stage.press("ampersand")
        assert "& only matches" in stage.text
        assert "requesting" not in stage.text
        assert "slow response 1893 ms" in stage.text
        await search(stage, "/ba[/")
        assert "unterminated character set at position 2" in stage.text

    play(script)


def test_an_entry_is_unfolded_wrapped_and_timed_otherwise() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        await search(stage, "cannot")
        await stage.press("space")
        assert "ConnectionError: connection reset by peer" in stage.text
        assert "logger" in stage.text
        assert "raise ConnectionError" in stage.text
        assert stage.app.screen.query_one(LogsPane).line().endswith("connection reset by peer\nattempt=3")
        await stage.press("enter")
        assert "raise ConnectionError" not in stage.text
        await stage.press("w", "G")
        assert "wrapped" in stage.text
        assert "loss=0.413]" in stage.text
        await stage.press("T")
        assert f"{clock(19.883)}.883" in stage.text
        await stage.press("T")
        assert "+0.337" in stage.text

    play(script)


def test_one_goes_to_a_time_and_to_the_step_of_an_entry() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        await go_to_time(stage, "+3s")
        view = stage.app.screen.query_one("LogView")
        assert view.cursor == 9  # type: ignore[attr-defined]
        await go_to_time(stage, "soon")
        assert "'soon' is no time" in stage.text
        await stage.press("escape")
        assert stage.app.focused is view
        await search(stage, "slow")
        await stage.press("s")
        assert "x [/]" in stage.app.screen._node.title or stage.app.screen._node.keys == {("R1", 3): ()}  # type: ignore[attr-defined]

    play(script, (120, 40))


def test_a_bar_is_drawn_in_place_and_settles() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        log = stage.engine.log
        for percent in (10, 50):
            live = entry(100 + percent, Level.STDERR, f"train {percent}%", bar=0, live=True, at=percent)
            stage.engine.told.append(LogLive(log.number, [live]))
            await stage.look()
            assert stage.text.count("train") == 1
            assert f"train {percent}%" in stage.text
        stage.engine.told += [LogLive(log.number, []), *log.add(entry(200, Level.STDERR, "train 100%", bar=0, at=60))]
        await stage.look()
        assert line_with(stage, "train").endswith("train 100%")

    play(script)


def test_a_log_is_saved_where_one_says() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        await stage.press("v", "S")
        assert "Save the log to" in stage.text
        assert "R1.log" in stage.text
        await stage.press("enter")
        request = stage.engine.asked[-1]
        assert isinstance(request, LogSaveAsked)
        assert (request.path, request.overwrite) == ("R1.log", False)
        stage.engine.told.append(LogFileThere(request))
        await stage.look()
        assert "R1.log is there. Overwrite it?" in stage.text
        await stage.press("y")
        assert stage.engine.asked[-1] == request._replace(overwrite=True)

    play(script)


def test_what_is_wrong_with_the_logs_stands_where_they_would() -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage)
        number = stage.engine.log.number
        stage.engine.told.append(LogGone(number, "/x/logs.db is damaged (file is not a database): move it away"))
        await stage.look()
        assert "/x/logs.db is damaged" in stage.text
        stage.engine.told.append(LogGone(number, ""))
        await stage.look()
        assert "reading" in stage.text
        await stage.press("pageup", "space", "n", "s", "w", "T", "t", "escape", "G", "f")

    play(script)


@pytest.mark.parametrize("size", [(1, 1), (9, 3), (30, 6), (300, 70)])
def test_hostile_lines_stay_what_they_are_at_any_size(size: tuple[int, int]) -> None:
    async def script(stage: Stage) -> None:
        await open_log(stage, 30)
        await stage.press("w", "k", "space", "ampersand", "pageup", "T")
        assert not set("\x1b\x07\u202e") & set(stage.text)
        assert not set("…│┆▼·") & set(stage.text)
        await stage.resize(size[0] + 3, size[1] + 1)

    play(script, size, unicode=False)
