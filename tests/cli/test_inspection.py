"""`coflux runs inspect`: the tree of a run with what went wrong, all about a step, and the same as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from coflux.cli import exits
from coflux.cli.lines import Painter
from coflux.cli.outline import Drawing, failing, fold
from coflux.cli.view import Branch, Line
from coflux.display.marks import GROUP
from coflux.encoded import Failure, Frame
from coflux.executor.messages import Failed, Outcome
from coflux.executor.rows import ExecutionRow
from coflux.logs import Level
from coflux.tracebacks import CAUSE
from tests.cli.samples import TIMEOUT, Command, recording, succeeded

CAUSED = Failed(
    Failure(
        "builtins.RuntimeError",
        "cannot load\nit is no number",
        'Traceback (most recent call last):\n  File "/project/app.py", line 6, in parse\n    return int(text)\n'
        "ValueError: invalid literal\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "/project/app.py", line 8, in load\n    raise RuntimeError\n'
        "RuntimeError: cannot load\nit is no number\n",
        (
            Frame("/project/app.py", 8, "load", "raise RuntimeError"),
            Frame("/v/site-packages/library.py", 9, "inside", ""),
        ),
    )
)
PASSED_ON = Failed(Failure("builtins.RuntimeError", "cannot load\nit is no number", "…"))

# -- the tree, purely -------------------------------------------------------------------------------------------------


def branch(text: str, *children: Branch) -> Branch:
    """A branch as `state title`, or `state title: problem`. Depths are those of the nesting."""
    state, _, rest = text.partition(" ")
    title, _, problem = rest.partition(": ")
    below = sum((child.below for child in children), Counter(child.line.state for child in children))
    below.pop(GROUP, None)
    row = ExecutionRow("Rb", 1, 1, "failed", "", None, 0.0)
    return Branch(Line(0, state, title, problem), row, problem, below, Counter(), [deeper(child) for child in children])


def deeper(one: Branch) -> Branch:
    line = one.line._replace(depth=one.line.depth + 1)
    return one._replace(line=line, children=[deeper(child) for child in one.children])


def shown(*branches: Branch, **options: Any) -> list[str]:
    lines = [one.line for one in fold(branches, **options)]
    return [f"{'  ' * line.depth}{line.title}{f' ({line.note})' if line.note else ''}" for line in lines]


MANY = [branch(f"succeeded item{number}") for number in range(500)]


def test_what_is_alike_is_folded_but_what_went_wrong_never_is() -> None:
    many = [*MANY[:400], branch("failed item400: no"), *MANY[401:], branch("running last"), branch("cached one")]
    assert shown(branch("failed root", *many)) == [
        "root",
        "  item0",
        "  item1",
        "  item2",
        "  item400 (no)",
        "  last",
        "  496 more succeeded, 1 cached",
    ]
    assert shown(*MANY[:8]) == [f"item{number}" for number in range(8)]
    nested = [branch("succeeded parent", branch("succeeded child")) for _ in range(10)]
    assert shown(*nested)[-1] == "7 more succeeded (with 7 steps below)"
    groups = [branch("group batch", branch("succeeded child")) for _ in range(10)]
    assert shown(*groups)[-1] == "7 more groups (with 7 steps below)"


def test_levels_and_failures_alone() -> None:
    tree = branch(
        "failed root: no",
        branch("succeeded well"),
        branch("group batch", branch("failed item: no"), branch("succeeded other")),
    )
    assert shown(tree, depth=1) == ["root (no)", "  1 failed, 2 succeeded below"]
    assert shown(tree, depth=2)[-1] == "    1 failed, 1 succeeded below"
    assert shown(tree, failed=True) == ["root (no)", "  batch", "    item (no)"]
    alike = [branch(f"failed item({number}): no") for number in range(85)]
    others = [branch("failed item(x): other"), branch("failed above: no", branch("failed below: no"))]
    assert shown(branch("failed root: no", *alike, *others), failed=True) == [
        "root (no)",
        "  item(0) (no)",
        "  item(1) (no)",
        "  item(2) (no)",
        "  item(x) (other)",
        "  above (no)",
        "    below (no)",
        "  82 more failed",
    ]


@pytest.mark.parametrize(
    ("tree", "titles"),
    [
        (branch("failed root: E: no", branch("failed a: E: no")), ["a"]),
        (branch("failed root: E: other", branch("failed a: E: no")), ["a", "root"]),
        (branch("failed root: X: it took long", branch("timed_out a: it took long")), ["a"]),
        (branch("succeeded root", branch("group g", branch("failed a: no"), branch("failed b: no"))), ["a", "b"]),
        (
            branch("failed root: no", branch("failed mid: no", branch("failed a: no")), branch("failed b: x")),
            ["a", "b"],
        ),
        (branch("cancelled root", branch("succeeded a")), []),
    ],
)
def test_where_it_went_wrong(tree: Branch, titles: list[str]) -> None:
    """Not in those that only passed on what one below them had raised."""
    assert [one.line.title for one in failing([tree])] == titles


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("unicode", [True, False])
def test_a_line_fits_whatever_is_in_it(width: int, unicode: bool) -> None:
    row = ExecutionRow(
        "Rbcde", 12, 1, "failed", "", None, 0.0, started_at=1.0, finished_at=2.0, cpu_seconds=0.5, peak_memory=45 << 20
    )
    drawing = Drawing(width, unicode, Painter(False))
    for depth in (0, 3, 60):
        for title, note in (("東京" * 50, "RuntimeError: " + "x" * 100), ("short()", ""), ("x" * 200, "cached")):
            line = Line(depth, "failed", title, note, 1.0)
            drawn = drawing.line(Branch(line, row, note, Counter(), Counter(), []))
            assert cell_len(drawn) == width
            assert unicode or drawn.translate({ord("東"): "", ord("京"): ""}).isascii()
            assert drawn.split()[-3:] == ["45", "MiB", "500ms"] if width == 120 else drawn.endswith(" 1.0s")
    assert drawing.header().split() == (["step", "time", "memory", "cpu"] if width == 120 else ["step", "time"])


# -- from a store -----------------------------------------------------------------------------------------------------


@pytest.fixture
def failed(tmp_path: Path) -> None:
    """A run `Rbcd` of three levels: its step 3, below 2, failed twice; so did step 4, alike; step 5 timed out, and is
    of the child run `Rbce`. 100 other steps of a group have succeeded."""
    (tmp_path / ".coflux").mkdir()
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("failed", settled=True)
        recorder.run("timed_out", run="Rbce", parent="Rbcd:6:1", settled=True)

        def ended(step: int, outcome: Outcome, run: str = "Rbcd", **fields: Any) -> None:
            recorder.execution(step, "timed_out" if outcome is TIMEOUT else "failed", outcome, run=run, **fields)

        recorder.step(1, "nightly", '"a"')
        recorder.group(0, "Items")
        recorder.step(2, "batch")
        recorder.step(3, "load", '"x"', "2", parent=2)
        recorder.step(4, "load", '"y"', "2", parent=2)
        recorder.step(6, "inner")
        recorder.step(1, "inner", run="Rbce")
        recorder.step(2, "slow", run="Rbce")
        for step, outcome in ((1, PASSED_ON), (2, PASSED_ON), (4, CAUSED)):
            ended(step, outcome)
        ended(3, CAUSED, following="Rbcd:3:2")
        ended(3, CAUSED, attempt=2)
        recorder.execution(6, "spawned", following="Rbce:1:1")
        ended(1, TIMEOUT, run="Rbce")
        ended(2, TIMEOUT, run="Rbce")
        for step in range(10, 110):
            recorder.step(step, "item", str(step), group=0)
            recorder.execution(step, "succeeded", succeeded(str(step)))
        for number in range(60):
            recorder.log(4, Level.STDOUT, f"reading row {number} of the table")
        recorder.log(4, Level.ERROR, "cannot read {file}", values=b'{"file":"a.txt"}')
        recorder.commit()


@pytest.mark.usefixtures("failed")
def test_a_run_is_shown_with_what_failed(coflux: Command) -> None:
    status, out, err = coflux("runs", "inspect", "Rbcd")
    assert (status, err, "\x1b" in out) == (0, "", False)
    tree, first, second = out.split("\n\n")
    lines = tree.splitlines()
    assert lines[0] == "run Rbcd app.flows/nightly failed"
    assert lines[1].endswith("2.0s  4 failed, 2 timed out, 100 succeeded")
    assert [re.sub(r" +Rbc.:.*", "", line) for line in lines[3:]] == [
        "  ✗ nightly('a')  RuntimeError: cannot load",
        "    ✗ batch()  RuntimeError: cannot load",
        "      ✗ load('x', 2)  attempt 2, RuntimeError: cannot load",
        "      ✗ load('y', 2)  RuntimeError: cannot load",
        "    ✗ inner() [Rbce]  no outcome after 2 s, timed out",
        "      ✗ slow()  no outcome after 2 s, timed out",
        "    ▾ Items  100 succeeded",
        "      ✓ item(10)",
        "      ✓ item(11)",
        "      ✓ item(12)",
        "      … 97 more succeeded",
    ]
    assert first.splitlines() == [
        "✗ Rbcd:3 load failed after 2 attempts, 3.0s",
        "  x = 'x'",
        "  y = 2",
        "  RuntimeError: cannot load",
        "    it is no number",
        "    in /project/app.py:8 load",
        "        raise RuntimeError",
        "    … 1 more frame",
        "  caused by ValueError: invalid literal",
        "    in /project/app.py:6 parse",
        "        return int(text)",
        "  the same error in 1 more: Rbcd:4:1",
    ]
    assert second.splitlines() == ["✗ Rbce:2 slow timed out, 2.0s", "  no outcome after 2 s"]
    assert "item" not in coflux("runs", "inspect", "Rbcd", "--failed")[1]
    assert "item" not in coflux("runs", "inspect", "Rbcd", "--depth", "1")[1]


@pytest.mark.usefixtures("failed")
def test_what_failed_comes_in_one_small_document(coflux: Command) -> None:
    """C12: the failing step, its arguments, the chain of causes and its last log lines, in at most 8 KiB."""
    status, out, _ = coflux("runs", "inspect", "Rbcd", "--failed", "--json")
    document = json.loads(out)
    assert (status, document["version"], document["run"]["status"], len(out) < 8 << 10) == (0, 1, "failed", True)
    assert document["error"] == {"type": "builtins.RuntimeError", "message": "cannot load\nit is no number"}
    assert document["cut"] is False
    assert [step["id"] for step in document["steps"]] == ["Rbcd:1", "Rbcd:2", "Rbcd:3", "Rbce:1", "Rbce:2"]
    first, second = document["failures"]
    assert (first["id"], first["attempts"], first["arguments"]) == ("Rbcd:3:2", 2, {"x": "'x'", "y": "2"})
    assert [(one["link"], one["type"], one["frames"][-1]["line"]) for one in first["causes"]] == [
        (None, "RuntimeError", 8),
        ("cause", "ValueError", 6),
    ]
    assert (first["same_error"], first["causes"][0]["omitted_frames"]) == (["Rbcd:4:1"], 1)
    assert (second["id"], second["error"]["message"], second["causes"]) == ("Rbce:2:1", "no outcome after 2 s", [])


def failure(message: str) -> Failed:
    frame = Frame("/project/app.py", 8, "load", "raise ValueError")
    cause = f"Traceback (most recent call last):\nKeyError: {message}\n{CAUSE}"
    return Failed(Failure("builtins.ValueError", message, f"{cause}Traceback …\nValueError: {message}\n", (frame,) * 9))


@pytest.mark.parametrize(
    ("failures", "arguments", "message"),
    [
        (1, 60, "x" * 5000),
        (1, 2, "x" * 20_000),
        (85, 2, "x" * 3000),
        (300, 60, "\x1b" * 3000),
        (1, 2, "東" * 3000),
    ],
)
def test_whatever_failed_comes_in_one_small_document(
    coflux: Command, tmp_path: Path, failures: int, arguments: int, message: str
) -> None:
    """C12, and the text is not long either."""
    (tmp_path / ".coflux").mkdir()
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("failed", settled=True)
        recorder.step(1, "nightly")
        recorder.execution(1, "failed", failure(f"{message} 2"))
        for step in range(2, failures + 2):
            names = [f"parameter_{number}" for number in range(arguments)]
            recorder.step(step, "load", *[f'"{message[:50].strip(chr(27))}"'] * arguments, parameters=names)
            recorder.execution(step, "failed", failure(f"{message} {step}"))
            recorder.log(step, Level.STDOUT, f"{message}\n" * 50)
        recorder.commit()
    out = coflux("runs", "inspect", "Rbcd", "--failed", "--json")[1]
    document = json.loads(out)
    assert (len(out.encode()) <= 8 << 10, document["cut"]) == (True, True)
    first = document["failures"][0]
    assert re.fullmatch(r"(.)\1+… \(\d+ more characters\)", first["error"]["message"])
    assert (first["id"], first["causes"][0]["frames"][-1]["line"]) == ("Rbcd:2:1", 8)
    assert len(first["arguments"]) + first["omitted"]["arguments"] == arguments
    told = len(document["failures"]) + sum(len(one["same_error"]) for one in document["failures"])
    assert told + document["omitted"]["failures"] + document["omitted"]["same_error"] == failures
    assert len(coflux("runs", "inspect", "Rbcd", "--failed")[1].splitlines()) < 250


@pytest.mark.usefixtures("failed")
def test_a_step_is_shown_with_all_about_it(coflux: Command) -> None:
    status, out, err = coflux("runs", "inspect", "Rbcd:4")
    lines = out.splitlines()
    assert (status, err, lines[0]) == (0, "", "step Rbcd:4 app.flows/load failed")
    titles = [line for line in lines if not line.startswith(" ")][2:]
    assert titles == ["arguments", "attempts", "error", "why", "last log lines (`coflux logs Rbcd:4:1` shows all)"]
    assert lines[-1].endswith(" error: cannot read a.txt")
    document = json.loads(coflux("runs", "inspect", "Rbcd:4", "--json")[1])
    assert [argument["name"] for argument in document["arguments"]] == ["x", "y"]
    logs = document["failures"][0]["logs"]
    assert (logs[-1].split(" ", 1)[1], len(logs)) == ("error cannot read a.txt", 50)
    assert document["failures"][0]["omitted"]["older_logs"] is True
    succeeded = json.loads(coflux("runs", "inspect", "Rbcd:10", "--json")[1])
    assert (succeeded["result"], succeeded["failures"]) == (10, [])
    assert "in the group 'Items'" in coflux("runs", "inspect", "Rbcd:10")[1]
    assert coflux("runs", "inspect", "Rbcd:9")[0] == exits.NOT_FOUND
    assert coflux("runs", "inspect", "Rbcd:4", "--failed")[0] == exits.USAGE


@pytest.mark.usefixtures("failed")
def test_the_document_of_a_run_has_everything(coflux: Command) -> None:
    document = json.loads(coflux("runs", "inspect", "Rbcd", "--json")[1])
    assert (document["version"], len(document["steps"])) == (1, 105)
    assert document["steps"][2]["parameters"] == ["x", "y"]
