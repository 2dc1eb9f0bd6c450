"""Opening a store that is new, old, newer, foreign, damaged, or in an odd place."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coflux.executor.checkpoints import LOOKS
from coflux.executor.database import StoreDamaged
from coflux.executor.history import History, NoStore
from coflux.executor.log_search import Field, LogFilter
from coflux.executor.migrations import APPLICATION_ID, MAIN, UNRELEASED_ID
from coflux.executor.rows import GroupRow
from coflux.executor.store import Store, StoreBusy, StoreError
from tests.store.factories import PROJECT, batch, execution_row, finished_run, json_value, log_row, run_row, step_row


def assert_one_line(error: BaseException, *parts: str) -> None:
    message = str(error)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_new_store_is_private_and_ignored_by_git(store: Store, data_dir: str) -> None:
    assert stat.S_IMODE(os.stat(data_dir).st_mode) == 0o700
    assert Path(data_dir, ".gitignore").read_text() == "*\n"
    with closing(sqlite3.connect(os.path.join(data_dir, "coflux.db"))) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MAIN),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("name", ["white space", "Größe µ 数据", "a%20b?mode=ro#x", "x" * 200, "deep/er/.coflux"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    data_dir = str(tmp_path / name)
    with closing(Store.open(data_dir)) as store:
        store.commit(finished_run())
        with closing(History.open(data_dir)) as history:
            assert [run.id for run in history.runs()] == ["Rtest"]


def test_closing_leaves_no_write_ahead_log(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        store.commit(finished_run())
        assert os.path.getsize(os.path.join(data_dir, "coflux.db-wal")) > 0
    assert sorted(os.listdir(data_dir)) == [".gitignore", "coflux.db", "logs.db"]


@pytest.mark.parametrize("database", ["coflux.db", "logs.db"])
def test_a_newer_store_is_refused_and_left_alone(data_dir: str, database: str) -> None:
    Store.open(data_dir).close()
    path = os.path.join(data_dir, database)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    before = Path(path).read_bytes()
    with pytest.raises(StoreError) as caught:
        Store.open(data_dir)
    assert_one_line(caught.value, f"{path} was written by a newer coflux (schema 7, this one knows 1): upgrade coflux")
    assert Path(path).read_bytes() == before


def test_a_reader_refuses_a_newer_store(data_dir: str) -> None:
    Store.open(data_dir).close()
    with closing(sqlite3.connect(os.path.join(data_dir, "coflux.db"))) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="newer coflux"):
        History.open(data_dir)


@pytest.mark.parametrize("open_store", [Store.open, History.open])
def test_a_store_of_before_the_first_release_is_refused_and_left_alone(
    data_dir: str, open_store: Callable[[str], object]
) -> None:
    """Its big blobs have other digests: they would all be called damaged, one by one."""
    Store.open(data_dir).close()
    path = os.path.join(data_dir, "coflux.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {UNRELEASED_ID}")
    before = Path(path).read_bytes()
    with pytest.raises(StoreError) as caught:
        open_store(data_dir)
    assert_one_line(caught.value, f"{path} was written by a coflux of before the first release", f"`mv {data_dir} ")
    assert Path(path).read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(data_dir: str) -> None:
    os.mkdir(data_dir)
    path = os.path.join(data_dir, "coflux.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = Path(path).read_bytes()
    with pytest.raises(StoreError) as caught:
        Store.open(data_dir)
    assert_one_line(caught.value, path, "not a coflux database")
    assert Path(path).read_bytes() == before


def test_a_locked_store_is_busy(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coflux.executor.opening.OPEN_PATIENCE", 0.01)
    os.mkdir(data_dir)
    with closing(sqlite3.connect(os.path.join(data_dir, "coflux.db"), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match=r"coflux\.db is locked by another process"):
            Store.open(data_dir)


def test_a_file_instead_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data_dir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError) as caught:
            Store.open(str(data_dir))
        assert_one_line(caught.value, str(data_dir), "--data-dir")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directory(data_dir: str) -> None:
    os.mkdir(data_dir)
    os.chown(data_dir, 12345, -1)
    with pytest.raises(StoreError) as caught:
        Store.open(data_dir)
    assert_one_line(caught.value, data_dir, "belongs to another user (uid 12345)", "--data-dir")
    assert os.listdir(data_dir) == []


def without_privileges(check: Callable[[str], None], data_dir: str) -> None:
    """Run `check` as an ordinary user, in a child when the tests run as root, whom no permission stops."""
    if os.geteuid() != 0:
        check(data_dir)
        return
    os.chown(data_dir, 12345, -1)
    for name in os.listdir(data_dir):
        os.chown(os.path.join(data_dir, name), 12345, -1)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setuid(12345)
            check(data_dir)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def refuses_as_read_only(data_dir: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(data_dir)
    assert_one_line(caught.value, data_dir, "read-only")


@pytest.mark.parametrize("read_only", ["directory", "database"])
def test_read_only_places_are_named(read_only: str) -> None:
    with tempfile.TemporaryDirectory() as data_dir:  # not below tmp_path, which no other user may enter
        Store.open(data_dir).close()
        os.chmod(data_dir if read_only == "directory" else os.path.join(data_dir, "coflux.db"), 0o500)
        without_privileges(refuses_as_read_only, data_dir)


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_store_opens_when_its_side_files_are_gone(data_dir: str, suffix: str, clean: bool) -> None:
    script = (
        "import os, sys; from coflux.executor.store import Store; from tests.store.factories import finished_run\n"
        "store = Store.open(sys.argv[1]); store.commit(finished_run())\n"
        "store.close() if sys.argv[2] == 'True' else os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, data_dir, str(clean)], cwd=PROJECT, check=False)
    for database in ("coflux.db", "logs.db"):
        Path(data_dir, database + suffix).unlink(missing_ok=True)
    with closing(Store.open(data_dir)) as store:
        assert clean is False or store.load_run("Rtest") is not None
        store.commit(finished_run("Rnext"))
        assert store.load_run("Rnext") is not None


def commit_often(store: Store, times: int) -> None:
    for number in range(times):
        store.commit(finished_run(f"Rnext{number}"))


@pytest.mark.parametrize("file", ["coflux.db-wal", "coflux.db-shm", "logs.db-wal", "logs.db-shm"])
def test_a_file_removed_while_in_use_is_noticed(store: Store, data_dir: str, file: str) -> None:
    """G06."""
    store.commit(finished_run())
    os.rename(os.path.join(data_dir, file), os.path.join(data_dir, "aside"))
    with pytest.raises(StoreError) as caught:
        commit_often(store, LOOKS)
    assert_one_line(caught.value, f"{file} was removed", "restart coflux")
    os.rename(os.path.join(data_dir, "aside"), os.path.join(data_dir, file))


# -- damage -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> str:
    data_dir = str(tmp_path_factory.mktemp("pristine") / "store")
    with closing(Store.open(data_dir)) as store:
        store.commit(batch(run_row("Rtest", context=1), GroupRow("Rtest", 1, 1, 0, "batch", None)))
        store.context_id("key", "/usr/bin/python3", ["/project"], {"HOME": "/home/user"})
        for number in range(1, 60):
            step = step_row(number=number, values=(json_value("[1, 2]"),), parent="Rtest:1:1", group=0)
            store.commit(batch(step, execution_row(step=number), log_row(step=number)))
        store.commit(finished_run("Rdone"))
    return data_dir


def use_everything(data_dir: str) -> None:
    """Everything that a program does with a store after opening it."""
    with closing(Store.open(data_dir)) as store:
        store.unfinished()
        store.context(1)
        store.commit(finished_run("Rnext"))
        with closing(History.open(data_dir)) as history:
            for run in history.runs():
                history.executions_among([(run.id, 1, 1)])
                history.logs(run.id, wanted=LogFilter(text="h", fields=[Field("x", 1)]))
                history.document_json(run.id)
        store.delete_run("Rnext")


def assert_usable_or_refused(data_dir: str) -> bool:
    try:
        use_everything(data_dir)
    except StoreError as error:
        assert_one_line(error)
        return False
    return True


def damaged_copies(pristine: str, tmp_path: Path, database: str) -> Iterator[str]:
    """G05: copies of a store of which one file was truncated, or has a flipped byte, at more than 50 offsets each."""
    size = os.path.getsize(os.path.join(pristine, database))
    for length in sorted({*range(0, size, size // 47), 1, 99, 100, 512, size - 1}):
        copy = shutil.copytree(pristine, tmp_path / f"truncated{length}")
        os.truncate(copy / database, length)
        yield str(copy)
    for offset in sorted({*range(0, 110, 3), *random.Random(20).sample(range(size), 60)}):
        copy = shutil.copytree(pristine, tmp_path / f"flipped{offset}")
        with open(copy / database, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x55]))
        yield str(copy)


def test_a_damaged_database_is_named_with_the_remedy_or_opens(pristine: str, tmp_path: Path) -> None:
    """It is never moved without being asked for."""
    refused = sum(not assert_usable_or_refused(copy) for copy in damaged_copies(pristine, tmp_path, "coflux.db"))
    assert refused > 45


def test_damaged_logs_stop_nothing(pristine: str, tmp_path: Path) -> None:
    """They are moved aside, when the store is opened or once the damage shows, and new ones are begun."""
    moved = 0
    for copy in damaged_copies(pristine, tmp_path, "logs.db"):
        if copy.endswith("flipped63"):  # the schema's version: as if a newer coflux had written it
            continue
        with closing(Store.open(copy)) as store:
            rows = finished_run("Rnext")
            try:
                store.commit(rows)
            except StoreDamaged as error:
                assert_one_line(error, "logs.db is damaged")
                store.renew_logs(error)
                store.commit(rows)
            with closing(History.open(copy)) as history:
                assert [run.id for run in history.runs()] == ["Rnext", "Rdone", "Rtest"]
                for run in history.runs():
                    history.document_json(run.id)
                aside = list(Path(copy).glob("logs.db.damaged-*"))
                if aside:
                    moved += 1
                    assert all(path.stat().st_size for path in aside if not path.name.endswith(("-wal", "-shm")))
                    assert [entry.template for entry in history.logs("Rnext")] == ["hello"]
    assert moved > 45


def test_text_in_the_schema_that_is_no_text_is_damage(data_dir: str) -> None:
    Store.open(data_dir).close()
    path = Path(data_dir, "coflux.db")
    path.write_bytes(path.read_bytes().replace(b"workspace TEXT", b"wo\xffkspace TEXT"))
    assert not assert_usable_or_refused(data_dir)


def test_a_file_of_text_is_named_with_the_remedy(data_dir: str) -> None:
    os.mkdir(data_dir)
    path = os.path.join(data_dir, "coflux.db")
    Path(path).write_text("this is not a database\n" * 100)
    with pytest.raises(StoreError) as caught:
        Store.open(data_dir)
    assert_one_line(caught.value, f"{path} is damaged", f"start afresh after `mv {data_dir} {data_dir}.damaged`")
    with pytest.raises(StoreError, match="is damaged"):
        History.open(data_dir)


def test_damaged_logs_cost_only_the_logs(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        store.commit(finished_run())
    path = os.path.join(data_dir, "logs.db")
    Path(path).write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match=r"logs\.db is damaged .* go on without the old logs"):
        read_logs(data_dir)
    with closing(Store.open(data_dir)) as store:
        assert_one_line(Exception(store.warning), path, f"moved to {path}.damaged-", "results are all there")
        assert store.load_run("Rtest") is not None
    assert read_logs(data_dir) == []
    with closing(Store.open(data_dir)) as store:
        assert store.warning == ""
    os.unlink(path)
    assert read_logs(data_dir) == []


def read_logs(data_dir: str) -> list[str | None]:
    with closing(History.open(data_dir)) as history:
        return [entry.template for entry in history.logs("Rtest")]


def test_logs_that_are_damaged_while_they_are_written_are_begun_anew(store: Store, data_dir: str) -> None:
    store.commit(finished_run())
    assert store.checkpoint_soon().wait(10)
    path = Path(data_dir, "logs.db")
    path.write_bytes(b"garbage" * 4000)
    rows = batch(run_row("Rnext"), log_row(template="next"))
    with pytest.raises(StoreDamaged) as caught:
        store.commit(rows)
    assert_one_line(Exception(store.renew_logs(caught.value)), "logs.db.damaged-", "results are all there")
    store.commit(rows)
    assert store.last_log_id == 2  # ids go on, for those who follow
    assert read_logs(data_dir) == ["next"]
    commit_often(store, LOOKS)
    with pytest.raises(StoreDamaged):
        store.renew_logs(StoreDamaged("coflux.db is damaged", store.path))


def test_a_damaged_row_is_told_when_it_is_read(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        store.commit(finished_run())
    with closing(sqlite3.connect(os.path.join(data_dir, "coflux.db"))) as connection, connection:
        connection.execute("UPDATE executions SET status = 'quaued', outcome = x'ff'")
    with closing(Store.open(data_dir)) as store, pytest.raises(StoreError, match=r"is damaged .*quaued"):
        store.load_run("Rtest")
    with closing(History.open(data_dir)) as history, pytest.raises(StoreError, match=r"coflux\.db is damaged"):
        history.outcome("Rtest:1:1")


# -- readers ----------------------------------------------------------------------------------------------------------


def test_a_reader_without_a_store_says_so(data_dir: str) -> None:
    with pytest.raises(NoStore) as caught:
        History.open(data_dir)
    assert_one_line(caught.value, data_dir)
    assert not os.path.exists(data_dir)


def test_a_store_that_is_being_created_is_none_yet(data_dir: str) -> None:
    os.mkdir(data_dir)
    path = os.path.join(data_dir, "coflux.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with pytest.raises(NoStore):
            History.open(data_dir)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE runs (x)")
        with pytest.raises(NoStore):
            History.open(data_dir)
        connection.execute("ROLLBACK")
    with closing(Store.open(data_dir)), closing(History.open(data_dir)) as history:
        assert history.runs() == []
