"""What `coflux queue` and `coflux why` tell, from what is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from coflux.executor.decisions import Cache, Memo, Miss, Retry, Why
from coflux.executor.history import History
from coflux.executor.messages import ArgumentKey, Failed, RunOptions, Succeeded, TargetSpec
from coflux.executor.rows import ExecutionRow, RunRow, SharedRow, StepRow
from coflux.executor.store import Store
from coflux.failures import Failure
from coflux.task_options import CacheOptions, RetryOptions, TaskOptions
from coflux.values import Reference, Value
from tests.store.factories import batch, execution_row, json_value, run_row, step_row, succeeded

CACHE = CacheOptions()
FAILED = msgspec.msgpack.encode(Failed(Failure("builtins.ValueError", "no luck", "Traceback\n")))


def handle(*ids: str) -> Value:
    return Value("json", b"0", 1, references=tuple(Reference("execution", one) for one in ids))


def explained(history: History, run: str, step: int = 1) -> Why:
    why = history.why(run, step)
    assert why is not None
    assert msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(why)), type=Why) == why
    return why


# -- the queue --------------------------------------------------------------------------------------------------------


def test_the_queue_is_in_order_with_what_holds_each_one_up(store: Store, history: History) -> None:
    wait = TaskOptions(wait=("p1",))
    holder = msgspec.msgpack.encode(Succeeded(handle("Ra:3:1")))
    store.commit(
        batch(
            run_row("Ra"),
            step_row("Ra", name="root"),
            execution_row("Ra", status="running", created_at=1.0),
            step_row("Ra", number=2, name="later"),
            execution_row("Ra", step=2, created_at=9.0, reason="delayed", due_at=20.0, workspace="dev"),
            step_row("Ra", number=3, name="retried"),
            execution_row("Ra", step=3, status="failed", next="Ra:3:2", created_at=2.0),
            execution_row("Ra", step=3, attempt=2, trigger="retry", created_at=3.0),
            # The first argument is not waited for; the second holds a handle whose result holds another one.
            step_row("Ra", number=4, values=(handle("Ra:1:1"), handle("Rold:1:1", "Ra:2:1")), options=wait),
            execution_row("Ra", step=4, created_at=4.0, reason="waiting for arguments"),
            step_row("Ra", number=5),
            execution_row("Ra", step=5, attempt=2, trigger="resumption", created_at=5.0, awaits="Ra:1:1 Rb:1:1"),
            run_row("Rold", settled=True),
            step_row("Rold"),
            execution_row("Rold", status="succeeded", outcome=holder),
            execution_row("Rold", step=2),  # of a settled run: nothing is unfinished there
        )
    )
    queue = history.queue()
    assert [entry.id for entry in queue] == ["Ra:3:2", "Ra:4:1", "Ra:5:2", "Ra:2:1"]
    retried, waiting, suspended, delayed = queue
    assert (retried.target, retried.trigger, retried.reason) == ("shop.orders/retried", "retry", "ready")
    assert (delayed.reason, delayed.due_at, delayed.workspace) == ("delayed", 20.0, "dev")
    assert sorted(waiting.waits_for) == ["Ra:2:1", "Ra:3:2"]
    assert suspended.waits_for == ("Ra:1:1", "Rb:1:1")
    assert retried.waits_for == delayed.waits_for == ()
    assert [entry.id for entry in history.queue("dev")] == ["Ra:2:1"]
    assert history.queue("none") == []
    assert msgspec.to_builtins(waiting)["reason"] == "waiting for arguments"


# -- attempts ---------------------------------------------------------------------------------------------------------


def test_every_attempt_says_why_it_is_there(store: Store, history: History) -> None:
    options = TaskOptions(retries=RetryOptions(3))
    store.commit(
        batch(
            run_row(),
            step_row(options=options, parent="Rtest:9:1"),
            execution_row(status="failed", outcome=FAILED, next="Rtest:1:2"),
            execution_row(attempt=2, status="failed", outcome=FAILED, next="Rtest:1:3", trigger="retry"),
            execution_row(attempt=3, status="suspended", next="Rtest:1:4", trigger="retry"),
            execution_row(attempt=4, status="recurred", next="Rtest:1:5", trigger="resumption"),
            execution_row(attempt=5, status="failed", outcome=FAILED, next="Rtest:1:6", trigger="recurrence"),
            execution_row(attempt=6, trigger="retry", due_at=9.0, awaits="Rx:1:1"),
        )
    )
    why = explained(history, "Rtest")
    assert (why.id, why.target, why.parent) == ("Rtest:1", "shop.orders/ingest", "Rtest:9:1")
    error = {"type": "builtins.ValueError", "message": "no luck"}
    assert [(attempt.trigger, attempt.after, attempt.error, attempt.retry) for attempt in why.attempts] == [
        ("submission", None, None, None),
        ("retry", "Rtest:1:1", error, Retry(1, 3)),
        ("retry", "Rtest:1:2", error, Retry(2, 3)),
        ("resumption", "Rtest:1:3", None, None),
        ("recurrence", "Rtest:1:4", None, None),
        ("retry", "Rtest:1:5", error, Retry(1, 3)),
    ]
    last = why.attempts[-1]
    assert (last.status, last.reason, last.due_at, last.waits_for) == ("queued", "ready", 9.0, ("Rx:1:1",))
    assert history.why("Rtest", 2) is None


def test_unlimited_retries_have_no_limit(store: Store, history: History) -> None:
    step = step_row(options=TaskOptions(retries=RetryOptions(None)))
    first = execution_row(status="failed", outcome=FAILED, next="Rtest:1:2")
    store.commit(batch(run_row(), step, first, execution_row(attempt=2, trigger="retry")))
    assert explained(history, "Rtest").attempts[1].retry == Retry(1, None)


@pytest.mark.parametrize(
    ("memo", "run_memo", "override", "key", "state"),
    [
        (None, False, None, None, "off"),
        (None, True, None, b"key", "on"),
        (None, True, None, None, "unkeyable"),
        (None, True, False, None, "off"),
        (None, False, True, None, "unkeyable"),
        (False, True, True, None, "off"),
        (True, False, False, None, "unkeyable"),
        (("p0",), False, None, b"key", "on"),
    ],
)
def test_memo_is_on_by_the_step_or_by_the_run(
    store: Store, history: History, memo: Any, run_memo: bool, override: bool | None, key: bytes | None, state: str
) -> None:
    root = TargetSpec("shop.orders", "ingest", "workflow", (), TaskOptions(), run_memo=run_memo)
    store.commit(
        batch(
            run_row(options=msgspec.msgpack.encode(RunOptions(memo=override))),
            step_row(target=msgspec.msgpack.encode(root)),
            step_row(number=2, options=TaskOptions(memo=memo), memo_key=key),
            execution_row(step=2),
        )
    )
    assert explained(history, "Rtest", 2).memo == Memo(state, ())  # type: ignore[arg-type]


def test_those_who_share_a_step_are_named(store: Store, history: History) -> None:
    rows = (run_row(), step_row(number=2, memo_key=b"key"), execution_row(step=2))
    shared = [SharedRow("Rtest", 1, 1, 5, "Rtest:2:1", None), SharedRow("Rtest", 3, 2, 1, "Rtest:2:1", None)]
    store.commit(batch(*rows, *shared, SharedRow("Rtest", 1, 1, 6, "Rtest:22:1", None)))
    assert explained(history, "Rtest", 2).memo == Memo("on", ("Rtest:1:1", "Rtest:3:2"))


def test_deferral_names_the_survivor(store: Store, history: History) -> None:
    step = step_row(options=TaskOptions(defer=()), defer_key=b"key")
    store.commit(batch(run_row(), step, execution_row(status="deferred", next="Rnew:1:1", finished_at=9.0)))
    store.commit(batch(step_row(number=2, options=TaskOptions(defer=())), execution_row(step=2)))
    why = explained(history, "Rtest")
    assert (why.defer, why.attempts[0].superseded_by, why.attempts[0].next) == ("on", "Rnew:1:1", "Rnew:1:1")
    assert (explained(history, "Rtest", 2).defer, why.cache) == ("unkeyable", "off")


# -- the cache --------------------------------------------------------------------------------------------------------


def key_of(*texts: str) -> bytes:
    return repr(texts).encode()


def cached_rows(
    run: str,
    *arguments: str,
    at: float,
    status: str = "succeeded",
    cache: CacheOptions = CACHE,
    workspace: str = "default",
    **execution: Any,
) -> Sequence[RunRow | StepRow | ExecutionRow]:
    """A run of one step whose cache key follows from its version and these JSON arguments."""
    version = cache.version or ""
    keys = tuple(ArgumentKey(argument.encode()) for argument in arguments)
    key = key_of(version, *arguments)
    step = step_row(
        run,
        values=tuple(json_value(argument) for argument in arguments),
        options=TaskOptions(cache=cache),
        keys=msgspec.msgpack.encode(keys),
        cache_key=key,
        created_at=at,
    )
    done = status == "succeeded"
    fields: dict[str, Any] = {"created_at": at, "started_at": at, "finished_at": at + 1}
    fields |= {"outcome": succeeded(), "cache_key": key} if done else {}
    return (
        run_row(run, settled=True, workspace=workspace),
        step,
        execution_row(run, **fields | {"status": status, "reason": "", "workspace": workspace} | execution),
    )


def lookup(history: History, run: str = "Rtest") -> Cache:
    cache = explained(history, run).attempts[0].cache
    assert cache is not None
    return cache


def miss(history: History) -> Miss:
    found = lookup(history)
    assert found.state == "miss"
    assert found.miss is not None
    return found.miss


def test_a_hit_tells_its_source_and_age(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=100.0)))
    hit: dict[str, Any] = {
        "status": "cached",
        "next": "Rold:1:1",
        "started_at": None,
        "finished_at": 161.0,
        "older_code": True,
    }
    store.commit(batch(*cached_rows("Rtest", "1", at=160.0, **hit)))
    assert lookup(history) == Cache("hit", source="Rold:1:1", age=60.0, older_code=True)
    # One that had to be waited for.
    store.commit(batch(*cached_rows("Rearly", "1", at=50.0, **hit | {"finished_at": 101.0 - 1e-3})))
    assert lookup(history, "Rearly").age == 0.0


def test_nothing_is_asked_where_caching_is_off_and_by_later_attempts(store: Store, history: History) -> None:
    store.commit(batch(run_row(), step_row(), execution_row(status="succeeded", started_at=1.0)))
    why = explained(history, "Rtest")
    assert (why.cache, why.attempts[0].cache) == ("off", None)
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0, status="failed")))
    store.commit(batch(execution_row(attempt=2, trigger="retry"), execution_row(attempt=3, trigger="rerun")))
    why = explained(history, "Rtest")
    assert why.cache == "on"
    assert [attempt.cache and attempt.cache.state for attempt in why.attempts] == ["miss", None, None]
    store.commit(batch(step_row(number=2, options=TaskOptions(cache=CacheOptions()))))
    assert explained(history, "Rtest", 2).cache == "unkeyable"


def test_what_has_not_started_has_not_asked(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0, status="queued", started_at=None, finished_at=None)))
    assert lookup(history) == Cache("waiting")
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0, status="cancelled", started_at=None)))
    assert lookup(history) == Cache("skipped")


def test_a_miss_without_anything_earlier(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0)))
    store.commit(batch(*cached_rows("Rlater", "1", at=101.0)))
    store.commit(batch(*cached_rows("Relse", "1", at=50.0, cache=CacheOptions(namespace="other"))))
    store.commit(batch(run_row("Roff"), step_row("Roff", values=(json_value("1"),), created_at=50.0)))
    assert miss(history) == Miss("none")


def test_the_first_argument_that_differs_is_named(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rolder", "1", "2", "3", at=10.0)))
    store.commit(batch(*cached_rows("Rold", "1", "[7]", "8", at=20.0)))
    store.commit(batch(*cached_rows("Rtest", "1", "2", "9", at=100.0)))
    assert miss(history) == Miss("argument", "Rold:1", parameter="p1", here="2", there="[7]")


def test_arguments_are_compared_in_key_order(store: Store, history: History) -> None:
    cache = CacheOptions(params=("p1", "p0"))
    store.commit(batch(*cached_rows("Rold", "1", "2", at=20.0, cache=cache)))
    store.commit(batch(*cached_rows("Rtest", "3", "4", at=100.0, cache=cache)))
    assert miss(history) == Miss("argument", "Rold:1", parameter="p1", here="4", there="2")


def test_another_version_is_named_before_arguments(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=20.0, cache=CacheOptions(version="v1"))))
    store.commit(batch(*cached_rows("Rtest", "2", at=100.0, cache=CacheOptions(version="v2"))))
    assert miss(history) == Miss("version", "Rold:1", here="v2", there="v1")


def test_other_parameters_in_the_key_are_named(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", "2", at=20.0)))
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0)))
    assert miss(history) == Miss("arguments", "Rold:1", here="p0", there="p0, p1")


def test_a_result_that_was_too_old(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=20.0)))
    store.commit(batch(*cached_rows("Rother", "2", at=30.0)))  # newer, but of another key
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0, cache=CacheOptions(max_age=60.0))))
    assert miss(history) == Miss("age", "Rold:1:1", age=79.0, max_age=60.0)


def test_what_did_not_succeed_is_told_only_if_nothing_else_did(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=30.0, status="timed_out")))
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0, cache=CacheOptions(max_age=60.0))))
    assert miss(history) == Miss("failed", "Rold:1:1", there="timed_out")
    store.commit(batch(*cached_rows("Rolder", "1", at=20.0)))
    assert miss(history).reason == "age"


def test_a_result_that_was_forgotten(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=20.0)))
    store.clear_cache("default", None)
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0)))
    assert miss(history) == Miss("forgotten", "Rold:1:1")


def test_a_result_of_a_workspace_that_is_not_seen(store: Store, history: History) -> None:
    store.workspaces.create("dev", "default", 1.0)
    store.workspaces.create("mine", "default", 1.0)
    store.commit(batch(*cached_rows("Rold", "1", at=20.0, workspace="dev")))
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0, workspace="mine")))
    assert miss(history) == Miss("workspace", "Rold:1:1", there="dev")
    # Nothing of another key is told from there.
    store.commit(batch(*cached_rows("Rtest", "2", at=100.0, workspace="mine")))
    assert miss(history) == Miss("none")
    store.commit(batch(*cached_rows("Rfailed", "2", at=25.0, workspace="dev", status="failed")))
    assert miss(history) == Miss("none")
    store.commit(batch(*cached_rows("Rbase", "1", at=30.0)))
    assert miss(history) == Miss("argument", "Rbase:1", parameter="p0", here="2", there="1")


def test_a_result_that_came_later(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=20.0, finished_at=500.0)))
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0)))
    assert miss(history) == Miss("unfinished", "Rold:1:1")
    store.commit(batch(*cached_rows("Rold", "1", at=20.0, status="queued", finished_at=None, outcome=None)))
    assert miss(history) == Miss("unfinished", "Rold:1:1")


def test_a_result_that_would_have_done(store: Store, history: History) -> None:
    store.commit(batch(*cached_rows("Rold", "1", at=20.0)))
    store.commit(batch(*cached_rows("Rtest", "1", at=100.0)))
    assert miss(history) == Miss("unreadable", "Rold:1:1")
