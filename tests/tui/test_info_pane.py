"""The tab with all about a step, and what can be done with the step: keys go in, a screen comes out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coflux.display.feed import ExecutionChanged, StepSubmitted
from coflux.encoded import Failure, Frame
from coflux.executor.messages import Failed, ParameterInfo, Succeeded, Terminated
from coflux.tui.app import Dashboard
from coflux.tui.clipboard import LIMIT, copies, fits, has_clipboard
from coflux.tui.editor import Editor, NoEditor, Place, editor_of
from coflux.tui.panes.info import InfoPane
from coflux.tui.updates import (
    Details,
    DetailsAsked,
    Excerpt,
    FileThere,
    KeepAsked,
    RunOpened,
    RunProgressed,
    SaveAsked,
    ShownValue,
)
from coflux.tui.widgets.text_view import TextView
from coflux.values import Value
from tests.tui.pretend import details, execution, step, value
from tests.tui.stage import Stage, play

NONE = Value("json", b"null", 4)
TRACEBACK = "Traceback (most recent call last):\nTimeoutError: no answer\n"
FRAME = Frame("/app/flow.py", 41, "fetch", "get()")


def text(json: str, *, exact: bool = True) -> ShownValue:
    return ShownValue(json, "", json, exact, len(json))


async def go_to(stage: Stage, text: str) -> None:
    """Put the cursor of the tab on the line with this text."""
    view = stage.app.screen.query_one(InfoPane).query_one(TextView)
    lines = ["".join(piece for piece, _ in view.paint(index, 0)) for index in range(view.count())]
    [found] = [index for index, line in enumerate(lines) if text in line]
    view.go(found)
    await stage.look()


def said(stage: Stage) -> str:
    """What was said last, for a while, in a corner."""
    return [one.message for one in stage.app._notifications][-1]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for variable in ("TMUX", "VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)


def tell(stage: Stage, *known: Details) -> None:
    """Let a step `load` have these attempts: put the last of them into the tree."""
    events: list[StepSubmitted | ExecutionChanged] = [StepSubmitted(step(8, "R1:1:1", name="load", text="7"), None)]
    for one in known:
        stage.engine.details[one.row.id] = one
        events.append(ExecutionChanged(one.row, one.outcome))
    stage.engine.told.append(RunProgressed("R1", events))


def known(status: str, outcome: object, attempt: int = 1, **changes: object) -> Details:
    row = execution(8, status, attempt=attempt)  # type: ignore[arg-type]
    about = step(8, "R1:1:1", name="load", text="7")
    return details(row, outcome, step=about, arguments=[text("7")], **changes)  # type: ignore[arg-type]


FAILED = known("failed", Failed(Failure("builtins.TimeoutError", "no answer", TRACEBACK, (FRAME,))))
BIG = known("succeeded", Succeeded(NONE), result=text('"' + "x" * LIMIT + '"'))
SUMMARY = "\n".join(["list of 99", *[f"  [{n}] {n}" for n in range(24)]])


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_details_are_unfolded_and_attempts_browsed(size: tuple[int, int]) -> None:
    second = known("succeeded", Succeeded(NONE), 2, result=value("[...]", SUMMARY))

    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        tell(stage, FAILED._replace(row=FAILED.row), second)
        await stage.look()
        await stage.press("G", "enter")
        assert DetailsAsked("R1:8:2") in stage.engine.asked
        assert "attempt \u20392/2\u203a" in stage.text
        await go_to(stage, "▸ 10 more lines")
        assert "[13] 13" in stage.text
        await stage.press("space")
        await go_to(stage, "[23] 23")
        await stage.press("enter")
        await go_to(stage, "▸ 10 more lines")
        await stage.press("comma")
        assert "attempt \u20391/2\u203a" in stage.text
        assert "flow.py:41 in fetch" in stage.text
        await stage.press("comma", "full_stop")
        assert "attempt \u20392/2\u203a" in stage.text
        await stage.press("escape", "k", "comma")  # a step with a single attempt
        assert "attempt \u2039" not in stage.text

    play(script, size)


def test_enter_follows_a_line_to_another_step_and_to_another_run() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        row = execution(8, "cached", next="R1:2:1")
        tell(stage, details(row, Succeeded(NONE), step=step(8, name="load")))
        await stage.look()
        await stage.press("G", "enter")
        await go_to(stage, "→ result of R1:2:1")
        await stage.press("enter")
        assert "✓ succeeded   R1:2:1" in stage.text
        tell(stage, details(execution(8, "spawned", next="R7:1:1"), None, step=step(8, name="load")))
        await stage.look()
        await stage.press("escape", "G", "enter")
        await go_to(stage, "→ goes on as run R7")
        await stage.press("enter")
        assert RunOpened("R7") in stage.engine.asked

    play(script, (120, 40))


def test_a_group_leads_to_the_steps_that_failed() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter", "j", "1")
        assert "group Fetch pages   2 steps" in stage.text
        await stage.press("G", "enter")
        assert "R1:3:1" in stage.text
        assert "flow.py:3 in fetch" in stage.text

    play(script)


# -- copying ----------------------------------------------------------------------------------------------------------


def test_parts_of_a_step_are_copied_and_what_is_too_big_is_kept() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        tell(stage, FAILED)
        await stage.look()
        await stage.press("G", "y")
        assert "a  arguments" in stage.text
        assert "t  traceback  TimeoutError: no answer" in stage.text.replace("traceback   ", "traceback  ")
        await stage.press("t")
        assert stage.app.clipboard == TRACEBACK
        assert said(stage) == f"traceback of R1:8:1 copied: {len(TRACEBACK)} characters"
        await stage.press("y", "j", "enter")
        assert stage.app.clipboard == '{"x":7}'
        await stage.press("y", "escape")
        tell(stage, BIG)
        await stage.look()
        await stage.press("y", "r")
        assert stage.app.clipboard == '{"x":7}'
        kept = KeepAsked("result of R1:8:1", "R1-8-1.result.json", BIG.result.json or "" if BIG.result else "")
        assert kept in stage.engine.asked
        await stage.press("2", "g", "y", "l")
        assert stage.app.clipboard == "GET /1"

    play(script, (120, 40))


COMMANDS: list[tuple[int, list[ParameterInfo] | None, list[ShownValue], str]] = [
    (2, [ParameterInfo("x", "POSITIONAL_OR_KEYWORD", "int")], [text("4")], "coflux runs rerun R1:2"),
    (1, None, [text("4")], "coflux runs rerun R1:1"),
    (1, [ParameterInfo("x", "POSITIONAL_OR_KEYWORD", "int")], [text("4")], "coflux run flow/t1 --x 4"),
    (1, [ParameterInfo("x", "KEYWORD_ONLY", "str")], [text('"a b"')], "coflux run flow/t1 --x 'a b'"),
    (1, [ParameterInfo("x", "POSITIONAL_ONLY", "bool")], [text("true")], "coflux run flow/t1 --x true"),
    (
        1,
        [ParameterInfo("x", "POSITIONAL_OR_KEYWORD")],
        [text('"4"')],
        'printf %s \'{"x":"4"}\' | coflux run --args - flow/t1',
    ),
    (
        1,
        [ParameterInfo("x", "POSITIONAL_OR_KEYWORD", "str")],
        [text('"--y"')],
        'printf %s \'{"x":"--y"}\' | coflux run --args - flow/t1',
    ),
    (1, [ParameterInfo("x", "VAR_POSITIONAL", "int")], [text("[4]")], "coflux runs rerun R1:1"),
    (1, [ParameterInfo("x", "POSITIONAL_OR_KEYWORD", "int")], [text("4", exact=False)], "coflux runs rerun R1:1"),
    (1, [ParameterInfo("y", "POSITIONAL_OR_KEYWORD", "int")], [text("4")], "coflux runs rerun R1:1"),
]


@pytest.mark.parametrize(("number", "parameters", "arguments", "line"), COMMANDS)
def test_the_command_that_does_the_same(
    number: int, parameters: list[ParameterInfo] | None, arguments: list[ShownValue], line: str
) -> None:
    one = details(execution(number, "running"), step=step(number, text="4"), arguments=arguments)
    [*_, command] = copies(one, parameters)
    assert (command.key, command.text) == ("c", line)


def test_what_there_is_to_copy() -> None:
    plain = details(execution(3, "running"))
    assert [one.key for one in copies(plain)] == ["i", "c"]
    ended = details(execution(3, "timed_out"), Terminated("timed_out", "after 3 s"))
    assert {one.key: one.text for one in copies(ended)}["t"] == "after 3 s"
    opaque = details(
        execution(3, "succeeded"),
        Succeeded(NONE),
        step=step(3, text="4"),
        arguments=[value("<object>")],
        result=value("<Frame>", "Frame\n1 2"),
    )
    texts = {one.what: (one.text, one.file, one.glimpse) for one in copies(opaque)}
    assert texts["arguments"] == ("x = <object>\n", "R1-3-1.arguments.txt", "x = <object>")
    assert texts["result"] == ("Frame\n1 2", "R1-3-1.result.txt", "Frame")
    assert [fits("x" * (LIMIT * 3 // 4)), fits("x" * LIMIT)] == [True, False]
    assert [has_clipboard({"TERM": term}) for term in ("xterm", "linux", "dumb", "")] == [True, False, False, False]


# -- saving -----------------------------------------------------------------------------------------------------------


def test_a_file_is_named_and_not_overwritten_unasked() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        tell(stage, FAILED)
        await stage.look()
        await stage.press("G", "S")
        assert "t  traceback" in stage.text
        await stage.press("t")
        assert "R1-8-1-traceback.txt" in stage.text
        await stage.press(*["backspace"] * 3, *"log", "enter")
        request = SaveAsked("R1:8:1", "traceback", "R1-8-1-traceback.log")
        assert stage.engine.asked[-1] == request
        stage.engine.told.append(FileThere(request))
        await stage.look()
        assert "R1-8-1-traceback.log is there. Overwrite it?" in stage.text
        await stage.press("y")
        assert stage.engine.asked[-1] == request._replace(overwrite=True)
        await stage.press("S", "l", "escape", "S", "escape")
        assert stage.engine.asked[-1] == request._replace(overwrite=True)

    play(script)


# -- the editor -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("editor", "command", "in_terminal"),
    [
        ("vi", "vi +41 /a.py", True),
        ("nvim -p", "nvim -p +41 /a.py", True),
        ("/usr/bin/nano", "/usr/bin/nano +41 /a.py", True),
        ("emacs -nw", "emacs -nw +41 /a.py", True),
        ("code --wait", "code --wait --goto /a.py:41", False),
        ("codium", "codium --goto /a.py:41", False),
        ("cursor", "cursor --goto /a.py:41", False),
        ("subl", "subl /a.py:41", False),
        ("hx", "hx /a.py:41", True),
        ("pycharm", "pycharm --line 41 /a.py", False),
        ("my-editor", "my-editor /a.py", True),
    ],
)
def test_each_editor_is_told_the_line_in_its_own_way(editor: str, command: str, in_terminal: bool) -> None:
    found = editor_of({"EDITOR": editor, "VISUAL": ""})
    assert found.in_terminal == in_terminal
    assert found.command(Place("/a.py", 41)) == command.split()
    assert found.command(Place("/a.py", 0)) == [*found.words, "/a.py"]


def test_which_editor_it_is() -> None:
    assert editor_of({"EDITOR": "vi", "VISUAL": "'my editor' -x"}) == Editor(("my editor", "-x"), True)
    with pytest.raises(NoEditor, match=r"set \$VISUAL or \$EDITOR"):
        editor_of({})
    with pytest.raises(NoEditor, match=r"\$EDITOR makes no sense: No closing quotation"):
        editor_of({"EDITOR": "'vi"})


def test_the_source_is_opened_where_it_failed_else_where_it_is_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> None:
        if command[0] == "missing":
            raise FileNotFoundError(2, "No such file or directory")
        opened.append(command)

    @contextmanager
    def suspend(app: Dashboard) -> Iterator[None]:
        yield

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(Dashboard, "suspend", suspend)
    excerpt = {("/app/flow.py", 41): Excerpt(41, ("get()",), False)}

    async def script(stage: Stage) -> None:
        await stage.press("tab", "enter")
        tell(stage, FAILED._replace(excerpts=excerpt))
        await stage.look()
        await stage.press("G", "o")
        assert said(stage).startswith("no editor is set: set $VISUAL or $EDITOR")
        monkeypatch.setenv("EDITOR", "vi")
        asked = len(stage.engine.asked)
        await stage.press("o")
        assert opened == [["vi", "+41", "/app/flow.py"]]
        if stage.app.size.width >= 100:
            assert stage.engine.asked[asked:] == [DetailsAsked("R1:8:1")]  # the file may be another now
        stage.engine.details["R1:1:1"] = details(execution(1, "running"), step=step(1, name="main"))
        await stage.press("g", "o")
        assert opened[1:] == [["vi", "+1", "flow.py"]]
        monkeypatch.setenv("EDITOR", "missing")
        await stage.press("o")
        assert said(stage) == "missing: No such file or directory; see $VISUAL and $EDITOR"
        stage.engine.details["R1:2:1"] = details(execution(2, "succeeded"), step=step(2, name="fetch"))
        await stage.press("j", "j", "o")
        assert said(stage) == "the source of flow/fetch is not known"

    play(script, (120, 40))
