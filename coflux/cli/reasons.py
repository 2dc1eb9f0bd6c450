"""Why something is not running yet, in words."""

from __future__ import annotations

import time

from coflux.cli.text import duration
from coflux.executor.rows import ExecutionRow

__all__ = ["reason_of", "reason_text"]

DAY = 86_400.0  # seconds


def reason_of(row: ExecutionRow, now: float) -> str:
    """Why an execution is in its state, "" when there is nothing to say."""
    return reason_text(row.reason, row.due_at, now) if row.status == "queued" else row.reason


def reason_text(reason: str, due_at: float | None, now: float) -> str:
    """The reason of something queued, with the time when it is due if that is to come."""
    if due_at is None or due_at <= now:
        return reason
    form = "%H:%M:%S" if due_at - now < DAY / 2 else "%Y-%m-%d %H:%M:%S"
    until = f"until {time.strftime(form, time.localtime(due_at))} (in {duration(due_at - now)})"
    return f"delayed {until}" if reason in ("", "delayed") else f"{reason}; delayed {until}"
