"""Run ids, contexts, settings, idempotency keys, and what is left after deleting."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from coflux.executor import store as store_module
from coflux.executor.history import History
from coflux.executor.rows import GroupRow, SharedRow
from coflux.executor.store import Store, StoreError
from coflux.redaction import is_secret_name
from tests.store.factories import (
    batch,
    collect,
    execution_row,
    finished_run,
    log_row,
    metric_row,
    points_row,
    run_row,
    step_row,
    succeeded,
)

DONE = {"status": "succeeded", "settled": True}


def test_run_ids_spell_no_words_and_differ(store: Store) -> None:
    ids = [store.new_run_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(re.fullmatch(r"R[b-df-hj-np-tv-zB-DF-HJ-NP-TV-Z2-9]{4,}", run_id) for run_id in ids)


def test_a_run_id_that_is_taken_or_promised_gets_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "RUN_ID_ALPHABET", "b")
    store.commit(batch(run_row("Rbbbb")))
    assert [store.new_run_id() for _ in range(3)] == ["Rbbbbb", "Rbbbbbb", "Rbbbbbbb"]


ENVIRONMENT = {
    "HOME": "/home/user",
    "API_KEY": "hunter2hunter2",
    "my_token": "t0ps3cret",
    "KEYBOARD": "qwerty",
    "DATABASE_URL": "postgres://user:hunter2hunter2@host",
}


def test_a_context_is_stored_once_and_without_secrets(store: Store) -> None:
    first = store.context_id("one", "/usr/bin/python3", ["/project", "/lib"], ENVIRONMENT)
    second = store.context_id("two", "/usr/bin/python3", [], {})
    assert store.context_id("one", "/usr/bin/python3", ["/project", "/lib"], ENVIRONMENT) == first != second
    context = store.context(first)
    assert context is not None
    assert (context.key, context.interpreter, context.sys_path) == ("one", "/usr/bin/python3", ("/project", "/lib"))
    assert context.environment == {"HOME": "/home/user", "KEYBOARD": "qwerty"}
    assert context.omitted == ("API_KEY", "DATABASE_URL", "my_token")
    assert store.context(99) is None


def test_no_secret_is_on_the_disk(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        store.context_id("one", "/usr/bin/python3", [], ENVIRONMENT)
    content = Path(data_dir, "coflux.db").read_bytes()
    assert b"/home/user" in content
    assert b"hunter2" not in content
    assert b"t0ps3cret" not in content


@pytest.mark.parametrize(
    ("name", "secret"),
    [("KEY", True), ("AWS_SECRET_ACCESS_KEY", True), ("db-password", True), ("Token.2", True), ("MONKEY", False)],
)
def test_secret_names_have_a_telling_segment(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_settings_are_kept(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        assert store.get_setting("paused") is None
        store.put_setting("paused", b"no")
        store.put_setting("paused", b"\x00yes")
    with closing(Store.open(data_dir)) as store:
        assert store.get_setting("paused") == b"\x00yes"


def test_a_run_is_found_by_its_idempotency_key_in_its_workspace(store: Store) -> None:
    store.commit(batch(run_row("Ra", idempotency_key="key"), step_row("Ra"), step_row("Ra", number=2)))
    store.commit(batch(run_row("Rb", idempotency_key="key", workspace="other"), step_row("Rb")))
    found = store.find_idempotent("default", "key")
    assert found == ("Ra", "shop.orders", "ingest", step_row().arguments)
    other = store.find_idempotent("other", "key")
    assert other is not None
    assert other[0] == "Rb"
    assert store.find_idempotent("default", "none") is None


def test_deleting_takes_the_family_with_its_logs_and_leaves_the_others(store: Store, history: History) -> None:
    store.commit(finished_run("Rkept"))
    store.commit(finished_run("Rroot"))
    store.commit(finished_run("Rleaf", root_run="Rroot", parent="Rroot:1:1"))
    store.commit(batch(GroupRow("Rleaf", 1, 1, 0, "batch", None), step_row("Rleaf", number=2, name="only_here")))
    store.commit(batch(SharedRow("Rleaf", 1, 1, 1, "Rleaf:2:1", None), SharedRow("Rkept", 1, 1, 1, "Rkept:1:1", None)))
    for run in ("Rkept", "Rroot", "Rleaf"):
        store.commit(batch(metric_row(run), points_row([1.0], run=run)))
    store.delete_run("Rroot")
    collect(store)

    assert [run.id for run in history.runs(children=True)] == ["Rkept"]
    assert [[metric.points for metric in history.metrics(run)] for run in ("Rkept", "Rroot", "Rleaf")] == [[1], [], []]
    assert store.load_run("Rroot") is store.load_run("Rleaf") is None
    assert [len(history.logs(run)) for run in ("Rkept", "Rroot", "Rleaf")] == [1, 0, 0]
    assert not history.executions("Rleaf")
    assert not history.steps("Rleaf")
    assert not history.groups("Rleaf")
    assert not history.shared("Rleaf")
    assert len(history.shared("Rkept")) == 1
    assert len(history.steps("Rkept")) == 1


def test_what_was_deleted_can_be_started_again(store: Store) -> None:
    for _ in range(2):
        store.commit(finished_run(idempotency_key="key"))
        loaded = store.load_run("Rtest")
        assert loaded is not None
        assert loaded.steps == [step_row()]
        store.delete_run("Rtest")
        collect(store)
        assert store.find_idempotent("default", "key") is None


def test_only_whole_settled_families_can_be_deleted(store: Store) -> None:
    store.commit(finished_run("Rroot"))
    store.commit(batch(run_row("Rleaf", root_run="Rroot", parent="Rroot:1:1", status="running")))
    with pytest.raises(StoreError, match="Rroot is unfinished: wait for its end, or cancel it first"):
        store.delete_run("Rroot")
    with pytest.raises(StoreError, match="Rleaf is a child run of Rroot: delete that one"):
        store.delete_run("Rleaf")
    with pytest.raises(StoreError, match="there is no run Rnone"):
        store.delete_run("Rnone")
    store.commit(batch(run_row("Rleaf", root_run="Rroot", parent="Rroot:1:1", **DONE)))
    store.delete_run("Rroot")
    with pytest.raises(StoreError, match="there is no run Rroot"):
        store.delete_run("Rroot")


def test_a_run_that_others_point_into_is_hidden_until_they_are_gone(store: Store, history: History) -> None:
    store.commit(finished_run("Rsource", idempotency_key="key"))
    for user, source in (("Rhit", "Rsource:1:1"), ("Rhit2", "Rhit:1:1")):
        hit = execution_row(user, status="cached", next=source)
        store.commit(batch(run_row(user, **DONE), step_row(user), hit, log_row(user)))

    store.delete_run("Rsource")
    store.delete_run("Rhit")
    collect(store)
    assert [run.id for run in history.runs()] == ["Rhit2"]
    assert history.run("Rsource") is None
    assert history.logs("Rsource") == []
    assert store.find_idempotent("default", "key") is None
    end = history.chain_end("Rhit2:1:1")
    assert end is not None
    assert end.id == "Rsource:1:1"
    assert store.outcome("Rsource", 1, 1) == succeeded()
    with pytest.raises(StoreError, match="there is no run Rsource"):
        store.delete_run("Rsource")

    store.delete_run("Rhit2")
    collect(store)
    assert store.load_run("Rsource") is store.load_run("Rhit") is store.load_run("Rhit2") is None


def test_a_run_of_which_a_handle_is_shared_elsewhere_is_hidden_as_well(store: Store, history: History) -> None:
    for run in ("Rsource", "Ruser", "Rsource2"):
        store.commit(finished_run(run))
    store.commit(
        batch(SharedRow("Ruser", 1, 1, 1, "Rsource:1:1", None), SharedRow("Ruser", 1, 1, 2, "Ruser:1:1", None))
    )
    store.delete_run("Rsource2")
    store.delete_run("Rsource")
    collect(store)
    assert store.load_run("Rsource2") is None
    assert store.load_run("Rsource") is not None
    assert history.run("Rsource") is None
    assert store.load_family("Rsource") == []

    store.delete_run("Ruser")
    collect(store)
    assert store.load_run("Ruser") is store.load_run("Rsource") is None
