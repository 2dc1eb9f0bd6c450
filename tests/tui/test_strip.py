"""What the dashboard's frame shows, by tables: the line at the top, the palette's finds, colours."""

from __future__ import annotations

import time

import pytest
from textual.color import Color

from coflux.executor.messages import ModuleError
from coflux.executor.requests import Generation
from coflux.tui.endings import Endings, describe_endings
from coflux.tui.engine_state import EngineState
from coflux.tui.painting import Glyphs
from coflux.tui.palette import LIMIT, Entry, Search
from coflux.tui.strip import Meter, sparkline, strip, workers_text
from coflux.tui.text import cell_len
from coflux.tui.themes import THEMES, has_colors, style_of
from coflux.tui.updates import Connected, Disconnected, SampleRead, TargetsRead
from tests.tui.pretend import NOW, run_row, sample
from tests.tui.stage import HOSTILE

UNICODE, ASCII = Glyphs(True), Glyphs(False)


def engine(*updates: object) -> EngineState:
    state = EngineState()
    for update in (Connected(1), TargetsRead((), ()), *updates):
        state.take(update)  # type: ignore[arg-type]
    return state


def line(state: EngineState, width: int, glyphs: Glyphs = UNICODE, **options: object) -> str:
    return "".join(text for text, _ in strip(state, "flow", width, glyphs, **options))  # type: ignore[arg-type]


def test_a_wider_line_tells_more() -> None:
    state = engine(SampleRead(sample()), SampleRead(sample(NOW + 2, cpu_seconds=11.0)))
    loaded = time.strftime("%H:%M:%S", time.localtime(NOW))
    assert line(state, 32) == f" coflux  flow ✓ loaded {loaded} "
    assert line(state, 80).split() == (f"coflux flow ✓ loaded {loaded} workers 2/4 queued 3 running 1 cpu 50%".split())
    wide = line(state, 200, data_dir="~/work/.coflux", meter=Meter(0.07, 20, 3))
    assert "mem 200 MiB ▂ ►►··  disk 6.0 MiB  ui 7% 20 fps 3 dropped  ~/work/.coflux" in wide


def test_what_is_wrong_is_told_before_all_else() -> None:
    error = ModuleError("flow", "'(' was never closed", "", "flow.py", 42)
    other = ModuleError("jobs", "No module named 'x'", "")
    broken = Generation(2, ("flow",), "ready", False, (error,))
    state = engine(TargetsRead((), (error, other)))
    assert "✗ flow.py:42 '(' was never closed and 1 more do not import" in line(state, 120)
    assert "✗ flow.py:42 '(' was" in line(engine(SampleRead(sample(generations=(broken,)))), 80)
    mended = Generation(3, ("flow",), "ready", False, ())
    state = engine(TargetsRead((), (error,)), SampleRead(sample(generations=(mended,))))
    assert "✓ loaded" in line(state, 80)
    importing = Generation(4, ("flow",), "importing", False, ())
    assert "… loading" in line(engine(SampleRead(sample(generations=(importing,)))), 80)
    state = engine(Disconnected(f"gone {HOSTILE}"))
    assert "! reconnecting: gone x [/] [bold]" in line(state, 80)
    assert "… connecting" in line(EngineState(), 80)
    assert "frozen" in line(engine(), 40, notice=("frozen +2", "yellow reverse"))


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_the_line_is_as_wide_as_its_screen_and_ascii_where_it_must_be(glyphs: Glyphs) -> None:
    error = ModuleError("流れ", HOSTILE, "", "流れ.py", 42)
    broken = Generation(2, ("流れ",), "ready", False, (error,))
    for state in (engine(SampleRead(sample())), engine(Disconnected("gone")), EngineState()):
        for width in range(1, 200, 7):
            shown = line(state, width, glyphs, data_dir="/data", notice=("leaving", "yellow"))
            assert cell_len(shown) <= width
            assert glyphs.unicode or shown.isascii()
    for width in range(1, 200, 7):
        assert cell_len(line(engine(SampleRead(sample(generations=(broken,)))), width)) <= width


def test_small_pictures() -> None:
    assert sparkline([0, 1, 2, 4, 9], 4, UNICODE) == "▁▃▅██"
    assert sparkline([0, 4], 4, ASCII) == "_@"
    assert workers_text(1, 3, UNICODE) == "►··"
    assert workers_text(9, 40, UNICODE) == ""


ENTRIES = [
    Entry("command", "re-run", "", None),
    Entry("target", "flow/fetch_page", "", None),
    Entry("run", "R1 flow/main failed", "", None),
    Entry("step", "page_count(3) running", "", None),
    Entry("log", "typed", "", None),
]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("page", ["page_count(3) running", "flow/fetch_page", "typed"]),
        ("FP", ["flow/fetch_page", "typed"]),
        ("@page", ["flow/fetch_page", "typed"]),
        ("#r1", ["R1 flow/main failed", "typed"]),
        (".pc", ["page_count(3) running", "typed"]),
        (">run", ["re-run", "typed"]),
        ("/run", ["page_count(3) running", "typed"]),
        ("main failed", ["R1 flow/main failed", "typed"]),
        ("(*", ["typed"]),
        ("", [*(entry.title for entry in ENTRIES)]),
    ],
)
def test_what_is_typed_finds_what_fits_best_first(typed: str, found: list[str]) -> None:
    search = Search(typed, lambda kind: iter(ENTRIES))
    while search.step(2):
        pass
    assert [entry.title for entry in search.found] == found


def test_a_search_finds_no_more_than_can_be_looked_at() -> None:
    search = Search("s", lambda kind: (Entry("step", f"s{number}", "", number) for number in range(1000)))
    while search.step(100):
        pass
    assert [entry.what for entry in search.found] == list(range(LIMIT))


def test_runs_that_have_ended_are_told_once() -> None:
    endings = Endings()
    child = run_row("R3", parent="R1")
    assert endings.take([run_row("R1"), run_row("R2", "failed"), child]) == []
    ended = [run_row("R1", "succeeded"), run_row("R3", "failed", parent="R1")]
    assert endings.take(ended) == ended[:1]
    assert endings.take(ended) == []
    assert describe_endings(ended[:1], UNICODE) == ("✓ flow/main succeeded (R1)", False)
    assert describe_endings(ended, ASCII) == ("2 runs have ended, 1 of them badly", True)


WORDS = ["", *("red", "green", "yellow", "blue", "magenta", "cyan"), "dim", "red bold", "cyan dim", "green dim"]


@pytest.mark.parametrize("theme", ["coflux-dark", "coflux-light"])
def test_all_text_can_be_read(theme: str) -> None:
    """WCAG AA: a contrast of 4.5 to whatever may be behind it, the cursor included."""
    colors = THEMES[theme]
    behind = [colors.background, colors.surface, colors.panel]
    behind += [colors.variables[f"block-cursor-{name}"] for name in ("background", "blurred-background")]
    for word in [*WORDS, "red dim", "yellow dim", "blue dim", "magenta dim"]:
        style = style_of(theme, word)
        assert style is not None
        foreground = style.foreground or Color.parse(colors.foreground or "")
        for background in behind:
            assert contrast(foreground, Color.parse(background or "")) >= 4.5, (word, background)


def contrast(one: Color, other: Color) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: Color) -> float:
    parts = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized)
    return sum(part * share for part, share in zip(parts, (0.2126, 0.7152, 0.0722), strict=True))


def test_the_terminals_own_themes_have_its_colours_and_attributes() -> None:
    for theme in ("ansi-dark", "ansi-light"):
        style = style_of(theme, "red dim reverse")
        assert style is not None
        assert (style.foreground, style.dim, style.reverse) == (Color.parse("ansi_red"), True, True)
    assert style_of("coflux-dark", "$primary on red") is None  # Textual's to understand


@pytest.mark.parametrize(
    ("environment", "colors"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, True),
        ({"TERM": "xterm-direct"}, True),
        ({"TERM": "xterm"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_used_where_there_are_enough(environment: dict[str, str], colors: bool) -> None:
    assert has_colors(environment) is colors
