"""The timeline: windows, axes, bars and lanes."""

from __future__ import annotations

import random

import msgspec
import pytest

from coflux.executor.rows import ExecutionRow, Status
from coflux.tui.node import Kind, Node
from coflux.tui.painting import Glyphs
from coflux.tui.timeline import TimeWindow, axis, lanes_of, paint_bars, paint_lane
from coflux.tui.tree import RunTree
from coflux.tui.waits import WaitsSeen, full_text
from tests.tui.gallery import CHILD, RUN, sample
from tests.tui.pretend import NOW, execution, group, step

UNICODE = Glyphs(True)
SPAN = (NOW, NOW + 20)


def window(seconds: float, *, finished: bool = True) -> TimeWindow:
    made = TimeWindow()
    made.set_run(NOW, NOW + seconds if finished else None, NOW + seconds)
    return made


@pytest.mark.parametrize(
    ("seconds", "width", "expected"),
    [
        (0.004, 40, "0s        1ms       2ms       3ms"),
        (1.0, 40, "0s                  500ms"),  # marks are as many as there is room for
        (7.0, 40, "0s         2s          4s         6s"),
        (38.2, 44, "0s          10s        20s         30s"),
        (100, 40, "0s          30s         1m"),
        (3600, 40, "0s        15m       30m       45m"),
        (200_000, 40, "0s               24h               48h"),
        (5.0, 3, "0s"),
        (5.0, 1, ""),
    ],
)
def test_the_axis_has_round_times(seconds: float, width: int, expected: str) -> None:
    text = axis(window(seconds), width)
    assert text.rstrip() == expected.rstrip()
    assert len(text) == width


def test_marks_of_the_axis_stand_at_their_times_however_it_is_zoomed() -> None:
    rng = random.Random(1)
    for _ in range(300):
        one = window(10 ** rng.uniform(-3, 6), finished=rng.random() < 0.5)
        for _ in range(rng.randrange(12)):
            one.zoom(rng.random() < 0.7, rng.choice([None, NOW + rng.uniform(0, 10)]))
            one.pan(rng.choice([-1, 1]))
        width = rng.randrange(1, 200)
        begins, ends = one.shown
        assert len(axis(one, width)) == width
        assert NOW <= begins < ends


def test_a_run_that_goes_on_has_room_for_what_comes() -> None:
    for seconds in (0.0, 0.5, 1.0, 1.1, 38.2, 41.0, 3_599.0):
        begins, ends = window(seconds, finished=False).shown
        assert seconds <= ends - begins <= max(seconds * 1.4, 0.001) + 1e-6
    assert window(38.2, finished=False).shown == window(39.9, finished=False).shown


def test_the_window_is_zoomed_around_an_instant_and_keeps_to_the_run() -> None:
    one = window(40.0)
    one.zoom(True, NOW + 10)
    assert one.shown == (NOW + 5, NOW + 25)
    one.pan(-1)
    assert one.shown == (NOW, NOW + 20)
    for _ in range(9):
        one.pan(1)
    assert one.shown == (NOW + 20, NOW + 40)
    for _ in range(40):
        one.zoom(True, NOW + 30)
    begins, ends = one.shown
    assert 0.001 <= ends - begins < 0.002
    one.fit()
    assert not one.is_zoomed
    one.zoom(False, None)
    assert one.shown == (NOW, NOW + 40)


def bars(*rows: ExecutionRow, now: float = 20.0, unicode: bool = True, **waits: tuple[float, float]) -> str:
    node = Node(Kind.STEP, "t")
    for row in rows:
        node.attempts[(row.attempt,)] = row
    seen = {("R1", 2, 1): [(NOW + begins, NOW + ends) for begins, ends in waits.values()]}
    return "".join(text for text, _ in paint_bars(node, seen, SPAN, 20, NOW + now, Glyphs(unicode))).rstrip()


def attempt(number: int, status: Status, created: float, began: float | None, ended: float | None) -> ExecutionRow:
    def instant(seconds: float | None) -> float | None:
        return None if seconds is None else NOW + seconds

    row = execution(2, status, attempt=number)
    return msgspec.structs.replace(row, created_at=NOW + created, started_at=instant(began), finished_at=instant(ended))


@pytest.mark.parametrize(
    ("rows", "expected", "plain"),
    [
        ([attempt(1, "queued", 2, None, None)], "  ··················", "  .................."),
        ([attempt(1, "succeeded", 0, 4, 8)], "····████", "....####"),
        ([attempt(1, "running", 1, 4, None)], " ···▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓", " ...>>>>>>>>>>>>>>>>"),
        (
            [attempt(1, "failed", 0, 0, 3), attempt(2, "failed", 3, 5, 8), attempt(3, "succeeded", 8, 10, 12)],
            "██✗··██✗··██",
            "##x..##x..##",
        ),
        ([attempt(1, "cached", 2, None, 5)], "  ··≡", "  ..c"),
        ([attempt(1, "suspended", 0, 1, 3), attempt(2, "queued", 3, None, None)], "·█‖·················", None),
        ([attempt(1, "succeeded", 3, 3, 3.01)], "   █", "   #"),  # what is too short to be seen is seen
        ([attempt(1, "running", 19.9, 20, None)], "                   ▓", None),
        ([attempt(1, "succeeded", 30, 31, 32)], "", ""),
        ([attempt(1, "succeeded", -9, -8, -7)], "", ""),
        ([attempt(1, "succeeded", -9, -8, 5)], "█████", "#####"),
        ([attempt(1, "timed_out", 0, 0, 50)], "████████████████████", None),
    ],
)
def test_a_step_is_a_bar_for_each_attempt(rows: list[ExecutionRow], expected: str, plain: str | None) -> None:
    assert bars(*rows) == expected
    if plain is not None:
        assert bars(*rows, unicode=False) == plain


def test_what_was_seen_to_wait_is_told_apart() -> None:
    running = attempt(1, "running", 0, 2, None)
    assert bars(running, one=(5, 8), two=(12, 15)) == "··▓▓▓░░░▓▓▓▓░░░▓▓▓▓▓"


def test_a_group_is_one_bar_from_the_first_of_its_steps_to_the_last() -> None:
    tree = RunTree()
    tree.add_step(step(1))
    tree.add_group(group(0, name="g"))
    for number in (2, 3):
        tree.add_step(step(number, "R1:1:1", group=0))
    tree.layout()
    node = tree.rows[1].node

    def painted() -> str:
        return "".join(text for text, _ in paint_bars(node, {}, SPAN, 20, NOW + 20, UNICODE)).rstrip()

    assert painted() == ""
    tree.update(execution(2, "succeeded", began=2, took=4))
    assert painted() == "  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒"
    tree.update(execution(3, "failed", began=5, took=5))
    assert painted() == "  ▒▒▒▒▒▒▒▒"


def worked(number: int, pid: int, began: float, took: float | None, status: Status = "succeeded") -> ExecutionRow:
    return msgspec.structs.replace(execution(number, status, began=began, took=took), pid=pid)


def test_workers_are_lanes_and_one_that_comes_later_takes_the_place_of_one_that_has_gone() -> None:
    tree = RunTree()
    for number in range(1, 7):
        tree.add_step(step(number, name="fetch"))
    tree.update(worked(1, 50, 0, 8))
    tree.update(worked(2, 51, 0, 2))
    tree.update(worked(3, 51, 3, 2, "failed"))
    tree.update(worked(4, 52, 6, None, "running"))
    tree.update(worked(5, 53, 9, 3))
    tree.update(execution(6, "queued"))
    lanes = lanes_of(tree)
    assert [list(lane.pids) for lane in lanes] == [[50, 53], [51, 52]]
    assert [[row.step for _, row in lane.executions] for lane in lanes] == [[1, 5], [2, 3, 4]]
    painted = ["".join(text for text, _ in paint_lane(lane, None, {}, SPAN, 20, NOW + 20, UNICODE)) for lane in lanes]
    assert painted == ["█fetch██ ███        ", "██ █✗ ▓fetch▓▓▓▓▓▓▓▓"]
    chosen = lanes[0].executions[1][1]
    marked = "".join(text for text, _ in paint_lane(lanes[0], chosen, {}, SPAN, 20, NOW + 20, UNICODE))
    assert marked == "█fetch██ ▀▀▀        "


def test_waits_are_what_was_sampled() -> None:
    seen = WaitsSeen()
    for at in (22.0, 22.5, 23.0):
        seen.take(sample(at))
    assert seen.spans == {(RUN, 1, 1): [(NOW + 22, NOW + 23)], (CHILD, 1, 1): [(NOW + 22, NOW + 23)]}
    seen.take(msgspec.structs.replace(sample(24.0), executions=()))
    seen.take(sample(25.0))
    assert seen.spans[RUN, 1, 1] == [(NOW + 22, NOW + 23), (NOW + 25, NOW + 25)]
    assert full_text(sample(1.0)) == "4/4 workers busy"
    assert full_text(msgspec.structs.replace(sample(1.0), groups=())) == ""
