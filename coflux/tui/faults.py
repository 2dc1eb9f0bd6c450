"""Faults of the dashboard itself: written to a file, since its screen is where they happen."""

from __future__ import annotations

import time
import traceback

__all__ = ["FaultLog"]

FORGIVEN = 5.0  # seconds after which a fault is not the second in a row any more


class FaultLog:
    def __init__(self, path: str) -> None:
        """`path` is the file's, "" for none."""
        self._path = path
        self._last = float("-inf")

    def add(self, error: BaseException) -> tuple[str, bool]:
        """Write it down. Returns its traceback, and whether it is the second in a row."""
        text = "".join(traceback.format_exception(error))
        now = time.monotonic()
        again, self._last = now - self._last < FORGIVEN, now
        if self._path:
            try:
                with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")
            except OSError:
                pass  # a full disk: the screen has it
        return text, again
