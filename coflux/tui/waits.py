"""Who was seen to wait for others. The store does not keep that: the engine tells it while somebody watches."""

from __future__ import annotations

from coflux.executor.news import Key
from coflux.executor.requests import Sampled
from coflux.executor.rows import parse_execution_id

__all__ = ["WaitsSeen", "full_text"]


class WaitsSeen:
    """
    Attributes:
        spans: for each execution that was seen waiting, from when to when, in seconds since the epoch.
        now: those that wait.
    """

    def __init__(self) -> None:
        self.spans: dict[Key, list[tuple[float, float]]] = {}
        self.now: set[Key] = set()

    def take(self, sample: Sampled) -> None:
        waiting = {parse_execution_id(one.id) for one in sample.executions if one.state == "waiting"}
        for key in waiting - self.now:
            self.spans.setdefault(key, []).append((sample.at, sample.at))
        for key in waiting & self.now:
            began, _ = self.spans[key][-1]
            self.spans[key][-1] = began, sample.at
        self.now = waiting

    def stop(self) -> None:
        """Nobody tells any more."""
        self.now = set()


def full_text(sample: Sampled) -> str:
    """`8/8 workers busy`, if no group has a free place; "" if one has."""
    if not sample.groups or any(group.taken < group.concurrency for group in sample.groups):
        return ""
    taken, places = (sum(getattr(group, name) for group in sample.groups) for name in ("taken", "concurrency"))
    return f"{taken}/{places} workers busy"
