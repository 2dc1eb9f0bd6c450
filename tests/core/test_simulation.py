"""Thousands of small lives of the engine, each from its seed. `Simulation(seed).run(turns=30)` repeats one."""

from __future__ import annotations

from collections import Counter

import pytest

from coflux.executor.core.commands import Answered, Command
from coflux.executor.core.effects import Effects
from coflux.executor.core.state import Instant, State
from tests.core.simulation import Simulation

SEEDS = 2_500  # `python -m tests.core.simulate` lives as many lives as one likes
BATCH = 125


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_promise_is_kept_and_everything_settles(first: int) -> None:
    for seed in range(first, first + BATCH):
        Simulation(seed).run(turns=30)


def describe(command: Command) -> str:
    return f"answer {command.index} {command.error}" if isinstance(command, Answered) else repr(command)


def story(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the scheduler wrote and commanded in one life."""
    lines: list[str] = []
    simulation = Simulation(seed)
    drain = simulation.ledger.drain

    def listen(now: Instant) -> Effects:
        effects = drain(now)
        lines.extend(f"{execution} at {now.wall}" for execution in effects.executions)
        lines.extend(describe(command) for command in effects.commands)
        return effects

    monkeypatch.setattr(simulation.ledger, "drain", listen)
    simulation.run(turns=30)
    return lines


def test_a_seed_repeats_a_life(monkeypatch: pytest.MonkeyPatch) -> None:
    assert story(7, monkeypatch) == story(7, monkeypatch)
    assert story(7, monkeypatch) != story(8, monkeypatch)


def test_these_lives_are_eventful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the simulation never meets, it cannot check."""
    seen: Counter[str] = Counter()
    for seed in range(300):
        for line in story(seed, monkeypatch):
            seen["cycle"] += "closes a cycle" in line
            seen["expired or plain poll"] += line == "answer -1 "
            seen["later handle first"] += line.startswith(("answer 1", "answer 2", "answer 3"))
            seen["third attempt"] += ":3 running" in line
            seen["kill"] += line.startswith("KillWorker")
            seen["retire"] += line.startswith("RetireWorker")
            seen["identified"] += line.startswith("Identified")
            for state in (State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.ABANDONED, State.CANCELLED):
                seen[state.value] += f" {state.value}> at" in line
    assert min(seen.values()) >= 10, seen


OPTIONS_AT_WORK = (
    *("shared", "recorded hit", "linked hit", "superseded", "deferred", "held for arguments", "held after suspension"),
    *("blocked by a process", "held and blocked", "parked", "spawned", "recurrence", "pruned", "resumption", "rerun"),
    *("resumes", "restart", "cycle", "without a host", "unroutable", "stuck"),
)


def test_these_lives_meet_every_option() -> None:
    seen: Counter[str] = Counter()
    for seed in range(300):
        simulation = Simulation(seed)
        simulation.run(turns=30)
        seen.update(simulation.ledger.counts)
    assert min(seen[name] for name in OPTIONS_AT_WORK) >= 5, seen
