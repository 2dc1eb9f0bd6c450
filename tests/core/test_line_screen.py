"""Lines of output as a terminal would show them: by tables, and with what tqdm and rich write."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress
from tqdm import tqdm

from coflux.executor.line_screen import LINE_LIMIT, LineScreen, Picture

tqdm.monitor_interval = 0  # no thread of its own, which other tests of this process would find


def lines_of(*chunks: bytes) -> list[bytes]:
    """What is finished in the end, in order."""
    screen = LineScreen(count())
    pictures = [picture for chunk in chunks for picture in screen.feed(chunk, 0.0)]
    return [picture.text for picture in [*pictures, *screen.close()]]


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        # Plain text is finished at its newline, and kept as it is.
        (b"a\n\nb\n", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"unfinished", [b"unfinished"]),
        (b"\xff\x00\x1b[2J\x1b]0;title\x07\x1b[?1049h\n", [b"\xff\x00\x1b[2J\x1b]0;title\x07\x1b[?1049h"]),
        (b"\x1b[31mred\x1b[0m\n", [b"\x1b[31mred\x1b[0m"]),
        (b"\x1b[01;31m\x1b[Kmatch\x1b[m\x1b[K\n", [b"\x1b[01;31m\x1b[Kmatch\x1b[m\x1b[K"]),  # grep --color
        (b"\x1b[Anowhere to go\n", [b"\x1b[Anowhere to go"]),
        (b"x\x1b[5Gy\x1b[3J\x1b[B\n", [b"x\x1b[5Gy\x1b[3J\x1b[B"]),
        (b"ends\x1b[", [b"ends\x1b["]),
        # Of a line that is drawn over, the latest picture counts.
        (b"10%\r50%\r100%\n", [b"100%"]),
        (b"\r 1%\r 2%", [b" 2%"]),
        (b"10%\x1b[2K\r20%\x1b[1G30%\x1b[K\n", [b"30%"]),
        (b"50%\r100%\r    \r", [b"100%"]),  # wiped at its end
        (b"50%\r   \rtext\nplain\n", [b"text", b"plain"]),
        (b"1%\r2%\ndone\n", [b"2%", b"done"]),
        # The cursor goes up and down.
        (b"\ra 0\n\rb 0\x1b[A\ra 1\n\rb 1\x1b[A\ra 2\n\n", [b"a 2", b"b 1"]),
        (b"a 0\nb 0\n\x1b[2A\x1b[Ka 1\n\x1b[Kb 1\n", [b"a 0", b"b 0", b"a 1", b"b 1"]),  # too late to take back
        (b"\x1b[?25la 0\nb 0\n\x1b[2A\x1b[Ka 1\n\x1b[Kb 1\n\x1b[?25h", [b"a 1", b"b 1"]),
        (b"\x1b[?25la\nb\nc\r\x1b[2A\x1b[Jd\n", [b"d", b"b", b"c"]),
        (b"\x1b[?25la\nb\n\x1b[2Fx\x1b[Ey\n\x1b[?25hplain\n", [b"x", b"y", b"plain"]),
    ],
)
def test_lines(written: bytes, lines: list[bytes]) -> None:
    assert lines_of(written) == lines
    assert lines_of(*(written[at : at + 1] for at in range(len(written)))) == lines


@given(st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\r", b"").replace(b"\x1b", b""))))
def test_plain_text_is_never_changed(chunks: list[bytes]) -> None:
    assert lines_of(*chunks) == [line for line in b"".join(chunks).split(b"\n") if line]


@given(st.lists(st.sampled_from([b"text", b"\n", b"\r", b" ", b"\x1b", b"[A", b"\x1b[3B", b"\x1b[?25l", b"\x1b[2K"])))
def test_whatever_is_written_in_whatever_pieces(pieces: list[bytes]) -> None:
    assert lines_of(*pieces) == lines_of(b"".join(pieces))


def test_what_is_too_long_is_cut_and_counted() -> None:
    screen = LineScreen(count())
    big = b"x" * LINE_LIMIT
    finished = [*screen.feed(big, 0.0), *screen.feed(b"yyy\n" + big + b"zz\nq\n", 0.0)]
    assert [(len(picture.text), picture.dropped) for picture in finished] == [(LINE_LIMIT, 3), (LINE_LIMIT, 2), (1, 0)]


def test_a_bar_is_shown_as_it_is_until_it_has_settled() -> None:
    screen = LineScreen(count(7))
    assert screen.feed(b"\r 10%\r 20%", 0.0) == []
    assert screen.settle(0.2, 0.2) == [Picture(b" 20%", 7, live=True)]
    assert screen.settle(0.4, 0.2) == []
    assert not screen.open
    screen.feed(b"\r 30%\n", 0.5)
    assert screen.settle(0.6, 0.2) == [Picture(b" 30%", 7, live=True)]
    assert screen.open
    assert screen.settle(1.5, 0.2) == [Picture(b" 30%", 7)]
    assert not screen.open
    screen.feed(b"\x1b[A\r 40%", 2.0)
    assert screen.settle(2.2, 0.2) == [Picture(b" 40%", 7, live=True)]
    assert screen.close() == [Picture(b" 40%", 7)]


def test_what_was_given_as_final_is_given_again_only_after_a_change() -> None:
    screen = LineScreen(count(7))
    screen.feed(b"\r 99%\r100%\n", 0.0)
    assert screen.settle(0.2, 0.2) == [Picture(b"100%", 7, live=True)]
    assert screen.settle(1.2, 0.2) == [Picture(b"100%", 7)]
    screen.feed(b"\x1b[A\r100%\n", 2.0)  # drawn again, and still the same
    assert [screen.settle(2.2, 0.2), screen.settle(3.2, 0.2), screen.open] == [[], [], False]
    screen.feed(b"\x1b[A\r  1%\n", 4.0)
    assert screen.settle(4.2, 0.2) == [Picture(b"  1%", 7, live=True)]
    screen.feed(b"\x1b[A\r100%\n", 4.3)
    assert screen.settle(6.0, 0.2) == [Picture(b"100%", 7)]
    screen.feed(b"end\n", 6.1)
    assert [picture.text for picture in screen.close()] == [b"end"]


def test_a_prompt_is_shown_when_it_rests() -> None:
    screen = LineScreen(count())
    screen.feed(b"name? ", 0.0)
    assert screen.settle(0.1, 0.2) == []
    assert screen.settle(0.2, 0.2) == [Picture(b"name? ")]
    assert screen.feed(b"more\n", 0.3) == [Picture(b"more")]


def test_lines_that_are_too_far_up_are_finished() -> None:
    screen = LineScreen(count())
    finished = [picture.text for number in range(100) for picture in screen.feed(b"\r%d\n" % number, 0.0)]
    assert finished == [b"%d" % number for number in range(69)]
    assert [picture.text for picture in screen.close()] == [b"%d" % number for number in range(69, 100)]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _nested_bars(file: io.StringIO) -> None:
    options = {"file": file, "mininterval": 0, "ncols": 30, "bar_format": "{desc} {n}/{total}"}
    with tqdm(total=3, desc="outer", **options) as outer:
        for _ in range(3):
            for _ in tqdm(range(5), desc="inner", leave=False, **options):
                pass
            outer.update()
            tqdm.write("told", file=file)


def _bars_beside_each_other(file: io.StringIO) -> None:
    options = {"file": file, "mininterval": 0, "bar_format": "{desc} {n}"}
    bars = [tqdm(total=5, desc=f"bar {number}", position=number, leave=True, **options) for number in range(8)]
    for step in range(40):
        bars[step * 3 % 8].update()
    for bar in reversed(bars):
        bar.close()


def _rich_bars(file: io.StringIO) -> None:
    console = Console(file=file, force_terminal=True, width=60, color_system=None)
    with Progress("{task.description} {task.completed}", console=console, auto_refresh=False) as progress:
        tasks = [progress.add_task(name, total=9) for name in ("a", "b", "c")]
        for step in range(27):
            progress.update(tasks[step % 3], advance=1)
            progress.refresh()
            if step == 10:
                console.print("told")
    console.print("after")


@pytest.mark.parametrize(
    ("draw", "lines"),
    [
        (_nested_bars, ["told"] * 3 + ["outer 3/3"]),
        (_bars_beside_each_other, [f"bar {number} 5" for number in reversed(range(8))]),
        (_rich_bars, ["told", "a 9", "b 9", "c 9", "after"]),
    ],
)
def test_bars_of_real_libraries(draw: Callable[[io.StringIO], None], lines: list[str]) -> None:
    """Whatever the pieces in which it is read, and whenever it is looked at."""
    file = _Terminal()
    draw(file)
    written = file.getvalue().encode()
    for size in (len(written), 7, 1):
        screen = LineScreen(count())
        bars: dict[int | None, bytes] = {}
        finished: list[bytes] = []
        for at in range(0, len(written), size):
            for picture in [*screen.feed(written[at : at + size], at / 1e6), *screen.settle(at / 1e6, 9.0)]:
                bars[picture.bar] = picture.text
                finished += [] if picture.live else [picture.text]
        finished += [picture.text for picture in screen.close()]
        assert [line.strip().decode() for line in finished] == lines, size
