"""Home as one uses it: the lists of what can be run and of what has been, pages, deleting."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.executor.messages import ModuleError
from coflux.tui.updates import (
    CancelAsked,
    DeleteAsked,
    Deleted,
    DiscoverAsked,
    Failed,
    MoreRunsAsked,
    RerunAsked,
    RunBrief,
    RunOpened,
    RunsRead,
    Searched,
    TargetsRead,
)
from tests.tui.pretend import NOW, run_row
from tests.tui.stage import HOSTILE, TARGETS, Stage, play

BROKEN = ModuleError(
    "jobs",
    "SyntaxError: '(' was never closed",
    '  File "/p/jobs.py", line 42\n    print("x"\n         ^\nSyntaxError: \'(\' was never closed\n',
    "/p/jobs.py",
    42,
)


def ended(run: str, status: str, name: str = "main", age: float = 100.0) -> object:
    began = NOW - age
    return run_row(run, status, name, created_at=began, started_at=began, finished_at=began + 5, settled=True)  # type: ignore[arg-type]


def runs() -> RunsRead:
    rows = [run_row("R9"), ended("R8", "failed", "count"), ended("R7", "succeeded"), ended("R6", "cancelled")]
    briefs = {
        "R9": RunBrief((("since", "'06-02'"),), "", {"running": 2, "queued": 5, "succeeded": 13, "spawned": 1}),
        "R8": RunBrief((("number", "7"),), "ValueError: no"),
        "R7": RunBrief((("since", "'06-01'"),)),
    }
    return RunsRead(rows, {"running": 1, "failed": 1, "succeeded": 1, "cancelled": 1}, briefs)  # type: ignore[arg-type]


async def full(stage: Stage) -> None:
    stage.engine.told.append(runs())
    await stage.look()


def asked(stage: Stage, kind: type) -> list[object]:
    return [one for one in stage.engine.asked if isinstance(one, kind)]


def test_the_lists_tell_outcomes_arguments_counts_and_problems() -> None:
    async def script(stage: Stage) -> None:
        await full(stage)
        assert "main   since: str = '06-01'" in stage.text
        assert "► running" in stage.text
        assert "⊘✓►" in stage.text  # how the last runs of main ended
        assert "R9  main('06-02')" in stage.text
        assert "►2 ○5 →1 ✓13" in stage.text
        assert "R8  count(7)" in stage.text
        assert "ValueError: no" in stage.text
        assert "R7  main()" in stage.text  # with its default
        assert "┆ Load the orders." in stage.text
        assert "active 1 problems 1" in stage.text

    play(script)


def test_runs_are_picked_sorted_and_filtered_and_the_cursor_stays_on_its_run() -> None:
    async def script(stage: Stage) -> None:
        await full(stage)
        await stage.press("tab", "j", "j", "b")
        assert "Runs 1 of 4" in stage.text
        assert "R8" not in stage.text
        await stage.press("b", "b", "s", "s", "s")
        assert stage.text.index("R8 ") < stage.text.index("R9 ") < stage.text.index("R7 ")
        await stage.press("slash", *"value", "enter")
        assert "/value" in stage.text
        assert "R9" not in stage.text
        await stage.press("enter")
        assert RunOpened("R8") in stage.engine.asked
        await stage.press("escape", "escape")
        assert "R9" in stage.text
        await stage.press("tab", "slash", *"coun")
        assert "Load the orders" not in stage.text
        await stage.press("escape")
        assert "main   since" in stage.text

    play(script)


def test_more_runs_are_asked_for_near_the_end_and_not_twice() -> None:
    async def script(stage: Stage) -> None:
        rows = [ended(f"R{number}", "succeeded", age=number) for number in range(300)]
        stage.engine.told.append(RunsRead(rows, {"succeeded": 900}))  # type: ignore[arg-type]
        await stage.look()
        await stage.press("tab", "j", "pagedown")
        assert asked(stage, MoreRunsAsked) == []
        await stage.press("end", "home", "end")
        assert asked(stage, MoreRunsAsked) == [MoreRunsAsked()]
        assert "Runs 900" in stage.text

    play(script)


def test_actions_are_on_the_run_under_the_cursor_or_on_the_newest_of_a_target() -> None:
    async def script(stage: Stage) -> None:
        await full(stage)
        await stage.press("j", "R")
        assert asked(stage, RerunAsked) == [RerunAsked("R8", 1)]
        await stage.press("k", "x")
        assert "Cancel R9?" in stage.text
        assert "flow/main: 2 running, 5 queued, and what its 1 child run does" in stage.text
        await stage.press("y", "tab", "j", "c")
        assert asked(stage, CancelAsked) == [CancelAsked("R9")]
        assert RerunAsked("R8", 1, resume=True) in stage.engine.asked
        await stage.press("x")
        assert "R8 has ended" in stage.text
        await stage.press("r")
        assert "coflux run flow/count" in stage.text

    play(script, (120, 40))


def test_deleting_asks_first_and_what_was_refused_is_told() -> None:
    async def script(stage: Stage) -> None:
        await full(stage)
        await stage.press("tab", "D")
        assert "R9 is unfinished" in stage.text
        await stage.press("j", "D")
        assert "Delete R8?" in stage.text
        await stage.press("escape", "C")
        assert "Delete 3 finished runs?" in stage.text
        assert "1 of them with problems" in stage.text
        assert asked(stage, DeleteAsked) == []
        await stage.press("y")
        assert asked(stage, DeleteAsked) == [DeleteAsked("R8"), DeleteAsked("R7"), DeleteAsked("R6")]
        stage.engine.told += [Deleted("R8"), Failed(DeleteAsked("R7"), "it is shared"), Deleted("R6")]
        await stage.look()
        assert "2 runs are deleted" in stage.text
        assert "not deleted: R7: it is shared" in stage.text

    play(script, (120, 40))


def test_an_empty_project_gets_a_page_and_what_was_written_meanwhile_a_list() -> None:
    async def script(stage: Stage) -> None:
        stage.engine.told += [Searched("/p", (), {}), TargetsRead([], []), RunsRead([], {})]
        await stage.look()
        assert "No workflows and no tasks here yet" in stage.text
        assert "def hello(name" in stage.text
        assert "coflux dev --demo" in stage.text
        await stage.press("u")
        assert asked(stage, DiscoverAsked) == [DiscoverAsked()]
        stage.engine.told.append(Searched("/p", (), {"flow": "/p/flow.py"}))
        await stage.look()
        assert "looking…" in stage.text
        stage.engine.told.append(TARGETS)
        await stage.look()
        assert "No workflows" not in stage.text
        await stage.press("j", "enter")
        assert "coflux run /p/flow.py/count" in stage.text

    play(script)


def test_a_module_that_does_not_import_is_an_entry_with_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "code").write_text(f'#!/bin/sh\necho "$@" > {seen}.new; mv {seen}.new {seen}\n')
    (tmp_path / "code").chmod(0o755)
    monkeypatch.setenv("VISUAL", str(tmp_path / "code"))

    async def script(stage: Stage) -> None:
        stage.engine.told.append(TargetsRead(TARGETS.targets, [BROKEN]))
        await stage.look()
        assert "✗ jobs  jobs.py:42  SyntaxError" in stage.text
        assert "1 module does not import" in stage.text
        assert "since: str" in stage.text  # the others are there
        await stage.press("home", "enter")
        assert "jobs does not import" in stage.text
        assert "/p/jobs.py:42" in stage.text
        assert 'print("x"' in stage.text
        await stage.press("o")
        for _ in range(100):
            await stage.look()
            if seen.exists():
                break
        assert seen.read_text() == "--goto /p/jobs.py:42\n"
        await stage.press("enter", "u")
        assert asked(stage, DiscoverAsked) == [DiscoverAsked()]

    play(script)


def test_the_page_of_a_target_leads_to_its_form() -> None:
    async def script(stage: Stage) -> None:
        await stage.press("d")
        assert "Parameters" in stage.text
        assert "flow.py:1" in stage.text
        for size in ((80, 24), (30, 8), (200, 60)):
            await stage.resize(*size)
            assert "esc back" in stage.text or size[0] < 80
        await stage.press("r")
        assert "coflux run flow/main" in stage.text

    play(script)


@pytest.mark.parametrize("unicode", [True, False])
def test_strange_names_stay_in_their_lines_at_any_size(unicode: bool) -> None:
    async def script(stage: Stage) -> None:
        brief = RunBrief(((HOSTILE, HOSTILE),), HOSTILE, {})
        stage.engine.told += [
            RunsRead([run_row("R9", "failed", HOSTILE)], {"failed": 1}, {"R9": brief}),
            TargetsRead(TARGETS.targets, [ModuleError(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1)]),
        ]
        await stage.look()
        for keys in ((), ("home", "enter"), ("escape", "tab")):
            await stage.press(*keys)
            for size in ((80, 24), (12, 4), (1, 1), (200, 60)):
                await stage.resize(*size)
                assert not set("\x1b\x07\u202e\ud83d") & set(stage.text)
                if not unicode:
                    assert stage.text.isascii()

    play(script, unicode=unicode)
