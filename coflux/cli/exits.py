"""Exit statuses, and the error that ends a command with one."""

from __future__ import annotations

__all__ = [
    "FAILED",
    "HUNG_UP",
    "INTERRUPTED",
    "NOT_FOUND",
    "SUCCEEDED",
    "TERMINATED",
    "TIMED_OUT",
    "USAGE",
    "CommandError",
    "exit_status",
]

SUCCEEDED = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
TIMED_OUT = 124
HUNG_UP = 129
INTERRUPTED = 130
TERMINATED = 143


class CommandError(Exception):
    """Ends the command with one message on stderr and the exit status `status`."""

    def __init__(self, message: str, status: int = USAGE) -> None:
        super().__init__(message)
        self.status = status


def exit_status(state: str) -> int:
    """The exit status for the state in which a root's chain ended."""
    return {"succeeded": SUCCEEDED, "timed_out": TIMED_OUT}.get(state, FAILED)
