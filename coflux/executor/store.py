"""The store, as its one writer sees it: the supervisor, which commits a batch of rows at the end of every turn.

Any number of processes read meanwhile (`coflux.executor.history`). Two databases lie in the data directory, both in WAL
mode: `coflux.db` holds what must not be lost, `logs.db` what is bulky and can be pruned.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
from blake3 import blake3
from msgspec.structs import astuple

from coflux.executor.checkpoints import Checkpointer, sync_blobs
from coflux.executor.database import (
    LOGS_FILE,
    MAIN_FILE,
    Database,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    damaged,
)
from coflux.executor.deletion import prune, remove_bulky
from coflux.executor.migrations import MAIN
from coflux.executor.opening import LAST_LOG_ID, move_logs_aside, open_database, open_logs, prepare_directory
from coflux.executor.reading import (
    EXECUTION_FIELDS,
    RUN_FIELDS,
    STEP_FIELDS,
    chain_end,
    groups_of,
    select,
    shared_of,
)
from coflux.executor.retention import Retention
from coflux.executor.rows import (
    AssetRow,
    Batch,
    ContextRow,
    ExecutionRow,
    GroupRow,
    LoadedRun,
    LogRow,
    MetricRow,
    PointsRow,
    RunRow,
    SharedRow,
    StepRow,
)
from coflux.executor.wal_readers import Pin
from coflux.executor.workspaces import Workspaces
from coflux.redaction import Redactor, environment_secrets, is_secret_name

__all__ = ["Store", "StoreBusy", "StoreError", "StoreFull"]

GATE_PATIENCE = 0.1  # seconds a commit waits for the end of a checkpoint

# Consonants and digits that are not mistaken for each other: ids that spell no words and are easily read out.
RUN_ID_ALPHABET = "bcdfghjklmnpqrstvwxyzBCDFGHJKLMNPQRSTVWXYZ23456789"
RUN_ID_LENGTH = 4


_TargetKey = tuple[bytes, str, str, str]


def _insert(table: str, columns: Sequence[str]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"


def _upsert(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    changes = ", ".join(f'"{column}" = excluded."{column}"' for column in columns if column not in key)
    return f"INSERT {_insert(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


_STEP_COLUMNS = (
    "run", "number", "parent", "group", "target", "arguments", "depth", "created_at",
    "keys", "memo_key", "cache_key", "defer_key", "spawned",
)  # fmt: skip
_PUT_RUN = _upsert("runs", RunRow.__struct_fields__, ("id",))
_PUT_STEP = _upsert("steps", _STEP_COLUMNS, ("run", "number"))
_PUT_EXECUTION = _upsert("executions", ExecutionRow.__struct_fields__, ("run", "step", "attempt"))
_PUT_GROUP = _upsert("groups", GroupRow.__struct_fields__, ("run", "step", "attempt", "number"))
_PUT_SHARED = _upsert("shared", SharedRow.__struct_fields__, ("run", "step", "attempt", "number"))
_PUT_ASSET = _upsert("assets", AssetRow.__struct_fields__, ("run", "step", "attempt", "asset"))
_PUT_METRIC = _upsert("metrics", MetricRow.__struct_fields__, ("run", "step", "attempt", "number"))
_PUT_POINTS = _upsert("points", PointsRow.__struct_fields__, ("run", "step", "attempt", "metric", "first"))
_PUT_LOG = f"INSERT OR REPLACE {_insert('logs', ('id', *LogRow.__struct_fields__))}"
_PUT_SETTING = _upsert("settings", ("key", "value"), ("key",))

# Runs with something left to do, and all of their families. (An index of unfinished executions would say the same, but
# every execution would be written to it and deleted from it again.)
_UNFINISHED_RUNS = """
    SELECT id FROM runs WHERE root_run IN (SELECT root_run FROM runs WHERE NOT settled) ORDER BY number
"""

_FAMILY = "SELECT id FROM runs WHERE NOT hidden AND root_run = (SELECT root_run FROM runs WHERE id = ?) ORDER BY number"

# Newest first. A run that was deleted, and only stays because others point into it, gives nothing new.
_CACHED = """
    SELECT executions.run, step, attempt FROM executions JOIN runs ON runs.id = executions.run AND NOT runs.hidden
    WHERE cache_key = ? AND NOT forgotten AND executions.finished_at >= ?
        AND executions.workspace IN (SELECT value FROM json_each(?))
    ORDER BY executions.created_at DESC, runs.number DESC, step DESC, attempt DESC
"""

_OF_TARGET = """
    EXISTS (SELECT 1 FROM steps JOIN targets ON targets.id = steps.target
        WHERE steps.run = executions.run AND steps.number = executions.step AND module = ? AND name = ?)
"""


class Store:
    """The writer's side of the store. All methods are for one thread.

    Attributes:
        path: the main database's file.
        last_log_id: the id of the newest log row.
        workspaces: what runs and results belong to.
        retention: what lets go of old data.
        warning: what people are to know of how it was opened, "" for nothing.
    """

    @classmethod
    def open(cls, data_dir: str) -> Store:
        """Open the store in `data_dir`, creating or migrating it as needed. A damaged log database is moved aside and a
        new one begun, which `warning` tells: no run needs its logs.

        Raises:
            StoreError: it cannot be used; one line with the file and the remedy.
            StoreBusy: another process holds a lock on it for longer than two seconds.
        """
        prepare_directory(data_dir)
        # The main database comes last: a reader that finds it finds the other too.
        path = os.path.join(data_dir, LOGS_FILE)
        warning = ""
        try:
            logs = open_logs(path)
        except StoreDamaged as error:
            warning = move_logs_aside(error)
            logs = open_logs(path)
        try:
            main = open_database(os.path.join(data_dir, MAIN_FILE), MAIN)
            try:
                return cls(main, logs, warning)
            except BaseException:
                main.close()
                raise
        except BaseException:
            logs.close()
            raise

    def __init__(self, main: Database, logs: Database, warning: str) -> None:
        """For `open`: take two open, migrated databases."""
        self.warning = warning
        self.path = main.path
        self._main = main
        self._logs = logs
        self._targets: dict[_TargetKey, int] = {}
        self._issued: set[str] = set()  # run ids given out and not committed yet
        self.last_log_id: int = logs.run(LAST_LOG_ID)[0][0]
        self.workspaces = Workspaces(main, self._transaction)
        self.retention = Retention(main, logs, self._watched_transaction)
        self._checkpointer = Checkpointer((main.path, logs.path))

    def renew_logs(self, error: StoreDamaged) -> str:
        """Move the log database aside, which is damaged, and begin a new one; return a line for people. What `commit`
        could not write, it can be given again.

        Raises:
            StoreError: it is not the log database that is damaged, or no new one can be made.
        """
        if error.path != self._logs.path:
            raise error
        blobs = self._checkpointer.pending_blobs()
        self._checkpointer.close()
        self._logs.close()
        text = move_logs_aside(error)
        self._logs = self.retention.logs = open_logs(error.path)  # ids of log rows go on where they were
        self._checkpointer = Checkpointer((self.path, error.path))
        for path in blobs:
            self._checkpointer.blob_written(path)
        return text

    def close(self) -> None:
        """Checkpoint both databases (unless a reader is busy, no WAL is left) and close them."""
        self._checkpointer.close()
        try:
            sync_blobs(self._checkpointer.pending_blobs())
            self._main.run("PRAGMA wal_checkpoint(TRUNCATE)")
            self._logs.run("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._main.close()
            self._logs.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        """Write all rows of `batch`, or none.

        After `StoreBusy` or `StoreFull` call again with the same batch, to which newer rows may have been merged:
        nothing is lost or doubled.

        Raises:
            StoreBusy: another process holds the lock, or a checkpoint takes long.
            StoreFull: the disk is full.
            StoreError: the store cannot be used any longer, or (once) a checkpoint failed.
        """
        self._checkpointer.look()
        with self._transaction(self._main, *([self._logs] if batch.bulky or batch.pruned else [])):
            self._put_rows(batch)
            if batch.bulky:
                self._put_bulky_rows(batch)
            if batch.pruned:
                remove_bulky(self._logs, prune(self._main, batch.pruned))
        self.last_log_id += len(batch.logs)
        self._issued.difference_update([row.id for row in batch.runs])

    def blob_written(self, path: str) -> None:
        """Announce a new blob file before the rows that refer to it: it is synced to disk before they are."""
        self._checkpointer.blob_written(path)

    def take_pins(self) -> list[Pin]:
        """Return which databases have readers whose transactions do not end, once: see `Checkpointer.take_pins`."""
        return self._checkpointer.take_pins()

    def put_setting(self, key: str, value: bytes) -> None:
        """Store a small value under `key`. Raises what `commit` raises."""
        with self._transaction(self._main):
            self._main.run(_PUT_SETTING, (key, value))

    def get_setting(self, key: str) -> bytes | None:
        """Return what `put_setting` stored under `key`."""
        rows = self._main.run("SELECT value FROM settings WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def _put_rows(self, batch: Batch) -> None:
        put = self._main.run_many
        if batch.runs:
            put(_PUT_RUN, [astuple(row) for row in batch.runs])
        if batch.steps:
            put(_PUT_STEP, [self._step_columns(row) for row in batch.steps])
        if batch.executions:
            put(_PUT_EXECUTION, [astuple(row) for row in batch.executions])
        if batch.groups:
            put(_PUT_GROUP, [astuple(row) for row in batch.groups])
        if batch.shared:
            put(_PUT_SHARED, [astuple(row) for row in batch.shared])
        if batch.assets:
            put(_PUT_ASSET, [astuple(row) for row in batch.assets])

    def _put_bulky_rows(self, batch: Batch) -> None:
        put = self._logs.run_many
        if batch.logs:
            # Explicit ids: should the log rows get in and the others not, the next try writes them again in place.
            put(_PUT_LOG, [(number, *astuple(row)) for number, row in enumerate(batch.logs, self.last_log_id + 1)])
        if batch.metrics:
            put(_PUT_METRIC, [astuple(row) for row in batch.metrics])
        if batch.points:
            put(_PUT_POINTS, [astuple(row) for row in batch.points])

    def _step_columns(self, row: StepRow) -> tuple[object, ...]:
        key = (row.target, row.module, row.name, row.type)
        target = self._targets.get(key) or self._intern_target(key)
        return (
            row.run, row.number, row.parent, row.group, target, row.arguments, row.depth, row.created_at,
            row.keys, row.memo_key, row.cache_key, row.defer_key, row.spawned,
        )  # fmt: skip

    def _intern_target(self, key: _TargetKey) -> int:
        spec, module, name, kind = key
        digest = blake3(msgspec.msgpack.encode(key)).digest(16)
        self._main.run(
            "INSERT INTO targets (digest, module, name, type, spec) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (digest, module, name, kind, spec),
        )
        target: int = self._main.run("SELECT id FROM targets WHERE digest = ?", (digest,))[0][0]
        self._targets[key] = target
        return target

    @contextmanager
    def _transaction(self, *databases: Database) -> Iterator[None]:
        """Lock all of `databases` or none, before anything is written, so that no commit can be refused as busy.

        The last one commits first: log rows without the outcome they led to are harmless, the opposite is a loss.
        """
        if not self._checkpointer.gate.acquire(timeout=GATE_PATIENCE):
            raise StoreBusy(f"{self._main.path} is being checkpointed")
        try:
            try:
                for database in databases:
                    database.run("BEGIN IMMEDIATE")
                yield
                for database in reversed(databases):
                    database.run("COMMIT")
            except BaseException:
                self._targets = {}  # it may know rows that are being undone
                for database in databases:
                    database.roll_back()
                raise
        finally:
            self._checkpointer.gate.release()

    def _watched_transaction(self, *databases: Database) -> AbstractContextManager[None]:
        """As `_transaction`, for much that is not committed by `commit`. Raises what that raises."""
        self._checkpointer.look()
        return self._transaction(*databases)

    # -- ids and contexts ---------------------------------------------------------------------------------------------

    def new_run_id(self) -> str:
        """Return an id that no run has or was promised: `R` and four characters, more when those are taken."""
        length = RUN_ID_LENGTH
        while True:
            run_id = "R" + "".join(RUN_ID_ALPHABET[byte % len(RUN_ID_ALPHABET)] for byte in os.urandom(length))
            if run_id not in self._issued and not self._main.run("SELECT 1 FROM runs WHERE id = ?", (run_id,)):
                self._issued.add(run_id)
                return run_id
            length += 1

    def context_id(self, key: str, interpreter: str, sys_path: Sequence[str], environment: Mapping[str, str]) -> int:
        """Return the id of the context known as `key`, storing it when it is new. Raises what `commit` raises.

        Of variables with a secret's name (see `is_secret_name`), and of those that hold the value of one, such as a
        URL with a password, only the names are stored.
        """
        rows = self._main.run("SELECT id FROM contexts WHERE key = ?", (key,))
        if not rows:
            redactor = Redactor(environment_secrets(environment))
            omitted = sorted(
                [name for name, value in environment.items() if is_secret_name(name) or redactor.finds(value)]
            )
            stored = {name: value for name, value in environment.items() if name not in omitted}
            encoded = [msgspec.json.encode(part) for part in (list(sys_path), stored, omitted)]
            columns = ("key", "interpreter", "sys_path", "environment", "omitted")
            with self._transaction(self._main):
                self._main.run(f"INSERT {_insert('contexts', columns)}", (key, interpreter, *encoded))
                rows = self._main.run("SELECT id FROM contexts WHERE key = ?", (key,))
        return int(rows[0][0])

    def context(self, context_id: int) -> ContextRow | None:
        """Return a stored context."""
        fields = ", ".join(ContextRow.__struct_fields__)
        rows = self._main.run(f"SELECT {fields} FROM contexts WHERE id = ?", (context_id,))
        try:
            decoded = [(*row[:3], *map(msgspec.json.decode, row[3:])) for row in rows]
            return next(iter(msgspec.convert(decoded, list[ContextRow])), None)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
            raise damaged(self._main.path, error) from error

    # -- reading ------------------------------------------------------------------------------------------------------

    def find_idempotent(self, workspace: str, key: str) -> tuple[str, str, str, bytes] | None:
        """Return the run that was started with this idempotency key: its id, target module, name, and arguments."""
        rows = self._main.run(
            "SELECT runs.id, module, name, arguments FROM runs JOIN steps ON run = id AND steps.number = 1"
            " WHERE workspace = ? AND idempotency_key = ?",
            (workspace, key),
        )
        return rows[0] if rows else None

    def load_run(self, run_id: str) -> LoadedRun | None:
        """Return all rows of one run."""
        runs = select(self._main, RunRow, f"SELECT {RUN_FIELDS} FROM runs WHERE id = ?", (run_id,))
        if not runs:
            return None
        steps = f"SELECT {STEP_FIELDS} FROM steps JOIN targets ON targets.id = target WHERE run = ? ORDER BY number"
        executions = f"SELECT {EXECUTION_FIELDS} FROM executions WHERE run = ? ORDER BY step, attempt"
        return LoadedRun(
            runs[0],
            select(self._main, StepRow, steps, (run_id,)),
            select(self._main, ExecutionRow, executions, (run_id,)),
            groups_of(self._main, run_id),
            shared_of(self._main, run_id),
        )

    def unfinished(self) -> list[LoadedRun]:
        """Return every run of a family in which something is unfinished, oldest first."""
        return self._load_runs(self._main.run(_UNFINISHED_RUNS))

    def load_family(self, run_id: str) -> list[LoadedRun]:
        """Return the root run of a run and all that came of it, oldest first; nothing if there is no such run."""
        return self._load_runs(self._main.run(_FAMILY, (run_id,)))

    def _load_runs(self, ids: list[tuple[str]]) -> list[LoadedRun]:
        loaded = [self.load_run(run_id) for (run_id,) in ids]
        return [run for run in loaded if run is not None]

    def outcome(self, run: str, step: int, attempt: int) -> bytes | None:
        """Return the msgpack of an execution's `messages.Outcome`, `None` when there is none."""
        sql = "SELECT outcome FROM executions WHERE run = ? AND step = ? AND attempt = ?"
        rows = self._main.run(sql, (run, step, attempt))
        return rows[0][0] if rows else None

    def target_of(self, run: str, step: int) -> tuple[str, str]:
        """Return the module and the name of a step's target, both empty if there is no such step."""
        sql = "SELECT module, name FROM steps JOIN targets ON targets.id = target WHERE run = ? AND number = ?"
        rows = self._main.run(sql, (run, step))
        return rows[0] if rows else ("", "")

    def chain_end(self, execution_id: str) -> ExecutionRow | None:
        """Return the last execution of a chain, as far as it is recorded; `None` if there is no such execution.

        Raises `ValueError` for what is no execution id.
        """
        return chain_end(self._main, execution_id, EXECUTION_FIELDS)

    # -- the cache ----------------------------------------------------------------------------------------------------

    def cached(self, workspaces: Sequence[str], key: bytes, since: float) -> Iterator[ExecutionRow]:
        """Give the results with this cache key in these workspaces that are no older than `since`, newest first."""
        places = msgspec.json.encode(list(workspaces)).decode()
        for run, step, attempt in self._main.run(_CACHED, (key, since, places)):
            sql = f"SELECT {EXECUTION_FIELDS} FROM executions WHERE run = ? AND step = ? AND attempt = ?"
            yield from select(self._main, ExecutionRow, sql, (run, step, attempt))

    def clear_cache(self, workspace: str, target: str | None) -> int:
        """Use no result of `workspace` for the cache again that is recorded now, or none of `target` (`module/name`).

        Returns how many there were; they stay where they are. Raises `UnknownWorkspace`, and what `commit` raises.
        """
        self.workspaces.get(workspace)
        where, parameters = "cache_key IS NOT NULL AND NOT forgotten AND workspace = ?", [workspace]
        if target is not None:
            module, _, name = target.partition("/")
            where, parameters = f"{where} AND {_OF_TARGET}", [workspace, module, name]
        with self._transaction(self._main):
            self._main.run(f"UPDATE executions SET forgotten = 1 WHERE {where}", parameters)
            forgotten: int = self._main.run("SELECT changes()")[0][0]
        return forgotten

    # -- deleting -----------------------------------------------------------------------------------------------------

    def delete_run(self, run_id: str) -> None:
        """Delete a run and its child runs, as far as anybody can see. Their rows, logs and blobs are for the next
        `GarbageCollection`; as long as a chain of another run points there (a cache hit), rows and blobs stay.

        Raises:
            StoreError: there is no such run, it is a child run, or something in its family is unfinished.
        """
        rows = self._main.run("SELECT root_run FROM runs WHERE id = ? AND NOT hidden", (run_id,))
        if not rows:
            raise StoreError(f"there is no run {run_id}")
        if rows[0][0] != run_id:
            raise StoreError(f"{run_id} is a child run of {rows[0][0]}: delete that one")
        self.retention.hide([run_id])
        if not self.retention.members(run_id):
            raise StoreError(f"{run_id} is unfinished: wait for its end, or cancel it first")

    def note_targets(self) -> Mapping[_TargetKey, int]:
        """Begin to note which targets new steps are of: see `delete_targets`."""
        self._targets = {}
        return self._targets

    def delete_targets(self, targets: Collection[int], noted: Mapping[_TargetKey, int]) -> None:
        """Delete targets that no step was of when `note_targets` returned `noted`, but for those used since. After a
        commit that failed nobody knows which these are, and all stay. Raises what `commit` raises."""
        if targets and noted is self._targets:
            unused = [(target,) for target in set(targets).difference(noted.values())]
            with self._transaction(self._main):
                self._main.run_many("DELETE FROM targets WHERE id = ?", unused)

    def checkpoint_soon(self) -> threading.Event:
        """Have the write-ahead logs moved into their databases, and the files cut, as far as readers let that be. The
        event says when it is done."""
        return self._checkpointer.empty()
