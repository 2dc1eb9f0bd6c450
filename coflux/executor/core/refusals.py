"""Outcomes of what fails without having run."""

from __future__ import annotations

from coflux.encoded import Failure
from coflux.executor.core.state import Execution
from coflux.executor.messages import Failed

__all__ = ["refusal", "too_deep"]

SHOWN = 6  # calls of a chain that is too deep, the innermost ones


def refusal(message: str) -> Failed:
    return Failed(Failure("coflux.errors.ExecutionError", message, f"coflux.errors.ExecutionError: {message}\n"))


def too_deep(execution: Execution, limit: int) -> Failed:
    names: list[str] = []
    caller: Execution | None = execution
    while caller is not None and len(names) < SHOWN:
        names.append(caller.step.spec.name)
        step = caller.step
        if step.number == 1 and step.run.parent is not None:
            step = step.run.parent.step  # a run of its own is one with the step that called it
        caller = step.parent
    chain = " → ".join(reversed(names))
    return refusal(
        f"calls are nested more than {limit} deep: … → {chain}. If the recursion is meant, raise `max_depth` in the "
        "configuration"
    )
