"""Conditions on log entries, in SQL, with functions of our own for what SQL cannot tell (see `FUNCTIONS`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from coflux.executor import log_values
from coflux.logs import render

__all__ = [
    "FUNCTIONS",
    "Field",
    "LogFilter",
    "LogScope",
    "Present",
    "conditions",
    "log_query",
    "parse_field",
    "scope_conditions",
]

Condition = tuple[str, tuple[object, ...]]  # SQL and its parameters


class Present(Enum):
    """In the place of a value: any."""

    ANY = "any"


class Field(NamedTuple):
    """An entry has a value of this name, and it is equal to `value`, a JSON value. Numbers are equal as numbers, texts
    also to how a value that JSON cannot hold is shown, objects whatever the order of their keys."""

    name: str
    value: object = Present.ANY


_SPELLED = {"True": True, "False": False, "None": None}  # as entries show them, beside JSON


def parse_field(text: str) -> Field:
    """`KEY`, or `KEY=VALUE`: as JSON, True, False or None, or a text as it is.

    Raises:
        ValueError: there is no key.
    """
    name, separator, word = text.partition("=")
    if not name:
        raise ValueError(f"{text!r} is neither KEY nor KEY=VALUE")
    if not separator:
        return Field(name)
    if word in _SPELLED:
        return Field(name, _SPELLED[word])
    try:
        value = msgspec.json.decode(word)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return Field(name, word)
    is_big = isinstance(value, int) and not -(1 << 63) <= value < 1 << 63  # those are recorded as text
    return Field(name, word if is_big else value)


class LogScope(NamedTuple):
    """Whose entries.

    runs: of these runs.
    steps: of these steps only, of runs that are among them; other runs are meant as a whole.
    attempt: of this attempt of each step; `None` for all.
    """

    runs: Collection[str]
    steps: Mapping[str, Collection[int]] = {}
    attempt: int | None = None


class LogFilter(NamedTuple):
    """What entries must be like.

    levels: of one of these levels.
    text: with this text in what is shown, the template with its values filled in; in upper or lower case.
    pattern: this regular expression is found in what is shown, in upper or lower case.
    since, until: made at these times or between them, in seconds since the epoch.
    logger: of this logger of the standard library or one below it (`app` has `app.db`).
    fields: with all of these values.
    """

    levels: Collection[int] | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None
    logger: str | None = None
    fields: Sequence[Field] = ()
    pattern: str | None = None


# What JSON does not hold as it is, is an object: its preview, and its projection if it has one (see `log_values`).
_HAS_FIELD = 'EXISTS (SELECT 1 FROM json_each(CAST("values" AS TEXT)) AS field WHERE field.key = ? AND {})'
_TYPE = "coalesce(json_type(field.value, '$.\"$json\"'), '')"
_PROJECTION = "json_extract(field.value, '$.\"$json\"')"
_SHOWN = "json_extract(field.value, '$.\"$repr\"')"


def log_query(
    columns: str,
    run: str,
    step: int | None,
    attempt: int | None,
    after: int,
    before: int | None,
    wanted: LogFilter,
) -> tuple[str, list[object]]:
    """The query for rows of the table `logs`, by id, backwards from `before` if that is given; its last parameter, the
    limit, is left to the caller."""
    found: list[Condition] = [("run = ?", (run,)), ("id > ?", (after,))]
    if before is not None:
        found.append(("id < ?", (before,)))
    if step is not None:
        found.append(("step = ?", (step,)))
    if attempt is not None:
        found.append(("attempt = ?", (attempt,)))
    found += conditions(wanted)
    where = " AND ".join(condition for condition, _ in found)
    order = "id" if before is None else "id DESC"
    sql = f"SELECT {columns} FROM logs WHERE {where} ORDER BY {order} LIMIT ?"
    return sql, [parameter for _, parameters in found for parameter in parameters]


def scope_conditions(scope: LogScope) -> Iterator[Condition]:
    """Who a row of the table `logs` has to come from."""
    yield "run IN (SELECT value FROM json_each(?))", (json.dumps(list(scope.runs)),)
    if scope.steps:
        whole = [run for run in scope.runs if run not in scope.steps]
        some = [(run, step) for run, steps in scope.steps.items() for step in steps]
        # The plus keeps them away from the index, which finds one run's entries of a time, not one step's.
        is_of_step = "(+run, +step) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"
        parameters = json.dumps(whole), json.dumps(some)
        yield f"(+run IN (SELECT value FROM json_each(?)) OR {is_of_step})", parameters
    if scope.attempt is not None:
        yield "attempt = ?", (scope.attempt,)


def conditions(wanted: LogFilter) -> Iterator[Condition]:
    """What a row of the table `logs` has to fulfil."""
    if wanted.levels is not None:
        yield f"level IN ({', '.join('?' * len(wanted.levels))})", tuple(wanted.levels)
    if wanted.text is not None:
        yield 'log_shows(?, template, "values", logger)', (wanted.text.casefold(),)
    if wanted.pattern is not None:
        yield 'log_matches(?, template, "values", logger)', (wanted.pattern,)
    if wanted.since is not None:
        yield "at >= ?", (wanted.since,)
    if wanted.until is not None:
        yield "at <= ?", (wanted.until,)
    if wanted.logger is not None:
        yield (
            "(logger = ? OR substr(logger, 1, ?) = ?)",
            (
                wanted.logger,
                len(wanted.logger) + 1,
                f"{wanted.logger}.",
            ),
        )
    for field in wanted.fields:
        condition, parameters = _equals(field.value)
        yield _HAS_FIELD.format(condition), (field.name, *parameters)


def _equals(value: object) -> Condition:
    """On a row `field` of `json_each`. Its functions are asked of objects and arrays only: all else is no JSON text."""
    if value is Present.ANY:
        return "1", ()
    if value is None or isinstance(value, bool):
        return "field.type = ?", ("null" if value is None else str(value).lower(),)
    if isinstance(value, int | float):
        projected = f"CASE WHEN field.type = 'object' THEN {_TYPE} IN ('integer', 'real') AND {_PROJECTION} = ? END"
        return f"(field.type IN ('integer', 'real') AND field.atom = ? OR {projected})", (value, value)
    if isinstance(value, str):
        shown = f"CASE WHEN field.type = 'object' THEN ? IN ({_SHOWN}, {_PROJECTION}) END"
        return f"(field.type = 'text' AND field.atom = ? OR {shown})", (value, value)
    projected = (
        "CASE field.type WHEN 'array' THEN field.value WHEN 'object' THEN"
        f" CASE WHEN {_TYPE} = '' THEN field.value WHEN {_TYPE} IN ('array', 'object') THEN {_PROJECTION} END END"
    )
    return f"canonical_json({projected}) = ?", (_canonical_json(json.dumps(value)),)


def _shows(text: str, template: str | None, values: bytes | None, logger: str | None) -> bool:
    """Whether an entry is shown with `text`, which is case-folded. Most have no values: nothing is built for them."""
    shown = render(template, log_values.texts(values), literal=logger is not None) if values else template or ""
    return text in shown.casefold()


def _matches(pattern: str, template: str | None, values: bytes | None, logger: str | None) -> bool:
    shown = render(template, log_values.texts(values), literal=logger is not None) if values else template or ""
    return re.search(pattern, shown, re.IGNORECASE) is not None


def _canonical_json(text: str | None) -> str | None:
    """The same text for all JSON texts of one value: as in `Field`, in all its depths. `None` for none."""
    return None if text is None else json.dumps(json.loads(text, parse_float=_number), sort_keys=True)


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


FUNCTIONS: Mapping[str, Callable[..., str | bool | None]] = {
    "log_shows": _shows,
    "log_matches": _matches,
    "canonical_json": _canonical_json,
}
"""What `conditions` need of a database, by name. They are pure."""
