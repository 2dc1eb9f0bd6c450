"""The run tree of the dashboard: what is on the screen for what is in the store."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from coflux.executor.rows import ExecutionRow, SharedRow, Status
from coflux.executor.series import Progress
from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Glyphs
from coflux.tui.text import cell_len
from coflux.tui.tree import MANY, PROBLEMS, UNFINISHED, Kind, Node, RunTree, Show
from coflux.tui.tree_rows import call_text, paint_name, paint_tree_row
from coflux.tui.updates import RunProgressed
from coflux.tui.ways import first_problem, next_match, next_problem, running_step
from tests.tui.gallery import RUN, told
from tests.tui.pretend import NOW, execution, group, shown, step

UNICODE = Glyphs(True)


def queued(*, attempt: int = 1, **fields: object) -> ExecutionRow:
    return msgspec.structs.replace(execution(2, "queued", attempt=attempt), **fields)


def tree_of(children: int, status: Status = "queued") -> RunTree:
    """A root with that many children, 2, 3, …"""
    tree = RunTree()
    tree.add_step(step(1, name="root"))
    tree.update(execution(1, "running"))
    for number in range(2, children + 2):
        tree.add_step(step(number, "R1:1:1"))
        tree.update(execution(number, status))
    return tree


def node(tree: RunTree, number: int, run: str = "R1") -> Node:
    found = tree.find(run, number)
    assert found is not None
    return found


def test_steps_stand_below_those_that_submitted_them_and_in_their_groups() -> None:
    tree = tree_of(1)
    tree.add_group(group(0, name="pages"))
    tree.add_step(step(3, "R1:1:1", group=0))
    tree.add_step(step(4, "R1:3:1"))
    tree.add_step(step(5, "R1:1:1"))
    assert shown(tree) == ["root", "  t2", "  pages", "    t3", "      t4", "  t5"]


def test_a_child_run_stands_in_the_place_of_its_call() -> None:
    tree = tree_of(2)
    tree.update(execution(2, "spawned", next="R2:1:1"))
    tree.add_step(step(1, run="R2", name="child"), spawned_by="R1:2:1")
    tree.add_step(step(2, "R2:1:1", run="R2", name="inside"))
    tree.update(execution(1, "failed", run="R2"), "ValueError: no")
    assert shown(tree) == ["root", "  t2", "    inside", "  t3"]
    assert node(tree, 2).state == "failed"
    assert node(tree, 2).problem == "ValueError: no"
    assert node(tree, 2).tries == 1


def test_what_earlier_attempts_submitted_is_one_line_until_it_is_unfolded() -> None:
    tree = tree_of(2, "succeeded")
    tree.update(execution(1, "failed"), "ValueError: no")
    tree.update(execution(1, "running", attempt=2))
    tree.add_step(step(4, "R1:1:2"))
    assert shown(tree) == ["root", "  t4", "  2 earlier"]
    assert node(tree, 1).tries == 2
    tree.toggle(tree.rows[2])
    assert shown(tree) == ["root", "  t2", "  t3", "  t4"]


def test_a_step_that_is_shared_is_a_link_elsewhere_and_nothing_twice_below_one_step() -> None:
    tree = tree_of(3)
    tree.add_shared(SharedRow("R1", 3, 1, 1, "R1:2:1", None))
    tree.add_shared(SharedRow("R1", 3, 1, 2, "R1:2:1", None))
    tree.add_shared(SharedRow("R1", 1, 1, 4, "R1:2:1", None))
    assert shown(tree) == ["root", "  t2", "  t3", "    t2", "  t4"]
    link = tree.rows[3].node
    assert link.kind is Kind.LINK
    assert link.shared is node(tree, 2)
    assert tree.counts == {"running": 1, "queued": 3}


def test_of_many_siblings_those_that_ended_well_are_folded_and_problems_never() -> None:
    tree = tree_of(MANY + 1)
    assert len(shown(tree)) == MANY + 2
    for number in range(2, MANY):
        tree.update(execution(number, "succeeded"))
    tree.update(execution(MANY, "failed"), "ValueError: no")
    assert shown(tree) == ["root", f"  t{MANY}", f"  t{MANY + 1}", f"  t{MANY + 2}", f"  {MANY - 2} folded"]
    tree.toggle(tree.rows[-1])
    assert len(shown(tree)) == MANY + 2
    tree.toggle(tree.rows[0])
    assert shown(tree) == ["root"]


def test_a_group_among_many_folds_itself_when_all_in_it_has_ended_well() -> None:
    tree = RunTree()
    tree.add_step(step(1, name="root"))
    for number in range(MANY + 1):
        tree.add_group(group(number, name=f"g{number}"))
        tree.add_step(step(number + 2, "R1:1:1", group=number))
    assert len(shown(tree)) == 1 + 2 * (MANY + 1)
    tree.update(execution(2, "succeeded"))
    assert shown(tree)[-1] == "  1 folded"
    assert "  g0" not in shown(tree)


@pytest.mark.parametrize(
    ("show", "expected"),
    [
        (Show.ALL, ["root", "  t2", "  t3", "  t4", "    t5"]),
        (Show.ACTIVE, ["root", "  t2", "  t4", "    t5"]),
        (Show.PROBLEMS, ["root", "  t4", "    t5"]),
    ],
)
def test_states_can_be_chosen_and_what_leads_to_them_stays(show: Show, expected: list[str]) -> None:
    tree = tree_of(3, "succeeded")
    tree.update(execution(2, "running"))
    tree.add_step(step(5, "R1:4:1"))
    tree.update(execution(5, "timed_out"), "timed out after 1 s")
    tree.filter(show)
    assert shown(tree) == expected


def test_text_is_found_in_names_arguments_and_problems_whatever_its_case() -> None:
    tree = tree_of(2)
    tree.add_step(step(4, "R1:3:1", name="fetch", text="'Page 7'"))
    tree.update(execution(2, "failed"), "ConnectionError: reset by peer")
    for text, expected in (
        ("page 7", ["root", "  t3", "    fetch"]),
        ("CONNECTION", ["root", "  t2"]),
        ("nothing", []),
        ("", ["root", "  t2", "  t3", "    fetch"]),
    ):
        tree.filter(Show.ALL, text)
        assert shown(tree) == expected


def test_a_filter_stays_while_steps_come() -> None:
    tree = tree_of(1)
    tree.filter(Show.ALL, "fetch")
    assert shown(tree) == []
    tree.add_step(step(3, "R1:1:1", name="fetch"))
    assert shown(tree) == ["root", "  fetch"]


def test_problems_are_found_one_after_the_other_and_revealed() -> None:
    tree = tree_of(MANY + 1, "succeeded")
    for number in (3, 9):
        tree.update(execution(number, "failed"))
    tree.add_step(step(100, "R1:4:1"))
    tree.update(execution(100, "abandoned"))
    node(tree, 4).opened = False
    first = next_problem(tree, None)
    assert first is node(tree, 3)
    second = next_problem(tree, first)
    assert second is node(tree, 100)
    assert next_problem(tree, first, backwards=True) is node(tree, 9)
    assert second is not None
    assert "    t100" not in shown(tree)
    tree.reveal(second)
    assert "    t100" in shown(tree)
    assert next_problem(tree, node(tree, 9)) is first


def test_only_what_changed_is_told() -> None:
    tree = tree_of(3)
    tree.layout()
    tree.take_changed()
    tree.update(execution(3, "running"))
    assert tree.take_changed() == {node(tree, 3)}
    assert not tree.layout()
    tree.set_progress("R1", 3, Progress(1.0, 2.0, 0.5, None, None))
    assert tree.take_changed() == {node(tree, 3)}
    assert tree.take_changed() == set()


def test_counts_are_those_of_a_recount_whatever_happens() -> None:
    """Random trees: what a node says of those below it is what one finds by looking."""
    states: list[Status] = ["queued", "running", "succeeded", "failed", "timed_out", "cached", "cancelled", "recurred"]
    for seed in range(30):
        rng = random.Random(seed)
        tree = RunTree()
        tree.add_step(step(1))
        for number in range(2, 60):
            parent = rng.randrange(1, number)
            tree.add_step(step(number, f"R1:{parent}:1"))
            tree.update(execution(rng.randrange(1, number + 1), rng.choice(states)))
        for _ in range(100):
            tree.update(execution(rng.randrange(1, 60), rng.choice(states), attempt=rng.randrange(1, 3)))
        for number in range(1, 60):
            looked = node(tree, number)
            below = list(all_below(looked))
            assert {state: count for state, count in looked.below.items() if count} == Counter(
                one.state for one in below
            )
            assert looked.unfinished == sum(one.state in UNFINISHED for one in [looked, *below])
            assert looked.failed == sum(one.state in PROBLEMS for one in [looked, *below])


def test_the_layout_is_never_out_of_date() -> None:
    """Random changes: the rows that were kept are those that a new layout would give."""
    states: list[Status] = ["queued", "running", "succeeded", "failed", "cancelled"]
    for seed in range(20):
        rng = random.Random(seed)
        tree = tree_of(MANY + 5)
        last = MANY + 6
        tree.filter(rng.choice(list(Show)), rng.choice(["", "", "t1", "no"]))
        for _ in range(200):
            number = rng.randrange(1, last + 1)
            match rng.randrange(8):
                case 0:
                    last += 1
                    tree.add_step(step(last, f"R1:{number}:{rng.randrange(1, 3)}"))
                case 1:
                    tree.add_group(group(last, number, name=f"g{last}"))
                    last += 1
                    tree.add_step(step(last, f"R1:{number}:1", group=last - 1))
                case 2 if shown(tree):
                    tree.toggle(rng.choice(tree.rows))
                case 3:
                    tree.reveal(node(tree, number))
                case 4 if rng.random() < 0.1:
                    tree.toggle_all()
                case _:
                    status = rng.choice(states)
                    problem = "ValueError: no" if status == "failed" else ""
                    tree.update(execution(number, status, attempt=rng.randrange(1, 3)), problem)
            kept = shown(tree)
            tree.filter(tree.show, tree.text)
            assert shown(tree) == kept, seed


def test_retries_in_a_row_are_told_and_what_failed_before() -> None:
    tree = tree_of(1)
    tree.update(execution(2, "failed"), "ValueError: no")
    tree.update(execution(2, "queued", attempt=2, trigger="retry"))
    assert (node(tree, 2).retries, node(tree, 2).problem, node(tree, 2).last_problem) == (1, "", "ValueError: no")
    tree.update(execution(2, "failed", attempt=2, trigger="retry"), "KeyError: 'x'")
    tree.update(execution(2, "queued", attempt=3, trigger="rerun"))
    assert (node(tree, 2).retries, node(tree, 2).tries, node(tree, 2).last_problem) == (0, 3, "KeyError: 'x'")


def test_siblings_are_told_apart_by_the_arguments_that_differ() -> None:
    tree = tree_of(0)
    for number, arguments in enumerate((("1", "'a'", "5"), ("2", "'a'", "6"), ("3", "'a'", "5")), 2):
        info = step(number, "R1:1:1", name="fetch")
        tree.add_step(msgspec.structs.replace(info, parameters=("page", "url", "size"), arguments=arguments))
    tree.add_step(step(9, "R1:1:1", name="fetch_all", text="'a'"))
    assert node(tree, 2).telling == {0, 2}
    assert node(tree, 9).telling == frozenset()
    assert call_text(node(tree, 3)) == "fetch(page=2, url='a', size=6)"
    assert call_text(node(tree, 3), only_telling=True) == "fetch(page=2, size=6)"
    assert call_text(node(tree, 9), only_telling=True) == "fetch_all('a')"


def test_all_is_unfolded_and_then_all_is_folded() -> None:
    tree = tree_of(MANY + 1, "succeeded")
    tree.add_step(step(100, "R1:2:1"))
    tree.update(execution(100, "succeeded"))
    node(tree, 2).opened = False
    assert tree.toggle_all()
    assert len(shown(tree)) == MANY + 3
    assert not tree.toggle_all()
    assert shown(tree) == ["root", f"  {MANY + 1} folded"]


def test_the_first_problem_is_the_one_with_none_below_it() -> None:
    tree = tree_of(3, "succeeded")
    assert first_problem(tree) is None
    tree.add_step(step(5, "R1:3:1"))
    for number in (4, 5, 3, 1):
        tree.update(execution(number, "failed"))
    assert first_problem(tree) is node(tree, 5)


def test_what_runs_is_followed_down_and_stayed_with() -> None:
    tree = tree_of(3)
    tree.add_step(step(5, "R1:4:1"))
    tree.add_step(step(6, "R1:4:1"))
    assert running_step(tree, None) is node(tree, 1)
    for number in (4, 5, 6):
        tree.update(execution(number, "running"))
    assert running_step(tree, node(tree, 1)) is node(tree, 5)
    assert running_step(tree, node(tree, 6)) is node(tree, 6)
    tree.update(execution(6, "succeeded"))
    assert running_step(tree, node(tree, 6)) is node(tree, 5)
    for number in (5, 4, 1):
        tree.update(execution(number, "succeeded"))
    assert running_step(tree, node(tree, 5)) is None


def test_matches_are_found_one_after_the_other_and_in_what_comes() -> None:
    tree = tree_of(2)
    tree.filter(Show.ALL, "fetch")
    assert next_match(tree, None) is None
    for number in (4, 5):
        tree.add_step(step(number, f"R1:{number - 2}:1", name="fetch"))
    assert next_match(tree, None) is node(tree, 4)
    assert next_match(tree, node(tree, 4)) is node(tree, 5)
    assert next_match(tree, node(tree, 5)) is node(tree, 4)
    assert next_match(tree, node(tree, 3), True) is node(tree, 4)
    tree.update(execution(2, "failed"), "ValueError: cannot fetch")
    assert next_match(tree, None) is node(tree, 2)


def test_who_waits_is_told_as_long_as_it_runs() -> None:
    tree = tree_of(2, "running")
    tree.take_changed()
    tree.set_waiting({("R1", 1), ("R1", 2), ("R9", 1)})
    assert tree.take_changed() == {node(tree, 1), node(tree, 2)}
    tree.update(execution(2, "succeeded"))
    tree.set_waiting({("R1", 1), ("R1", 2)})
    assert [node(tree, number).waiting for number in (1, 2, 3)] == [True, False, False]
    tree.set_waiting(())
    assert not node(tree, 1).waiting


NOTES: list[tuple[ExecutionRow, str]] = [
    (execution(2, "queued"), "○"),
    (queued(reason="ready"), "○ all busy"),
    (queued(due_at=NOW + 4, reason="delayed"), "◷ in 4.0s"),
    (queued(awaits="R1:3:1 R1:4:1 R1:5:1 R8:1:1", reason="waiting"), "○ on page ×3, R8:1"),  # noqa: RUF001
    (queued(awaits="R1:3:1", trigger="resumption"), "‖ suspended on page"),
    (queued(due_at=NOW + 9, trigger="recurrence"), "◷ again in 9.0s"),
    (queued(due_at=NOW + 4, trigger="retry", attempt=2), "↻ try 2/4 in 4.0s ValueError: no"),
    (execution(2, "running"), "►"),
    (execution(2, "succeeded"), "✓"),
    (execution(2, "cached", next="R7:5:2"), "≡ cached ‹ R7:5"),  # noqa: RUF001
    (execution(2, "deferred", next="R1:9:1"), "◷ replaced by R1:9"),
    (execution(2, "spawned", next="R7:1:1"), "→ › run R7"),  # noqa: RUF001
    (execution(2, "timed_out", reason="timed out after 6 s"), "✗ timed out after 6 s"),
    (execution(2, "abandoned", reason="worker died"), "! abandoned worker died"),
    (execution(2, "cancelled"), "⊘ cancelled"),
    (execution(2, "suspended"), "‖ suspended"),
    (execution(2, "recurred"), "∞ recurred"),
    (msgspec.structs.replace(execution(2, "succeeded"), older_code=True), "✓ older code"),
]


@pytest.mark.parametrize(("row", "expected"), NOTES, ids=[expected for _, expected in NOTES])
def test_each_state_has_a_mark_and_the_words_that_tell_why(row: ExecutionRow, expected: str) -> None:
    tree = RunTree()
    tree.full = "all busy"
    tree.add_step(step(1))
    tree.add_step(msgspec.structs.replace(step(2, "R1:1:1", name="do"), retries=3))
    for number in (3, 4, 5):
        tree.add_step(step(number, "R1:1:1", name="page"))
    if row.attempt > 1:
        tree.update(execution(2, "failed"), "ValueError: no")
    tree.update(row)
    tree.layout()
    for unicode in (True, False):
        painted = paint_tree_row(tree, tree.rows[1], 100, NOW, Glyphs(unicode))
        text = "".join(piece for piece, _ in painted)
        assert len(text) == 100
        assert text.isascii() or unicode
        if unicode:
            assert " ".join(text.replace("do()", "").split()).removesuffix(" 1.0s").removesuffix(" 0ms") == expected


def test_rows_are_as_wide_as_they_may_be_whatever_is_in_them() -> None:
    tree = RunTree()
    for update in told():
        if isinstance(update, RunProgressed):
            run = OpenRun(RUN)
            run.take(update)
            tree = run.tree
    tree.layout()
    assert len(tree.rows) > 30
    for row in tree.rows:
        for width in (24, 40, 61, 200):
            for painted in (paint_tree_row(tree, row, width, NOW, UNICODE), paint_name(tree, row, width, UNICODE)):
                assert sum(cell_len(text) for text, _ in painted) == width, painted


def all_below(top: Node) -> list[Node]:
    found: list[Node] = []
    for child in top.children:
        found += [child, *all_below(child)]
    return found
