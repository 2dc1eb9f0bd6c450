"""`coflux why`: the decisions on a step. From the store; no engine is needed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from coflux.cli import exits
from coflux.cli.engine import open_history, resolve_id
from coflux.cli.lines import Painter
from coflux.cli.ndjson import VERSION
from coflux.cli.options import complete_runs, json_option, project_option
from coflux.cli.streams import open_streams
from coflux.display.reasons import reason_text
from coflux.display.text import duration, visible
from coflux.executor.decisions import Attempt, Cache, Memo, Miss, Why
from coflux.executor.document import iso_time
from coflux.executor.rows import parse_execution_id
from coflux.project import Project

__all__ = ["command", "why_lines", "why_object"]

SHARERS = 5  # executions that a line names


@click.command()
@click.argument("identifier", metavar="RUN:STEP[:ATTEMPT]", shell_complete=complete_runs)
@json_option
@project_option
def command(project: Project, identifier: str, as_json: bool) -> None:
    """Show why a step was executed, or was not: what its cache, memo, defer and retry options led to.

    RUN alone stands for the run's root.
    """
    streams = open_streams()
    with open_history(project) as history:
        found = resolve_id(history, identifier)
        step = found.step or 1
        why = history.why(found.run, step)
    if why is None:
        raise exits.CommandError(f"there is no step {found.run}:{step}", exits.NOT_FOUND)
    if found.attempt is not None:
        chosen = [one for one in why.attempts if parse_execution_id(one.id)[2] == found.attempt]
        why = msgspec.structs.replace(why, attempts=tuple(chosen))
    if as_json:
        streams.out.json(msgspec.json.encode({"version": VERSION, **why_object(why)}))
    else:
        for line in why_lines(why, time.time(), Painter(streams.out_terminal.color)):
            streams.out.line(line)
    streams.finish()


def why_object(why: Why) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(why)
    for attempt in fields["attempts"]:
        attempt["due_at"] = iso_time(attempt["due_at"])
    return fields


def why_lines(why: Why, now: float, painter: Painter) -> Iterator[str]:
    """The step, its options, and each attempt with what led to it and what became of it."""
    yield f"step {why.id} {visible(why.target)}" + (f", submitted by {why.parent}" if why.parent else "")
    yield f"memo   {_memo(why.memo)}"
    yield f"cache  {_switch(why.cache)}"
    yield f"defer  {_switch(why.defer)}"
    for attempt in why.attempts:
        number = parse_execution_id(attempt.id)[2]
        yield f"attempt {number}  {painter.state(attempt.status)}"
        for text in _decisions(attempt, now):
            yield f"  {visible(text)}"


def _switch(state: str) -> str:
    return "off: one of the arguments that it looks at has no key" if state == "unkeyable" else state


def _memo(memo: Memo) -> str:
    times = Counter(memo.shared_by)
    shared = ", ".join(one if n == 1 else f"{one} ({n} times)" for one, n in list(times.items())[:SHARERS])
    more = f" and {len(times) - SHARERS} more" if len(times) > SHARERS else ""
    return _switch(memo.state) + (f"; its handle was given to {shared}{more}, too" if shared else "")


def _decisions(attempt: Attempt, now: float) -> Iterator[str]:
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
