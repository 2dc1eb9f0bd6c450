"""Slots of worker groups, sites with hosts of their own, stubs, and runs that can never get on."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core.commands import HandOver, NeedHost, StartWorker, Stuck
from coflux.executor.core.state import Execution, SiteKey, State
from coflux.executor.messages import Failed
from coflux.worker_groups import WorkerGroup
from tests.core.bench import Bench
from tests.core.factories import failed, spec

GPU = WorkerGroup("gpu", provides={"gpu": frozenset({"A100"})}, concurrency=1)
ML = WorkerGroup("ml", modules=("ml",), python="/ml/python", concurrency=2)
A100 = {"gpu": ["A100"]}


def group_of(execution: Execution) -> str:
    assert execution.pool is not None
    return execution.pool.group.name


def message_of(execution: Execution) -> str:
    assert isinstance(execution.outcome, Failed)
    return execution.outcome.failure.message


# -- slots -----------------------------------------------------------------------------------------------------------


def test_each_group_has_its_own_slots() -> None:
    bench = Bench(concurrency=2, groups=[GPU])
    root = bench.run()
    one, two = (bench.submit(root, requires=A100) for _ in range(2))
    plain = bench.submit(root)
    assert [root.state, one.state, plain.state, two.state] == [State.RUNNING] * 3 + [State.QUEUED]
    assert [group_of(execution) for execution in (root, one, plain)] == ["default", "gpu", "default"]
    bench.succeed(plain)
    assert two.state is State.QUEUED, "the free slot is not for it"
    bench.succeed(one)
    assert (two.state, group_of(two)) == (State.RUNNING, "gpu")


def test_what_requires_nothing_overflows_into_other_groups() -> None:
    bench = Bench(concurrency=1, groups=[GPU])
    root = bench.run()
    children = [bench.submit(root) for _ in range(2)]
    assert [child.state for child in children] == [State.RUNNING, State.QUEUED]
    assert group_of(children[0]) == "gpu"
    bench.wait(root, children[0])
    assert group_of(children[1]) == "default"


def test_an_answer_waits_for_a_slot_of_its_own_group() -> None:
    bench = Bench(concurrency=1, groups=[GPU])
    root = bench.run()
    child = bench.submit(root, requires=A100)
    request = bench.wait(root, child)
    other = bench.run("other")
    assert group_of(other) == "default"
    bench.succeed(child)
    assert bench.answers(request) == [], "a GPU is free, and it has no need of one"
    bench.succeed(other)
    assert bench.answer(request).ended is child


def test_if_every_process_of_a_group_is_blocked_one_more_starts() -> None:
    bench = Bench(concurrency=3, groups=[GPU])
    root = bench.run()
    parent = bench.submit(root, requires=A100)
    child = bench.submit(parent, requires=A100)
    assert child.state is State.QUEUED
    bench.wait(parent, child)
    assert (child.state, group_of(child)) == (State.RUNNING, "gpu")


def test_a_plain_poll_starts_what_its_group_has_no_slot_for() -> None:
    bench = Bench(concurrency=3, groups=[GPU])
    root = bench.run()
    bench.submit(root, requires=A100)
    polled = bench.submit(root, requires=A100)
    bench.wait(root, polled, timeout=0)
    assert (polled.state, group_of(polled)) == (State.RUNNING, "gpu")


def test_the_limit_of_a_run_counts_over_all_groups() -> None:
    bench = Bench(concurrency=2, groups=[GPU])
    root = bench.run(cap=2)
    gpu = bench.submit(root, requires=A100)
    plain = bench.submit(root)
    assert [gpu.state, plain.state] == [State.RUNNING, State.QUEUED]
    bench.succeed(gpu)
    assert plain.state is State.RUNNING


def test_the_deeper_one_goes_first_on_whatever_route_it_is() -> None:
    bench = Bench(concurrency=3, groups=[GPU])
    root = bench.run()
    busy = bench.submit(root, requires=A100)
    middle = bench.submit(root)
    shallow = bench.submit(root, requires=A100)
    deep = bench.submit(middle, requires={"gpu": True})
    bench.succeed(busy)
    assert [shallow.state, deep.state] == [State.QUEUED, State.RUNNING]


# -- sites -----------------------------------------------------------------------------------------------------------


def in_ml(bench: Bench, parent: Execution, name: str = "train", **options: Any) -> Execution:
    return bench.submit(parent, name, module="ml", **options)


ML_SITE = SiteKey("/ml/python", ("ml",))


def test_a_step_for_another_interpreter_waits_for_its_host_in_nobodys_way() -> None:
    bench = Bench(concurrency=1, groups=[ML])
    root = bench.run()
    steps = [in_ml(bench, root) for _ in range(3)]
    assert {step.reason for step in steps} == {"importing module ml"}
    assert bench.told(NeedHost) == [NeedHost("R1", ML_SITE)], "asked for once"
    child = bench.submit(root)
    bench.wait(root, child)
    assert child.state is State.RUNNING
    bench.scheduler.add_host(2, ML_SITE)
    bench.handle(ev.HostReady(2, ("R1",)))
    assert [step.state for step in steps] == [State.RUNNING, State.RUNNING, State.QUEUED]
    assert [command.host for command in bench.told(StartWorker)] == [1, 1, 2, 2]


def test_what_it_calls_of_its_own_runs_where_it_does() -> None:
    bench = Bench(concurrency=2, groups=[ML])
    bench.imported.add(1, "shop.orders")
    root = bench.run()
    parent = in_ml(bench, root)
    bench.scheduler.add_host(2, ML_SITE)
    bench.handle(ev.HostReady(2, ("R1",)))
    bench.scheduler.add_host(3, ML_SITE)
    bench.handle(ev.HostReady(3, ("R1",)))  # a newer generation
    child, other = bench.submit(parent, module="ml.parts"), bench.submit(parent)
    assert child.host is not None
    assert (child.host.id, group_of(child)) == (2, "ml"), "on its parent's code"
    assert group_of(other) == "default"


def test_a_new_attempt_runs_on_the_newest_code_of_its_site() -> None:
    bench = Bench(concurrency=2, groups=[ML])
    step = in_ml(bench, bench.run(), retries=1)
    for host in (2, 3):
        bench.scheduler.add_host(host, ML_SITE)
        bench.handle(ev.HostReady(host, ("R1",)))
    assert step.host is not None
    assert step.host.id == 2
    bench.fail(step)
    again = step.end()
    assert again.host is not None
    assert (again.state, again.host.id) == (State.RUNNING, 3)


def test_a_module_that_does_not_import_fails_its_steps_and_no_others() -> None:
    bench = Bench(concurrency=2, groups=[ML])
    root = bench.run()
    steps = [in_ml(bench, root) for _ in range(2)]
    child = bench.submit(root)
    bench.handle(ev.HostRefused(("R1",), failed("no module"), ML_SITE))
    assert [message_of(step) for step in steps] == ["no module"] * 2
    assert child.state is State.RUNNING
    later = in_ml(bench, root)
    assert later.state is State.QUEUED
    assert len(bench.told(NeedHost)) == 2, "it may have been mended"


def test_what_a_lost_host_served_waits_for_the_next_one() -> None:
    bench = Bench(concurrency=2, groups=[ML])
    root = bench.run()
    running = [in_ml(bench, root) for _ in range(2)]
    ready = in_ml(bench, root)
    bench.scheduler.add_host(2, ML_SITE)
    bench.handle(ev.HostReady(2, ("R1",)))
    workers = [bench.worker_of(step) for step in running]
    bench.handle(ev.HostLost(2), *(ev.WorkerExited(worker, "its host is gone", None) for worker in workers))
    assert (ready.state, ready.reason) == (State.QUEUED, "importing module ml")
    bench.scheduler.add_host(3, ML_SITE)
    bench.handle(ev.HostReady(3, ("R1",)))
    assert ready.host is not None
    assert (ready.state, ready.host.id) == (State.RUNNING, 3)
    assert len(bench.told(NeedHost)) == 1, "the shell brings up another one by itself"


def test_a_cancelled_step_does_not_start_when_its_host_comes() -> None:
    bench = Bench(concurrency=2, groups=[ML])
    root = bench.run()
    step = in_ml(bench, root)
    bench.cancel(step)
    bench.scheduler.add_host(2, ML_SITE)
    bench.handle(ev.HostReady(2, ("R1",)))
    assert step.state is State.CANCELLED
    assert step.id not in bench.started()


# -- stubs -----------------------------------------------------------------------------------------------------------


def stub(bench: Bench, parent: Execution, name: str = "pay", **options: Any) -> Execution:
    return bench.submit(parent, name, module="bank", stub=True, **options)


BANK = SiteKey("", ("bank",))


def bank_ready(bench: Bench, **options: Any) -> None:
    bench.scheduler.add_host(2, BANK)
    bench.imported.add(2, "bank", spec("pay", module="bank", **options))
    bench.handle(ev.HostReady(2, ("R1",)))


def test_a_stubs_module_that_the_family_has_is_not_imported_again() -> None:
    bench = Bench(concurrency=2)
    bench.imported.add(1, "bank", spec("pay", module="bank"))
    step = stub(bench, bench.run())
    assert step.state is State.RUNNING
    assert bench.told(NeedHost) == []


def test_a_stubs_module_is_imported_on_demand() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    steps = [stub(bench, root) for _ in range(2)]
    assert bench.told(NeedHost) == [NeedHost("R1", BANK)]
    bank_ready(bench)
    assert [step.state for step in steps] == [State.RUNNING] * 2
    assert [command.host for command in bench.told(StartWorker)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("overrides", "given", "group", "timeout"),
    [
        ((), {}, "gpu", 5.0),
        (("requires",), {"requires": {}}, "default", 5.0),
        (("timeout",), {"timeout": 1.0}, "gpu", 1.0),
        (("timeout",), {"timeout": 0.0}, "gpu", 0.0),
    ],
)
def test_a_stub_has_the_requirements_and_the_timeout_of_its_target(
    overrides: tuple[str, ...], given: dict[str, Any], group: str, timeout: float
) -> None:
    bench = Bench(concurrency=2, groups=[GPU])
    step = stub(bench, bench.run(), overrides=overrides, **given)
    bank_ready(bench, requires=A100, timeout=5.0)
    assert (step.state, group_of(step)) == (State.RUNNING, group)
    bench.pass_time(timeout - 0.1 if timeout else 60)
    assert step.state is State.RUNNING
    bench.pass_time(0.1)
    assert step.state is (State.TIMED_OUT if timeout else State.RUNNING)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("pay", "workflow", 'bank/pay is a task, and the stub says workflow: declare it with type="task"'),
        ("pya", "task", "module bank has no target 'pya'; it has pay"),
    ],
)
def test_a_stub_of_nothing_fails_at_once(known: bool, name: str, kind: str, message: str) -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    if known:
        bank_ready(bench)
    step = stub(bench, root, name, type=kind, delay=3600.0)
    if not known:
        assert step.state is State.QUEUED
        bank_ready(bench)
    assert (step.state, message_of(step)) == (State.FAILED, message)


def test_a_stub_whose_module_does_not_import_fails_at_once_with_its_name() -> None:
    bench = Bench(concurrency=2)
    step = stub(bench, bench.run(), delay=3600.0)
    bench.handle(ev.HostRefused(("R1",), failed("there is no module 'bank'"), BANK))
    assert (step.state, message_of(step)) == (State.FAILED, "bank/pay: there is no module 'bank'")


# -- what can never get on -------------------------------------------------------------------------------------------

NOBODY = "no worker group provides gpu=A100 (groups: default)"


def test_what_no_group_can_run_is_queued_with_the_reason() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    step = bench.submit(root, requires=A100)
    assert (step.state, step.reason, step.ready) == (State.QUEUED, NOBODY, False)
    assert step in bench.effects[-1].executions, "every view sees it"
    bench.cancel(step)
    bench.succeed(root)
    assert bench.settled() == ["R1 succeeded"]


def test_a_run_is_stuck_when_nothing_else_of_it_can_get_on() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    step = bench.submit(root, "train", requires=A100)
    delayed = bench.submit(root, delay=5.0)
    bench.wait(root, step)
    assert bench.told(Stuck) == []
    bench.pass_time(5.0)
    assert bench.told(Stuck) == [], "it runs"
    bench.succeed(delayed)
    expected = f"nothing of run R1 can ever get on: R1:2:1 shop.orders/train: {NOBODY}"
    assert bench.told(Stuck) == [Stuck("R1", expected)]
    bench.pass_time(60)
    assert len(bench.told(Stuck)) == 1, "told once"
    worker = bench.worker_of(root)
    bench.cancel(root)
    bench.exit(worker)
    assert bench.settled() == ["R1 cancelled"]


def test_a_run_whose_root_has_ended_can_be_stuck() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    bench.submit(root, requires=A100)
    bench.succeed(root)
    assert [command.run for command in bench.told(Stuck)] == ["R1"]


@pytest.mark.parametrize(("options", "timeout"), [({}, 5.0), ({"timeout": 5.0}, None)])
def test_who_waits_for_a_time_only_can_get_on(options: dict[str, Any], timeout: float | None) -> None:
    bench = Bench(concurrency=2)
    root = bench.run(**options)
    step = bench.submit(root, requires=A100)
    request = bench.wait(root, step, timeout=timeout)
    assert bench.told(Stuck) == []
    bench.pass_time(5.0)
    assert bench.answers(request) or root.state is State.TIMED_OUT
    assert bench.told(Stuck) == []


def test_a_run_that_is_stuck_again_says_so_again() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    step = bench.submit(root, "train", requires=A100)
    bench.wait(root, step)
    bench.cancel(step)
    assert root.step.run.family.stuck == ""
    bench.wait(root, bench.submit(root, "test", requires=A100))
    assert [command.message.split(": ")[1] for command in bench.told(Stuck)] == [
        "R1:2:1 shop.orders/train",
        "R1:3:1 shop.orders/test",
    ]


def test_a_run_of_which_something_is_executed_again_is_not_stuck() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    done = bench.submit(root)
    bench.succeed(done)
    bench.wait(root, bench.submit(root, requires=A100))
    again = bench.rerun(done)
    assert (again.state, len(bench.told(Stuck)), root.step.run.family.stuck) == (State.RUNNING, 1, "")
    bench.succeed(again)
    assert len(bench.told(Stuck)) == 2


def test_who_waits_for_several_is_stuck_with_one_of_them_whatever_the_others_do() -> None:
    bench = Bench(concurrency=3)
    root, other = bench.run(), bench.run()
    elsewhere, here = bench.submit(other, delay=5.0), bench.submit(root, delay=1.0, requires=A100)
    bench.submit(root, wait=True, given=[elsewhere, here])
    bench.succeed(root)
    assert bench.told(Stuck) == []
    bench.pass_time(1.0)
    assert [command.run for command in bench.told(Stuck)] == ["R1"]


def test_runs_that_wait_for_each_other_are_stuck_if_one_of_them_is() -> None:
    bench = Bench(concurrency=3)
    root, other = bench.run(), bench.run()
    child = bench.submit(root)
    bench.wait(root, other)
    bench.wait(other, child)
    assert bench.told(Stuck) == []
    bench.wait(child, bench.submit(child, requires=A100))
    assert [command.run for command in bench.told(Stuck)] == ["R1"]


def test_a_run_that_waits_for_another_is_not_stuck_while_that_gets_on() -> None:
    bench = Bench(concurrency=3)
    root, other = bench.run(), bench.run()
    bench.submit(root, requires=A100)
    bench.wait(root, other)
    assert bench.told(Stuck) == []
    bench.succeed(other)
    bench.succeed(root)
    assert [command.run for command in bench.told(Stuck)] == ["R1"]


def test_other_runs_are_not_stuck_with_it() -> None:
    bench = Bench(concurrency=2)
    bench.run(requires=A100)
    other = bench.run("other")
    assert [command.run for command in bench.told(Stuck)] == ["R1"]
    assert [command.execution for command in bench.told(HandOver)] == [other]
