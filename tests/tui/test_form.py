"""The start form as one uses it."""

from __future__ import annotations

from textual.widgets import Static

from coflux.encoded import Value
from coflux.executor.messages import ParameterInfo, Shape, TargetInfo, TargetSpec
from coflux.task_options import TaskOptions
from coflux.tui.arguments import Given
from coflux.tui.updates import (
    Failed,
    PastCall,
    PastCalls,
    PastCallsAsked,
    RememberAsked,
    Remembered,
    Request,
    RunStarted,
    Searched,
    StartAsked,
    TargetsRead,
    Update,
)
from coflux.tui.widgets.fields import ChoiceField
from tests.tui.pretend import NOW, run_row
from tests.tui.stage import HOSTILE, Stage, play


def scalar(name: str) -> Shape:
    return Shape("scalar", name)


def parameter(
    name: str, shape: Shape, annotation: str, default: str | None = None, kind: str = "KEYWORD_ONLY"
) -> ParameterInfo:
    return ParameterInfo(name, kind, annotation, default, shape)


def text_or_none(name: str, default: str | None) -> ParameterInfo:
    return parameter(name, Shape("union", parts=(scalar("str"), scalar("NoneType"))), "str | None", default)


MODE = Shape("literal", names=("fast", "thorough"), parts=(scalar("str"), scalar("str")))
PARAMETERS = (
    parameter("day", scalar("date"), "date"),
    parameter("limit", scalar("int"), "int", "100"),
    parameter("mode", MODE, 'Literal["fast", "thorough"]', "'fast'"),
    parameter("dry_run", scalar("bool"), "bool", "False"),
    text_or_none("note", "'none'"),
    parameter("tags", Shape("array", "list", parts=(scalar("int"),)), "list[int]", "[]"),
    parameter("token", Shape("union", parts=(scalar("Secret"), scalar("NoneType"))), "Secret | None", "None"),
)


def target(*parameters: ParameterInfo, doc: str = "") -> TargetInfo:
    spec = TargetSpec("jobs", "load", "workflow", tuple(one.name for one in parameters), TaskOptions())
    return TargetInfo(spec, parameters, doc, "/p/jobs.py", 3)


async def show(stage: Stage, *parameters: ParameterInfo, doc: str = "") -> None:
    """Open the form of a target with these parameters, which is in a file."""
    stage.engine.told += [
        Searched("/p", (), {"jobs": "/p/jobs.py"}),
        TargetsRead([target(*parameters, doc=doc)], []),
    ]
    await stage.look()
    await stage.press("enter")


def asked(stage: Stage) -> list[StartAsked]:
    return [one for one in stage.engine.asked if isinstance(one, StartAsked)]


def test_what_is_wrong_is_told_in_place_and_the_command_grows_with_what_is_typed() -> None:
    async def script(stage: Stage) -> None:
        await show(stage, *PARAMETERS, doc="Load orders.")
        assert "Load orders." in stage.text
        assert "* day" in stage.text
        assert "needed" not in stage.text  # before anything was tried
        await stage.press("enter")
        assert "day: needed" in stage.text
        await stage.press(*"2026-02-30")
        assert "day is out of range for month" in stage.text
        await stage.press("backspace", "backspace", *"28", "down", "down", "right", "right", "down", "t", "down")
        await stage.press("ctrl+n", "down", *"[1, x")
        assert "tags: '[1, x' is not a list" in stage.text
        await stage.press("backspace", *"2]")
        assert "$ coflux run /p/jobs.py/load --day 2026-02-28 --mode thorough --dry-run --tags '[1, 2]'" in " ".join(
            stage.text.split()
        ).replace("| coflux", "$ coflux").replace("--args - ", "")
        assert "echo '{\"note\": null}'" in stage.text
        await stage.press("enter")
        words = ("--day", "2026-02-28", "--mode", "thorough", "--dry-run", "--tags", "[1, 2]")
        assert asked(stage) == [StartAsked("jobs", "/p/jobs.py", "load", words, b'{"note": null}')]
        assert "main('06-01')" in stage.text  # the run that was started is opened
        [kept] = [one for one in stage.engine.asked if isinstance(one, RememberAsked)]
        assert kept.typed["day"] == Given("2026-02-28")
        assert kept.typed["note"] == Given(none=True)
        await stage.press("escape", "enter")
        assert "2026-02-28" in stage.text

    play(script, (120, 40))


def test_a_refusal_is_shown_in_the_form_which_stays_as_it_was_typed() -> None:
    async def script(stage: Stage) -> None:
        answers: list[Update] = []
        stage.engine.start = lambda request: answers
        await show(stage, parameter("number", scalar("int"), "int"))
        await stage.press(*"7", "enter")
        assert "starting" in stage.text
        await stage.press("enter")
        assert len(asked(stage)) == 1  # not twice
        stage.engine.told.append(Failed(asked(stage)[0], f"argument number: refused {HOSTILE[:12]}"))
        await stage.look()
        assert "argument number: refused x [/] [bold]" in stage.text
        assert "7" in stage.text
        await stage.press("enter")
        stage.engine.told.append(RunStarted("R1", asked(stage)[1]))
        await stage.look()
        assert "main('06-01')" in stage.text
        await stage.press("escape", "enter", "enter", "escape")
        stage.engine.told.append(Failed(asked(stage)[2], "not now"))  # of a form that was left
        await stage.look()
        await stage.look()
        assert "not now" in stage.text

    play(script)


def test_earlier_arguments_come_back_where_that_is_exact_and_what_does_not_is_named() -> None:
    calls = [
        PastCall(run_row("R8", created_at=NOW - 60), {"number": json("5"), "note": json('"a"'), "old": json("1")}),
        PastCall(run_row("R7", created_at=NOW - 7200), {"number": Value("pickle", b"", 9, None, (), "<X object>")}),
    ]

    def answer(request: Request) -> list[Update]:
        return [PastCalls(request, calls)] if isinstance(request, PastCallsAsked) else []

    async def script(stage: Stage) -> None:
        stage.engine.answer = answer
        await show(stage, parameter("number", scalar("int"), "int"), text_or_none("note", None))
        await stage.press(*"9", "up")
        assert "arguments of R8, 1m ago (1 of 2)" in stage.text
        assert "left out: old (no parameter any more)" in stage.text
        assert "--number 5 --note a" in stage.text
        await stage.press("pageup")
        assert "left out: number (<X object> has no exact text)" in " ".join(stage.text.split())
        await stage.press("pagedown", "pagedown")
        assert "--number 9" in stage.text
        await stage.press("ctrl+l")
        assert "--number" not in stage.text
        await stage.press("escape")
        stage.app.start(target(parameter("number", scalar("int"), "int"), text_or_none("note", None)), "R8")
        await stage.look()
        assert "--number 5 --note a" in stage.text  # a run with changes begins with its arguments

    play(script, (120, 40))


def json(text: str) -> Value:
    return Value("json", text.encode(), len(text))


def test_secrets_are_not_shown_nor_kept_and_what_is_kept_comes_back() -> None:
    async def script(stage: Stage) -> None:
        stage.engine.told.append(Remembered({("jobs", "load"): {"limit": Given("42"), "gone": Given("1")}}))
        await show(stage, *PARAMETERS)
        assert "42" in stage.text
        await stage.press(*"2026-01-01", *["down"] * 6, *"hunter2", "enter")
        assert "hunter2" not in stage.text
        assert "a secret is given as env:NAME" in stage.text
        await stage.press(*["backspace"] * 7, *"env:TOKEN")
        assert "--token env:TOKEN" in " ".join(stage.text.split())
        await stage.press("enter")
        [kept] = [one for one in stage.engine.asked if isinstance(one, RememberAsked)]
        assert "token" not in kept.typed
        assert kept.typed["limit"] == Given("42")

    play(script)


def test_choices_turn_with_keys_and_the_mouse_and_the_command_is_copied() -> None:
    async def script(stage: Stage) -> None:
        await show(stage, *PARAMETERS[2:4])
        field = stage.app.screen.query(ChoiceField).first()
        assert "'fast'" in stage.text
        for key, given in (("space", "fast"), ("right", "thorough"), ("left", "fast"), ("t", "thorough")):
            await stage.press(key)
            assert field.given == Given(given), key
        await stage.press("delete")
        assert field.given == Given()
        await stage.click(field, (9, 0))
        assert field.given == Given("fast")
        await stage.press("ctrl+y")
        assert stage.app.clipboard == "coflux run /p/jobs.py/load --mode fast"
        await stage.press("delete")
        await stage.click(stage.app.screen.query_one("#command", Static), (4, 0))
        assert stage.app.clipboard == "coflux run /p/jobs.py/load"

    play(script)


def test_a_target_without_parameters_has_a_form_with_the_command_only() -> None:
    async def script(stage: Stage) -> None:
        await show(stage)
        assert "no parameters" in stage.text
        assert "coflux run /p/jobs.py/load" in stage.text
        await stage.press("enter")
        assert asked(stage) == [StartAsked("jobs", "/p/jobs.py", "load", ())]

    play(script)


def test_a_large_form_scrolls_with_hostile_names_at_any_size() -> None:
    many = [parameter(f"p{number}", scalar("int"), "int", "1") for number in range(40)]
    strange = ParameterInfo("顧客" * 20, "KEYWORD_ONLY", HOSTILE, HOSTILE)

    async def script(stage: Stage) -> None:
        await show(stage, strange, *many, doc=HOSTILE)
        for size in ((80, 24), (200, 60), (30, 10), (2, 2), (120, 40)):
            await stage.resize(*size)
            assert "\x1b" not in stage.text
        await stage.press(*["down"] * 40, "5")
        assert "--p39 15" in stage.text or "--p39 5" in stage.text

    play(script)
