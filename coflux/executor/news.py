"""What a subscriber has been told of, put together until it gets to reading it."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from coflux.executor.requests import Advanced

__all__ = ["EVERYTHING", "NOTHING", "Key", "News"]

Key = tuple[str, int, int]  # run, step, attempt

_Name = TypeVar("_Name", Key, str)


class News(NamedTuple):
    """The executions that may have changed, those with new points or metrics, and the runs whose own rows are others or
    gone; `None` for any."""

    executions: frozenset[Key] | None = frozenset()
    metrics: frozenset[Key] | None = frozenset()
    runs: frozenset[str] | None = frozenset()

    def merge(self, message: Advanced) -> News:
        """This, and what came after it."""
        return News(
            _merged(self.executions, message.executions),
            _merged(self.metrics, message.metrics),
            _merged(self.runs, message.runs),
        )


NOTHING = News()
EVERYTHING = News(None, None, None)


def _merged(known: frozenset[_Name] | None, more: tuple[_Name, ...] | None) -> frozenset[_Name] | None:
    return None if known is None or more is None else known.union(more)
