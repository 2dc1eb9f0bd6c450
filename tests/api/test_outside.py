"""Outside a run a target is the plain function, and everything else is harmless or says what is wrong."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import math
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coflux as cf

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


@cf.task()
def divide(a: int, b: int) -> float:
    return a / b


@cf.task()
async def fetch(x: int) -> tuple[int, str, int]:
    await asyncio.sleep(0)
    return x, seen.get(), threading.get_ident()


def test_call_is_the_function() -> None:
    assert divide(6, b=3) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_submit_runs_at_once_and_keeps_the_value() -> None:
    calls = []

    @cf.task()
    def collect() -> list[int]:
        calls.append(1)
        return [1]

    handle = collect.submit()
    assert calls == [1]
    assert handle.result() == handle.result() == handle.poll() == handle.poll(5, default=0) == [1]
    assert calls == [1]


def test_submit_keeps_the_error_and_result_raises_it() -> None:
    handle = divide.submit(1, 0)
    depths = []
    for ask in (handle.result, handle.poll, handle.result):
        with pytest.raises(ZeroDivisionError) as caught:
            ask()
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert depths[0] == depths[2]


def test_an_interrupt_is_not_an_outcome() -> None:
    @cf.task()
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop.submit()


def test_stub_runs_its_body() -> None:
    @cf.stub("module.that.does.not.exist")
    def answer() -> int:
        return 42

    assert answer() == answer.submit().result() == 42


def test_async_function_gives_its_value() -> None:
    assert fetch(1)[0] == fetch.submit(1).result()[0] == 1


def test_async_function_under_a_running_loop_runs_in_another_thread_with_this_context() -> None:
    async def main() -> tuple[int, str, int]:
        seen.set("main")
        return fetch(1)

    value, context, thread = asyncio.run(main())
    assert (value, context) == (1, "main")
    assert thread != threading.get_ident()


def test_plain_wrapper_of_an_async_function_gives_a_value_too() -> None:
    async def inner() -> int:
        return 3

    @functools.wraps(inner)
    def outer() -> Any:
        return inner()

    assert cf.task()(outer)() == 3


def test_finished_handle_can_be_awaited() -> None:
    async def main() -> float:
        return await divide.submit(6, 3)

    assert asyncio.run(main()) == 2


def test_handles_are_equal_when_they_are_the_same_execution() -> None:
    first, second = divide.submit(1, 1), divide.submit(1, 1)
    assert first == first  # noqa: PLR0124
    assert first != second
    assert {first: "a", second: "b"}[first] == "a"
    assert first.id.startswith("local:")
    assert (first.module, first.target) == (__name__, "divide")
    assert copy.deepcopy([first]) == [first]
    assert first != "local:1"


def test_finished_handle_cannot_be_sent() -> None:
    with pytest.raises(RuntimeError, match=r"was called outside a run: it cannot be sent"):
        divide.submit(1, 1).reference()


def test_cancel_and_select_of_finished_handles() -> None:
    first, second = divide.submit(1, 1), divide.submit(1, 0)
    first.cancel()
    cf.cancel([first, second])
    cf.cancel([])
    assert cf.select([second, first]) == (second, [first])
    assert cf.select([first, second], cancel_remaining=True) == (first, [second])
    assert first.result() == 1


@pytest.mark.parametrize("use", [cf.Execution.result, cf.Execution.poll, cf.Execution.cancel])
def test_handle_of_a_run_needs_the_engine(use: Callable[[Any], object]) -> None:
    handle: cf.Execution[int] = cf.Execution("R1:2:1", module="flows", target="load")
    assert handle.id == "R1:2:1"
    with pytest.raises(RuntimeError, match=r"works inside executions only"):
        use(handle)
    with pytest.raises(RuntimeError, match=r"works inside executions only"):
        cf.select([handle])


@pytest.mark.parametrize("function", [cf.cancel, cf.select])
def test_not_a_list_of_handles(function: Callable[[Any], object]) -> None:
    handle = divide.submit(1, 1)
    for wrong in (handle, [handle, 5], 5):
        with pytest.raises(TypeError, match=rf"{function.__name__}\(\) takes"):
            function(wrong)


def test_select_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one handle"):
        cf.select([])


# -- the rest of the API ----------------------------------------------------------------------------------------------


def test_groups_and_suspense_do_nothing() -> None:
    with cf.group("a"), cf.group(), cf.suspense(), cf.suspense(timedelta(seconds=1)):
        assert divide(1, 1) == 1


def test_wrong_group_and_suspense() -> None:
    with pytest.raises(TypeError, match=r"group\(\) takes a name"), cf.group(5):  # type: ignore[arg-type]
        pass
    with pytest.raises(ValueError, match="timeout must not be negative"):
        cf.suspense(-1)


@pytest.mark.parametrize("delay", [None, 0, -1.5, timedelta(1), datetime.now(tz=UTC)])
def test_suspend_says_why_not(delay: Any) -> None:
    with pytest.raises(RuntimeError, match=r"suspend\(\) works inside executions only"):
        cf.suspend(delay)


def test_suspend_checks_its_argument_first() -> None:
    with pytest.raises(TypeError, match=r"delay must be a number of seconds or a timedelta, not '5'"):
        cf.suspend("5")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, 1.5, True, math.nan, math.inf, np.float32(2), np.int64(3), Fraction(1, 3)])
def test_metrics_take_any_number(value: Any) -> None:
    cf.Metric("loss", group="g", scale="s", throttle=None).record(value, at=value)


@pytest.mark.parametrize("value", ["1", None, 1j, [1]])
def test_metrics_take_numbers_only(value: Any) -> None:
    metric = cf.Metric("loss")
    with pytest.raises(TypeError, match=r"the value of metric 'loss' must be a number"):
        metric.record(value)
    if value is not None:
        with pytest.raises(TypeError, match=r"at of metric 'loss' must be a number"):
            metric.record(1, at=value)


def test_metric_with_a_name_or_an_object_for_its_group_and_scale() -> None:
    short = cf.Metric("loss", group="g", scale="s")
    long = cf.Metric("loss", group=cf.MetricGroup("g"), scale=cf.MetricScale("s"))
    assert (short.key, short.group, short.scale, short.throttle) == (long.key, long.group, long.scale, long.throttle)
    assert short.throttle == 10
    assert "loss" in repr(short)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cf.Metric(""), "key of a metric must not be empty"),
        (lambda: cf.Metric("\udcff"), r"key of a metric must be text that UTF-8 can encode.*'\\udcff'"),
        (lambda: cf.MetricGroup("\udcff"), "name of a metric group must be text that"),
        (lambda: cf.MetricScale("\udcff"), "name of a metric scale must be text that"),
        (lambda: cf.MetricScale(units="\udcff"), "units of a metric scale must be text that"),
        (lambda: cf.group("x\udcff").__enter__(), "name of a group must be text that"),
        (lambda: cf.Metric(5), "key of a metric must be a str, not 5"),  # type: ignore[arg-type]
        (lambda: cf.Metric("k", group=5), "group of a metric must be a MetricGroup or its name, not 5"),  # type: ignore[arg-type]
        (lambda: cf.Metric("k", scale=5), "scale of metric 'k' must be a MetricScale or its name, not 5"),  # type: ignore[arg-type]
        (lambda: cf.Metric("k", throttle=0), r"throttle of metric 'k' must be above 0"),
        (lambda: cf.Metric("k", throttle=math.nan), r"throttle of metric 'k' must be above 0"),
        (lambda: cf.Metric("k", throttle=10**400), r"throttle of metric 'k' is too large"),
        (lambda: cf.MetricGroup(""), "name of a metric group must not be empty"),
        (lambda: cf.MetricGroup("g", units=5), "units of a metric group must be a str, not 5"),  # type: ignore[arg-type]
        (lambda: cf.MetricGroup("g", lower=math.nan), "lower of a metric group must be finite, not nan"),
        (lambda: cf.MetricScale("s", lower=2, upper=1), "lower of a metric scale must not be above upper"),
        (lambda: cf.MetricScale("s", progress=1), "progress of a metric scale must be a bool, not 1"),  # type: ignore[arg-type]
        (lambda: cf.MetricScale(""), "name of a metric scale must not be empty"),
    ],
)
def test_wrong_metric(make: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_progress_is_lazy_and_passes_items_on() -> None:
    taken = []

    def source() -> Any:
        for item in range(3):
            taken.append(item)
            yield item

    items = cf.progress(source(), "loading", group="g")
    assert taken == []
    assert next(items) == 0
    assert taken == [0]
    assert list(items) == [1, 2]


def test_secret_keeps_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = cf.Secret("hunter2hunter2")
    assert secret.value == "hunter2hunter2"
    assert "hunter2" not in repr(secret)
    monkeypatch.setenv("API_KEY", "in-the-environment")
    named = cf.Secret.env("API_KEY")
    assert named.value == "in-the-environment"
    assert repr(named) == "Secret.env('API_KEY')"
    assert {copy.copy(secret), copy.deepcopy(secret), cf.Secret("hunter2hunter2")} == {secret}
    assert len({secret, named, cf.Secret("another-hunter"), cf.Secret.env("TOKEN"), "hunter2hunter2"}) == 5
    monkeypatch.delenv("API_KEY")
    with pytest.raises(LookupError, match="API_KEY"):
        _ = named.value


def test_wrong_secret_is_not_in_the_message() -> None:
    with pytest.raises(TypeError, match="holds a str, not a bytes") as caught:
        cf.Secret(b"hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_project_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coflux.toml").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert cf.project_dir() == tmp_path.resolve()
