"""The run screen as one uses it, at three sizes: what is seen, where the keys go, what stays when the size changes."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from coflux.display.feed import Event, ExecutionChanged, RunChanged, StepSubmitted
from coflux.tui.run_layout import Layout, Part, layout_of
from coflux.tui.screens.run import RunScreen
from coflux.tui.updates import RunProgressed
from coflux.tui.widgets.lanes_view import LanesView
from coflux.tui.widgets.one_line import OneLine
from coflux.tui.widgets.tree_view import TimelineView, TreeView
from tests.tui.gallery import CHILD, RUN, runs, told
from tests.tui.pretend import NOW, execution, run_row, step
from tests.tui.stage import Stage, play

NARROW, MIDDLE, WIDE = (80, 24), (120, 40), (200, 60)


@pytest.mark.parametrize(
    ("size", "front", "zoomed", "expected"),
    [
        ((39, 24), "tree", False, Layout()),
        ((80, 7), "tree", False, Layout()),
        ((40, 8), "tree", False, Layout(tree=True)),
        ((80, 19), "tree", False, Layout(tree=True)),
        ((80, 20), "tree", False, Layout(tree=True, peek=True)),
        ((80, 24), "side", False, Layout(side=True)),
        ((100, 30), "side", False, Layout(tree=True, side=True)),
        ((159, 30), "tree", False, Layout(tree=True, side=True)),
        ((160, 30), "side", False, Layout(tree=True, side=True, rail=True, bars=True)),
        ((120, 30), "tree", True, Layout(tree=True, bars=True)),
        ((200, 30), "side", True, Layout(side=True)),
        ((200, 30), "rail", True, Layout(rail=True)),
    ],
)
def test_what_is_seen_depends_on_the_size(size: tuple[int, int], front: Part, zoomed: bool, expected: Layout) -> None:
    assert layout_of(*size, front, zoomed=zoomed) == expected


async def opened(stage: Stage) -> RunScreen:
    """The run with everything in it."""
    stage.app.clock = lambda: NOW + 38.2
    stage.engine.told += [runs()]
    stage.app.open_run(RUN)
    await stage.look()
    stage.engine.told += told()
    await stage.look()
    screen = stage.app.screen
    assert isinstance(screen, RunScreen)
    return screen


def lines(stage: Stage) -> list[str]:
    return stage.text.splitlines()


def line(stage: Stage, text: str) -> str:
    return next(line for line in lines(stage) if text in line)


def test_a_narrow_screen_shows_the_tree_and_something_of_its_step() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage)
        assert "… ingest_orders(" in line(stage, "ingest_orders(since")
        assert "▾ [Fetch pages] ✗1 ►2 ○3 ✓10 ██████░░  69%" in stage.text
        assert "fetch_page(page=3) try 2/3 in 3.8s ConnectionError" in stage.text
        assert "█████░░░  62% ~6.0s left" in line(stage, "page=13")
        assert "Info" not in stage.text
        await stage.press("e")
        assert "✗ fetch_page  failed  attempt 3  1.1s ─" in lines(stage)[-4]
        assert lines(stage)[-3] == " ConnectionError: connection reset by peer"
        assert lines(stage)[-2].startswith(" fetch_page(page=4, url='https://shop.example/orders'")
        await stage.press("tab")
        assert "1 Info" in stage.text
        assert "[Fetch pages]" not in stage.text
        await stage.press("escape")
        assert "[Fetch pages]" in stage.text

    play(script, NARROW)


def test_a_wide_screen_shows_the_runs_the_time_and_a_tab_at_once_and_another_run_is_a_key_away() -> None:
    async def script(stage: Stage) -> None:
        screen = await opened(stage)
        assert "R7D2B train_model" in stage.text
        assert "0s " in lines(stage)[2]
        assert "10s" in lines(stage)[2]
        assert line(stage, "page=4").count("█✗") == 3  # a bar for each attempt
        assert "train_model(" in line(stage, f"› run {CHILD}")  # noqa: RUF001
        assert "1 Info" in stage.text
        await stage.press("e", "plus", "plus")
        assert "15s" in lines(stage)[2]
        await stage.press("0")
        assert "15s" not in lines(stage)[2]
        await stage.press("shift+tab", "j", "enter")
        assert stage.app.state.run is not None
        assert stage.app.state.run.id == "R7D2B"
        assert screen.focused is screen.query_one("#tree")

    play(script, WIDE)


def test_the_timeline_and_the_tree_have_one_cursor_and_the_same_rows() -> None:
    async def script(stage: Stage) -> None:
        screen = await opened(stage)
        await stage.press("4")
        tree, bars = screen.query_one("#tree", TreeView), screen.query_one(TimelineView)
        assert screen.focused is bars
        row = line(stage, "page=9)")
        assert "█✗·" in row  # on the row of its name
        await stage.press("j", "j", "j", "j")
        assert tree.cursor == bars.cursor == 4
        assert (tree.first, tree.size.height) == (bars.first, bars.size.height)
        await stage.press("h", "space")
        assert "page=9)" not in stage.text
        await stage.press("space", "w")
        lanes = screen.query_one(LanesView)
        assert lanes.has_focus
        assert "▓ingest_orders▓" in line(stage, "4109")
        await stage.press("j", "l", "l")
        assert tree.row is not None
        assert tree.row.node.title == "fetch_page"
        await stage.press("w")
        assert screen.focused is bars
        assert "page=9)" in stage.text
        await stage.press("z")
        assert "█✗·" in line(stage, "fetch_page(page=9)")
        await stage.press("escape", "escape", "escape")
        assert not isinstance(stage.app.screen, RunScreen)

    play(script, MIDDLE)


def test_what_has_the_keys_is_seen_whatever_the_size_becomes() -> None:
    async def script(stage: Stage) -> None:
        screen = await opened(stage)
        for pressed in ("shift+tab", "z", "4"):
            await stage.press(pressed)
            for size in ((80, 24), (1, 1), (120, 7), (60, 10)):
                await stage.resize(*size)
                tiny = size[0] < 40 or size[1] < 8
                assert ("enlarge the window"[: size[0]] in stage.text) == tiny
                focused = screen.focused
                assert tiny or (focused is not None and focused.size.width > 0), (pressed, size)
                assert tiny or all(widget.display for widget in focused.ancestors_with_self)  # type: ignore[union-attr]
            await stage.resize(*WIDE)
        await stage.press("z")
        assert "[Fetch pages]" in stage.text

    play(script, WIDE)


def test_a_part_is_zoomed_to_the_whole_screen_and_back() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage)
        await stage.press("z")
        assert "1 Info" not in stage.text
        assert "10s" in stage.text  # a tree with so much room has its timeline beside it
        await stage.press("tab")
        assert "1 Info" in stage.text
        assert "[Fetch pages]" not in stage.text
        await stage.press("z")
        assert "1 Info" in stage.text
        assert "[Fetch pages]" in stage.text

    play(script, MIDDLE)


def test_a_search_filters_until_it_is_left_and_goes_from_match_to_match() -> None:
    async def script(stage: Stage) -> None:
        screen = await opened(stage)
        tree = screen.query_one("#tree", TreeView)
        await stage.press("slash", *"normal")
        assert isinstance(screen.focused, Input)
        assert tree.row is not None
        assert tree.row.node.title == "normalise"
        await stage.press("enter")
        assert "/normal/ 3 found" in lines(stage)[1]
        assert "page=5)" not in stage.text
        places = []
        for key in ("n", "n", "n", "N"):
            await stage.press(key)
            places.append(tree.cursor)
        assert places[3] == places[1]
        assert len(set(places)) == 3
        await stage.press("escape")
        assert "found" not in lines(stage)[1]
        assert "page=5)" in stage.text
        assert tree.row.node.title == "normalise"  # the cursor stays on what was found

    play(script, MIDDLE)


def test_another_theme_is_drawn_with_what_comes() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage)
        stage.app.theme = "coflux-light"
        stage.engine.told += told()
        await stage.look()
        assert "[Fetch pages]" in stage.text

    play(script, WIDE)


def test_nothing_but_ascii_is_drawn_where_only_that_can_be() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage)
        for key in ("4", "w", "w", "z", "z", "escape", "slash", "x", "enter"):
            await stage.press(key)
            assert stage.text.isascii()
        assert "ingest_orders" in stage.text

    play(script, WIDE, unicode=False)


def test_what_runs_is_followed_until_the_cursor_is_moved() -> None:
    async def script(stage: Stage) -> None:
        screen = await opened(stage)
        tree = screen.query_one("#tree", TreeView)
        await stage.press("f")
        assert "following" in lines(stage)[1]
        first = tree.row
        assert first is not None
        assert first.node.state == "running"
        (run, number), *_ = first.node.keys
        ended = [ExecutionChanged(execution(number, "succeeded", run=run), None)]
        stage.engine.told.append(RunProgressed(RUN, ended))
        await stage.look()
        assert tree.row is not first
        assert tree.row is not None
        assert tree.row.node.state == "running"
        await stage.press("j")
        assert "following" not in lines(stage)[1]

    play(script, MIDDLE)


def test_a_run_that_had_failed_opens_at_its_first_failure_and_another_at_its_root() -> None:
    async def script(stage: Stage) -> None:
        stage.app.open_run("R9")
        await stage.look()
        events: list[Event] = [
            RunChanged(run_row("R9", "failed", settled=True, finished_at=NOW + 9)),
            StepSubmitted(step(1, run="R9", name="main"), None),
            *(StepSubmitted(step(number, "R9:1:1", run="R9"), None) for number in (2, 3)),
            StepSubmitted(step(4, "R9:3:1", run="R9", name="deep"), None),
        ]
        stage.engine.told.append(RunProgressed("R9", events))
        await stage.look()
        failed = [ExecutionChanged(execution(number, "failed", run="R9"), None) for number in (1, 3, 4)]
        stage.engine.told.append(RunProgressed("R9", failed))
        await stage.look()
        tree = stage.app.screen.query_one("#tree", TreeView)
        assert tree.row is not None
        assert tree.row.node.title == "deep"
        await stage.press("k")
        stage.engine.told.append(RunProgressed("R9", [ExecutionChanged(execution(2, "failed", run="R9"), None)]))
        await stage.look()
        assert tree.row.node.title == "t3"  # moved by hand, it stays
        await stage.press("asterisk")
        assert "deep" not in stage.text
        await opened(stage)
        assert tree.row.node.title == "ingest_orders"
        assert "page=9)" in stage.text  # what was folded there is not folded here

    play(script, MIDDLE)


def test_of_a_head_that_has_become_shorter_nothing_is_left() -> None:
    async def script(stage: Stage) -> None:
        screen = await opened(stage)
        await stage.press("f")
        head = screen.query_one("#head", OneLine)
        assert head.render_line(0).cell_length == MIDDLE[0]
        await stage.press("j")
        assert head.render_line(0).cell_length == MIDDLE[0]  # what is no longer told is painted over

    play(script, MIDDLE)
