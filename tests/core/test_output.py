"""How much of an execution's output and log is recorded, and what is said of the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest

from coflux.executor import output
from coflux.executor.output import EntryLimit, OutputPipe
from coflux.executor.rows import LogRow
from coflux.logs import Level
from coflux.redaction import Redactor

OWNER = ("Rtest", 1, 1)


class Pipe:
    """A pipe to write to, and the rows that come out of it."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.rows: list[LogRow] = []
        self._pipe = OutputPipe(reading, Level.STDOUT, self.rows.append, count(), Redactor())
        self._pipe.belongs_to(OWNER)

    def write(self, data: bytes) -> None:
        os.write(self._writing, data)
        for _ in data:
            self._pipe.read(0.0)

    def end(self) -> list[str]:
        """The execution ends: all that it has written."""
        self._pipe.drain(0.0)
        texts = [row.template or "" for row in self.rows]
        self.rows.clear()
        return texts

    def belongs_to(self, owner: tuple[str, int, int] | None) -> None:
        self._pipe.belongs_to(owner)

    def close(self) -> None:
        os.close(self._writing)
        self._pipe.close()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """A pipe of which 100 bytes an execution are recorded, with four more for each line."""
    monkeypatch.setattr(output, "ATTEMPT_LIMIT", 100)
    monkeypatch.setattr(output, "ROW_SIZE", 4)
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_output_beyond_the_limit_is_dropped_and_counted_once(pipe: Pipe) -> None:
    for _ in range(30):
        pipe.write(b"123456\n")
    assert pipe.end() == ["123456"] * 10 + ["… 140 bytes of output dropped (the limit is 0 MiB)"]
    pipe.belongs_to(OWNER)
    pipe.write(b"again\n")
    assert pipe.end() == ["again"]


def test_what_a_progress_bar_overwrites_does_not_count(pipe: Pipe) -> None:
    for number in range(100):
        pipe.write(b"\r%d %%" % number)
    pipe.write(b"\nthe end\n")
    assert pipe.end() == ["99 %", "the end"]


def test_bytes_that_are_no_text_are_escaped(pipe: Pipe) -> None:
    pipe.write(b"\xff caf\xc3\xa9 \x00\x1b[1m\n")
    assert pipe.end() == ["\\xff café \x00\x1b[1m"]


def test_nothing_is_recorded_between_executions(pipe: Pipe) -> None:
    pipe.belongs_to(None)
    pipe.write(b"nobody\n")
    assert pipe.end() == []


def test_entries_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "ATTEMPT_LIMIT", 100)
    monkeypatch.setattr(output, "ROW_SIZE", 4)
    limit = EntryLimit()
    assert [limit.admits(46), limit.admits(46)] == [True, True]
    assert limit.marker() is None
    assert [limit.admits(1000), limit.admits(5)] == [False, False]
    assert limit.marker() == "… 2 log entries (1,005 bytes) dropped (the limit is 0 MiB)"
