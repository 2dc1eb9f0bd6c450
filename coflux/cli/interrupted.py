"""Runs that nothing works on: they are unfinished, and no engine runs.

Whether one runs is asked before the store is read. So what is unfinished then was left by an engine that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from coflux.executor.history import History
from coflux.executor.rows import RunRow

__all__ = ["INTERRUPTED", "advice", "known_until", "state_of"]

INTERRUPTED = "interrupted"
NAMED = 3  # runs that a message names


def state_of(row: RunRow, engine: bool) -> str:
    """What to call a run's state: its status, unless that says that it runs and nothing does."""
    return INTERRUPTED if row.status == "running" and not engine else row.status


def known_until(history: History, row: RunRow, engine: bool, now: float) -> float:
    """The moment up to which it is known what the run did: now, while an engine runs."""
    return now if engine or row.settled else history.last_sign_of(row.id)


def advice(runs: Sequence[str]) -> str:
    """What becomes of runs that nothing works on, in one line."""
    more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    verb = "does" if len(runs) == 1 else "do"
    return (
        f"no engine runs, so {', '.join(runs[:NAMED])}{more} {verb} not go on. When one runs again, what was running is"
        " abandoned, and retried only if it has retries; what was queued goes on:"
        f" `coflux logs -f {runs[0]}` starts one and follows the run"
    )
