"""The metrics of a run, as one uses them."""

from __future__ import annotations

import pytest

from coflux.tui.updates import MetricsAsked, MetricsRead, Spark, SparksRead
from coflux.tui.widgets.charts_view import ChartsView
from tests.tui.measured import BARS, Recorded, course, training
from tests.tui.stage import HOSTILE, Stage, play


async def opened(stage: Stage, recorded: Recorded) -> None:
    stage.engine.answer = recorded
    await stage.press("tab", "enter", "3")


def test_charts_bars_and_what_they_are_about_at_three_sizes() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, Recorded(training()))
        for size in ((80, 24), (120, 40), (200, 60)):
            await stage.resize(*size)
            assert "65% (26/40), 3.1/s" in stage.text
            assert "training   over epochs" in stage.text
            assert "● train 0.2134" in stage.text
            assert "machine" in stage.text
            assert "▄" in stage.text
        assert "values" in stage.text  # its keys are named
        stage.engine.answer = Recorded()
        await stage.press("escape", "j", "3")
        assert "no metrics" in stage.text

    play(script)


def test_the_chart_is_looked_at_with_a_cursor_closer_and_alone() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, Recorded(training()))
        await stage.press("left")
        assert "at 26" in stage.text
        await stage.press("left", "left")
        assert "at 26" not in stage.text
        await stage.press("plus")
        assert "zoomed" in stage.text
        await stage.press("minus")
        assert "zoomed" not in stage.text
        await stage.press("enter")
        assert "machine" not in stage.text
        assert "epochs   █" not in stage.text
        await stage.press("escape")  # puts the cursor away first
        assert "machine" not in stage.text
        await stage.press("escape")
        assert "machine" in stage.text
        await stage.press("j", "enter")
        assert "memory" in stage.text
        assert "held back" not in stage.text
        await stage.press("right", "plus", "0")
        assert "zoomed" not in stage.text
        await stage.press("escape", "escape")
        assert "Home / R1" in stage.text
        assert stage.app.state.run is not None

    play(script, (120, 40))


def test_more_charts_than_fit_are_scrolled_and_chosen_with_the_mouse() -> None:
    async def script(stage: Stage) -> None:
        charts = [
            training()[1]._replace(name=training()[1].name._replace(name=f"chart{number}")) for number in range(12)
        ]
        await opened(stage, Recorded(charts))
        assert "chart0" in stage.text
        assert "chart11" not in stage.text
        await stage.press("G")
        assert "chart11" in stage.text
        await stage.press("g")
        assert "chart0" in stage.text
        view = stage.app.screen.query_one(ChartsView)
        await stage.click(view, (20, 20))
        assert view.chosen == 1
        await stage.press("pagedown")
        assert "chart0" not in stage.text

    play(script, (100, 40))


def test_whose_metrics_are_asked_for_and_what_is_new_is_drawn() -> None:
    async def script(stage: Stage) -> None:
        await opened(stage, Recorded(training()))
        assert stage.engine.asked[-1] == MetricsAsked(1, "R1", None)
        assert "step and below  2" in stage.text
        await stage.press("a")
        assert stage.engine.asked[-1] == MetricsAsked(2, "R1", frozenset({("R1", 1)}))
        assert "this step  2" in stage.text
        await stage.press("a")
        assert "whole run" in stage.text
        number = stage.app.state.metrics.number
        stage.engine.told.append(MetricsRead(number, training(39), 0, BARS, 0))
        await stage.look()
        assert "train 0.2134" not in stage.text
        stage.engine.told.append(MetricsRead(number - 1, [], 0, [], 0))  # the answer to an earlier question
        await stage.look()
        assert "held back" in stage.text
        stage.engine.told.append(SparksRead("R1", {("R1", 2, 1): Spark(1, [3, 2, 1], 1.0, "m")}))
        await stage.look()
        assert "▇▅▁ 1 m" in stage.text
        await stage.press("4")
        assert stage.engine.asked[-1] == MetricsAsked(number, "")  # nobody looks at them
        await stage.press("3")
        assert stage.engine.asked[-1] == MetricsAsked(number + 1, "R1", None)

    play(script, (140, 40))


@pytest.mark.parametrize("unicode", [True, False])
def test_any_size_and_any_text_do(unicode: bool) -> None:
    async def script(stage: Stage) -> None:
        chart = training()[0]
        hostile = chart._replace(
            name=chart.name._replace(name=HOSTILE),
            courses=[*chart.courses, course(HOSTILE, [float("nan"), float("inf")], number=7)],
        )
        await opened(stage, Recorded([hostile, training()[1]]))
        for size in ((80, 24), (12, 4), (1, 1), (200, 50)):
            await stage.resize(*size)
            await stage.press("left", "enter")
            for character in "\x1b\x07\u202e\ud83d":
                assert character not in stage.text
            if not unicode:
                assert stage.text.isascii()

    play(script, unicode=unicode)
