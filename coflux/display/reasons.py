"""Why something is not running yet, or did not succeed, in words."""

from __future__ import annotations

import time

from coflux.display.text import duration
from coflux.executor.messages import Failed, Outcome, Terminated
from coflux.executor.rows import ExecutionRow

__all__ = ["problem_of", "reason_of", "reason_text"]

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


def problem_of(outcome: Outcome | None) -> str:
    """One line on why an execution did not succeed, "" when it did."""
    match outcome:
        case Failed(failure):
            first, _, _ = failure.message.partition("\n")
            name = failure.type.removeprefix("builtins.")
            return f"{name}: {first}" if first else name
        case Terminated(_, message):
            return message.partition("\n")[0]
        case _:
            return ""
