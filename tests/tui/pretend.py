"""Rows as the store would give them."""

from __future__ import annotations

from typing import Any

import msgspec

from coflux.executor.causes import cause_chain, members_of, notes_of
from coflux.executor.document import StepInfo
from coflux.executor.messages import Failed, Outcome
from coflux.executor.requests import ExecutionSample, Generation, GroupSample, Sampled
from coflux.executor.rows import ExecutionRow, GroupRow, RunRow, Status, Trigger
from coflux.tui.tree import RunTree, TreeRow
from coflux.tui.updates import Details, ShownValue

NOW = 1_000_000.0  # the time of all tests, in seconds since the epoch


def step(
    number: int, parent: str | None = None, *, run: str = "R1", name: str = "", group: int | None = None, text: str = ""
) -> StepInfo:
    name = name or f"t{number}"
    arguments = (text,) if text else ()
    return StepInfo(run, number, parent, group, "flow", name, "task", ("x",)[: len(arguments)], arguments, 1, NOW)


def execution(
    number: int,
    status: Status,
    *,
    run: str = "R1",
    attempt: int = 1,
    next: str | None = None,  # noqa: A002
    began: float | None = 0.0,
    took: float | None = 1.0,
    reason: str = "",
    trigger: Trigger = "submission",
) -> ExecutionRow:
    """`began` and `took` are seconds, from `NOW` and from then; a state that is not final has no end."""
    started = None if began is None or status == "queued" else NOW + began
    finished = None if started is None or took is None or status == "running" else started + took
    return ExecutionRow(run, number, attempt, status, reason, next, NOW, None, started, finished, trigger=trigger)


def details(row: ExecutionRow, outcome: Outcome | None = None, **changes: Any) -> Details:
    """What the reader would tell of an execution with this outcome."""
    known = Details(row, step(row.step, run=row.run), outcome=outcome, source="" if outcome is None else row.id)
    if isinstance(outcome, Failed):
        known = known._replace(
            causes=cause_chain(outcome.failure), notes=notes_of(outcome.failure), members=members_of(outcome.failure)
        )
    return known._replace(**changes)


def value(preview: str, summary: str = "", json: str | None = None) -> ShownValue:
    return ShownValue(preview, summary, json, json is not None, len(preview))


def group(number: int, of: int = 1, *, run: str = "R1", attempt: int = 1, name: str | None = None) -> GroupRow:
    return GroupRow(run, of, attempt, number, name, None)


def run_row(run: str = "R1", status: Status = "running", name: str = "main", **changes: object) -> RunRow:
    row = RunRow(run, "default", "flow", name, "workflow", None, run, 1, None, b"", status, NOW, NOW, None, 3)
    return msgspec.structs.replace(row, **changes)


def sample(at: float = NOW, **changes: object) -> Sampled:
    """An engine with four slots, two of which are taken."""
    executions = (ExecutionSample("R1:1:1", 1, 4712, "waiting", "", 0.5, 30 << 20, 40 << 20),)
    groups = (GroupSample("", 4, 2),)
    loaded = (Generation(1, ("flow",), "ready", False, ()),)
    before = Sampled(
        at, executions, {"busy": 1, "waiting": 1, "idle": 2}, groups, 3, 1, 1, 10.0, 200 << 20, 0.7, 1 << 20, 2 << 20,
        3 << 20, loaded,
    )  # fmt: skip
    return msgspec.structs.replace(before, **changes)


def shown(tree: RunTree) -> list[str]:
    """The rows as text: indented, folds as counts."""
    tree.layout()
    return [_text(row) for row in tree.rows]


def _text(row: TreeRow) -> str:
    indent = "  " * row.depth
    if row.folded:
        return f"{indent}{row.folded} folded"
    if row.earlier:
        return f"{indent}{row.earlier} earlier"
    return f"{indent}{row.node.title}"
