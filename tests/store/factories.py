"""Rows with sensible defaults, and second processes."""

from __future__ import annotations

import subprocess
import sys
from array import array
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import msgspec

from coflux.executor.collection import GarbageCollection, Steps
from coflux.executor.marking import Limits
from coflux.executor.messages import RunOptions, Succeeded, TargetSpec
from coflux.executor.requests import Collected
from coflux.executor.rows import (
    AssetRow,
    Batch,
    ExecutionRow,
    GroupRow,
    LogRow,
    MetricRow,
    PointsRow,
    PrunedRow,
    RunRow,
    SharedRow,
    StepRow,
)
from coflux.executor.store import Store
from coflux.task_options import TaskOptions
from coflux.values import Value

NO_LIMITS = Limits()

PROJECT = Path(__file__).parents[2]


def json_value(text: str, **changes: Any) -> Value:
    return Value("json", text.encode(), len(text), **changes)


def run_row(run: str = "Rtest", **changes: Any) -> RunRow:
    fields: dict[str, Any] = {
        "workspace": "default",
        "module": "shop.orders",
        "name": "ingest",
        "type": "workflow",
        "parent": None,
        "root_run": run,
        "context": 1,
        "idempotency_key": None,
        "options": msgspec.msgpack.encode(RunOptions()),
        "status": "running",
        "created_at": 1_700_000_000.25,
    }
    return RunRow(run, **fields | changes)


def step_row(
    run: str = "Rtest",
    number: int = 1,
    *,
    values: tuple[Value, ...] = (),
    options: TaskOptions | None = None,
    **changes: Any,
) -> StepRow:
    """A step. Its target has as many parameters as there are values: `p0`, `p1`, …"""
    fields: dict[str, Any] = {
        "parent": None,
        "group": None,
        "module": "shop.orders",
        "name": "ingest",
        "type": "task",
        "depth": 0,
        "created_at": 1_700_000_001.0,
    }
    fields |= changes
    names = tuple(f"p{n}" for n in range(len(values)))
    spec = TargetSpec(fields["module"], fields["name"], fields["type"], names, options or TaskOptions())
    fields.setdefault("target", msgspec.msgpack.encode(spec))
    return StepRow(run, number, arguments=msgspec.msgpack.encode(values), **fields)


def execution_row(run: str = "Rtest", step: int = 1, attempt: int = 1, **changes: Any) -> ExecutionRow:
    fields: dict[str, Any] = {"status": "queued", "reason": "ready", "next": None, "created_at": 1_700_000_002.0}
    return ExecutionRow(run, step, attempt, **fields | changes)


def succeeded(json: str = "1") -> bytes:
    return msgspec.msgpack.encode(Succeeded(json_value(json)))


def log_row(run: str = "Rtest", step: int = 1, attempt: int = 1, **changes: Any) -> LogRow:
    fields: dict[str, Any] = {"at": 1_700_000_003.0, "level": 2, "template": "hello", "values": None}
    return LogRow(run, step, attempt, **fields | changes)


def metric_row(run: str = "Rtest", step: int = 1, attempt: int = 1, **changes: Any) -> MetricRow:
    """A metric; `group` and `scale` are objects."""
    fields: dict[str, Any] = {"number": 0, "key": "loss", "group": None, "scale": None} | changes
    for axis in ("group", "scale"):
        fields[axis] = None if fields[axis] is None else msgspec.json.encode(fields[axis])
    return MetricRow(run, step, attempt, **fields)


def points_row(
    values: Sequence[float],
    at: Sequence[float] | None = None,
    run: str = "Rtest",
    step: int = 1,
    attempt: int = 1,
    metric: int = 0,
    first: int = 0,
) -> PointsRow:
    """Points of a metric, at 0.5, 1.5, … if nothing else is said."""
    at = [first + 0.5 + index for index in range(len(values))] if at is None else at
    data = (array("d", numbers).tobytes() for numbers in (at, values))
    return PointsRow(run, step, attempt, metric, first, len(values), *data)


def batch(
    *rows: RunRow
    | StepRow
    | ExecutionRow
    | GroupRow
    | SharedRow
    | AssetRow
    | LogRow
    | MetricRow
    | PointsRow
    | PrunedRow,
) -> Batch:
    result = Batch()
    for row in rows:
        match row:
            case RunRow():
                result.runs.append(row)
            case StepRow():
                result.steps.append(row)
            case ExecutionRow():
                result.executions.append(row)
            case GroupRow():
                result.groups.append(row)
            case SharedRow():
                result.shared.append(row)
            case AssetRow():
                result.assets.append(row)
            case LogRow():
                result.logs.append(row)
            case MetricRow():
                result.metrics.append(row)
            case PointsRow():
                result.points.append(row)
            case PrunedRow():
                result.pruned.append(row)
    return result


def finished_run(run: str = "Rtest", **changes: Any) -> Batch:
    """A run of one step, settled, with one log entry."""
    return batch(
        run_row(run, **{"status": "succeeded", "settled": True} | changes),
        step_row(run),
        execution_row(run, status="succeeded", outcome=succeeded()),
        log_row(run),
    )


def collect(
    store: Store, limits: Limits = NO_LIMITS, *, untouched_since: float = inf, dry_run: bool = False
) -> Collected:
    """Collect garbage, all parts of it at once. Without limits: what nothing refers to."""
    garbage = GarbageCollection(store, limits, untouched_since, dry_run=dry_run)
    garbage.look()
    if not dry_run:
        make(garbage.delete_rows())
        garbage.remove_blobs()
        make(garbage.shrink())
        garbage.measure()
    return garbage.report(1)


def make(steps: Steps, meanwhile: Callable[[], object] = bool) -> None:
    """Make all of the steps; call `meanwhile` after each."""
    try:
        step = next(steps)
        while True:
            result = step()
            meanwhile()
            step = steps.send(result)
    except StopIteration:
        pass


def start_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Run `script` in another process, which talks through its stdin and stdout; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
