"""The store, as its readers see it: the command line and the dashboard, in any number, while the writer works.

Reads are short transactions and come in pages. Nothing here writes, waits for the supervisor or unpickles a value.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from coflux.encoded import Value
from coflux.executor import decisions, recorded_logs
from coflux.executor.database import LOGS_FILE, MAIN_FILE, Database, NoStore, StoreError, damaged
from coflux.executor.decisions import Queued, Why
from coflux.executor.document import StepInfo, render
from coflux.executor.log_search import FUNCTIONS, LogFilter, LogScope, log_query
from coflux.executor.messages import Outcome, TargetSpec, Usage
from coflux.executor.migrations import LOGS, MAIN, Migration, check_version
from coflux.executor.reading import (
    ARGUMENTS,
    BARE_EXECUTION_FIELDS,
    OUTCOME,
    RUN_FIELDS,
    STEP_FIELDS,
    TARGET,
    chain_end,
    decode,
    groups_of,
    previews,
    select,
    shared_of,
    workspaces_in,
)
from coflux.executor.recorded_metrics import PAGE as POINTS_PAGE
from coflux.executor.recorded_metrics import (
    Key,
    MetricInfo,
    PointsPage,
    metrics_of,
    points_of,
    progress_among,
    thinned,
)
from coflux.executor.rows import (
    AssetRow,
    ExecutionRow,
    GroupRow,
    Row,
    RunRow,
    SharedRow,
    Status,
    StepRow,
    WorkspaceRow,
    format_execution_id,
    parse_execution_id,
)
from coflux.executor.series import Progress
from coflux.executor.workspaces import lineage_of

__all__ = ["History", "LogEntry", "NoStore", "RunNotFound", "StepInfo"]

PAGE = 1000  # rows, unless the caller says otherwise
PATIENCE = 5.0  # seconds to wait while a store is being created, recovered or closed
KEYS_AT_ONCE = 300  # executions that one query asks for by key
_NEWEST = 1 << 62  # above every log id

_Any = TypeVar("_Any")


class RunNotFound(StoreError):
    """No run, or more than one, answers to a name."""


class LogEntry(Row, frozen=True):
    """A log row with its id; ids increase in the order of arrival. `values` is a JSON object."""

    id: int
    run: str
    step: int
    attempt: int
    at: float
    level: int
    template: str | None
    values: bytes | None
    logger: str | None = None
    bar: int | None = None
    live: bool = False


LOG_FIELDS = ", ".join(f'"{name}"' for name in LogEntry.__struct_fields__)


class History:
    """A reader of one store. Use it from one thread at a time, and close it.

    Rows of executions come without their `outcome`, which can be long: see `outcome`.
    """

    @classmethod
    def open(cls, data_dir: str) -> History:
        """Open the store in `data_dir` for reading.

        Raises:
            NoStore: there is none (yet).
            StoreError: it cannot be read; one line with the file and the remedy.
        """
        main = _open_database(os.path.join(data_dir, MAIN_FILE), MAIN)
        if main is None:
            raise NoStore(f"there are no runs in {data_dir}: `coflux run` creates a store")
        return cls(main, os.path.join(data_dir, LOGS_FILE))

    def __init__(self, main: Database, logs_path: str) -> None:
        """For `open`."""
        self._main = main
        self._logs_path = logs_path
        self._logs: Database | None = None
        self._logs_inode = 0

    @property
    def data_dir(self) -> str:
        """Where the store is."""
        return os.path.dirname(self._logs_path)

    @property
    def blobs_dir(self) -> str:
        """Where the blobs are that its rows name."""
        return os.path.join(self.data_dir, "blobs")

    def close(self) -> None:
        self._main.close()
        if self._logs is not None:
            self._logs.close()

    # -- runs ---------------------------------------------------------------------------------------------------------

    def runs(
        self,
        limit: int = 50,
        before: str | None = None,
        status: Status | None = None,
        children: bool = False,
        workspace: str | None = None,
        target: tuple[str, str] | None = None,
    ) -> list[RunRow]:
        """Return the newest runs, newest first: those created before the run `before`, those in state `status`, those
        of `workspace`, and those of `target` (module and name).

        Runs that were started by another run are left out, unless `children`.
        """
        where, parameters = ["NOT hidden"], list[object]()
        if before is not None:
            where.append("number < (SELECT number FROM runs WHERE id = ?)")
            parameters.append(before)
        if status is not None:
            where.append("status = ?")
            parameters.append(status)
        if workspace is not None:
            where.append("workspace = ?")
            parameters.append(workspace)
        if target is not None:
            where.append("(module, name) = (?, ?)")
            parameters += target
        if not children:
            where.append("parent IS NULL")
        sql = f"SELECT {RUN_FIELDS} FROM runs WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?"
        return select(self._main, RunRow, sql, (*parameters, limit))

    def run(self, run_id: str) -> RunRow | None:
        """Return the run with exactly this id."""
        sql = f"SELECT {RUN_FIELDS} FROM runs WHERE id = ? AND NOT hidden"
        return next(iter(select(self._main, RunRow, sql, (run_id,))), None)

    def usage(self, run_ids: Sequence[str]) -> dict[str, Usage]:
        """Return what the executions of each run have used together, and the most memory that one of them had; of runs
        of which something is known. What runs that they started have used is not in it."""
        places = ", ".join("?" * len(run_ids))
        sql = (
            "SELECT run, sum(cpu_seconds), max(peak_memory), sum(read_bytes), sum(written_bytes) FROM executions"
            f" WHERE run IN ({places}) AND peak_memory IS NOT NULL GROUP BY run"
        )
        return {run: Usage(*used) for run, *used in self._main.run(sql, tuple(run_ids))}

    def runs_among(self, run_ids: Sequence[str]) -> list[RunRow]:
        """Return the runs with these ids, as far as they are there, in no order."""
        rows: list[RunRow] = []
        for start in range(0, len(run_ids), PAGE):
            some = run_ids[start : start + PAGE]
            sql = f"SELECT {RUN_FIELDS} FROM runs WHERE id IN ({', '.join('?' * len(some))}) AND NOT hidden"
            rows += select(self._main, RunRow, sql, some)
        return rows

    def count_runs(self, workspace: str | None = None) -> dict[Status, int]:
        """Return how many runs are in which state, without those that others started."""
        where, parameters = ("", ()) if workspace is None else (" AND workspace = ?", (workspace,))
        sql = f"SELECT status, count(*) FROM runs WHERE parent IS NULL AND NOT hidden{where} GROUP BY status"
        return dict(self._main.run(sql, parameters))

    def count_steps(self, run_id: str) -> dict[Status, int]:
        """Return how many steps of a run are in which state, each by its newest attempt."""
        sql = (
            "SELECT status, count(*) FROM (SELECT status, max(attempt) FROM executions WHERE run = ? GROUP BY step)"
            " GROUP BY status"
        )
        return dict(self._main.run(sql, (run_id,)))

    def unfinished_runs(self) -> list[RunRow]:
        """Return the runs of which something is unfinished, the newest first, without those that others started."""
        sql = f"SELECT {RUN_FIELDS} FROM runs WHERE NOT settled AND parent IS NULL AND NOT hidden ORDER BY number DESC"
        return select(self._main, RunRow, sql)

    def workspaces(self) -> list[WorkspaceRow]:
        """Return all workspaces by name, archived ones as well."""
        return workspaces_in(self._main)

    def family(self, run_id: str) -> list[str]:
        """Return the ids of a run without a parent and of all runs that come of it, oldest first."""
        sql = "SELECT id FROM runs WHERE root_run = ? AND NOT hidden ORDER BY number"
        return [member for (member,) in self._main.run(sql, (run_id,))]

    def parents(self, run_id: str) -> list[tuple[str, str | None]]:
        """Return the id and the parent, an execution, of all runs that the run without a parent has led to from which
        this one comes, oldest first."""
        sql = (
            "SELECT id, parent FROM runs WHERE root_run = (SELECT root_run FROM runs WHERE id = ?) AND NOT hidden"
            " ORDER BY number"
        )
        return self._main.run(sql, (run_id,))

    def step_places(self, run_id: str, after: int = 0) -> list[tuple[int, str | None, int | None]]:
        """Return number, parent and group of all steps of a run with a number above `after`, by number."""
        sql = 'SELECT number, parent, "group" FROM steps WHERE run = ? AND number > ? ORDER BY number'
        return self._main.run(sql, (run_id, after))

    def last_sign_of(self, run_id: str) -> float:
        """Return the time of the last that is recorded of a run and its child runs, in seconds since the epoch."""
        sql = (
            "SELECT max(max(created_at, coalesce(started_at, 0), coalesce(finished_at, 0))) FROM executions"
            " WHERE run IN (SELECT id FROM runs WHERE root_run = (SELECT root_run FROM runs WHERE id = ?))"
        )
        recorded: float = self._main.run(sql, (run_id,))[0][0] or 0.0
        return max([recorded, *(entry.at for entry in self.logs(run_id, before=_NEWEST, limit=1))])

    def resolve_run(self, prefix: str) -> str:
        """Return the id of the one run that `prefix` is the beginning of; a whole id is always taken as such.

        Raises:
            RunNotFound: none or several; the message lists them, or the nearest ones.
        """
        if self.run(prefix) is not None:
            return prefix
        sql = "SELECT id FROM runs WHERE substr(id, 1, ?) = ? AND NOT hidden ORDER BY number DESC LIMIT 10"
        matches = [run_id for (run_id,) in self._main.run(sql, (len(prefix), prefix))]
        if len(matches) == 1:
            return str(matches[0])
        if matches:
            raise RunNotFound(f"{prefix!r} is the beginning of several runs: {', '.join(matches)}")
        sql = "SELECT id FROM runs WHERE NOT hidden ORDER BY number DESC LIMIT 1000"
        latest = [run_id for (run_id,) in self._main.run(sql)]
        import difflib

        nearest = difflib.get_close_matches(prefix, latest, cutoff=0.5)
        hint = f": did you mean {' or '.join(nearest)}?" if nearest else "; `coflux runs list` shows the runs there are"
        raise RunNotFound(f"there is no run {prefix!r}{hint}")

    # -- inside a run -------------------------------------------------------------------------------------------------

    def steps(self, run_id: str, after: int = 0, limit: int = PAGE) -> list[StepInfo]:
        """Return the steps of a run by number, those after number `after`."""
        sql = (
            f"SELECT {STEP_FIELDS} FROM steps JOIN targets ON targets.id = target"
            " WHERE run = ? AND number > ? ORDER BY number LIMIT ?"
        )
        specs: dict[bytes, TargetSpec] = {}
        infos = []
        for row in select(self._main, StepRow, sql, (run_id, after, limit)):
            if row.target not in specs:
                specs[row.target] = self._decode(TARGET, row.target)
            infos.append(self._step_info(row, specs[row.target]))
        return infos

    def roots(self, run_ids: Sequence[str]) -> dict[str, StepInfo]:
        """Return the root steps of the runs with these ids, as far as they are there, by run."""
        found: dict[str, StepInfo] = {}
        for start in range(0, len(run_ids), KEYS_AT_ONCE):
            some = run_ids[start : start + KEYS_AT_ONCE]
            sql = (
                f"SELECT {STEP_FIELDS} FROM steps JOIN targets ON targets.id = target"
                f" WHERE run IN ({', '.join('?' * len(some))}) AND number = 1"
            )
            for row in select(self._main, StepRow, sql, some):
                found[row.run] = self._step_info(row, self._decode(TARGET, row.target))
        return found

    def _step_info(self, row: StepRow, spec: TargetSpec) -> StepInfo:
        return StepInfo(
            row.run,
            row.number,
            row.parent,
            row.group,
            row.module,
            row.name,
            row.type,
            spec.parameters,
            previews(self._main, row.arguments),
            row.depth,
            row.created_at,
            row.spawned,
            None if spec.options.retries is None else spec.options.retries.limit,
        )

    def executions(self, run_id: str, after: tuple[int, int] = (0, 0), limit: int = PAGE) -> list[ExecutionRow]:
        """Return the executions of a run by step and attempt, those after the step and attempt `after`."""
        sql = (
            f"SELECT {BARE_EXECUTION_FIELDS} FROM executions WHERE run = ? AND (step, attempt) > (?, ?)"
            " ORDER BY step, attempt LIMIT ?"
        )
        return select(self._main, ExecutionRow, sql, (run_id, *after, limit))

    def attempts(self, run_id: str, step: int, limit: int = PAGE) -> list[ExecutionRow]:
        """Return the newest attempts of a step, by number."""
        sql = f"SELECT {BARE_EXECUTION_FIELDS} FROM executions WHERE run = ? AND step = ? ORDER BY attempt DESC LIMIT ?"
        return select(self._main, ExecutionRow, sql, (run_id, step, limit))[::-1]

    def execution(self, execution_id: str) -> ExecutionRow | None:
        """Return one execution. Raises `ValueError` if that is no execution id."""
        sql = f"SELECT {BARE_EXECUTION_FIELDS} FROM executions WHERE run = ? AND step = ? AND attempt = ?"
        return next(iter(select(self._main, ExecutionRow, sql, parse_execution_id(execution_id))), None)

    def executions_among(self, keys: Sequence[tuple[str, int, int]]) -> list[ExecutionRow]:
        """Return the executions with these runs, steps and attempts, as far as they are there, in no order."""
        rows: list[ExecutionRow] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            places = ", ".join(["(?, ?, ?)"] * len(some))
            # The planner would read the whole table for `(run, step, attempt) IN (VALUES …)`.
            sql = (
                f"WITH wanted (run, step, attempt) AS (VALUES {places})"
                f" SELECT {BARE_EXECUTION_FIELDS} FROM wanted CROSS JOIN executions USING (run, step, attempt)"
            )
            rows += select(self._main, ExecutionRow, sql, [part for key in some for part in key])
        return rows

    def groups(self, run_id: str) -> list[GroupRow]:
        """Return the groups of a run's executions."""
        return groups_of(self._main, run_id)

    def shared(self, run_id: str) -> list[SharedRow]:
        """Return the submissions of a run's executions that made no step, but were given one that was there."""
        return shared_of(self._main, run_id)

    def shared_count(self, run_id: str) -> int:
        """Return how many `shared` would return."""
        count: int = self._main.run("SELECT count(*) FROM shared WHERE run = ?", (run_id,))[0][0]
        return count

    def arguments(self, run_id: str, step: int) -> tuple[Value, ...]:
        """Return the encoded arguments of a step, one for each parameter; empty when there is no such step."""
        rows = self._main.run("SELECT arguments FROM steps WHERE run = ? AND number = ?", (run_id, step))
        return self._decode(ARGUMENTS, rows[0][0]) if rows else ()

    def outcome(self, execution_id: str) -> Outcome | None:
        """Return what an execution ended with, `None` if it has none (yet). Raises `ValueError` as `execution`."""
        sql = "SELECT outcome FROM executions WHERE run = ? AND step = ? AND attempt = ?"
        rows = self._main.run(sql, parse_execution_id(execution_id))
        if not rows or rows[0][0] is None:
            return None
        return self._decode(OUTCOME, rows[0][0])

    def chain_end(self, execution_id: str) -> ExecutionRow | None:
        """Return the execution whose outcome a waiter for this one sees: the last one of its chain, so far.

        A chain leads through retries, resumptions, recurrences, spawned runs and cache hits, also into other runs.
        `None` when there is no such execution. Raises `ValueError` as `execution`.
        """
        return chain_end(self._main, execution_id, BARE_EXECUTION_FIELDS)

    def newest_attempt(self, run_id: str, step: int = 1, workspace: str | None = None) -> int:
        """Return the number of the newest attempt of a step that `workspace` sees (default: the run's own): one of its
        own, or of those it is based on. 0 when there is none."""
        run = self.run(run_id)
        if run is None:
            return 0
        lineage = lineage_of(self.workspaces(), run.workspace if workspace is None else workspace)
        places = ", ".join("?" * len(lineage))
        sql = f"SELECT max(attempt) FROM executions WHERE run = ? AND step = ? AND workspace IN ({places})"
        return self._main.run(sql, (run_id, step, *lineage))[0][0] or 0

    def newest_end(self, run_id: str, step: int = 1) -> ExecutionRow | None:
        """Return the end of a step's newest chain in the run's own workspace, so far: after a re-run, of that.
        `None` when there is no such step."""
        return self.chain_end(format_execution_id(run_id, step, self.newest_attempt(run_id, step)))

    # -- assets -------------------------------------------------------------------------------------------------------

    def assets(self, run_id: str, step: int | None = None, attempt: int | None = None) -> list[AssetRow]:
        """Return the assets that a run's executions have made, or one step's, or one attempt's, the oldest first."""
        places = [("run = ?", run_id), ("step = ?", step), ("attempt = ?", attempt)]
        where = " AND ".join(condition for condition, value in places if value is not None)
        parameters = [value for _, value in places if value is not None]
        sql = f"SELECT * FROM assets WHERE {where} ORDER BY created_at, step, attempt, asset"
        return select(self._main, AssetRow, sql, parameters)

    def asset_ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Return the ids that begin with `prefix`, of assets that executions have made."""
        sql = (
            "SELECT DISTINCT asset FROM assets JOIN runs ON runs.id = assets.run AND NOT hidden"
            " WHERE asset >= ? AND asset < ? ORDER BY asset LIMIT ?"
        )
        return [asset for (asset,) in self._main.run(sql, (prefix, f"{prefix}g", limit))]  # "g" comes after "f"

    def made_by(self, asset: str) -> list[str]:
        """Return the ids of the executions that have made an asset, the oldest first."""
        sql = (
            "SELECT run, step, attempt FROM assets JOIN runs ON runs.id = assets.run AND NOT hidden"
            " WHERE asset = ? ORDER BY assets.created_at, run, step, attempt"
        )
        return [format_execution_id(*place) for place in self._main.run(sql, (asset,))]

    # -- why ----------------------------------------------------------------------------------------------------------

    def queue(self, workspace: str | None = None) -> list[Queued]:
        """Return what is queued, of all workspaces or of one, in the order in which it was."""
        with self._snapshot():
            return decisions.queue(self._main, workspace)

    def queued_before(self, row: ExecutionRow) -> int:
        """Return how many executions that wait for the same as a queued one have been queued for longer."""
        return decisions.queued_before(self._main, row)

    def why(self, run_id: str, step: int) -> Why | None:
        """Return why a step is as it is, attempt by attempt; `None` when there is no such step."""
        with self._snapshot():
            return decisions.why(self._main, run_id, step)

    # -- logs ---------------------------------------------------------------------------------------------------------

    def logs(
        self,
        run_id: str,
        step: int | None = None,
        attempt: int | None = None,
        after: int = 0,
        limit: int = PAGE,
        wanted: LogFilter = LogFilter(),  # noqa: B008 (immutable)
        before: int | None = None,
    ) -> list[LogEntry]:
        """Return log entries in order of arrival, those that are `wanted`: the first `limit` after the id `after`; or
        the last ones before the id `before`, if that is given."""
        database = self._log_database()
        if database is None:
            return []
        sql, parameters = log_query(LOG_FIELDS, run_id, step, attempt, after, before, wanted)
        entries = select(database, LogEntry, sql, (*parameters, limit))
        return entries if before is None else entries[::-1]

    def log_ids(self, scope: LogScope, after: int, until: int, wanted: LogFilter) -> array[int]:
        """Return the ids of the entries in `scope` that are `wanted`, after the id `after` up to `until`, in order.

        What is still drawn again and again is not among them: see `live_entries`. Nothing outside those ids is looked
        at: who goes through a log piece by piece never waits long for one, however little is found.
        """
        database = self._log_database()
        return array("q") if database is None else recorded_logs.ids_of(database, scope, after, until, wanted)

    def log_bounds(self, runs: Collection[str]) -> tuple[int, int]:
        """Return the ids of the oldest and the newest entry of these runs; (0, 0) when there is none."""
        database = self._log_database()
        return (0, 0) if database is None else recorded_logs.bounds_of(database, runs)

    def live_entries(self, scope: LogScope, limit: int, wanted: LogFilter) -> list[LogEntry]:
        """Return the newest entries in `scope` that are still drawn again and again, in order. Each time an entry has
        another id; it keeps the one under which it is complete."""
        database = self._log_database()
        if database is None:
            return []
        sql, parameters = recorded_logs.live_query(LOG_FIELDS, scope, wanted)
        return select(database, LogEntry, sql, (*parameters, limit))[::-1]

    def log_id_at(self, scope: LogScope, at: float) -> int:
        """Return the id of the entry in `scope` that is nearest to the time `at`, in seconds since the epoch, as far as
        entries come in the order of time; 0 when there is none."""
        database = self._log_database()
        return 0 if database is None else recorded_logs.id_at(database, scope, at)

    def log_entries(self, ids: Sequence[int]) -> list[LogEntry]:
        """Return the log entries with these ids, as far as they are there, in order."""
        database = self._log_database()
        if database is None:
            return []
        sql = f"SELECT {LOG_FIELDS} FROM logs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        return select(database, LogEntry, sql, (json.dumps(list(ids)),))

    def newest_log_id(self) -> int:
        """Return the id of the newest log entry of all runs, 0 when there is none."""
        database = self._log_database()
        newest: int = 0 if database is None else database.run("SELECT coalesce(max(id), 0) FROM logs")[0][0]
        return newest

    def runs_logged(self, after: int, until: int) -> set[str]:
        """Return the runs that have log entries after the id `after`, up to the id `until`."""
        database = self._log_database()
        if database is None or after >= until:
            return set()
        return {run for (run,) in database.run("SELECT run FROM logs WHERE id > ? AND id <= ?", (after, until))}

    def _log_database(self) -> Database | None:
        """Logs can be pruned as a whole: a database that was removed has no entries. One that was damaged is replaced,
        maybe while somebody reads."""
        if self._logs is not None and _inode(self._logs_path) != self._logs_inode:
            self._logs.close()
            self._logs = None
        if self._logs is None:
            self._logs_inode = _inode(self._logs_path)
            self._logs = _open_database(self._logs_path, LOGS)
            if self._logs is not None:
                self._logs.define(FUNCTIONS)
        return self._logs

    # -- metrics ------------------------------------------------------------------------------------------------------

    def metrics(
        self, run_id: str, step: int | None = None, attempt: int | None = None, limit: int = -1
    ) -> list[MetricInfo]:
        """Return the metrics of a run, of a step or of one attempt, by execution and in order of definition: all, or
        the first `limit`."""
        database = self._log_database()
        return [] if database is None else metrics_of(database, run_id, step, attempt, limit)

    def points(self, metric: MetricInfo, after: int = 0, limit: int = POINTS_PAGE) -> PointsPage:
        """Return points of a metric, about `limit` from number `after` on; none only where there are no more."""
        database = self._log_database()
        return PointsPage.empty(after) if database is None else points_of(database, metric, after, limit)

    def thinned_points(self, metric: MetricInfo, limit: int) -> tuple[array[float], array[float]]:
        """Return `at` and value of about `limit` points of a metric that show its course (see `series.thin`)."""
        database = self._log_database()
        return (array("d"), array("d")) if database is None else thinned(database, metric, limit)

    def progress(self, executions: Sequence[ExecutionRow], now: float) -> dict[Key, list[tuple[MetricInfo, Progress]]]:
        """Return what executions tell of their progress, by run, step and attempt: an entry for each metric whose scale
        is one of progress, with `now`, in seconds since the epoch, for the time of what still runs."""
        database = self._log_database()
        return {} if database is None else progress_among(database, executions, now)

    # -- the whole run ------------------------------------------------------------------------------------------------

    def document(self, run_id: str) -> dict[str, Any]:
        """Return what `document_json` returns, parsed."""
        parsed: dict[str, Any] = json.loads(self.document_json(run_id))
        return parsed

    def document_json(self, run_id: str, engine: bool = True) -> bytes:
        """Return one run as the JSON document of `coflux run --json`, from one moment. `engine`: whether one runs.

        Raises:
            RunNotFound: there is no run with exactly this id.
        """
        with self._snapshot():
            run = self.run(run_id)
            if run is None:
                raise RunNotFound(f"there is no run {run_id!r}")
            steps, executions = self.steps(run_id, limit=-1), self.executions(run_id, limit=-1)
            end = self.newest_end(run_id)
            outcome = self.outcome(end.id) if end else None
            groups, shared = self.groups(run_id), self.shared(run_id)
            problems = self._problems(run_id)
        interrupted = not (engine or run.settled)
        try:
            return render(run, outcome, steps, executions, groups, shared, problems, interrupted=interrupted)
        except KeyError as error:  # of a group
            raise damaged(self._main.path, f"{run_id} names {error.args[0]}, which is not there") from error

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _problems(self, run_id: str) -> dict[str, Outcome]:
        """The outcomes of the executions that did not succeed, by id."""
        sql = (
            "SELECT step, attempt, outcome FROM executions WHERE run = ? AND outcome IS NOT NULL"
            " AND status IN ('failed', 'timed_out', 'abandoned', 'cancelled')"
        )
        return {
            format_execution_id(run_id, step, attempt): self._decode(OUTCOME, outcome)
            for step, attempt, outcome in self._main.run(sql, (run_id,))
        }

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._main.run("BEGIN")
        try:
            yield
        finally:
            self._main.roll_back()

    def _decode(self, decoder: msgspec.msgpack.Decoder[_Any], data: bytes) -> _Any:
        return decode(self._main.path, decoder, data)


def _open_database(path: str, migrations: tuple[Migration, ...]) -> Database | None:
    """Open for reading; `None` if the file is not there or not complete yet."""
    if not os.path.exists(path):
        return None
    database = Database(path, read_only=True, patience=PATIENCE)
    try:
        version = check_version(database, migrations)
        if 0 < version < len(migrations):
            raise StoreError(
                f"{path} was written by an older coflux (schema {version}, this one reads {len(migrations)}):"
                " the next `coflux run` brings it up to date"
            )
    except BaseException:
        database.close()
        raise
    if version == 0:
        database.close()
        return None
    return database


def _inode(path: str) -> int:
    """What tells a file from another one at the same place, 0 for none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
