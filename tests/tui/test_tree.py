"""The run tree of the dashboard: what is on the screen for what is in the store."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from coflux.executor.rows import SharedRow, Status
from coflux.executor.series import Progress
from coflux.tui.tree import MANY, PROBLEMS, UNFINISHED, Kind, Node, RunTree, Show
from coflux.tui.ways import next_problem
from tests.tui.pretend import execution, group, shown, step


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
    states: list[Status] = ["queued", "running", "succeeded", "failed"]
    for seed in range(20):
        rng = random.Random(seed)
        tree = tree_of(MANY + 5)
        tree.filter(rng.choice(list(Show)))
        for _ in range(200):
            number = rng.randrange(1, MANY + 7)
            tree.update(execution(number, rng.choice(states), attempt=rng.randrange(1, 3)))
            kept = shown(tree)
            tree.filter(tree.show)
            assert shown(tree) == kept, seed


def all_below(top: Node) -> list[Node]:
    found: list[Node] = []
    for child in top.children:
        found += [child, *all_below(child)]
    return found
