"""Executions of runs that nobody has taken in."""

from __future__ import annotations

from coflux.executor.core.archive import Recorded
from coflux.executor.core.detached import detached_execution
from coflux.executor.core.state import State
from tests.core.bench import new_scheduler
from tests.core.factories import failed, succeeded


def test_a_detached_execution_has_ended() -> None:
    outcome = succeeded("7")
    execution = detached_execution(Recorded("Rold:3:2", State.SUCCEEDED, outcome, b"", 5.0, "shop.orders", "load"))
    assert execution.id == "Rold:3:2"
    assert not execution.unfinished
    assert execution.end() is execution
    assert execution.outcome is outcome
    assert (execution.step.spec.module, execution.step.spec.name) == ("shop.orders", "load")


def test_nobody_knows_it() -> None:
    scheduler = new_scheduler()
    execution = detached_execution(Recorded("Rold:1:1", State.FAILED, failed()))
    assert scheduler.find(execution.id) is None
    assert execution.step.run.family.unfinished == 0
    assert not scheduler.families
