"""`suspend`, `suspense` and `select` inside an execution, as the backend sees them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import coflux as cf
from coflux.suspension import Suspending, wait_limit
from tests.api.fake_engine import FakeEngine


@cf.task()
def load(page: int) -> str:
    raise AssertionError("the function itself is not called here")


# -- suspend ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "seconds"), [(None, 0.0), (2, 2.0), (0.5, 0.5), (-3, 0.0), (timedelta(minutes=1), 60.0)]
)
def test_suspend_for_some_time(engine: FakeEngine, delay: Any, seconds: float) -> None:
    with pytest.raises(Suspending):
        cf.suspend(delay)
    assert engine.suspensions == [(seconds, None)]


@pytest.mark.parametrize(
    ("when", "until"),
    [
        (datetime(2030, 1, 1, 12, tzinfo=UTC), 1893499200.0),
        (datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), 1893492000.0),
        (datetime(2030, 1, 1, 12), 1893517200.0),
        (datetime(1999, 1, 1, tzinfo=UTC), 915148800.0),
        (datetime.min, -62135596800.0),
    ],
    ids=["UTC", "another zone", "naive: local time", "past", "long past"],
)
def test_suspend_until_a_time(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, when: datetime, until: float
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        with pytest.raises(Suspending):
            cf.suspend(when)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert engine.suspensions == [(0.0, until)]


@pytest.mark.parametrize(
    ("delay", "error", "match"),
    [
        ("5", TypeError, "delay must be a number of seconds or a timedelta, not '5'"),
        (True, TypeError, "delay must be a number of seconds or a timedelta, not True"),
        (float("nan"), ValueError, "delay must be a finite number of seconds"),
    ],
)
def test_suspend_refuses_what_is_no_time(engine: FakeEngine, delay: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        cf.suspend(delay)
    assert engine.suspensions == []


def test_suspending_passes_handlers_of_errors_and_says_what_it_is(engine: FakeEngine) -> None:
    passed = []

    def main() -> None:
        try:
            cf.suspend()
        except Exception:  # noqa: BLE001
            passed.append("except")
        finally:
            passed.append("finally")

    with pytest.raises(Suspending, match="this execution is suspended: it goes on in another attempt"):
        main()
    assert passed == ["finally"]


# -- suspense ---------------------------------------------------------------------------------------------------------

Use = Callable[[cf.Execution[str]], object]
USES: list[Use] = [lambda handle: handle.result(), lambda handle: cf.select([handle])]


async def _awaiting(handle: cf.Execution[str]) -> str:
    return await handle


@pytest.mark.parametrize(
    "use", [*USES, lambda handle: asyncio.run(_awaiting(handle))], ids=["result", "select", "await"]
)
def test_the_innermost_suspense_limits_a_wait(engine: FakeEngine, use: Use) -> None:
    engine.outcomes[1] = "page"
    handle = load.submit(1)
    use(handle)
    with cf.suspense(timedelta(seconds=10)):
        use(handle)
        with cf.suspense():
            use(handle)
        with cf.suspense(0.5):
            use(handle)
        use(handle)
    use(handle)
    assert engine.limits == [None, 10.0, 0.0, 0.5, 10.0, None]


def test_an_error_that_leaves_a_suspense_ends_it(engine: FakeEngine) -> None:
    with pytest.raises(KeyError), cf.suspense(1):
        raise KeyError
    assert wait_limit() is None


def test_a_wrong_timeout_is_refused_where_it_is_given(engine: FakeEngine) -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds or a timedelta, not '1'"):
        cf.suspense("1")  # type: ignore[arg-type]


def test_a_thread_has_the_suspense_whose_context_it_copies(engine: FakeEngine) -> None:
    engine.outcomes[1] = "page"
    handle = load.submit(1)
    with cf.suspense(3):
        copied = contextvars.copy_context()
    for run in (lambda call: call(), copied.run):
        thread = threading.Thread(target=run, args=(handle.result,))
        thread.start()
        thread.join()
    assert engine.limits == [None, 3.0]


# -- select -----------------------------------------------------------------------------------------------------------


def test_select_gives_the_winner_and_the_others_in_order(engine: FakeEngine) -> None:
    first, second, third = handles = [load.submit(page) for page in range(3)]
    engine.outcomes = {2: "b", 3: "c"}
    winner, remaining = cf.select(handle for handle in handles)
    assert winner is second
    assert remaining[0] is first
    assert remaining[1] is third
    assert len(remaining) == 2
    assert len(handles) == 3
    assert engine.cancelled == []
    assert winner.result() == "b"


def test_a_failure_wins_and_is_raised_by_the_winner_s_result(engine: FakeEngine) -> None:
    engine.outcomes[1] = ValueError("no")
    winner, remaining = cf.select([load.submit(1), load.submit(2)])
    assert len(remaining) == 1
    with pytest.raises(ValueError, match="no"):
        winner.result()


def test_select_cancels_those_that_lost_but_not_the_winner_under_another_handle(engine: FakeEngine) -> None:
    engine.ids = {1: "R1:2:1", 2: "R1:3:1", 3: "R1:2:1"}  # the third is a memo hit
    engine.outcomes[1] = "a"
    handles = [load.submit(page) for page in range(3)]
    winner, remaining = cf.select(handles, cancel_remaining=True)
    assert winner is handles[0]
    assert len(remaining) == 2
    assert [handle.id for handle in engine.cancelled] == ["R1:3:1"]


def test_select_of_one_handle_twice_leaves_it_once(engine: FakeEngine) -> None:
    engine.outcomes[1] = "a"
    handle = load.submit(1)
    winner, remaining = cf.select([handle, handle])
    assert winner is handle
    assert len(remaining) == 1


@pytest.mark.parametrize(
    ("handles", "error", "match"),
    [
        ([], ValueError, r"select\(\) needs at least one handle"),
        ([1], TypeError, r"select\(\) takes handles, not 1"),
        (5, TypeError, r"select\(\) takes a list of handles, not 5"),
    ],
)
def test_select_refuses_what_are_no_handles(
    engine: FakeEngine, handles: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        cf.select(handles)
