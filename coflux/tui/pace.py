"""How often something may be done that is not to take more than a share of a core, whatever one time costs. No clock in
here."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Allows what a thread does as long as the thread has not used more CPU time than its share, and then again once
    that is made up for; that takes at most a given time, so that what is done goes on, if more seldom.

    All that the thread does counts. So what must be done at once is done, and what can wait does.
    """

    def __init__(self, share: float, patience: float) -> None:
        """`share` is of a core, `patience` the most seconds from one time to the next."""
        self._share = share
        self._most_owed = share * patience
        self._now = 0.0
        self._used = 0.0
        self._owed = 0.0  # CPU seconds

    def allows(self, now: float, used: float) -> bool:
        """Whether it may be done now. `now` are monotonic seconds, `used` those of CPU time that the thread has used in
        its life."""
        owed = self._owed + (used - self._used) - (now - self._now) * self._share
        self._owed = min(max(owed, 0.0), self._most_owed)
        self._now, self._used = now, used
        return self._owed <= 0
