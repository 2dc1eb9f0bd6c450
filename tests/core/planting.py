"""Planting bugs: a right method is replaced by a wrong one, and a few hundred lives of the simulation must notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coflux.executor.core.state import InvalidTransition
from tests.core.simulation import Simulation

__all__ = ["Method", "Planted", "catches", "plant"]

SEEDS = 1_500

Method = Callable[..., Any]
Planted = list[tuple[object, str, Callable[[Method], Method]]]


def plant(
    planted: Planted, owner: object, method: str
) -> Callable[[Callable[[Method], Method]], Callable[[Method], Method]]:
    """Register a bug: a function that is given the right method and returns the wrong one."""

    def register(bug: Callable[[Method], Method]) -> Callable[[Method], Method]:
        planted.append((owner, method, bug))
        return bug

    return register


def catches(owner: object, method: str, bug: Callable[[Method], Method], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if no life shows the bug: as a broken promise, or as an error in the scheduler itself."""
    monkeypatch.setattr(owner, method, bug(getattr(owner, method)))
    with pytest.raises((AssertionError, InvalidTransition, LookupError)):
        _live()


def _live() -> None:
    for seed in range(SEEDS):
        Simulation(seed).run()
