"""Killed writers, killed migrations, and readers that read all the while."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from contextlib import closing

import pytest

from coflux.executor.database import Database
from coflux.executor.history import History, NoStore
from coflux.executor.migrations import Migration, check_version, migrate
from coflux.executor.rows import ExecutionRow
from coflux.executor.store import Store
from tests.store.factories import batch, execution_row, log_row, run_row, start_python, step_row

# Says the number of every commit that has returned; checkpoints all the time.
ENDLESS_WRITER = """
import itertools, sys
from coflux.executor import checkpoints
from coflux.executor.store import Store
from tests.store.factories import batch, execution_row, log_row, run_row, step_row
checkpoints.GROWTH = 100_000
checkpoints.LIMIT = 400_000
store = Store.open(sys.argv[1])
store.commit(batch(run_row()))
for number in itertools.count(1):
    rows = step_row(number=number), execution_row(step=number), log_row(step=number, template=str(number))
    store.commit(batch(*rows))
    print(number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 40, 700])
def test_whatever_commit_returned_survives_kill_9(data_dir: str, lines: int) -> None:
    with start_python(ENDLESS_WRITER, data_dir) as writer:
        assert writer.stdout
        for _ in itertools.islice(writer.stdout, lines):
            pass
        writer.send_signal(signal.SIGKILL)
        last = max([lines, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    with closing(Store.open(data_dir)) as store, closing(History.open(data_dir)) as history:
        loaded = store.load_run("Rtest")
        assert loaded is not None
        # One more may have been committed and not told.
        assert len(loaded.steps) - last in (0, 1)
        assert [row.step for row in loaded.executions] == [row.number for row in loaded.steps]
        entries = history.logs("Rtest", limit=10_000)
        assert [entry.template for entry in entries[:last]] == [str(number) for number in range(1, last + 1)]
        assert [entry.id for entry in entries] == list(range(1, store.last_log_id + 1))
        assert [run.run.id for run in store.unfinished()] == ["Rtest"]


# Dies between the two commits of a batch, one for each database.
HALF_A_COMMIT = """
import os, sys
from coflux.executor.database import Database
from coflux.executor.store import Store
from tests.store.factories import batch, execution_row, finished_run, log_row
store = Store.open(sys.argv[1])
store.commit(finished_run())
run = Database.run
def run_and_die(database, sql, parameters=()):
    rows = run(database, sql, parameters)
    if sql == "COMMIT":
        os._exit(0)
    return rows
Database.run = run_and_die
store.commit(batch(execution_row(attempt=2), log_row(template="last words")))
"""


def test_last_words_are_kept_rather_than_an_outcome_without_them(data_dir: str) -> None:
    with start_python(HALF_A_COMMIT, data_dir) as writer:
        pass
    assert writer.returncode == 0
    with closing(Store.open(data_dir)) as store, closing(History.open(data_dir)) as history:
        assert [row.attempt for row in history.executions("Rtest")] == [1]
        store.commit(batch(log_row(template="after")))
        assert [entry.template for entry in history.logs("Rtest")] == ["hello", "last words", "after"]


# -- migrations -------------------------------------------------------------------------------------------------------

FIRST: Migration = ("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
SECOND: Migration = ("ALTER TABLE a ADD COLUMN y", "UPDATE a SET y = x + 1", "CREATE TABLE b (z)")
THIRD: Migration = ("INSERT INTO b SELECT x + y FROM a",)

# Tells every statement before it is executed; the last one never ends.
KILLED_MIGRATION = """
import sys
from coflux.executor.database import Database
from coflux.executor.migrations import migrate
from tests.store.test_crash import FIRST, SECOND
class Telling(Database):
    def run(self, sql, parameters=()):
        print(sql.split()[0], flush=True)
        return super().run(sql, parameters)
endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
migrate(Telling(sys.argv[1]), [FIRST, (*SECOND, endless)])
"""


def test_migrations_are_done_once_in_order(data_dir: str) -> None:
    os.mkdir(data_dir)
    with closing(Database(os.path.join(data_dir, "test.db"))) as database:
        assert check_version(database, [FIRST]) == 0
        migrate(database, [FIRST])
        migrate(database, [FIRST, SECOND, THIRD])
        migrate(database, [FIRST, SECOND, THIRD])
        assert check_version(database, [FIRST, SECOND, THIRD]) == 3
        assert database.run("SELECT x, y, z FROM a, b") == [(1, 2, 3)]


def test_a_migration_killed_half_way_is_done_again(data_dir: str) -> None:
    os.mkdir(data_dir)
    path = os.path.join(data_dir, "test.db")
    with start_python(KILLED_MIGRATION, path) as process:
        assert process.stdout
        assert "WITH\n" in process.stdout  # reads up to there
        process.send_signal(signal.SIGKILL)
    with closing(Database(path)) as database:
        assert check_version(database, [FIRST, SECOND]) == 1
        migrate(database, [FIRST, SECOND])
        assert database.run("SELECT x, y FROM a") == [(1, 2)]
        assert database.run("SELECT * FROM b") == []


# -- readers beside a writer ------------------------------------------------------------------------------------------


def test_readers_follow_a_writer_at_full_speed(store: Store, history: History) -> None:
    commits = 400
    failures: list[BaseException] = []

    def write() -> None:
        try:
            store.commit(batch(run_row()))
            for number in range(1, commits + 1):
                store.commit(batch(step_row(number=number), execution_row(step=number), log_row(step=number)))
                store.commit(batch(execution_row(step=number, status="succeeded")))
            store.commit(batch(run_row(status="succeeded", settled=True)))
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    seen: dict[int, ExecutionRow] = {}
    logs = 0
    done = False
    while not done and not failures:
        run = history.run("Rtest")
        done = run is not None and run.settled
        after = (0, 0)
        while rows := history.executions("Rtest", after, limit=50):
            seen |= {row.step: row for row in rows}
            after = (rows[-1].step, rows[-1].attempt)
        for entry in history.logs("Rtest", after=logs):
            assert entry.id == logs + 1
            logs = entry.id
        if seen:
            document = history.document("Rtest")
            assert all(len(step["executions"]) == 1 for step in document["steps"])
    writer.join()
    assert failures == []
    assert [seen[number].status for number in range(1, commits + 1)] == ["succeeded"] * commits
    assert logs == commits


def test_a_reader_meets_a_store_in_every_state_of_its_creation(data_dir: str) -> None:
    for number in range(20):
        directory = f"{data_dir}{number}"
        opened = threading.Event()

        def create(directory: str = directory, opened: threading.Event = opened) -> None:
            store = Store.open(directory)
            opened.wait()
            store.close()

        creator = threading.Thread(target=create)
        creator.start()
        history = None
        while history is None:
            try:
                history = History.open(directory)
            except NoStore:
                continue
        assert history.runs() == []
        assert history.logs("Rtest") == []
        opened.set()
        creator.join()
        history.close()
