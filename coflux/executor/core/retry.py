"""When to try again: a decision, made from numbers alone."""

from __future__ import annotations

from coflux.task_options import RetryOptions

__all__ = ["CRASH_BACKOFF", "next_delay"]

CRASH_BACKOFF = 1.0  # seconds; a process that dies at once must not become a fork bomb


def next_delay(retries: RetryOptions | None, failures: int, jitter: float, *, crashed: bool) -> float | None:
    """Seconds until the next attempt, or `None` when the failure is final.

    Args:
        retries: the policy, `None` for no retries.
        failures: consecutive failures before the one at hand.
        jitter: uniform in [0, 1), used for unlimited retries only.
        crashed: the process ended without an outcome, so the wait is at least `CRASH_BACKOFF`.
    """
    if retries is None:
        return None
    spread = retries.backoff_max - retries.backoff_min
    if retries.limit is None:
        delay = retries.backoff_min + jitter * spread
    elif failures < retries.limit:
        delay = retries.backoff_min + failures / max(retries.limit - 1, 1) * spread
    else:
        return None
    return max(delay, CRASH_BACKOFF) if crashed else delay
