"""The document that `coflux run --json` and `coflux runs inspect --json` print: one run as JSON, version 1.

Keys may be added within a version, never renamed. Times are ISO 8601 in UTC, durations seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from coflux.encoded import json_of, preview_of
from coflux.errors import ExecutionAbandoned, ExecutionCancelled, ExecutionTimeout
from coflux.executor.messages import Failed, Outcome, Succeeded, Terminated, Usage
from coflux.executor.rows import ExecutionRow, GroupRow, Row, RunRow, SharedRow, format_execution_id

__all__ = [
    "VERSION",
    "StepInfo",
    "error_object",
    "execution_object",
    "iso_time",
    "render",
    "result_fields",
    "run_object",
    "step_objects",
    "usage_object",
]

VERSION = 1

_TERMINATED = {"cancelled": ExecutionCancelled, "timed_out": ExecutionTimeout, "abandoned": ExecutionAbandoned}


class StepInfo(Row, frozen=True):
    """A step for people: `parameters` are the target's parameter names, `arguments` a preview of each argument,
    `spawned` is the run of its own that a workflow became, and `retries` how many it may have, if there is a limit."""

    run: str
    number: int
    parent: str | None
    group: int | None
    module: str
    name: str
    type: str
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    depth: int
    created_at: float
    spawned: str | None = None
    retries: int | None = None

    @property
    def id(self) -> str:
        return f"{self.run}:{self.number}"


def render(
    run: RunRow,
    outcome: Outcome | None,
    steps: Iterable[StepInfo],
    executions: Iterable[ExecutionRow],
    groups: Iterable[GroupRow],
    shared: Iterable[SharedRow],
    problems: Mapping[str, Outcome],
    *,
    interrupted: bool = False,
) -> bytes:
    """Return the document of `run`. `outcome` is that of the end of its root's chain, `None` while there is none;
    `problems` are the outcomes of the executions that did not succeed, by id; `interrupted` says that the run is
    unfinished and no engine works on it."""
    document = {
        "version": VERSION,
        "run": run_object(run, interrupted=interrupted),
        **result_fields(outcome),
        "steps": step_objects(steps, executions, groups, shared, problems),
    }
    return msgspec.json.encode(document)


def run_object(run: RunRow, *, interrupted: bool = False) -> dict[str, object]:
    return {
        "id": run.id,
        "target": f"{run.module}/{run.name}",
        "workspace": run.workspace,
        "parent": run.parent,
        "status": run.status,
        "interrupted": interrupted,
        "created_at": iso_time(run.created_at),
        "started_at": iso_time(run.started_at),
        "finished_at": iso_time(run.finished_at),
    }


def step_objects(
    steps: Iterable[StepInfo],
    executions: Iterable[ExecutionRow],
    groups: Iterable[GroupRow],
    shared: Iterable[SharedRow],
    problems: Mapping[str, Outcome],
) -> list[dict[str, object]]:
    """Steps with these executions, in the order of the steps; `problems` as in `render`."""
    attempts: dict[str, list[ExecutionRow]] = {}
    for execution in executions:
        attempts.setdefault(f"{execution.run}:{execution.step}", []).append(execution)
    sharers: dict[str, list[str]] = {}
    for share in shared:
        step_id = share.child.rpartition(":")[0]
        sharers.setdefault(step_id, []).append(format_execution_id(share.run, share.step, share.attempt))
    # A step names its group by number, which counts the groups of the execution that submitted it.
    named = {(format_execution_id(group.run, group.step, group.attempt), group.number): group for group in groups}
    return [
        {
            "id": step.id,
            "target": f"{step.module}/{step.name}",
            "parent": step.parent,
            "group": None if step.group is None else _group(named[step.parent or "", step.group]),
            "parameters": step.parameters,
            "arguments": step.arguments,
            "spawned": step.spawned,
            "shared_by": sharers.get(step.id, []),
            "executions": [
                {**execution_object(row), "error": error_object(problems.get(row.id))}
                for row in attempts.get(step.id, ())
            ],
        }
        for step in steps
    ]


def result_fields(outcome: Outcome | None) -> dict[str, object]:
    result: msgspec.Raw | None = None
    text: str | None = None
    if isinstance(outcome, Succeeded):
        # Spliced in as it is: decoding it here would lose what no Python float or 64-bit integer holds.
        projection = json_of(outcome.value)
        result = None if projection is None else msgspec.Raw(projection.encode())
        text = preview_of(outcome.value)
    return {"result": result, "result_repr": text, "error": error_object(outcome, traceback=True)}


def error_object(outcome: Outcome | None, *, traceback: bool = False) -> dict[str, str] | None:
    match outcome:
        case Failed(failure):
            error, text = {"type": failure.type, "message": failure.message}, failure.traceback
        case Terminated(kind, message):
            exception = _TERMINATED[kind]
            error, text = {"type": f"{exception.__module__}.{exception.__name__}", "message": message}, ""
        case _:
            return None
    return {**error, "traceback": text} if traceback else error


def execution_object(row: ExecutionRow) -> dict[str, object]:
    return {
        "id": row.id,
        "attempt": row.attempt,
        "status": row.status,
        "trigger": row.trigger,
        "workspace": row.workspace,
        "reason": row.reason,
        "due_at": iso_time(row.due_at),
        "waits_for": row.waits_for,
        "next": row.next,
        "older_code": row.older_code,
        "created_at": iso_time(row.created_at),
        "started_at": iso_time(row.started_at),
        "finished_at": iso_time(row.finished_at),
        **usage_object(row),
    }


def usage_object(usage: ExecutionRow | Usage | None) -> dict[str, object]:
    return {key: getattr(usage, key, None) for key in ("cpu_seconds", "peak_memory", "read_bytes", "written_bytes")}


def _group(group: GroupRow) -> dict[str, object]:
    return {"number": group.number, "name": group.name, "parent": group.parent}


def iso_time(instant: float | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
