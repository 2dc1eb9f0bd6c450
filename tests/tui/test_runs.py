"""The runs and targets of the home screen as data and as text; and what is read for them, from a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.executor.messages import ModuleError, ParameterInfo, TargetInfo, TargetSpec, TargetType
from coflux.executor.rows import RunRow
from coflux.task_options import CacheOptions, RetryOptions, TaskOptions
from coflux.tui import documents, list_painting
from coflux.tui.arguments import Given, Slot
from coflux.tui.deletions import Deletions
from coflux.tui.details import Line
from coflux.tui.documents import FIRST_STEPS
from coflux.tui.engine_state import EngineState
from coflux.tui.form_memory import ForgottenError, FormMemory
from coflux.tui.link import Link
from coflux.tui.painting import Glyphs
from coflux.tui.runs import Order, Pick, RunsModel
from coflux.tui.targets import Heading, TargetsModel
from coflux.tui.text import cell_len
from coflux.tui.updates import (
    DeleteAsked,
    Deleted,
    DiscoverAsked,
    Failed,
    PastCallsAsked,
    RememberAsked,
    RunBrief,
    RunsRead,
    Said,
    StartAsked,
    TargetsRead,
)
from tests.engine.conftest import scratch_project
from tests.tui.pretend import NOW, run_row
from tests.tui.test_link import Watcher

UNICODE, ASCII = Glyphs(True), Glyphs(False)


def ended(run: str, status: str, seconds: float, name: str = "main", **changes: object) -> RunRow:
    return run_row(run, status, name, finished_at=NOW + seconds, settled=True, **changes)  # type: ignore[arg-type]


ROWS = [
    run_row("R5", "running", "sync"),
    ended("R4", "failed", 5.0),
    ended("R3", "succeeded", 60.0, "train"),
    ended("R2", "cancelled", 1.0),
    ended("R1", "timed_out", 30.0, "train"),
]
BRIEFS = {
    "R4": RunBrief((("since", "datetime.date(2026, 6, 1)"),), "ConnectionError: reset"),
    "R3": RunBrief((("epochs", "10"), ("rate", "0.1"))),
    "R5": RunBrief((), "", {"running": 1, "queued": 12, "succeeded": 30}),
}


def model() -> RunsModel:
    runs = RunsModel()
    runs.take(RunsRead(ROWS, {"running": 1, "failed": 9}, BRIEFS))
    runs.layout(NOW)
    return runs


def listed(runs: RunsModel) -> list[str]:
    runs.layout(NOW + 10)
    return [row.id for row in runs.shown]


# -- the list of runs -------------------------------------------------------------------------------------------------


def test_runs_are_picked_ordered_and_found_by_what_is_told_of_them() -> None:
    runs = model()
    assert listed(runs) == ["R5", "R4", "R3", "R2", "R1"]
    runs.next_pick()
    assert (runs.pick, listed(runs)) == (Pick.ACTIVE, ["R5"])
    runs.next_pick()
    assert (runs.pick, listed(runs)) == (Pick.PROBLEMS, ["R4", "R1"])
    runs.next_pick()
    orders = {}
    for _ in Order:
        runs.next_order()
        orders[runs.order] = listed(runs)
    assert orders == {
        Order.DURATION: ["R3", "R1", "R5", "R4", "R2"],
        Order.TARGET: ["R4", "R2", "R5", "R3", "R1"],
        Order.STATE: ["R4", "R1", "R5", "R2", "R3"],
        Order.START: ["R5", "R4", "R3", "R2", "R1"],
    }
    for text, found in (("EPOCHS=1", ["R3"]), ("reset", ["R4"]), ("flow/train", ["R3", "R1"]), ("r2", ["R2"])):
        runs.filter(text)
        assert listed(runs) == found
    assert [row.id for row in runs.finished()] == ["R2"]
    assert runs.has_more
    assert [row.id for row in runs.of_target("flow", "train", 1)] == ["R3"]


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_run_is_one_line_at_any_width(width: int, glyphs: Glyphs) -> None:
    for row in (*ROWS, run_row("R6", "running", "一" * 40), run_row("R7", "queued", "x\x1b[2J[/]")):
        pieces = list_painting.paint_run(row, BRIEFS.get(row.id, RunBrief()), width, NOW + 9e4, glyphs)
        text = "".join(part for part, _ in pieces)
        assert cell_len(text) >= width or width > 40
        assert cell_len(text) <= max(width, 14)  # its mark and id are always told
        assert "\x1b" not in text
        if glyphs is ASCII and row.name.isascii():
            assert text.isascii()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROWS[0], " ► R5 sync() now ►1 ○12 ✓30 ██████░░ 71%"),
        (ROWS[1], " ✗ R4 main(2026-06-01) now ConnectionError: reset"),
        (ROWS[2], " ✓ R3 train(epochs=10) now 3 steps"),
        (ROWS[3], " ⊘ R2 main() now cancelled"),
    ],
)
def test_what_a_run_is_at_or_why_it_did_not_succeed_is_told(row: RunRow, expected: str) -> None:
    brief = BRIEFS.get(row.id, RunBrief())
    pieces = list_painting.paint_run(row, brief, 110, NOW + 2, UNICODE, defaults={"rate": "0.1"})
    assert " ".join("".join(text for text, _ in pieces).split()).startswith(expected.strip())


def test_ages_and_durations_read_well() -> None:
    assert [list_painting.ago(seconds) for seconds in (1, 59, 61, 7200, 2e5)] == [
        "now", "59s ago", "1m ago", "2h ago", "2d ago",
    ]  # fmt: skip
    assert list_painting.duration_bars([1.0, 4.0, None, 8.0], UNICODE) == "▁▅ ▇"
    assert list_painting.usual([ROWS[1], ROWS[2], ROWS[3], ROWS[0]]) == 5.0
    assert list_painting.usual([ROWS[0]]) is None


# -- what can be run --------------------------------------------------------------------------------------------------


def target(
    module: str,
    name: str,
    line: int,
    kind: TargetType = "workflow",
    options: TaskOptions = TaskOptions(),  # noqa: B008
) -> TargetInfo:
    spec = TargetSpec(module, name, kind, ("since",), options)
    return TargetInfo(spec, (ParameterInfo("since", "KEYWORD_ONLY", "date"),), "First line.", "/p/flow.py", line)


def test_targets_are_listed_workflows_first_in_the_order_of_their_definition() -> None:
    engine = EngineState()
    targets = TargetsModel(engine)
    broken = ModuleError("c", "SyntaxError: no", "Traceback\n", "/p/c.py", 3)
    listing = [target("b", "z", 1), target("a", "y", 9), target("a", "x", 2), target("a", "t", 1, "task")]
    engine.take(TargetsRead(listing, [broken]))
    assert targets.layout()
    names = [row.text if isinstance(row, Heading) else getattr(row, "spec", broken) for row in targets.rows]
    assert [getattr(one, "name", one) for one in names] == [broken, "x", "y", "z", "tasks", "t"]
    assert not targets.layout()
    for text, count in (("first", 5), ("b/", 0), ("syntax", 1), ("y", 2), ("", 6)):
        targets.filter(text)
        targets.layout()
        assert len(targets.rows) == count, text
    for width in (1, 30, 60, 80, 120, 200):
        for row in targets.rows:
            painted = list_painting.paint_target_row(row, ROWS, 5, True, width, NOW, ASCII)
            assert cell_len("".join(text for text, _ in painted)) <= max(width, 14)


def test_a_targets_page_tells_all_that_was_declared() -> None:
    options = TaskOptions(
        cache=CacheOptions(3600.0, ("since",), "shop", "2"),
        retries=RetryOptions(None, 0.0, 0.0),
        timeout=90.0,
        memo=("since",),
        recurrent=True,
        defer=("since",),
        delay=5.0,
        wait=("since",),
        requires={"gpu": True, "os": ["linux", "mac"]},
    )
    text = page(documents.describe_target(target("flow", "main", 3, options=options), 60, UNICODE))
    for part in (
        "First line.", "since", "date", "for 1h00m, by since, namespace shop, version 2",
        "any number, at once", "1m30s", "starts again", "only the newest counts, by since", "5.0s", "gpu: any",
        "os: linux or mac", "/p/flow.py:3", "flow/main (workflow)",
    ):  # fmt: skip
        assert part in text
    assert "none" in page(documents.describe_target(target("flow", "main", 3), 20, UNICODE))


def test_the_page_of_an_empty_project_says_what_was_searched() -> None:
    engine = EngineState()
    engine.root = "/p"
    assert "No Python file below it imports coflux." in page(documents.empty_page(engine, 70, UNICODE))
    engine.modules, engine.files = ("jobs",), {f"f{number}": f"/p/lib/f{number}.py" for number in range(12)}
    text = page(documents.empty_page(engine, 70, UNICODE))
    assert "module jobs" in text
    assert "lib/f0.py" in text
    assert "and 5 more" in text
    assert FIRST_STEPS.splitlines()[3] in text


def page(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


# -- deleting, and remembering ----------------------------------------------------------------------------------------


def test_of_many_deletions_one_line_tells_what_has_come() -> None:
    deletions = Deletions()
    asked = deletions.ask(["R1", "R2", "R3"])
    assert asked == [DeleteAsked("R1"), DeleteAsked("R2"), DeleteAsked("R3")]
    assert list(deletions.take(Deleted("R1"))) == []
    assert list(deletions.take(Failed(asked[1], "it is unfinished"))) == []
    assert list(deletions.take(Deleted("R3"))) == [
        Said("info", "2 runs are deleted"), Said("warning", "not deleted: R2: it is unfinished"),
    ]  # fmt: skip


def test_what_was_typed_is_kept_in_a_file_of_the_users_own(tmp_path: Path) -> None:
    memory = FormMemory(str(tmp_path))
    assert memory.load() == {}
    memory.save("flow", "main", {"since": Given("06-01"), "note": Given(none=True), "huge": Given("x" * 30_000)})
    kept = {"since": Given("06-01"), "note": Given(none=True)}
    assert FormMemory(str(tmp_path)).load() == {("flow", "main"): kept}
    file = tmp_path / "forms.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("{")
    with pytest.raises(ForgottenError, match="is damaged"):
        memory.load()


# -- with an engine ---------------------------------------------------------------------------------------------------

JOBS = """
import coflux as cf

@cf.workflow()
def jobs(number: int, word: str = "a"):
    if number < 0:
        raise ValueError("too small")
    return number
"""


def test_targets_of_files_start_are_listed_refused_remembered_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files below the root are found when one looks again, broken ones among them, and started by their path."""
    with scratch_project(tmp_path / "project") as project:
        root = Path(project.root)
        monkeypatch.chdir(root)
        (root / "lib").mkdir()

        def find() -> tuple[tuple[str, ...], tuple[str, ...]]:
            return (), tuple(str(file) for file in sorted((root / "lib").glob("*.py")))

        link = Link(project.project, (), (), find=find)
        link.start()
        try:
            watcher = Watcher(link)
            watcher.sees(lambda state: state.engine.searched and not state.engine.targets)
            for name, source in (("jobs", JOBS), ("first", FIRST_STEPS), ("broken", "import coflux\n(")):
                (root / "lib" / f"{name}.py").write_text(source)
            link.ask(DiscoverAsked())
            watcher.sees(lambda state: len(state.engine.targets) == 2 and not state.engine.searching)
            assert [(error.module, error.line) for error in watcher.state.engine.errors] == [("broken", 2)]
            found = watcher.state.targets.find("jobs", "jobs")
            assert found is not None
            file = watcher.state.engine.file_of(found)
            assert file == str(root / "lib" / "jobs.py")

            link.ask(StartAsked("first", watcher.state.engine.files["first"], "hello", ()))
            for words in (("--number", "x"), ("--number", "7"), ("--number=-1",)):
                link.ask(StartAsked("jobs", file, "jobs", words))
            watcher.sees(lambda state: len(state.started) == 3 and state.refused)
            assert "argument number: 'x' is not a whole number" in watcher.state.refused[0].why
            runs = watcher.state.runs
            watcher.sees(lambda state: runs.counts == {"succeeded": 2, "failed": 1})
            watcher.sees(lambda state: all(row.settled for row in runs))
            told = {row.name: runs.brief(row.id) for row in runs if row.status == "succeeded"}
            assert told["jobs"] == RunBrief((("number", "7"), ("word", "'a'")))
            [failed] = [row for row in runs if row.status == "failed"]
            assert runs.brief(failed.id).problem == "ValueError: too small"

            link.ask(PastCallsAsked("jobs", "jobs", failed.id))
            watcher.sees(lambda state: state.calls is not None)
            assert watcher.state.calls is not None
            first, second = watcher.state.calls.calls
            slot = Slot(found.parameters[0], "/")
            assert (first.run.id, slot.given_by(first.arguments["number"])) == (failed.id, Given("-1"))
            assert slot.given_by(second.arguments["number"]) == Given("7")

            link.ask(RememberAsked("jobs", "jobs", {"number": Given("7")}))
            for request in watcher.state.deletions.ask([failed.id, "R0"]):
                link.ask(request)
            watcher.sees(lambda state: any(said.text == f"{failed.id} is deleted" for said in state.said))
            assert any(said.text.startswith("not deleted") and "R0" in said.text for said in watcher.state.said)
            watcher.sees(lambda state: len(runs) == 2)
        finally:
            link.close()
        again = Link(project.project, (), ())
        again.start()
        try:
            next_one = Watcher(again)
            next_one.sees(lambda state: state.typed == {("jobs", "jobs"): {"number": Given("7")}})
        finally:
            again.close()
