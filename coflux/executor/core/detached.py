"""Executions of runs that have settled and are not in the register: for those who hold a handle of one."""

from __future__ import annotations

from coflux.executor.core.archive import Recorded
from coflux.executor.core.state import Execution, Run, Step
from coflux.executor.messages import RunOptions, TargetSpec
from coflux.task_options import TaskOptions

__all__ = ["detached_execution"]


def detached_execution(recorded: Recorded) -> Execution:
    """An execution that has ended, in a run and a family of its own that nobody else knows."""
    run_id, step, attempt = recorded.id.split(":")
    spec = TargetSpec(recorded.module, recorded.name, "task", (), TaskOptions())
    run = Run(run_id, None, None, RunOptions(), recorded.created_at)
    execution = Execution(
        Step(run, int(step), None, None, spec, b"", (), 0, recorded.created_at),
        int(attempt),
        None,
        0,
        recorded.created_at,
    )
    execution.state = recorded.state
    execution.outcome = recorded.outcome
    execution.fingerprint = recorded.fingerprint
    return execution
