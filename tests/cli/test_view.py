"""The tree of a run: rows in, lines out."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.cli.view import Line, RunView, describe_counts
from coflux.display.marks import GROUP, MORE, SHARED
from coflux.executor.document import StepInfo
from coflux.executor.rows import ExecutionRow, GroupRow, SharedRow, Status

NOW = 100.0


def step(
    number: int, parent: str | None = "R1:1:1", *arguments: str, run: str = "R1", group: int | None = None
) -> StepInfo:
    name = "root" if parent is None else f"task{number}"
    return StepInfo(run, number, parent, group, "module", name, "task", ("x", "y")[: len(arguments)], arguments, 0, 0.0)


def execution(
    number: int,
    status: Status = "succeeded",
    *,
    run: str = "R1",
    attempt: int = 1,
    reason: str = "",
    started_at: float | None = 10.0,
    finished_at: float | None = None,
) -> ExecutionRow:
    return ExecutionRow(run, number, attempt, status, reason, None, 0.0, None, started_at, finished_at)


@pytest.fixture
def view() -> RunView:
    view = RunView()
    view.add_step(step(1, None, "'a'", "2"))
    return view


def test_a_step_shows_target_arguments_and_duration(view: RunView) -> None:
    view.update(execution(1, "succeeded", started_at=10.0, finished_at=12.5))
    assert view.lines(10, NOW) == [Line(0, "succeeded", "root('a', 2)", "", 2.5)]


def test_a_running_step_is_timed_up_to_now(view: RunView) -> None:
    view.update(execution(1, "running", started_at=90.0))
    assert view.lines(10, NOW)[0].seconds == 10.0


def test_a_clock_that_went_back_shows_no_negative_time(view: RunView) -> None:
    view.update(execution(1, "running", started_at=NOW + 5))
    assert view.lines(10, NOW)[0].seconds == 0.0


@pytest.mark.parametrize(
    ("row", "problem", "note"),
    [
        (execution(1, "queued", reason="waiting for a free slot"), "", "waiting for a free slot"),
        (execution(1, "running"), "", ""),
        (execution(1, "running", attempt=3), "", "attempt 3"),
        (execution(1, "failed", attempt=2), "ValueError: no", "attempt 2, ValueError: no"),
        (execution(1, "timed_out", reason="after 2 s"), "", "after 2 s, timed out"),
        (execution(1, "cached"), "", "cached"),
    ],
)
def test_notes(view: RunView, row: ExecutionRow, problem: str, note: str) -> None:
    view.update(row, problem)
    assert view.lines(10, NOW)[0].note == note


def test_children_stand_below_their_parent_and_in_their_group(view: RunView) -> None:
    view.add_step(step(2))
    view.add_group(GroupRow("R1", 1, 1, 7, "batches", None))
    view.add_group(GroupRow("R1", 1, 1, 8, None, 7))
    view.add_step(step(3, group=7))
    view.add_step(step(4, group=8))
    view.add_step(step(5, "R1:3:1"))
    view.update(execution(3, "running"))
    assert [(line.depth, line.title) for line in view.lines(10, NOW)] == [
        (0, "root('a', 2)"),
        (1, "task2()"),
        (1, "batches"),
        (2, "group"),
        (3, "task4()"),
        (2, "task3()"),
        (3, "task5()"),
    ]
    assert view.lines(10, NOW)[2] == Line(1, GROUP, "batches", "1 running, 2 queued")


def test_the_latest_attempt_counts_whatever_the_order_of_rows(view: RunView) -> None:
    view.update(execution(1, "running", attempt=10))
    view.update(execution(1, "failed", attempt=9), "ValueError")
    assert view.lines(10, NOW)[0].state == "running"
    assert view.counts == {"running": 1}


def test_a_child_run_takes_the_place_of_the_step_that_called_it(view: RunView) -> None:
    view.add_step(step(2, "R1:1:1", "1"))
    view.update(execution(2, "spawned"))
    view.add_step(step(1, None, "1", run="R2"), spawned_by="R1:2:1")
    view.add_step(step(2, "R2:1:1", run="R2"))
    view.update(execution(1, "running", run="R2"))
    view.update(execution(2, "spawned"))
    assert [(line.depth, line.state, line.title) for line in view.lines(10, NOW)] == [
        (0, "queued", "root('a', 2)"),
        (1, "running", "task2(1) [R2]"),
        (2, "queued", "task2()"),
    ]


def test_a_tree_that_does_not_fit_shows_what_runs_and_what_failed(view: RunView) -> None:
    for number in range(2, 102):
        view.add_step(step(number))
        view.update(execution(number, "failed" if number == 50 else "running" if number == 99 else "succeeded"))
    assert [(line.state, line.title) for line in view.lines(5, NOW)] == [
        ("queued", "root('a', 2)"),
        ("failed", "task50()"),
        ("running", "task99()"),
        (MORE, "98 succeeded"),
    ]


@pytest.mark.parametrize("status", ["cancelled", "succeeded", "queued"])
def test_a_tree_that_does_not_fit_shows_its_root_however_it_ended(view: RunView, status: Status) -> None:
    view.update(execution(1, status))
    for number in range(2, 32):
        view.add_step(step(number))
        view.update(execution(number, "cancelled" if number > 3 else "succeeded"))
    assert [(line.state, line.title) for line in view.lines(5, NOW)] == [
        (status, "root('a', 2)"),
        (MORE, "28 cancelled, 2 succeeded"),
    ]


def test_counts_name_what_needs_attention_first() -> None:
    counts = Counter({"succeeded": 3, "timed_out": 1, "queued": 2, "cached": 0})
    assert describe_counts(counts) == "2 queued, 1 timed out, 3 succeeded"


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["queued", "running", "failed", "succeeded"])), max_size=40),
    st.integers(2, 60),
)
def test_no_tree_exceeds_its_limit_and_every_step_is_shown_or_counted(
    children: list[tuple[int, Status]], limit: int
) -> None:
    view = RunView()
    view.add_step(step(1, None))
    view.update(execution(1, "running"))
    for number, (parent, status) in enumerate(children, start=2):
        view.add_step(step(number, f"R1:{parent % (number - 1) + 1}:1"))
        view.update(execution(number, status))
    lines = view.lines(limit, NOW)
    assert len(lines) <= limit
    shown = Counter(line.state for line in lines if line.state != MORE)
    for line in lines:
        if line.state == MORE:
            for part in line.title.split(", "):
                count, state = part.split(" ", 1)
                shown[state] += int(count)
    assert shown == view.counts


# -- attempts, child runs and shared steps ----------------------------------------------------------------------------


def titles(view: RunView, limit: int = 20) -> list[tuple[int, str, str, str]]:
    return [(line.depth, line.state, line.title, line.note) for line in view.lines(limit, NOW)]


def test_what_earlier_attempts_submitted_is_one_line(view: RunView) -> None:
    for number in (2, 3):
        view.add_step(step(number))
        view.update(execution(number))
    view.update(execution(1, "failed"), "ValueError")
    view.update(execution(1, "running", attempt=2))
    view.add_step(step(4, "R1:1:2"))
    assert titles(view) == [
        (0, "running", "root('a', 2)", "attempt 2"),
        (1, "queued", "task4()", ""),
        (1, MORE, "2 succeeded", "of earlier attempts"),
    ]
    assert view.counts == {"running": 1, "queued": 1, "succeeded": 2}


def test_what_an_earlier_attempt_left_running_is_shown(view: RunView) -> None:
    view.add_step(step(2))
    view.update(execution(2, "running"))
    view.update(execution(1, "running", attempt=2))
    assert titles(view)[1] == (1, "running", "task2()", "")


def test_a_recurrent_step_keeps_only_numbers_of_what_is_long_over(view: RunView) -> None:
    for attempt in range(1, 101):
        view.update(execution(1, "running", attempt=attempt))
        view.add_group(GroupRow("R1", 1, attempt, 1, "batch", None))
        view.add_step(step(attempt + 1, f"R1:1:{attempt}", group=1))
        view.update(execution(attempt + 1))
        view.update(execution(1, "recurred", attempt=attempt))
    assert titles(view) == [
        (0, "recurred", "root('a', 2)", "attempt 100, recurred"),
        (1, GROUP, "batch", "1 succeeded"),
        (2, "succeeded", "task101()", ""),
        (1, MORE, "99 succeeded", "of earlier attempts"),
    ]
    assert view.counts == {"recurred": 1, "succeeded": 100}
    view.update(execution(2, "failed"))  # too late: nobody looks at it any more
    view.add_step(step(200, "R1:2:1"))
    assert view.counts == {"recurred": 1, "succeeded": 100}


def test_a_step_that_a_later_attempt_was_given_is_shown_with_that_one(view: RunView) -> None:
    view.add_group(GroupRow("R1", 1, 1, 1, "old", None))
    view.add_step(step(2, group=1))
    view.update(execution(2))
    view.update(execution(1, "running", attempt=2))
    view.add_group(GroupRow("R1", 1, 2, 1, "new", None))
    view.add_shared(SharedRow("R1", 1, 2, 1, "R1:2:1", 1))
    assert titles(view) == [
        (0, "running", "root('a', 2)", "attempt 2"),
        (1, GROUP, "new", "1 succeeded"),
        (2, "succeeded", "task2()", ""),
    ]


def test_a_step_that_another_one_was_given_is_pointed_to(view: RunView) -> None:
    view.add_step(step(2, "R1:1:1", "1"))
    view.add_step(step(3))
    for number in (1, 2):
        view.add_shared(SharedRow("R1", 3, 1, number, "R1:2:1", None))
    assert titles(view) == [
        (0, "queued", "root('a', 2)", ""),
        (1, "queued", "task2(1)", ""),
        (1, "queued", "task3()", ""),
        (2, SHARED, "task2(1)", "R1:2"),
    ]
    assert view.counts == {"queued": 3}


def test_a_workflow_that_is_executed_again_shows_its_newest_run(view: RunView) -> None:
    view.add_step(step(2, "R1:1:1", "1"))
    view.update(execution(2, "spawned"))
    view.add_step(step(1, None, "1", run="R2"), spawned_by="R1:2:1")
    view.add_step(step(2, "R2:1:1", run="R2"))
    view.update(execution(2, run="R2"))
    view.update(execution(1, "failed", run="R2"), "ValueError")
    view.update(execution(2, "spawned", attempt=2))
    view.add_step(step(1, None, "1", run="R3"), spawned_by="R1:2:2")
    view.update(execution(1, "running", run="R3"))
    view.add_step(step(2, "R3:1:1", run="R3"))
    view.update(execution(1, "failed", run="R2", attempt=2))  # of an older one
    assert titles(view) == [
        (0, "queued", "root('a', 2)", ""),
        (1, "running", "task2(1) [R3]", ""),
        (2, "queued", "task2()", ""),
        (2, MORE, "1 succeeded", "of earlier attempts"),
    ]


def test_a_result_from_older_code_is_marked(view: RunView) -> None:
    view.update(msgspec.structs.replace(execution(1, "cached"), older_code=True))
    assert titles(view)[0][3] == "cached, older code"


def test_a_delay_is_counted_down(view: RunView) -> None:
    row = ExecutionRow("R1", 1, 1, "queued", "delayed", None, 0.0, NOW + 3.2)
    view.update(row)
    assert view.lines(10, NOW)[0].note.endswith(" (in 3.2s)")
    assert view.lines(10, NOW + 5)[0].note == "delayed"


def test_a_chain_of_calls_of_any_depth_can_be_shown(view: RunView) -> None:
    for number in range(2, 990):
        view.add_step(step(number, f"R1:{number - 1}:1"))
    assert len(view.lines(1000, NOW)) == 989


def test_progress_is_shown_while_it_runs(view: RunView) -> None:
    """Of the attempt that is shown only; and what has not changed is no reason to draw."""
    assert not view.tell_progress(("R1", 1, 1), "10% (1/10)")  # it is not known yet
    view.update(execution(1, "running"))
    assert view.tell_progress(("R1", 1, 1), "10% (1/10)")
    assert not view.tell_progress(("R1", 1, 1), "10% (1/10)")
    assert view.lines(10, NOW)[0].note == "10% (1/10)"
    view.update(execution(1, "failed"))
    assert view.lines(10, NOW)[0].note == ""
    view.update(execution(1, "running", attempt=2))
    assert not view.tell_progress(("R1", 1, 1), "20% (2/10)")
    assert view.lines(10, NOW)[0].note == "attempt 2"
