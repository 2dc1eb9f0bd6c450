"""Text for people, and the streams it goes to."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.cli.terminal import Output, Terminal, terminal_of
from coflux.display.text import crop, duration, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain: naïve 東京 ✓", "plain: naïve 東京 ✓"),
        ("\x1b[2J\x07", "^[[2J^G"),
        ("a\tb", "a\tb"),
        ("a\r\nb\x7f", "a^M^Jb^?"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_what_is_shown_never_controls_a_terminal(text: str) -> None:
    assert re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202e\ud800-\udfff]", visible(text)) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0ms"),
        (0.0354, "35ms"),
        (0.9994, "999ms"),
        (0.9999, "1.0s"),
        (59.94, "59.9s"),
        (59.96, "1m00s"),
        (242, "4m02s"),
        (3599.6, "1h00m"),
        (3900, "1h05m"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text(), st.integers(0, 20))
def test_cropped_text_fits(text: str, length: int) -> None:
    assert len(crop(text, length)) <= max(length, 1)


# -- terminals --------------------------------------------------------------------------------------------------------


@contextmanager
def pseudo_terminal(rows: int = 30, columns: int = 100) -> Iterator[tuple[int, int]]:
    """The descriptors of the terminal and of the program in it."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (rows, columns))
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


@pytest.mark.parametrize(
    ("environment", "live", "color"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
        ({}, False, False),
    ],
)
def test_what_a_terminal_can_show(environment: dict[str, str], live: bool, color: bool) -> None:
    with pseudo_terminal() as (_, inner):
        assert terminal_of(inner, "utf-8", environment) == Terminal(live, color, True, 100, 30)


@pytest.mark.parametrize(
    ("environment", "color"),
    [
        ({"TERM": "xterm"}, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True),
        ({"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_a_pipe_gets_no_escapes_unless_they_are_asked_for(environment: dict[str, str], color: bool) -> None:
    reader, writer = os.pipe()
    try:
        assert terminal_of(writer, "utf-8", environment) == Terminal(False, color, True, 80, 24)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(("encoding", "term"), [("ascii", "xterm"), ("latin-1", "xterm"), ("utf-8", "linux")])
def test_marks_are_ascii_where_others_would_not_show(encoding: str, term: str) -> None:
    with pseudo_terminal() as (_, inner):
        assert terminal_of(inner, encoding, {"TERM": term}).unicode is False


def test_a_terminal_of_size_zero_is_taken_for_an_ordinary_one() -> None:
    with pseudo_terminal(0, 0) as (_, inner):
        terminal = terminal_of(inner, "utf-8", {"TERM": "xterm"})
        assert (terminal.width, terminal.height) == (80, 24)


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    output = Output(writer, "utf-8")
    text = "".join(f"{number}\n" for number in range(10_000))
    output.write(text)
    assert output.pending == len(text) - size
    received = b""
    while output.pending:
        received += os.read(reader, 65536)
        output.push()
    os.close(writer)
    while chunk := os.read(reader, 65536):
        received += chunk
    os.close(reader)
    assert received.decode() == text


def test_a_reader_that_left_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(writer, "utf-8")
    output.line("nobody reads this")
    output.line("nor this")
    output.flush()
    os.close(writer)
    assert output.error is not None
    assert (output.error.errno, output.failure(), output.pending) == (errno.EPIPE, "", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once() -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        output = Output(file.fileno(), "utf-8")
        output.line("text")
        assert output.failure() == "No space left on device"


def test_text_that_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    with open(tmp_path / "output", "wb", buffering=0) as file:
        Output(file.fileno(), "ascii").line("✓ ü \udcff")
    assert (tmp_path / "output").read_text() == "\\u2713 \\xfc \\udcff\n"
