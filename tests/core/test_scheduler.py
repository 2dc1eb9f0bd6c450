"""Who runs next, who holds a slot, and who is answered when."""

from __future__ import annotations

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core.commands import HandOver, Identified
from coflux.executor.core.state import Execution, InvalidTransition, State
from coflux.executor.core.waiting import GATHERING, HELD_BACK, QUICK, QUICK_IN_A_ROW
from coflux.executor.messages import Failed
from tests.core.bench import Bench
from tests.core.factories import spec, succeeded, value

# -- who is next ------------------------------------------------------------------------------------------------------


def test_the_deepest_ready_execution_is_next() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    middle = bench.submit(root)
    sibling = bench.submit(root)
    leaf = bench.submit(middle)
    bench.succeed(root)
    assert bench.started() == [root.id, middle.id, leaf.id]
    bench.succeed(leaf)
    assert bench.started()[-1] == sibling.id


def test_equals_are_handed_over_in_order_of_submission() -> None:
    bench = Bench()
    root = bench.run()
    children = [bench.submit(root) for _ in range(5)]
    bench.succeed(root)
    for child in children:
        bench.succeed(child)
    assert bench.started() == [root.id, *(child.id for child in children)]


def test_a_small_run_is_next_although_ten_thousand_executions_of_another_were_there_first() -> None:
    bench = Bench()
    root = bench.run()
    scheduler, now, worker = bench.scheduler, bench.now, bench.worker_of(root)
    for number in range(1, 10_001):
        scheduler.handle(ev.Submitted(worker, number, spec(), b"", (), None), now)
    scheduler.drain(now)
    scheduler.handle(bench.request("R2"), now)
    scheduler.handle(bench.return_of(root, succeeded()), now)
    commands = scheduler.drain(now).commands
    assert [command.execution.id for command in commands if isinstance(command, HandOver)] == ["R2:1:1"]


def test_slots_are_shared_evenly_between_runs() -> None:
    bench = Bench(concurrency=4)
    roots = [bench.run(), bench.run()]
    for root in roots:
        for _ in range(10):
            bench.submit(root)
    for root in roots:
        bench.succeed(root)
    active = [execution.split(":")[0] for execution in bench.started()[-4:]]
    assert sorted(active) == ["R1", "R1", "R2", "R2"]


def test_a_run_takes_no_more_slots_than_its_cap() -> None:
    bench = Bench(concurrency=4)
    root = bench.run(cap=2)
    first, second, third = (bench.submit(root) for _ in range(3))
    assert [first.state, second.state, third.state] == [State.RUNNING, State.QUEUED, State.QUEUED]
    bench.succeed(root)
    assert [first.state, second.state, third.state] == [State.RUNNING, State.RUNNING, State.QUEUED]
    assert bench.run("other").state is State.RUNNING


def test_a_capped_run_resumes_under_its_cap_too() -> None:
    bench = Bench(concurrency=4)
    root = bench.run(cap=1)
    child, other = bench.submit(root), bench.submit(root)
    request = bench.wait(root, child)
    bench.handle(bench.return_of(child, succeeded()))
    # Resuming goes before starting, so the parent has the slot, and the other child goes on waiting.
    assert bench.answer(request).ended is child
    assert (root.holds_slot, other.state) == (True, State.QUEUED)


def test_a_delayed_execution_starts_when_its_time_has_come_suspend_to_ram_included() -> None:
    bench = Bench()
    root = bench.run(delay=60.0)
    assert (root.state, root.reason) == (State.QUEUED, "delayed")
    assert bench.scheduler.next_due(bench.now) == pytest.approx(60.0)
    bench.pass_time(59.0, asleep=59.0)
    assert bench.started() == []
    bench.pass_time(1.0)
    assert bench.started() == [root.id]
    assert bench.scheduler.next_due(bench.now) is None


# -- slots of those that wait -----------------------------------------------------------------------------------------


def test_a_blocked_parent_holds_no_slot_so_nested_calls_get_through_at_concurrency_one() -> None:
    bench = Bench(concurrency=1)
    chain, requests = [bench.run()], []
    for _ in range(10):
        chain.append(bench.submit(chain[-1]))
        requests.append(bench.wait(chain[-2], chain[-1]))
    assert all(execution.state is State.RUNNING for execution in chain)
    while chain:
        bench.succeed(chain.pop())
        if requests:
            assert bench.answer(requests.pop()).index == 0
    assert bench.settled() == ["R1 succeeded"]


def test_an_answer_waits_for_a_free_slot_and_goes_before_new_work() -> None:
    bench = Bench(concurrency=1)
    parent = bench.run()
    child, queued = bench.submit(parent), bench.submit(parent)
    request = bench.wait(parent, child)
    grandchild = bench.submit(child)
    bench.wait(child, grandchild)
    assert queued.state is State.QUEUED
    bench.cancel(child)
    assert bench.answer(request).ended is child
    assert (parent.holds_slot, queued.state) == (True, State.QUEUED)


def _parent_of_quick_children(bench: Bench) -> tuple[Execution, list[Execution], int]:
    """A parent that waits, its children of which the first few ended at once, and the request for the next."""
    parent = bench.run()
    children = [bench.submit(parent) for _ in range(100)]
    known = QUICK_IN_A_ROW - 1
    for child in children[:known]:
        request = bench.wait(parent, child)
        bench.succeed(child)
        assert bench.answer(request).ended is child
    return parent, children[known:], bench.wait(parent, children[known])


def test_one_that_collects_from_quick_children_is_told_of_several_at_once() -> None:
    bench = Bench()
    parent, children, request = _parent_of_quick_children(bench)
    for child in children[:4]:
        bench.succeed(child)
        bench.pass_time(GATHERING / 4)
        assert bench.answers(request) == []
    bench.succeed(children[4])
    assert bench.answer(request).ended is children[0]
    assert (parent.holds_slot, children[5].state) == (True, State.QUEUED)


def test_a_child_that_turns_out_slow_does_not_hold_its_parent_up() -> None:
    bench = Bench()
    parent, children, request = _parent_of_quick_children(bench)
    bench.succeed(children[0])
    assert (children[1].state, bench.answers(request)) == (State.RUNNING, [])
    bench.pass_time(HELD_BACK)
    assert bench.answer(request).ended is children[0]
    assert (parent.holds_slot, children[1].holds_slot, children[2].state) == (True, True, State.QUEUED)


def test_it_is_told_at_once_when_a_child_took_its_time() -> None:
    bench = Bench()
    _, children, request = _parent_of_quick_children(bench)
    bench.pass_time(QUICK)
    bench.succeed(children[0])
    assert bench.answer(request).ended is children[0]


def test_it_is_told_at_once_when_nothing_of_its_own_is_next() -> None:
    bench = Bench()
    parent, children, request = _parent_of_quick_children(bench)
    below = bench.submit(children[0])
    bench.handle(bench.return_of(children[0], succeeded()))
    assert bench.answer(request).ended is children[0]
    assert (parent.holds_slot, below.state) == (True, State.QUEUED)


def test_an_answer_is_withheld_while_there_is_no_free_slot() -> None:
    bench = Bench(concurrency=1)
    parent = bench.run()
    child, other = bench.submit(parent), bench.submit(parent)
    request = bench.wait(parent, child)
    bench.wait(child, other)
    bench.cancel(child)  # `other` runs on, in the only slot
    assert other.state is State.RUNNING
    assert bench.answers(request) == []
    bench.succeed(other)
    assert bench.answer(request).ended is child


def test_answers_keep_their_order_while_a_cap_withholds_them() -> None:
    bench = Bench(concurrency=10)
    other = bench.run()
    one, two, three = (bench.submit(other) for _ in range(3))
    first = bench.run(cap=1)
    second = bench.submit(first)
    earlier = bench.wait(first, one)
    busy = bench.submit(second)
    later = bench.wait(second, two)
    between = bench.wait(other, three)
    bench.handle(*(bench.return_of(execution, succeeded()) for execution in (one, three, two)))
    assert [len(bench.answers(request)) for request in (earlier, between, later)] == [0, 1, 0]
    bench.succeed(busy)
    assert [len(bench.answers(request)) for request in (earlier, between, later)] == [1, 1, 0]


def test_an_execution_that_got_a_slot_gets_all_its_answers() -> None:
    """As in `asyncio.gather(a, b)`: nobody asks again after the first answer, so the second may not wait for a slot."""
    bench = Bench(concurrency=1)
    parent = bench.run()
    first, second = bench.submit(parent), bench.submit(parent)
    requests = [bench.wait(parent, first), bench.wait(parent, second)]
    bench.handle(bench.return_of(first, succeeded()), ev.CancelRequested(second.id, False))
    assert [bench.answer(request).ended for request in requests] == [first, second]
    assert parent.holds_slot


@pytest.mark.parametrize("cap", [None, 1])
def test_one_more_starts_when_everyone_with_a_slot_waits_as_well(cap: int | None) -> None:
    """After its first answer a gathering parent holds a slot, and may do nothing but wait for the rest."""
    bench = Bench(concurrency=1 if cap is None else 4)
    parent = bench.run(cap=cap)
    children = [bench.submit(parent) for _ in range(3)]
    requests = [bench.wait(parent, child) for child in children]
    bench.succeed(children[0])
    assert bench.answer(requests[0]).ended is children[0]
    assert parent.holds_slot
    assert [child.state for child in children[1:]] == [State.RUNNING, State.QUEUED]
    assert bench.scheduler.slots.active == 2


def test_an_execution_without_a_slot_waits_for_one_also_when_its_handle_has_ended_already() -> None:
    bench = Bench(concurrency=1)
    parent = bench.run()
    ended, running = bench.submit(parent), bench.submit(parent)
    bench.wait(parent, ended)
    bench.succeed(ended)
    bench.wait(parent, running)
    request = bench.wait(parent, ended)  # from another thread, while `running` has the only slot
    assert bench.answers(request) == []
    bench.succeed(running)
    assert bench.answer(request).ended is ended


def test_a_wait_for_what_has_ended_is_answered_at_once_and_keeps_the_slot() -> None:
    bench = Bench(concurrency=2)
    parent = bench.run()
    child = bench.submit(parent)
    bench.succeed(child)
    request = bench.wait(parent, child)
    assert bench.answer(request).ended is child
    assert parent.holds_slot


# -- polls ------------------------------------------------------------------------------------------------------------


def test_an_expired_poll_is_answered_at_once_over_the_limit() -> None:
    bench = Bench(concurrency=1)
    parent = bench.run()
    child = bench.submit(parent)
    request = bench.wait(parent, child, timeout=2.0)
    assert child.state is State.RUNNING
    bench.pass_time(1.9)
    assert bench.answers(request) == []
    bench.pass_time(0.1)
    assert (bench.answer(request).index, bench.answer(request).ended) == (-1, None)
    assert bench.scheduler.slots.active == 2
    bench.succeed(child)
    assert bench.scheduler.slots.active == 1


def test_the_time_of_a_poll_stands_still_while_the_machine_is_suspended() -> None:
    bench = Bench()
    parent = bench.run()
    request = bench.wait(parent, bench.submit(parent), timeout=2.0)
    bench.pass_time(100.0, asleep=99.0)
    assert bench.answers(request) == []


def test_an_expired_poll_whose_handle_has_ended_meanwhile_gets_its_outcome() -> None:
    bench = Bench(concurrency=1)
    parent = bench.run()
    child, other = bench.submit(parent), bench.submit(parent)
    request = bench.wait(parent, child, timeout=2.0)
    bench.wait(child, other)
    bench.cancel(child)
    assert bench.answers(request) == []
    bench.pass_time(2.0)
    assert bench.answer(request).ended is child


def test_a_plain_poll_never_waits() -> None:
    bench = Bench(concurrency=2)
    parent = bench.run()
    child = bench.submit(parent)
    assert bench.answer(bench.wait(parent, child, timeout=0.0)).index == -1
    bench.succeed(child)
    assert bench.answer(bench.wait(parent, child, timeout=0.0)).ended is child
    assert parent.holds_slot


@pytest.mark.parametrize("cap", [None, 1])
def test_a_plain_poll_starts_what_is_ready_over_the_limit(cap: int | None) -> None:
    bench = Bench(concurrency=1 if cap is None else 4)
    parent = bench.run(cap=cap)
    child, other = bench.submit(parent), bench.submit(parent)
    bench.wait(parent, child, timeout=0.0)
    assert (child.state, other.state) == (State.RUNNING, State.QUEUED)
    assert bench.scheduler.slots.active == 2


def test_a_plain_poll_starts_what_its_handle_waits_for() -> None:
    """A loop of plain polls at concurrency 1 keeps the only slot, and would otherwise see no end."""
    bench = Bench(concurrency=1)
    parent = bench.run()
    child = bench.submit(parent)
    bench.wait(parent, child, timeout=0.0)
    grandchild = bench.submit(child)
    request = bench.wait(child, grandchild)
    assert bench.started() == [parent.id, child.id]
    bench.wait(parent, child, timeout=0.0)
    assert bench.started() == [parent.id, child.id, grandchild.id]
    bench.succeed(grandchild)
    assert bench.answers(request) == []  # no slot is free
    bench.wait(parent, child, timeout=0.0)
    assert bench.answer(request).ended is grandchild


def test_plain_polls_start_one_at_a_time_of_what_their_handle_waits_for() -> None:
    """A poll is repeated: if each started all that it can reach, a thousand grandchildren were a thousand processes."""
    bench = Bench(concurrency=1)
    parent = bench.run()
    child = bench.submit(parent)
    bench.wait(parent, child, timeout=0.0)
    grandchildren = [bench.submit(child) for _ in range(20)]
    requests = [bench.wait(child, grandchild) for grandchild in grandchildren]
    for number in range(20):
        for _ in range(3):
            bench.wait(parent, child, timeout=0.0)
        assert bench.scheduler.slots.active <= 3  # the parent, a grandchild, and the child once it was answered
        assert bench.started() == [parent.id, child.id, *(item.id for item in grandchildren[: number + 1])]
        bench.succeed(grandchildren[number])
    bench.wait(parent, child, timeout=0.0)
    assert all(bench.answers(request) for request in requests)


def test_a_plain_poll_of_several_starts_one_at_a_time() -> None:
    bench = Bench(concurrency=1)
    parent = bench.run()
    children = [bench.submit(parent) for _ in range(20)]
    for _ in range(3):
        bench.wait(parent, *children, timeout=0.0)
    assert bench.scheduler.slots.active == 2


def test_a_poll_loop_leaves_nothing_behind() -> None:
    bench = Bench(concurrency=2)
    parent = bench.run()
    child = bench.submit(parent)
    for _ in range(5):
        bench.wait(parent, child, timeout=0.1)
        bench.pass_time(0.1)
    assert child.waiters == []


# -- select -----------------------------------------------------------------------------------------------------------


def test_select_answers_with_the_first_that_ends() -> None:
    bench = Bench(concurrency=3)
    parent = bench.run()
    slow, quick = bench.submit(parent), bench.submit(parent)
    request = bench.wait(parent, slow, quick)
    bench.succeed(quick)
    assert (bench.answer(request).index, bench.answer(request).ended) == (1, quick)
    assert slow.waiters == []


def test_select_answers_with_the_earliest_in_the_list_when_several_are_ready() -> None:
    bench = Bench(concurrency=3)
    parent = bench.run()
    first, second = bench.submit(parent), bench.submit(parent)
    request = bench.wait(parent, first, second)
    bench.handle(bench.return_of(second, succeeded()), bench.return_of(first, succeeded()))
    assert (bench.answer(request).index, bench.answer(request).ended) == (0, first)


def test_select_takes_the_same_handle_twice() -> None:
    bench = Bench(concurrency=2)
    parent = bench.run()
    child = bench.submit(parent)
    request = bench.wait(parent, child, child)
    bench.succeed(child)
    assert bench.answer(request).index == 0


# -- cycles -----------------------------------------------------------------------------------------------------------


def test_waiting_for_oneself_is_refused() -> None:
    bench = Bench()
    root = bench.run("loop")
    answer = bench.answer(bench.wait(root, root))
    assert answer.error == "this wait can never end, it closes a cycle: loop (R1:1:1) → loop (R1:1:1)"
    assert root.holds_slot


def test_waiting_for_each_other_is_refused_and_the_cycle_named() -> None:
    bench = Bench(concurrency=3)
    root = bench.run("f")
    child = bench.submit(root, "g")
    grandchild = bench.submit(child, "h")
    bench.wait(root, child)
    bench.wait(child, grandchild)
    answer = bench.answer(bench.wait(grandchild, root))
    assert answer.error.endswith("closes a cycle: h (R1:3:1) → f (R1:1:1) → g (R1:2:1) → h (R1:3:1)")


def test_select_is_refused_only_if_every_handle_closes_a_cycle() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    child = bench.submit(root)
    bench.wait(root, child)
    assert "closes a cycle" in bench.answer(bench.wait(child, root, child)).error
    free = bench.submit(child)
    request = bench.wait(child, root, free)
    assert bench.answers(request) == []
    bench.succeed(free)
    assert bench.answer(request).ended is free


def test_a_select_on_the_way_is_no_cycle_while_one_of_its_handles_is_free() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    child, free = bench.submit(root), bench.submit(root)
    selecting = bench.wait(child, root, free)
    waiting = bench.wait(root, child)
    assert bench.answers(waiting) == []
    bench.succeed(free)
    assert bench.answer(selecting).ended is free
    bench.succeed(child)
    assert bench.answer(waiting).ended is child


def test_the_last_way_out_of_a_select_may_not_be_closed() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    child, way_out = bench.submit(root), bench.submit(root)
    bench.wait(child, root, way_out)
    bench.wait(root, child)
    assert "closes a cycle" in bench.answer(bench.wait(way_out, root)).error


def test_a_poll_with_a_timeout_closes_no_cycle() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    child = bench.submit(root)
    polling = bench.wait(child, root, timeout=1.0)
    waiting = bench.wait(root, child)
    assert bench.answers(waiting) == []
    bench.pass_time(1.0)
    assert bench.answer(polling).index == -1


# -- submissions and handles ------------------------------------------------------------------------------------------


def test_submissions_are_known_by_number_until_they_are_identified() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first, second = bench.submit(root), bench.submit(root)
    bench.handle(ev.IdentifyAsked(bench.worker_of(root), 7, 2))
    assert bench.told(Identified) == [Identified(bench.worker_of(root), 7, second)]
    request = bench.wait(root, "@1")
    bench.succeed(first)
    assert bench.answer(request).ended is first


def test_handles_in_arguments_and_results_get_their_ids() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root)
    handle = value("0", "@1")
    bench.handle(ev.Submitted(bench.worker_of(root), 2, spec(), b"", (handle,), None))
    second = root.submissions[1]
    assert [reference.id for reference in second.step.arguments[0].references] == [first.id]
    bench.returned(root, succeeded("0", "@2"))
    assert root.outcome == succeeded("0", second.id)


def test_a_handle_that_nobody_knows_is_an_error() -> None:
    bench = Bench()
    root = bench.run()
    assert (
        bench.answer(bench.wait(root, "R9:1:1")).error
        == "R9:1:1 is not an execution that is known here: its run may have been deleted"
    )


def test_calls_that_are_nested_too_deeply_fail_and_show_the_chain() -> None:
    bench = Bench(max_depth=3)
    root = bench.run("a")
    middle = bench.submit(root, "b")
    bench.wait(root, middle)
    leaf = bench.submit(middle, "c")
    bench.wait(middle, leaf)
    too_deep = bench.submit(leaf, "d", retries=5)
    assert too_deep.state is State.FAILED
    assert isinstance(too_deep.outcome, Failed)
    assert too_deep.outcome.failure.type == "coflux.errors.ExecutionError"
    assert "nested more than 3 deep" in too_deep.outcome.failure.message
    assert "a → b → c → d" in too_deep.outcome.failure.message
    assert "max_depth" in too_deep.outcome.failure.message
    assert too_deep.successor is None
    assert bench.answer(bench.wait(leaf, too_deep)).ended is too_deep


# -- the transition table ---------------------------------------------------------------------------------------------

OUTCOMES = [state for state in State if state not in {State.QUEUED, State.RUNNING}]
FROM_QUEUED = {
    State.RUNNING,
    State.CANCELLED,
    State.CACHED,
    State.DEFERRED,
    State.SPAWNED,
    State.FAILED,
    State.TIMED_OUT,
}
FROM_RUNNING = {
    State.SUCCEEDED,
    State.FAILED,
    State.TIMED_OUT,
    State.ABANDONED,
    State.CANCELLED,
    State.SUSPENDED,
    State.RECURRED,
}


@pytest.mark.parametrize("to", list(State))
@pytest.mark.parametrize("start", list(State))
def test_transitions(start: State, to: State) -> None:
    execution = Bench().run()
    execution.state = start
    allowed = {State.QUEUED: FROM_QUEUED, State.RUNNING: FROM_RUNNING}.get(start, set())
    if to in allowed:
        execution.transition(to)
        assert execution.state is to
    else:
        with pytest.raises(InvalidTransition, match=f"R1:1:1 cannot go from {start.value} to {to.value} "):
            execution.transition(to)
        assert execution.state is start


def test_an_illegal_transition_tells_the_story() -> None:
    bench = Bench()
    execution = bench.run()
    bench.pass_time(2.0)
    bench.succeed(execution)
    with pytest.raises(InvalidTransition) as caught:
        execution.transition(State.RUNNING)
    assert str(caught.value) == (
        "execution R1:1:1 cannot go from succeeded to running (queued at 1700000000.000000, "
        "running at 1700000000.000000, succeeded at 1700000002.000000)"
    )
