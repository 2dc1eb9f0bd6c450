"""A log that answers as the reader of the store does, all at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from coflux.executor.history import LogEntry
from coflux.logs import Level
from coflux.tui.log_query import matches
from coflux.tui.updates import (
    LogEntries,
    LogEntriesAsked,
    LogEntryAsked,
    LogFilter,
    LogIds,
    LogMatches,
    LogsAsked,
    LogSearchAsked,
    LogTimeAsked,
    LogTimeFound,
    LogWhole,
    Request,
    Update,
)
from tests.tui.pretend import NOW


class Log:
    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self.entries = list(entries)
        self.number = 0
        self.filter = LogFilter("")

    def answer(self, request: Request) -> Iterator[Update]:
        match request:
            case LogsAsked(self.number, _):
                raise AssertionError("a number was used twice")
            case LogsAsked(number, wanted):
                self.number, self.filter = number, wanted
                yield LogIds(number, [entry.id for entry in self._filtered()], True, 0.0)
            case LogEntriesAsked(number, ids):
                yield LogEntries(number, ids, [entry for entry in self.entries if entry.id in ids])
            case LogEntryAsked(number, wanted_id):
                for entry in self.entries:
                    if entry.id == wanted_id:
                        whole = msgspec.structs.replace(entry, template=(entry.template or "")[: 64 * 1024])
                        yield LogWhole(number, whole, len(entry.template or ""))
            case LogSearchAsked(number, search, looked_for) if looked_for is not None:
                found = [entry.id for entry in self._filtered() if matches(looked_for, entry)]
                yield LogMatches(number, search, found, True, 0.0)
            case LogTimeAsked(number, at):
                yield LogTimeFound(number, min(self.entries, key=lambda entry: abs(entry.at - at)).id)

    def add(self, *entries: LogEntry) -> Iterator[Update]:
        """What the reader tells when these have come."""
        self.entries += entries
        yield LogIds(self.number, [entry.id for entry in entries], False, 0.0)

    def _filtered(self) -> Iterator[LogEntry]:
        wanted = self.filter
        for entry in self.entries:
            if wanted.levels is not None and entry.level not in wanted.levels:
                continue
            if wanted.step is not None and entry.step != wanted.step:
                continue
            if all(f'"{field.name}"'.encode() in (entry.values or b"") for field in wanted.fields):
                yield entry


TRACEBACK = """cannot load page 4
Traceback (most recent call last):
  File "/srv/shop/app/steps.py", line 41, in fetch_page
    return http.get(url, timeout=30)
  File "/srv/shop/app/http.py", line 88, in get
    raise ConnectionError("connection reset by peer")
ConnectionError: connection reset by peer"""


def entry(number: int, level: Level, text: str, values: object = None, *, at: float = 0.0, **more: object) -> LogEntry:
    """`at` is in seconds from `NOW`."""
    fields = {"step": 2, "attempt": 1, "logger": None, "bar": None, "live": False} | more
    data = None if values is None else msgspec.json.encode(values)
    return LogEntry(number, "R1", at=NOW + at, level=level, template=text, values=data, **fields)  # type: ignore[arg-type]


def realistic(count: int = 60) -> list[LogEntry]:
    """What a run may have printed and logged: output, levels, values, tracebacks, CJK and emoji, colours, escapes."""
    samples: list[tuple[Level, str, object, dict[str, object]]] = [
        (Level.INFO, "requesting page {page}", {"page": 4, "url": "https://api.example.com/orders?page=4"}, {}),
        (Level.STDOUT, "GET /orders?page=4 HTTP/1.1 200 12.4 kB", None, {}),
        (Level.DEBUG, "cache miss", {"key": "orders:4", "ttl": None, "warm": False}, {}),
        (Level.WARNING, "slow response {ms} ms", {"ms": 1893, "page": 4, "retry": 2}, {"step": 3}),
        (Level.STDERR, "\x1b[33mDeprecationWarning\x1b[0m: use \x1b[1;36mload_orders()\x1b[0m instead", None, {}),
        (Level.INFO, "注文を読み込みました 🎉 {count} 件", {"count": 1204, "currency": "円", "total": 98123.5}, {}),
        (Level.ERROR, TRACEBACK, {"attempt": 3}, {"step": 3, "logger": "app.http"}),
        (Level.STDOUT, "\x1b[2J\x1b]0;gone\x07[bold]not markup[/] \u202etfel ot thgir", None, {}),
        (Level.INFO, "batch", {"rows": [1, 2, 3], "shape": {"a": [2.5, None]}, "path": "s3://bucket/a b.csv"}, {}),
        (Level.STDOUT, "epoch  3/13: 100%|██████████| 391/391 [00:12<00:00, 31.2it/s, loss=0.413]", None, {}),
    ]  # fmt: skip
    rows = []
    for number in range(count):
        level, text, values, more = samples[number % len(samples)]
        rows.append(entry(number + 1, level, text, values, at=number * 0.337, **more))
    return rows


def clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(NOW + at))
