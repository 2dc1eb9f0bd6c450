"""What people type to find their way in a log: what to look for, and a time."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache

from coflux.durations import parse_duration
from coflux.executor import log_values
from coflux.executor.history import LogEntry
from coflux.executor.log_search import Field, parse_field
from coflux.logs import render
from coflux.tui.updates import LogSearch

__all__ = ["expression", "matches", "parse_moment", "parse_search", "shown_text"]

DAY = timedelta(days=1)

# `=name` and `=name=value`: a word, whose value may be in quotes.
_FIELD = re.compile(r'(?:^|(?<=\s))=([^\s="]+(?:=(?:"(?:[^"\\]|\\.)*"|\S*))?)(?:\s+|$)')


def parse_search(text: str) -> tuple[LogSearch | None, tuple[Field, ...]]:
    """`text`, `/expression/`, and among them words `=name` or `=name=value`: what to look for, `None` for nothing; and
    the values that entries must have to be shown at all.

    Raises:
        ValueError: the expression is none; the message says what is wrong, and where.
    """
    fields = tuple(parse_field(word) for word in _FIELD.findall(text))
    rest = _FIELD.sub("", text).strip()
    if len(rest) > 2 and rest.startswith("/") and rest.endswith("/"):
        try:
            re.compile(rest[1:-1], re.IGNORECASE)
        except re.error as error:
            raise ValueError(str(error)) from None
        except (OverflowError, RecursionError):
            raise ValueError("too big an expression") from None
        return LogSearch(pattern=rest[1:-1]), fields
    return (LogSearch(rest) if rest else None), fields


@lru_cache(maxsize=8)
def expression(search: LogSearch) -> re.Pattern[str]:
    """What finds it in a text."""
    return re.compile(search.pattern or re.escape(search.text), re.IGNORECASE)


def shown_text(entry: LogEntry) -> str:
    """An entry as it is searched: the template with its values filled in, and the others after it."""
    if not entry.values:
        return entry.template or ""
    return render(entry.template, log_values.texts(entry.values), literal=entry.logger is not None)


def matches(search: LogSearch, entry: LogEntry) -> bool:
    """Whether it is found in an entry, as the store finds it."""
    text = shown_text(entry)
    return search.text.casefold() in text.casefold() if search.text else expression(search).search(text) is not None


def parse_moment(text: str, began: float, ended: float) -> float:
    """A time in seconds since the epoch. `+30s` is that long after `began`, `-5m` before `ended`; `12:03:22` is local
    time, the first one after `began`; a date may come before it.

    Raises:
        ValueError: it is none of these.
    """
    text = text.strip()
    if text[:1] in ("+", "-"):
        with suppress(ValueError, OverflowError):
            seconds = parse_duration(text[1:]).total_seconds()
            return began + seconds if text[0] == "+" else ended - seconds
    with suppress(ValueError, OverflowError, OSError):
        start = datetime.fromtimestamp(began)
        found = datetime.fromisoformat(f"{start.date().isoformat()}T{text}")
        # The second in which it began is not over, though a part of it is.
        if found < start.replace(microsecond=0) - timedelta(seconds=59 if text.count(":") == 1 else 0):
            found += DAY
        return found.timestamp()
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromisoformat(text).timestamp()
    example = time.strftime("%H:%M:%S", time.localtime(began))
    raise ValueError(f"{text!r} is no time: {example}, +30s from the beginning, or -5m before the end")
