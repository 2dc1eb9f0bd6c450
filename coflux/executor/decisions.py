"""Why the engine did what it did: what `coflux queue` and `coflux why` show, from what is recorded.

Times are seconds since the epoch, ages seconds. `msgspec.to_builtins` makes JSON of all that is returned.
"""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from msgspec import Struct

from coflux.encoded import Value
from coflux.executor.core.state import Trigger
from coflux.executor.database import Database
from coflux.executor.document import error_object
from coflux.executor.messages import ArgumentKey, Succeeded, TargetSpec
from coflux.executor.reading import (
    ARGUMENTS,
    BARE_EXECUTION_FIELDS,
    EXECUTION_FIELDS,
    KEYS,
    OPTIONS,
    OUTCOME,
    STEP_FIELDS,
    TARGET,
    chain_end,
    decode,
    previews,
    select,
    shared_of,
    workspaces_in,
)
from coflux.executor.rows import UNFINISHED, ExecutionRow, Status, StepRow, format_execution_id
from coflux.executor.workspaces import lineage_of
from coflux.task_options import keyed_parameters

__all__ = ["Attempt", "Cache", "Memo", "Miss", "Queued", "Retry", "Switch", "Why", "queue", "queued_before", "why"]

CANDIDATES = 100  # earlier steps with the same key that are looked at, the newest ones

Switch = Literal["off", "on", "unkeyable"]
"""Whether an option applies to a step: it does not where one of the arguments that it looks at has no key."""


# -- what is told -----------------------------------------------------------------------------------------------------


class Queued(Struct, frozen=True):
    """A queued execution. `waits_for` are the unfinished executions that hold it up, in its arguments or otherwise."""

    id: str
    target: str  # module/name
    workspace: str
    trigger: Trigger
    reason: str
    created_at: float
    due_at: float | None
    waits_for: tuple[str, ...]


class Retry(Struct, frozen=True):
    """It is the `number`-th retry in a row, from 1, of `limit` (`None`: as many as it takes)."""

    number: int
    limit: int | None


class Miss(Struct, frozen=True):
    """Why no earlier result was used.

    `reason` is about the execution or step `candidate`, the nearest there was:
        none         there was no candidate
        version      the cache version differs: `here` and `there`
        argument     the argument for `parameter` differs: previews `here` and `there`
        arguments    other parameters make the key: `here` and `there`
        age          it was `age` seconds old, more than `max_age`
        failed       it did not succeed: `there` is its status
        unfinished   it had not finished, and could not be waited for
        forgotten    the cache was cleared
        workspace    it is in workspace `there`, which this one does not see
        unreadable   it would do, so its value could not be read, or the code was to be new
    """

    reason: Literal[
        "none",
        "version",
        "argument",
        "arguments",
        "age",
        "failed",
        "unfinished",
        "forgotten",
        "workspace",
        "unreadable",
    ]
    candidate: str | None = None
    parameter: str | None = None
    here: str | None = None
    there: str | None = None
    age: float | None = None
    max_age: float | None = None


class Cache(Struct, frozen=True):
    """How the lookup went: `waiting` for it, or for an unfinished source; `skipped`, since the execution ended before.
    A `hit` has the result of `source`, which was `age` seconds old, 0 if it had to be waited for."""

    state: Literal["waiting", "skipped", "hit", "miss"]
    source: str | None = None
    age: float | None = None
    older_code: bool = False
    miss: Miss | None = None


class Attempt(Struct, frozen=True):
    """Why there is this attempt, and what became of it.

    `after` is the attempt before it, with its `error` if it had one. `cache` is `None` where the cache is not asked:
    only first attempts look. `superseded_by` is the newer submission in whose favour this one was deferred.
    """

    id: str
    status: Status
    reason: str
    trigger: Trigger
    due_at: float | None
    waits_for: tuple[str, ...]
    next: str | None
    after: str | None
    error: dict[str, str] | None
    retry: Retry | None
    cache: Cache | None
    superseded_by: str | None


class Memo(Struct, frozen=True):
    """`shared_by` are the executions that were given this step instead of one of their own."""

    state: Switch
    shared_by: tuple[str, ...]


class Why(Struct, frozen=True):
    """All that is known of the decisions on one step."""

    id: str
    target: str  # module/name
    parent: str | None
    memo: Memo
    cache: Switch
    defer: Switch
    attempts: tuple[Attempt, ...]


# -- the queue --------------------------------------------------------------------------------------------------------


def queue(database: Database, workspace: str | None) -> list[Queued]:
    """What is queued in unsettled runs, in the order in which it was, of all workspaces or of one."""
    sql = (
        f"SELECT {BARE_EXECUTION_FIELDS} FROM executions WHERE status = 'queued'"
        " AND run IN (SELECT id FROM runs WHERE NOT settled) AND (?1 IS NULL OR workspace = ?1)"
        " ORDER BY created_at, (SELECT number FROM runs WHERE id = run), step, attempt"
    )
    specs: dict[bytes, TargetSpec] = {}
    entries = []
    for row in select(database, ExecutionRow, sql, (workspace,)):
        encoded, arguments = database.run(
            "SELECT spec, arguments FROM steps JOIN targets ON targets.id = target WHERE run = ? AND number = ?",
            (row.run, row.step),
        )[0]
        if encoded not in specs:
            specs[encoded] = decode(database.path, TARGET, encoded)
        spec = specs[encoded]
        waits_for = _waits_for(database, row, spec, arguments)
        target = f"{spec.module}/{spec.name}"
        entries.append(
            Queued(row.id, target, row.workspace, row.trigger, row.reason, row.created_at, row.due_at, waits_for)
        )
    return entries


def queued_before(database: Database, row: ExecutionRow) -> int:
    """How many executions that wait for nothing but a place, as this one does, have been queued for longer."""
    sql = (
        "SELECT count(*) FROM executions WHERE status = 'queued' AND reason = ?"
        " AND run IN (SELECT id FROM runs WHERE NOT settled) AND (created_at, step) < (?, ?)"
    )
    count: int = database.run(sql, (row.reason, row.created_at, row.step))[0][0]
    return count


def _waits_for(database: Database, row: ExecutionRow, spec: TargetSpec, arguments: bytes) -> tuple[str, ...]:
    if row.status != "queued":
        return ()
    if row.awaits is not None or not spec.options.wait:
        return tuple(row.waits_for)
    values: tuple[Value, ...] = decode(database.path, ARGUMENTS, arguments)
    awaited = [value for name, value in zip(spec.parameters, values, strict=False) if name in spec.options.wait]
    return tuple(_unfinished_in(database, awaited))


def _unfinished_in(database: Database, values: list[Value]) -> list[str]:
    """The unfinished ends of the chains of all handles in these values, and in the results of these handles."""
    found: dict[str, None] = {}
    seen = set[str]()
    stack = [reference for value in values for reference in value.references]
    while stack:
        reference = stack.pop()
        if reference.kind != "execution" or reference.id in seen:
            continue
        seen.add(reference.id)
        end = chain_end(database, reference.id, EXECUTION_FIELDS)
        if end is None:
            continue
        if end.status in UNFINISHED:
            found[end.id] = None
        elif end.status == "succeeded" and end.outcome is not None:
            outcome = decode(database.path, OUTCOME, end.outcome)
            stack += outcome.value.references if isinstance(outcome, Succeeded) else ()
    return list(found)


# -- one step ---------------------------------------------------------------------------------------------------------


def why(database: Database, run_id: str, number: int) -> Why | None:
    """The decisions on a step, attempt by attempt; `None` when there is no such step."""
    step = _step(database, run_id, number)
    if step is None:
        return None
    spec = decode(database.path, TARGET, step.target)
    sql = f"SELECT {EXECUTION_FIELDS} FROM executions WHERE run = ? AND step = ? ORDER BY attempt"
    rows = select(database, ExecutionRow, sql, (run_id, number))
    sharers = tuple(
        format_execution_id(row.run, row.step, row.attempt)
        for row in shared_of(database, run_id)
        if row.child.startswith(f"{run_id}:{number}:")
    )
    return Why(
        id=f"{run_id}:{number}",
        target=f"{spec.module}/{spec.name}",
        parent=step.parent,
        memo=Memo(_switch(step.memo_key, wanted=_wants_memo(database, run_id, spec)), sharers),
        cache=_switch(step.cache_key, wanted=spec.options.cache is not None),
        defer=_switch(step.defer_key, wanted=spec.options.defer is not None),
        attempts=_attempts(database, step, spec, rows),
    )


def _step(database: Database, run_id: str, number: int) -> StepRow | None:
    sql = f"SELECT {STEP_FIELDS} FROM steps JOIN targets ON targets.id = target WHERE run = ? AND number = ?"
    return next(iter(select(database, StepRow, sql, (run_id, number))), None)


def _switch(key: bytes | None, *, wanted: bool) -> Switch:
    return "on" if key is not None else "unkeyable" if wanted else "off"


def _wants_memo(database: Database, run_id: str, spec: TargetSpec) -> bool:
    if spec.options.memo is not None:
        return bool(spec.options.memo)
    options = database.run("SELECT options FROM runs WHERE id = ?", (run_id,))
    default = decode(database.path, OPTIONS, options[0][0]).memo
    if default is not None:
        return default
    root = _step(database, run_id, 1)
    return root is not None and decode(database.path, TARGET, root.target).run_memo


def _attempts(database: Database, step: StepRow, spec: TargetSpec, rows: list[ExecutionRow]) -> tuple[Attempt, ...]:
    attempts = []
    retries = 0
    before: ExecutionRow | None = None
    limit = None if spec.options.retries is None else spec.options.retries.limit
    for row in rows:
        retries = retries + 1 if row.trigger == "retry" else 0
        attempts.append(
            Attempt(
                id=row.id,
                status=row.status,
                reason=row.reason,
                trigger=row.trigger,
                due_at=row.due_at,
                waits_for=_waits_for(database, row, spec, step.arguments),
                next=row.next,
                after=None if before is None else before.id,
                error=_error_of(database, before),
                retry=Retry(retries, limit) if retries else None,
                cache=_cache(database, step, spec, row),
                superseded_by=row.next if row.status == "deferred" else None,
            )
        )
        before = row
    return tuple(attempts)


def _error_of(database: Database, row: ExecutionRow | None) -> dict[str, str] | None:
    if row is None or row.outcome is None:
        return None
    return error_object(decode(database.path, OUTCOME, row.outcome))


# -- the cache --------------------------------------------------------------------------------------------------------


class _Lookup(NamedTuple):
    """What was looked for, and when."""

    step: StepRow
    spec: TargetSpec
    lineage: tuple[str, ...]
    at: float


def _cache(database: Database, step: StepRow, spec: TargetSpec, row: ExecutionRow) -> Cache | None:
    if step.cache_key is None or row.trigger != "submission":
        return None
    if row.status == "queued":
        return Cache("waiting")
    if row.status == "cached":
        return _hit(database, row)
    at = row.started_at if row.started_at is not None else row.finished_at
    if at is None or (row.started_at is None and row.status in ("cancelled", "deferred")):
        return Cache("skipped")
    lineage = lineage_of(workspaces_in(database), row.workspace)
    return Cache("miss", miss=_miss(database, _Lookup(step, spec, lineage, at)))


def _hit(database: Database, row: ExecutionRow) -> Cache:
    source = None if row.next is None else chain_end(database, row.next, BARE_EXECUTION_FIELDS)
    age = None
    if source is not None and source.finished_at is not None and row.finished_at is not None:
        age = max(row.finished_at - source.finished_at, 0.0)
    return Cache("hit", source=row.next, age=age, older_code=row.older_code)


def _miss(database: Database, lookup: _Lookup) -> Miss:
    targets = [
        target
        for target, encoded in database.run("SELECT id, spec FROM targets")
        if _namespace(decode(database.path, TARGET, encoded)) == _namespace(lookup.spec)
    ]
    other: Miss | None = None
    for step in _earlier(database, lookup, targets, "cache_key = ?", lookup.step.cache_key):
        sql = f"SELECT {BARE_EXECUTION_FIELDS} FROM executions WHERE run = ? AND step = ? ORDER BY attempt DESC"
        for row in select(database, ExecutionRow, sql, (step.run, step.number)):
            if row.status == "succeeded":
                return _not_used(database, lookup, row)
            if other is None and row.workspace in lookup.lineage:
                other = _no_result(row)
    if other is not None:
        return other
    visible = (
        "EXISTS (SELECT 1 FROM executions WHERE executions.run = steps.run AND step = steps.number"
        " AND workspace IN (SELECT value FROM json_each(?)))"
    )
    for step in _earlier(database, lookup, targets, visible, json.dumps(lookup.lineage), limit=1):
        return _difference(database, lookup, step)
    return Miss("none")


def _namespace(spec: TargetSpec) -> str | None:
    cache = spec.options.cache
    if cache is None:
        return None
    return f"{spec.module}:{spec.name}" if cache.namespace is None else cache.namespace


def _earlier(
    database: Database,
    lookup: _Lookup,
    targets: list[int],
    where: str,
    parameter: object,
    limit: int = CANDIDATES,
) -> list[StepRow]:
    """Steps of these targets that may be cached and were submitted before the one at hand, newest first."""
    step = lookup.step
    sql = (
        f"SELECT {STEP_FIELDS} FROM steps JOIN targets ON targets.id = target"
        " WHERE cache_key IS NOT NULL AND target IN (SELECT value FROM json_each(?)) AND created_at <= ?"
        f" AND (run <> ? OR number < ?) AND {where} ORDER BY created_at DESC, number DESC LIMIT ?"
    )
    places = (json.dumps(targets), step.created_at, step.run, step.number, parameter, limit)
    return select(database, StepRow, sql, places)


def _not_used(database: Database, lookup: _Lookup, row: ExecutionRow) -> Miss:
    """Why a result with the same key was not used."""
    sql = "SELECT forgotten FROM executions WHERE run = ? AND step = ? AND attempt = ?"
    forgotten = database.run(sql, (row.run, row.step, row.attempt))[0][0]
    if forgotten:
        return Miss("forgotten", row.id)
    if row.workspace not in lookup.lineage:
        return Miss("workspace", row.id, there=row.workspace)
    if row.finished_at is None or row.finished_at > lookup.at:
        return Miss("unfinished", row.id)
    age = lookup.at - row.finished_at
    max_age = None if lookup.spec.options.cache is None else lookup.spec.options.cache.max_age
    if max_age is not None and age > max_age:
        return Miss("age", row.id, age=age, max_age=max_age)
    return Miss("unreadable", row.id)


def _no_result(row: ExecutionRow) -> Miss | None:
    """Why there is no result with the same key here; `None` where the chain goes on: what counts is at its end."""
    if row.status in UNFINISHED:
        return Miss("unfinished", row.id)
    return Miss("failed", row.id, there=row.status) if row.next is None else None


def _difference(database: Database, lookup: _Lookup, there: StepRow) -> Miss:
    """The first thing in which the step at hand differs from an earlier one with another key."""
    here, spec, other = lookup.step, lookup.spec, decode(database.path, TARGET, there.target)
    candidate = f"{there.run}:{there.number}"
    assert spec.options.cache is not None
    assert other.options.cache is not None
    version, other_version = spec.options.cache.version or "", other.options.cache.version or ""
    if version != other_version:
        return Miss("version", candidate, here=version, there=other_version)
    ours, theirs = _keyed(database, here, spec), _keyed(database, there, other)
    for part, other_part in zip(ours, theirs, strict=False):
        if part.key != other_part.key:
            return Miss("argument", candidate, part.parameter, part.preview, other_part.preview)
    names = [", ".join(part.parameter for part in parts) for parts in (ours, theirs)]
    return Miss("arguments", candidate, here=names[0], there=names[1])


class _Part(NamedTuple):
    """An argument of which a cache key is made."""

    parameter: str
    key: ArgumentKey | None
    preview: str


def _keyed(database: Database, step: StepRow, spec: TargetSpec) -> list[_Part]:
    """What the step's cache key is made of, in key order."""
    keys = () if step.keys is None else decode(database.path, KEYS, step.keys)
    shown = previews(database, step.arguments)
    names = keyed_parameters(spec.options, spec.parameters, run_memo=False).cache or ()
    places = [spec.parameters.index(name) for name in names]
    return [_Part(name, keys[place], shown[place]) for name, place in zip(names, places, strict=True)]
