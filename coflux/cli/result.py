"""The result of an execution, for standard output; and what to say when there is none."""

from __future__ import annotations

import json

from coflux.cli import exits
from coflux.cli.targets import RunId
from coflux.cli.terminal import Output
from coflux.display.reasons import problem_of
from coflux.display.text import visible
from coflux.encoded import json_of, preview_of, summary_of
from coflux.executor.history import History
from coflux.executor.messages import Outcome, Succeeded
from coflux.executor.rows import ExecutionRow, format_execution_id

__all__ = ["describe_end", "end_of", "end_of_step", "newest_attempt", "outcome_of", "print_result"]


def newest_attempt(history: History, run_id: str, step: int) -> int:
    """The number of the step's newest attempt, 0 when there is none."""
    newest = 0
    while page := history.executions(run_id, after=(step, newest)):
        attempts = [row.attempt for row in page if row.step == step]
        newest = max([newest, *attempts])
        if len(attempts) < len(page):
            break
    return newest


def end_of_step(
    history: History, run_id: str, step: int = 1, workspace: str | None = None
) -> tuple[ExecutionRow, Outcome | None]:
    """As `end_of`, of the step's newest attempt that a workspace sees (default: the run's own)."""
    attempt = history.newest_attempt(run_id, step, workspace) or newest_attempt(history, run_id, step)
    return end_of(history, format_execution_id(run_id, step, attempt))


def end_of(history: History, execution_id: str) -> tuple[ExecutionRow, Outcome | None]:
    """The end of the execution's chain, so far, and its outcome, if it has one."""
    end = history.chain_end(execution_id)
    if end is None:
        raise exits.CommandError(f"there is no execution {execution_id}", exits.NOT_FOUND)
    return end, history.outcome(end.id)


def outcome_of(
    history: History, identifier: RunId, workspace: str | None = None
) -> tuple[ExecutionRow, Outcome | None]:
    """What a run, a step or an attempt ended with: an attempt's own outcome if it has one, else that of the execution
    its chain ends with."""
    step = identifier.step or 1
    if identifier.attempt is None:
        return end_of_step(history, identifier.run, step, workspace)
    execution_id = format_execution_id(identifier.run, step, identifier.attempt)
    row = history.execution(execution_id)
    outcome = history.outcome(execution_id)
    return (row, outcome) if row is not None and outcome is not None else end_of(history, execution_id)


def print_result(out: Output, outcome: Outcome | None, *, raw: bool, summary: bool = False) -> None:
    """Print the value of a success as one line of JSON, or as its repr if it has no JSON form: in some more lines, if
    there is a `summary` and it is wanted. A `raw` text is printed as it is."""
    if not isinstance(outcome, Succeeded):
        return
    text = json_of(outcome.value)
    if text is None:
        out.line((summary_of(outcome.value) if summary else None) or preview_of(outcome.value))
    elif raw and text.startswith('"'):
        out.line(json.loads(text))
    else:
        out.json(text)


def describe_end(name: str, row: ExecutionRow, outcome: Outcome | None) -> str:
    """One line on how a run or a step ended that did not succeed."""
    why = visible(problem_of(outcome) or row.reason)
    return f"{name} {row.status.replace('_', ' ')}{f': {why}' if why else ''}"
