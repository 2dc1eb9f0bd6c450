"""All there is to know about one step, for whoever has to find out why it failed: people, programs, dashboards."""

from __future__ import annotations

from typing import NamedTuple

from coflux.encoded import preview_of
from coflux.executor.causes import Cause, cause_chain
from coflux.executor.document import StepInfo
from coflux.executor.history import History, LogEntry
from coflux.executor.messages import Failed, Outcome
from coflux.executor.rows import ExecutionRow

__all__ = ["Argument", "Dossier", "dossier_of", "named_arguments"]

LOGS = 50  # entries


class Argument(NamedTuple):
    """`summary` is for those that have more to show than a line; "" otherwise."""

    name: str
    preview: str
    summary: str


class Dossier(NamedTuple):
    """A step with all of its attempts. `execution` is the one that it is about, with its outcome, if it has one;
    `causes` are the chain of its error, `logs` its last 50 entries; `more_logs`: there are others before them."""

    step: StepInfo
    attempts: list[ExecutionRow]
    execution: ExecutionRow
    outcome: Outcome | None
    arguments: list[Argument]
    causes: list[Cause]
    logs: list[LogEntry]
    more_logs: bool


def dossier_of(history: History, execution: ExecutionRow) -> Dossier:
    """Read what there is about an execution and its step."""
    run, number = execution.run, execution.step
    [step] = history.steps(run, number - 1, limit=1)
    attempts = history.attempts(run, number)
    outcome = history.outcome(execution.id)
    causes = cause_chain(outcome.failure) if isinstance(outcome, Failed) else []
    logs = history.logs(run, number, execution.attempt, before=1 << 62, limit=LOGS + 1)
    arguments = named_arguments(history, step)
    return Dossier(step, attempts, execution, outcome, arguments, causes, logs[-LOGS:], len(logs) > LOGS)


def named_arguments(history: History, step: StepInfo) -> list[Argument]:
    """The arguments of a step with the names of the parameters."""
    values = history.arguments(step.run, step.number)
    return [
        Argument(name, preview_of(value), value.summary or "")
        for name, value in zip(step.parameters, values, strict=True)
    ]
