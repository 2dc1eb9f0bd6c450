"""The decisions on a step, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from coflux.display.reasons import reason_text
from coflux.display.text import duration
from coflux.executor.decisions import Attempt, Cache, Memo, Miss, Switch
from coflux.executor.rows import parse_execution_id

__all__ = ["decisions", "memo_text", "switch_text"]

SHARERS = 5  # executions that a line names


def switch_text(state: Switch) -> str:
    """What is to be said of an option."""
    return "off: one of the arguments that it looks at has no key" if state == "unkeyable" else state


def memo_text(memo: Memo) -> str:
    """Whether equal submissions share the step, and who does."""
    times = Counter(memo.shared_by)
    shared = ", ".join(one if n == 1 else f"{one} ({n} times)" for one, n in list(times.items())[:SHARERS])
    more = f" and {len(times) - SHARERS} more" if len(times) > SHARERS else ""
    return switch_text(memo.state) + (f"; its handle was given to {shared}{more}, too" if shared else "")


def decisions(attempt: Attempt, now: float) -> Iterator[str]:
    """What led to an attempt and what became of it, a line each. `now` is in seconds since the epoch."""
    yield _trigger(attempt)
    if attempt.cache is not None:
        yield _cache(attempt.cache)
    if attempt.superseded_by is not None:
        yield f"defer: gave way to the newer submission {attempt.superseded_by}"
    if attempt.status == "queued":
        reason = reason_text(attempt.reason, attempt.due_at, now)
        if reason:
            yield f"queued: {reason}"
    elif attempt.reason:
        yield attempt.reason
    if attempt.status == "spawned" and attempt.next is not None:
        yield f"became the run {parse_execution_id(attempt.next)[0]}"


def _trigger(attempt: Attempt) -> str:
    after = f" after {attempt.after}" if attempt.after is not None else ""
    match attempt.trigger:
        case "submission":
            return "submitted"
        case "retry":
            count = ""
            if attempt.retry is not None:
                limit = attempt.retry.limit
                count = f" {attempt.retry.number}" + (f" of {limit}" if limit is not None else "")
            error = "" if attempt.error is None else _error(attempt.error)
            return f"retry{count}{after}{f': {error}' if error else ''}"
        case "resumption":
            return f"resumed{after} was suspended"
        case "recurrence":
            return f"recurrence{after} returned None"
        case "rerun":
            return f"executed again by hand{after}"


def _error(error: dict[str, str]) -> str:
    name = error["type"].removeprefix("builtins.")
    first = error["message"].partition("\n")[0]
    return f"{name}: {first}" if first else name


def _cache(cache: Cache) -> str:
    match cache.state:
        case "waiting":
            return "cache: not decided yet"
        case "skipped":
            return "cache: not asked, since it ended before"
        case "hit":
            age = f", {duration(cache.age)} old" if cache.age else ""
            code = ", from older code" if cache.older_code else ""
            return f"cache: hit, has the result of {cache.source}{age}{code}"
        case "miss":
            assert cache.miss is not None
            return f"cache: miss, {_miss(cache.miss)}"


def _miss(miss: Miss) -> str:
    match miss.reason:
        case "none":
            return "nothing with this key was there"
        case "version":
            return f"the version differs from {miss.candidate}'s: {miss.there} there, {miss.here} here"
        case "argument":
            return f"{miss.parameter} differs from {miss.candidate}'s: {miss.there} there, {miss.here} here"
        case "arguments":
            return f"{miss.candidate} has another key: it is made of {miss.there} there, of {miss.here} here"
        case "age":
            assert miss.age is not None
            assert miss.max_age is not None
            return f"{miss.candidate} was {duration(miss.age)} old, and max_age is {duration(miss.max_age)}"
        case "failed":
            return f"{miss.candidate} did not succeed: it {(miss.there or '').replace('_', ' ')}"
        case "unfinished":
            return f"{miss.candidate} had not finished"
        case "forgotten":
            return f"the cache was cleared of {miss.candidate}"
        case "workspace":
            return f"{miss.candidate} is in workspace {miss.there}, which is not seen from here"
        case "unreadable":
            return f"{miss.candidate} would do, but its value could not be read, or the code was to be new"
