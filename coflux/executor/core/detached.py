"""Executions of runs that have settled and are not in the register: for those who hold a handle of one."""

from __future__ import annotations

from coflux.executor.core.state import Execution, Run, State, Step
from coflux.executor.messages import Outcome, RunOptions, TargetSpec
from coflux.task_options import TaskOptions

__all__ = ["detached_execution"]


def detached_execution(
    run_id: str, step: int, attempt: int, state: State, outcome: Outcome, module: str, name: str
) -> Execution:
    """An execution that has ended, in a run and a family of its own that nobody else knows."""
    run = Run(run_id, None, None, RunOptions(), 0.0)
    spec = TargetSpec(module, name, "task", (), TaskOptions())
    execution = Execution(Step(run, step, None, None, spec, b"", (), 0, 0.0), attempt, None, 0, 0.0)
    execution.state = state
    execution.outcome = outcome
    return execution
