"""The window on the lines of a view: where it is when lines come and go."""

from __future__ import annotations

from coflux.display.feed import ExecutionChanged, StepSubmitted
from coflux.tui.updates import RunProgressed
from tests.tui.pretend import execution, step
from tests.tui.stage import Stage, play


def test_there_is_nothing_above_the_first_line_when_lines_before_the_cursor_go() -> None:
    """The cursor is far down when all that is above it ends well, and is folded to one line."""

    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        items = range(10, 90)
        begun = [StepSubmitted(step(number, "R1:1:1", name=f"item{number}"), None) for number in items]
        stage.engine.told.append(RunProgressed("R1", [*begun, *running(*items)]))
        await stage.look()
        await stage.press(*["pagedown"] * 3)
        ended = [ExecutionChanged(execution(number, "succeeded"), None) for number in items if number < 70]
        stage.engine.told.append(RunProgressed("R1", ended))
        await stage.look()
        assert stage.text.splitlines()[2].startswith("▾ ► main(")
        assert stage.text.count("► main('06-01')") == 1

    play(script)


def running(*numbers: int) -> list[ExecutionChanged]:
    return [ExecutionChanged(execution(number, "running"), None) for number in numbers]
