"""What the scheduler is told of results that are in the store."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from pathlib import Path

import msgspec
import pytest

from coflux.executor.archive import StoreArchive
from coflux.executor.blobs import FileBlobs
from coflux.executor.core.archive import Archive
from coflux.executor.core.state import State
from coflux.executor.messages import Succeeded, Terminated
from coflux.executor.store import Store
from coflux.executor.workspaces import UnknownWorkspace
from coflux.values import Value
from tests.store.factories import batch, execution_row, json_value, run_row, step_row, succeeded

KEY = b"k" * 16


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(str(tmp_path / "blobs"))


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def archive(store: Store, blobs: FileBlobs, warnings: list[str]) -> Archive:
    return StoreArchive(store, blobs, warnings.append)


def keep(
    store: Store,
    run: str,
    *,
    created_at: float = 100.0,
    finished_at: float = 100.0,
    workspace: str = "default",
    outcome: bytes | None = None,
    cache_key: bytes | None = KEY,
    name: str = "load",
) -> None:
    """A settled run of one step, whose result the cache may use."""
    store.commit(
        batch(
            run_row(run, workspace=workspace, status="succeeded", settled=True),
            step_row(run, name=name, cache_key=cache_key),
            execution_row(
                run,
                status="succeeded",
                created_at=created_at,
                finished_at=finished_at,
                workspace=workspace,
                outcome=outcome or succeeded(),
                cache_key=cache_key,
                fingerprint=b"code",
            ),
        )
    )


def found(archive: Archive, *workspaces: str, since: float = -inf, key: bytes = KEY) -> str | None:
    hit = archive.cached(workspaces or ("default",), key, since)
    return None if hit is None else hit.id


# -- the cache --------------------------------------------------------------------------------------------------------


def test_a_hit_is_told_with_its_outcome_and_code(store: Store, archive: Archive) -> None:
    keep(store, "Ra", outcome=succeeded("[7]"))
    hit = archive.cached(("default",), KEY, -inf)
    assert hit is not None
    assert (hit.id, hit.state, hit.fingerprint) == ("Ra:1:1", State.SUCCEEDED, b"code")
    assert hit.outcome == Succeeded(json_value("[7]"))
    assert (hit.module, hit.name) == ("shop.orders", "load")
    assert found(archive, key=b"other") is None


def test_the_newest_submission_wins_whatever_finished_last(store: Store, archive: Archive) -> None:
    keep(store, "Rold", created_at=100, finished_at=900)
    keep(store, "Rnew", created_at=200, finished_at=300)
    keep(store, "Rolder", created_at=50, finished_at=1000)
    assert found(archive) == "Rnew:1:1"


def test_of_equal_times_the_later_run_wins(store: Store, archive: Archive) -> None:
    for run in ("Rb", "Ra", "Rc"):
        keep(store, run)
    assert found(archive) == "Rc:1:1"
    keep(store, "Rd")
    keep(store, "Rbb")
    assert found(archive) == "Rbb:1:1"


def test_age_counts_from_the_end(store: Store, archive: Archive) -> None:
    keep(store, "Rslow", created_at=100, finished_at=900)
    keep(store, "Rquick", created_at=200, finished_at=300)
    assert found(archive, since=300) == "Rquick:1:1"
    assert found(archive, since=300.001) == "Rslow:1:1"
    assert found(archive, since=900.001) is None


def test_only_workspaces_that_are_asked_for(store: Store, archive: Archive) -> None:
    keep(store, "Ra", workspace="dev", created_at=200)
    keep(store, "Rb", workspace="default")
    assert found(archive, "default") == "Rb:1:1"
    assert found(archive, "dev", "default") == "Ra:1:1"
    assert found(archive, "it's") is None


def test_only_results_that_succeeded_with_caching_on(store: Store, archive: Archive) -> None:
    keep(store, "Ra", cache_key=None)
    failed = msgspec.msgpack.encode(Terminated("abandoned", "gone"))
    store.commit(
        batch(
            run_row("Rb", settled=True),
            step_row("Rb", cache_key=KEY),
            execution_row("Rb", status="abandoned", finished_at=100.0, outcome=failed),
            execution_row("Rb", attempt=2, status="running"),
        )
    )
    assert found(archive) is None


def test_a_deleted_run_gives_nothing_even_while_others_point_into_it(store: Store, archive: Archive) -> None:
    keep(store, "Rsource")
    hit = execution_row("Rhit", status="cached", next="Rsource:1:1")
    store.commit(batch(run_row("Rhit", status="cached", settled=True), step_row("Rhit", cache_key=KEY), hit))
    assert found(archive) == "Rsource:1:1"
    store.delete_run("Rsource")
    assert found(archive) is None
    recalled = archive.recall("Rhit:1:1")
    assert recalled is not None
    assert recalled.id == "Rsource:1:1"


def test_clearing_forgets_what_is_there_in_one_workspace(store: Store, archive: Archive) -> None:
    keep(store, "Ra")
    keep(store, "Rb", name="other", cache_key=b"other")
    keep(store, "Rc", workspace="dev")
    store.workspaces.create("dev", None, 1.0)
    assert store.clear_cache("default", "shop.orders/missing") == 0
    assert store.clear_cache("default", "shop.orders/load") == 1
    assert found(archive) is None
    assert found(archive, "dev") == "Rc:1:1"
    assert found(archive, key=b"other") == "Rb:1:1"
    assert store.clear_cache("default", None) == 1
    assert store.clear_cache("default", None) == 0
    assert store.outcome("Ra", 1, 1) == succeeded()
    with pytest.raises(UnknownWorkspace):
        store.clear_cache("devel", None)


def test_what_comes_after_clearing_counts_and_forgetting_lasts(store: Store, archive: Archive) -> None:
    keep(store, "Ra")
    store.clear_cache("default", None)
    keep(store, "Ra")  # its row is written again, for whatever reason
    assert found(archive) is None
    rerun = execution_row(
        "Ra", attempt=2, status="succeeded", finished_at=1.0, cache_key=KEY, outcome=succeeded(), trigger="rerun"
    )
    store.commit(batch(rerun))
    assert found(archive) == "Ra:1:2"


def test_thousands_of_hits_do_not_make_the_next_lookup_slower(store: Store, archive: Archive) -> None:
    keep(store, "Ra")
    steps = [step_row("Rb", number=n, cache_key=KEY) for n in range(1, 5001)]
    hits = [execution_row("Rb", step=n, status="cached", next="Ra:1:1") for n in range(1, 5001)]
    store.commit(batch(run_row("Rb"), *steps, *hits))
    work = 0

    def count() -> int:
        nonlocal work
        work += 1
        return 0

    store._main._connection.set_progress_handler(count, 100)
    assert found(archive) == "Ra:1:1"
    assert work < 20  # hundreds of virtual machine instructions, where going through the hits takes tens of thousands


# -- values that are not there any more -------------------------------------------------------------------------------


def with_blob(blobs: FileBlobs, content: bytes) -> tuple[bytes, str]:
    digest = blobs.write([content])
    value = Value("pickle", b"", len(content), blob=digest)
    return msgspec.msgpack.encode(Succeeded(value)), blobs.path_of(digest)


def shortened(path: str) -> None:
    os.truncate(path, 10)


def changed(path: str) -> None:
    content = Path(path).read_bytes()
    Path(path).write_bytes(b"?" + content[1:])


@pytest.mark.parametrize("damage", [os.unlink, shortened, changed])
def test_a_result_whose_blob_is_gone_or_damaged_is_passed_over(
    store: Store, archive: Archive, blobs: FileBlobs, warnings: list[str], damage: Callable[[str], None]
) -> None:
    outcome, path = with_blob(blobs, b"x" * 20_000)
    keep(store, "Rolder", created_at=50)
    keep(store, "Rnewer", outcome=outcome)
    assert found(archive) == "Rnewer:1:1"
    assert warnings == []
    damage(path)
    assert found(archive) == "Rolder:1:1"
    (warning,) = warnings
    assert warning.startswith("the result of Rnewer:1:1 is not taken from the cache: blob ")


def test_big_blobs_are_not_read(
    store: Store, archive: Archive, blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coflux.executor.blobs.HASHED_SIZE", 10_000)
    outcome, path = with_blob(blobs, b"x" * 10_001)
    keep(store, "Ra", outcome=outcome)
    changed(path)
    assert found(archive) == "Ra:1:1"
    shortened(path)
    assert found(archive) is None


def test_a_store_that_cannot_be_read_has_no_hits(store: Store, archive: Archive, warnings: list[str]) -> None:
    keep(store, "Ra", outcome=b"\xff")
    assert found(archive) is None
    assert archive.recall("Ra:1:1") is None
    assert warnings[0].startswith("the cache cannot be read, so nothing is taken from it: ")
    assert warnings[1].startswith("what became of Ra:1:1 cannot be read: ")
    assert all("coflux.db is damaged" in warning for warning in warnings)


# -- what became of an execution --------------------------------------------------------------------------------------


def test_an_execution_is_recalled_by_the_end_of_its_chain(store: Store, archive: Archive, warnings: list[str]) -> None:
    cancelled = msgspec.msgpack.encode(Terminated("cancelled", "by you"))
    store.commit(
        batch(
            run_row("Ra"),
            step_row("Ra"),
            execution_row("Ra", status="failed", next="Ra:1:2", outcome=succeeded()),
            execution_row("Ra", attempt=2, status="deferred", next="Rb:3:1"),
            run_row("Rb"),
            step_row("Rb", number=3, name="survivor"),
            execution_row("Rb", step=3, status="cancelled", outcome=cancelled),
            execution_row("Rb", step=4, status="suspended", next="Rb:4:2"),
            execution_row("Rb", step=4, attempt=2, status="queued"),
        )
    )
    end = archive.recall("Ra:1:1")
    assert end is not None
    assert (end.id, end.state, end.outcome) == ("Rb:3:1", State.CANCELLED, Terminated("cancelled", "by you"))
    assert end.name == "survivor"
    for unknown in ("Rb:9:1", "Rc:1:1", "Ra:1:3", "@1", ""):
        assert archive.recall(unknown) is None
        assert archive.end_of(unknown) is None
    assert archive.recall("Rb:4:1") is None
    assert archive.end_of("Rb:4:1") == "Rb:4:2"
    assert warnings == []


def test_lineages_and_ids_are_those_of_the_store(store: Store, archive: Archive) -> None:
    store.workspaces.create("dev", "default", 1.0)
    assert archive.lineage("dev") == ("dev", "default")
    assert archive.new_run_id() != archive.new_run_id()
