"""How often something may be done that is not to take more than a share of a core, whatever one time costs. No clock in
here."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Allows what a thread does as long as the thread has not used more CPU time than its share, and then again once
    that is made up for; that takes at most a given time, so that what is done goes on, if more seldom.

    All that the thread does counts. So what must be done at once is done, and what can wait does.
    """

    def __init__(self, share: float, patience: float, burst: float) -> None:
        """`share` is of a core, `patience` the most seconds from one time to the next, `burst` CPU seconds."""
        self._share = share
        self._most_owed = share * patience
        self._burst = burst
        self._now = 0.0
        self._used = 0.0
        self._left = 0.0  # CPU seconds; less than nothing is owed

    def hurry(self) -> None:
        """Somebody waits: until a burst of CPU time is used, everything is allowed."""
        self._left = self._burst

    def allows(self, now: float, used: float) -> bool:
        """Whether it may be done now. `now` are monotonic seconds, `used` those of CPU time that the thread has used in
        its life."""
        left = self._left - (used - self._used)
        if left < 0:
            left = min(left + (now - self._now) * self._share, 0.0)
        self._left = max(left, -self._most_owed)
        self._now, self._used = now, used
        return self._left >= 0
