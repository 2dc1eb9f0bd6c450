"""The `--json` document, version 1 (behaviour.md 11.1)."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from coflux.executor.history import History, RunNotFound
from coflux.executor.messages import Failed, Outcome, Succeeded, Terminated
from coflux.executor.rows import GroupRow, SharedRow
from coflux.executor.store import Store
from coflux.failures import Failure
from coflux.values import Value
from tests.store.factories import batch, execution_row, json_value, run_row, step_row

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def commit_root(store: Store, outcome: Outcome | None, **execution: Any) -> None:
    encoded = None if outcome is None else msgspec.msgpack.encode(outcome)
    store.commit(batch(run_row(), step_row(), execution_row(outcome=encoded, **execution)))


def test_the_keys_and_types_of_version_1(store: Store, history: History) -> None:
    store.commit(
        batch(
            run_row(status="succeeded", started_at=1_700_000_000.5, finished_at=1_700_000_009.0),
            step_row(values=(json_value('"since"'),)),
            step_row(number=2, name="fetch", parent="Rtest:1:1", group=1, depth=1, spawned="Rchild"),
            execution_row(
                status="succeeded",
                reason="",
                started_at=1_700_000_001.0,
                finished_at=1_700_000_008.0,
                cpu_seconds=0.25,
                peak_memory=1 << 20,
                read_bytes=512,
                written_bytes=0,
                older_code=True,
                outcome=msgspec.msgpack.encode(Succeeded(json_value("[1,null]"))),
            ),
            execution_row(step=2, attempt=1, status="failed", next="Rtest:2:2"),
            execution_row(step=2, attempt=2, status="suspended", next="Rtest:2:10", workspace="dev"),
            execution_row(step=2, attempt=10, trigger="resumption", due_at=1_700_000_007.0, awaits="Rtest:3:1 Rx:1:2"),
            GroupRow("Rtest", 1, 1, 1, "batch", 0),
            SharedRow("Rtest", 2, 10, 1, "Rtest:2:2", None),
            SharedRow("Rtest", 1, 1, 2, "Rtest:2:10", None),
        )
    )
    created = "2023-11-14T22:13:22.000000Z"
    unstarted: dict[str, Any] = {"created_at": created, "started_at": None, "finished_at": None, "cpu_seconds": None}
    unstarted |= {"peak_memory": None, "reason": "ready", "error": None, "due_at": None, "workspace": "default"}
    unstarted |= {"read_bytes": None, "written_bytes": None}
    unstarted |= {"waits_for": [], "older_code": False, "trigger": "submission"}
    assert history.document("Rtest") == {
        "version": 1,
        "run": {
            "id": "Rtest",
            "target": "shop.orders/ingest",
            "workspace": "default",
            "parent": None,
            "status": "succeeded",
            "interrupted": False,
            "created_at": "2023-11-14T22:13:20.250000Z",
            "started_at": "2023-11-14T22:13:20.500000Z",
            "finished_at": "2023-11-14T22:13:29.000000Z",
        },
        "result": [1, None],
        "result_repr": "[1, None]",
        "error": None,
        "steps": [
            {
                "id": "Rtest:1",
                "target": "shop.orders/ingest",
                "parent": None,
                "group": None,
                "parameters": ["p0"],
                "arguments": ["'since'"],
                "spawned": None,
                "shared_by": [],
                "executions": [
                    {
                        "id": "Rtest:1:1",
                        "attempt": 1,
                        "status": "succeeded",
                        "trigger": "submission",
                        "workspace": "default",
                        "reason": "",
                        "due_at": None,
                        "waits_for": [],
                        "next": None,
                        "older_code": True,
                        "created_at": created,
                        "started_at": "2023-11-14T22:13:21.000000Z",
                        "finished_at": "2023-11-14T22:13:28.000000Z",
                        "cpu_seconds": 0.25,
                        "peak_memory": 1048576,
                        "read_bytes": 512,
                        "written_bytes": 0,
                        "error": None,
                    }
                ],
            },
            {
                "id": "Rtest:2",
                "target": "shop.orders/fetch",
                "parent": "Rtest:1:1",
                "group": {"number": 1, "name": "batch", "parent": 0},
                "parameters": [],
                "arguments": [],
                "spawned": "Rchild",
                "shared_by": ["Rtest:1:1", "Rtest:2:10"],
                "executions": [
                    unstarted | {"id": "Rtest:2:1", "attempt": 1, "status": "failed", "next": "Rtest:2:2"},
                    unstarted
                    | {
                        "id": "Rtest:2:2",
                        "attempt": 2,
                        "status": "suspended",
                        "next": "Rtest:2:10",
                        "workspace": "dev",
                    },
                    unstarted
                    | {
                        "id": "Rtest:2:10",
                        "attempt": 10,
                        "status": "queued",
                        "next": None,
                        "trigger": "resumption",
                        "due_at": "2023-11-14T22:13:27.000000Z",
                        "waits_for": ["Rtest:3:1", "Rx:1:2"],
                    },
                ],
            },
        ],
    }


def test_an_unfinished_run_has_no_result_yet(store: Store, history: History) -> None:
    commit_root(store, None)
    document = history.document("Rtest")
    assert (document["result"], document["result_repr"], document["error"]) == (None, None, None)
    assert (document["run"]["started_at"], document["run"]["finished_at"]) == (None, None)


def test_a_run_without_any_step(store: Store, history: History) -> None:
    store.commit(batch(run_row()))
    document = history.document("Rtest")
    assert (document["result"], document["steps"]) == (None, [])


def test_the_result_is_that_of_the_end_of_the_chain(store: Store, history: History) -> None:
    commit_root(store, None, status="cached", next="Rsource:1:1")
    value = msgspec.msgpack.encode(Succeeded(json_value('"elsewhere"')))
    store.commit(batch(execution_row("Rsource", status="spawned", next="Rleaf:1:2")))
    store.commit(batch(execution_row("Rleaf", attempt=2, status="succeeded", outcome=value)))
    assert history.document("Rtest")["result"] == "elsewhere"


def test_a_rerun_of_the_root_gives_the_newest_result(store: Store, history: History) -> None:
    for attempt in (9, 10):
        value = msgspec.msgpack.encode(Succeeded(json_value(str(attempt))))
        store.commit(batch(run_row(), step_row(), execution_row(attempt=attempt, status="succeeded", outcome=value)))
    assert history.document("Rtest")["result"] == 10


@pytest.mark.parametrize("text", ["null", "123456789012345678901234567890", '{"b":1,"a":2}', '"\\ud800"', '"é"'])
def test_json_results_are_printed_exactly(store: Store, history: History, text: str) -> None:
    commit_root(store, Succeeded(Value("pickle", b"", 9, blob="b", preview="…", json=text)))
    assert b'"result":' + text.encode() + b"," in history.document_json("Rtest")
    assert history.document("Rtest")["result"] == json.loads(text)


def test_a_result_without_a_json_form_is_shown_by_its_preview(store: Store, history: History) -> None:
    commit_root(store, Succeeded(Value("pickle", b"\x80", 1, preview="<Model 3>")))
    document = history.document("Rtest")
    assert (document["result"], document["result_repr"]) == (None, "<Model 3>")


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (
            Failed(Failure("shop.Sold", "no shoes", "Traceback\n…")),
            {"type": "shop.Sold", "message": "no shoes", "traceback": "Traceback\n…"},
        ),
        (Terminated("cancelled", "by you"), ("coflux.errors.ExecutionCancelled", "by you")),
        (Terminated("timed_out", "after 5 s"), ("coflux.errors.ExecutionTimeout", "after 5 s")),
        (Terminated("abandoned", "SIGSEGV"), ("coflux.errors.ExecutionAbandoned", "SIGSEGV")),
    ],
)
def test_errors(store: Store, history: History, outcome: Outcome, error: Any) -> None:
    commit_root(store, outcome)
    document = history.document("Rtest")
    if isinstance(error, tuple):
        error = {"type": error[0], "message": error[1], "traceback": ""}
    assert (document["error"], document["result"], document["result_repr"]) == (error, None, None)


def test_every_attempt_has_its_own_error(store: Store, history: History) -> None:
    """Its type and message: the traceback is long, and the run's own."""
    encode = msgspec.msgpack.encode
    failed = encode(Failed(Failure("shop.Sold", "no shoes", "Traceback\n…")))
    store.commit(
        batch(
            run_row(status="succeeded"),
            step_row(),
            step_row(number=2, name="fetch", parent="Rtest:1:1", depth=1),
            execution_row(status="succeeded", outcome=encode(Succeeded(json_value("1")))),
            execution_row(step=2, attempt=1, status="failed", next="Rtest:2:2", outcome=failed),
            execution_row(step=2, attempt=2, status="cancelled", outcome=encode(Terminated("cancelled", "by you"))),
        )
    )
    document = history.document("Rtest")
    assert [execution["error"] for step in document["steps"] for execution in step["executions"]] == [
        None,
        {"type": "shop.Sold", "message": "no shoes"},
        {"type": "coflux.errors.ExecutionCancelled", "message": "by you"},
    ]


def test_an_unknown_run_is_not_found(history: History) -> None:
    with pytest.raises(RunNotFound, match="there is no run 'Rnone'"):
        history.document_json("Rnone")


def test_times_are_utc_whatever_the_time_zone(store: Store, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    commit_root(store, None)
    created = history.document("Rtest")["run"]["created_at"]
    assert TIME.fullmatch(created)
    assert created == "2023-11-14T22:13:20.250000Z"
