"""Inside an execution the API asks the backend."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import math
import pickle
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import coflux as cf
from coflux import backend
from coflux.values import Reference
from tests.api.fake_engine import FakeEngine


@cf.task()
def load(user: str, page: int = 1) -> list[str]:
    raise AssertionError("the function itself is not called here")


@cf.workflow()
async def crawl(*urls: str) -> int:
    raise AssertionError("the function itself is not called here")


def test_submit_sends_one_value_a_parameter(engine: FakeEngine) -> None:
    handle = load.submit("ada")
    crawl.submit("a", "b")
    assert engine.submissions == [(load, ("ada", 1), None), (crawl, (("a", "b"),), None)]
    assert (handle.module, handle.target) == (__name__, "load")


def test_changed_copy_is_what_is_submitted(engine: FakeEngine) -> None:
    load.with_retries(2).submit("ada")
    [(target, _, _)] = engine.submissions
    assert target.options.retries is not None
    assert target.name == "load"


def test_call_is_submit_and_result(engine: FakeEngine) -> None:
    engine.outcomes = {1: ["x"], 2: ValueError("no"), 3: 5}
    assert load("ada") == ["x"]
    with pytest.raises(ValueError, match="no"):
        load("ada")
    assert crawl("a") == 5


def test_handle_asks_for_its_id_once_and_only_when_needed(engine: FakeEngine) -> None:
    handle = load.submit("ada")
    assert repr(handle) == f"<Execution of {__name__}/load>"
    assert handle.reference() == Reference("execution", "@1", __name__, "load")
    assert engine.identified == []
    assert handle.id == handle.id == "R1:2:1"
    assert engine.identified == [1]
    assert repr(handle) == f"<Execution R1:2:1 of {__name__}/load>"
    assert handle.reference() == Reference("execution", "R1:2:1", __name__, "load")


def test_handles_are_equal_by_id(engine: FakeEngine) -> None:
    engine.ids = {1: "R1:2:1", 2: "R1:2:1"}  # a memo hit
    first, second, third = load.submit("a"), load.submit("a"), load.submit("b")
    assert first == second
    assert hash(first) == hash(second)
    assert first != third
    assert first == cf.Execution.from_reference(Reference("execution", "R1:2:1", __name__, "load"))


def test_reference_round_trip() -> None:
    handle: cf.Execution[int] = cf.Execution("R1:2:1", module="flows", target="load")
    again = cf.Execution.from_reference(handle.reference())
    assert again == handle
    assert (again.module, again.target, again.number) == ("flows", "load", None)
    with pytest.raises(ValueError, match="does not refer to an execution"):
        cf.Execution.from_reference(Reference("asset", "A1"))


@pytest.mark.parametrize("given", [{}, {"id": "R1:1:1", "number": 1}])
def test_handle_has_an_id_or_a_number(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either an id or a number"):
        cf.Execution(module="flows", target="load", **given)


def test_number_means_nothing_in_another_execution(engine: FakeEngine) -> None:
    kept, asked = load.submit("a"), load.submit("b")
    assert asked.id == "R1:3:1"
    backend.install(FakeEngine("R1:9:1"))
    for use in (lambda: kept.id, kept.reference, lambda: kept.number):
        with pytest.raises(RuntimeError, match=r"submitted by execution R1:1:1, which has ended: pass handles as"):
            use()
    assert (asked.reference().id, asked.number) == ("R1:3:1", None)


def test_poll(engine: FakeEngine) -> None:
    handle = load.submit("a")
    assert handle.poll() is None
    assert handle.poll(timedelta(seconds=2), default="later") == "later"
    assert handle.poll(-0.001, default=0) == 0
    engine.outcomes[1] = ["x"]
    assert handle.poll(1.5) == ["x"]
    assert engine.polled == [None, 2.0, 0.0, 1.5]
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        handle.poll("1")  # type: ignore[call-overload]


def test_await(engine: FakeEngine) -> None:
    engine.outcomes[1] = ["x"]

    async def main() -> list[str]:
        return await load.submit("a")

    assert asyncio.run(main()) == ["x"]


def test_cancel(engine: FakeEngine) -> None:
    first, second, third = (load.submit(name) for name in "abc")
    first.cancel()
    cf.cancel(handle for handle in (second, third))
    cf.cancel([])
    assert [handle.number for handle in engine.cancelled] == [1, 2, 3]


def test_groups_nest_and_are_new_for_each_block(engine: FakeEngine) -> None:
    with cf.group("a"):
        load.submit("1")
        with cf.group("a"):
            load.submit("2")
        load.submit("3")
    load.submit("4")
    with pytest.raises(KeyError), cf.group():
        raise KeyError
    load.submit("5")
    assert engine.groups == [("a", None), ("a", 0), (None, None)]
    assert [group for _, _, group in engine.submissions] == [0, 1, 0, None, None]


def test_threads_are_in_the_group_whose_context_they_copy(engine: FakeEngine) -> None:
    with cf.group("a"):
        for target in (lambda: load.submit("plain"), lambda: load.submit("copied")):
            run = contextvars.copy_context().run if engine.submissions else lambda function: function()
            thread = threading.Thread(target=run, args=(target,))
            thread.start()
            thread.join()
    assert [group for _, _, group in engine.submissions] == [None, 0]


def test_run_and_start_point_to_submit(engine: FakeEngine) -> None:
    with pytest.raises(RuntimeError, match=r"run\(load\) inside an execution: use load\.submit\(...\)"):
        cf.run(load, "ada")
    with pytest.raises(RuntimeError, match=r"start\(load\) inside an execution: use load\.submit\(...\)"):
        cf.start(load, "ada")


def test_project_dir(engine: FakeEngine) -> None:
    assert cf.project_dir() == Path("/the/project")


class Scalar:
    """A number as other libraries have them."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


def test_recording_a_metric(engine: FakeEngine) -> None:
    loss = cf.Metric("loss")
    loss.record(1)
    loss.record(Scalar(0.5), at=Scalar(2.0))
    loss.record(math.inf, at=3)
    assert engine.points == [("loss", 1.0, None), ("loss", 0.5, 2.0), ("loss", math.inf, 3.0)]
    assert all(type(value) is float for _, value, _ in engine.points)
    assert cf.MetricScale(upper=Scalar(3.0)).upper == 3.0  # type: ignore[arg-type]


def test_progress_counts_what_has_been_dealt_with(engine: FakeEngine) -> None:
    """METRIC-8: an item is once the next one is asked for."""
    counts = [len(engine.points) for _ in cf.progress("abc", "letters", group="g")]
    assert counts == [0, 1, 2]
    assert engine.points == [("letters", 1.0, None), ("letters", 2.0, None), ("letters", 3.0, None)]
    assert engine.metrics[0].scale == cf.MetricScale(progress=True, upper=3)
    assert engine.metrics[0].group == cf.MetricGroup("g")


class Endless:
    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


@pytest.mark.parametrize("endless", [itertools.count(), Endless(), range(10**30)])
def test_progress_without_a_length(engine: FakeEngine, endless: Iterable[int]) -> None:
    assert list(itertools.islice(cf.progress(endless), 3)) == [0, 1, 2]
    assert [value for _, value, _ in engine.points] == [1, 2]
    assert engine.metrics[0].scale == cf.MetricScale(progress=True)


def test_progress_of_loops_that_are_left(engine: FakeEngine) -> None:
    """METRIC-9: by `break` or an error, the last item does not count, and the source is closed with the loop; of no
    items there is nothing to tell."""
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(5)
        finally:
            closed.append(True)

    for number in cf.progress(source()):
        if number == 2:
            break
    assert [value for _, value, _ in engine.points] == [1, 2]
    assert closed == [True]

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(cf.progress(failing()))
    assert len(engine.points) == 3
    assert list(cf.progress([])) == []
    assert len(engine.points) == 3
    with pytest.raises(TypeError, match="not iterable"):
        cf.progress(5)  # type: ignore[arg-type]


def test_a_secret_is_given_to_the_engine_before_anybody_can_print_it(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cf.Secret("made-by-an-execution")
    monkeypatch.setenv("LOGIN", "read-by-an-execution")
    assert cf.Secret.env("LOGIN").value == "read-by-an-execution"
    cf.Secret("made-by-an-execution")
    assert engine.secrets == ["made-by-an-execution", "read-by-an-execution"]
    assert cf.Secret("made-by-an-execution").reference() == Reference("secret", "secret0")
    assert cf.Secret.env("LOGIN").reference() == Reference("secret", "env:LOGIN")


def test_handle_is_not_pickled_behind_the_engine_s_back() -> None:
    handle: cf.Execution[int] = cf.Execution("R1:2:1", module="flows", target="load")
    with pytest.raises(TypeError, match=r"cannot pickle <Execution R1:2:1 of flows/load>: pass it as an argument"):
        pickle.dumps(handle)
