"""The log as data: ids, matches, what is on the screen, what is typed, how entries look; and how it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from sqlite3 import ProgrammingError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.history import History, LogEntry
from coflux.executor.log_search import Field
from coflux.executor.news import EVERYTHING, NOTHING
from coflux.executor.rows import GroupRow
from coflux.executor.store import Store
from coflux.logs import Level
from coflux.tui.log_painting import MATCH, Line, Look, Times, paint_entry, paint_unfolded, paint_wrapped
from coflux.tui.log_query import matches, parse_moment, parse_search
from coflux.tui.log_window import LogWindow
from coflux.tui.logs import Ids, LogModel, LogState
from coflux.tui.painting import Glyphs
from coflux.tui.readers.log_saving import LogSaver
from coflux.tui.readers.logs import LogReader
from coflux.tui.text import cell_len
from coflux.tui.updates import (
    Failed,
    LogEntries,
    LogEntriesAsked,
    LogEntryAsked,
    LogFileThere,
    LogFilter,
    LogIds,
    LogMatches,
    LogsAsked,
    LogSaveAsked,
    LogSearch,
    LogSearchAsked,
    LogTimeAsked,
    LogWhole,
    Request,
    Said,
    Update,
)
from tests.store.factories import batch, log_row, run_row, step_row
from tests.tui.pretend import NOW
from tests.tui.pretend_log import TRACEBACK, clock, entry, realistic

UNICODE = Glyphs(True)

# -- what is held -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5))), st.data())
def test_ids_grow_at_either_end_and_are_found(portions: list[tuple[bool, int]], data: st.DataObject) -> None:
    ids, wanted = Ids(), list[int]()
    low = high = 1000
    for before, count in portions:
        if before:
            low -= count
            ids.prepend(range(low + 1, low + count + 1))
            wanted[:0] = range(low + 1, low + count + 1)
        else:
            ids.extend(range(high + 1, high + count + 1))
            wanted += range(high + 1, high + count + 1)
            high += count
    assert list(ids) == wanted
    gone = data.draw(st.sets(st.integers(low, high + 1), max_size=40))
    ids.discard(gone)
    assert list(ids) == [number for number in wanted if number not in gone]
    for place, number in enumerate(ids):
        assert ids.place(number) == place


def test_entries_are_asked_for_once_and_those_that_are_gone_leave() -> None:
    model = LogModel()
    model.extend(LogIds(1, [1, 2, 3, 4], True, 0.0))
    assert model.lacks(0, 4)
    assert model.want(-5, 3) == [1, 2, 3]
    assert model.want(0, 99) == [4]
    model.supply(LogEntries(1, [1, 2, 3, 4], [entry(number, Level.INFO, "x") for number in (1, 3, 4)]))
    assert [model.id_at(index) for index in range(len(model))] == [1, 3, 4]
    assert not model.lacks(0, 4)


def test_a_bar_is_last_while_it_is_live_and_never_there_twice() -> None:
    """OUTPUT: a bar that had come to rest is drawn again under another id."""
    model = LogModel()
    model.extend(LogIds(1, [1, 2], True, 0.0))
    model.supply(LogEntries(1, [1, 2], [entry(1, Level.STDERR, "100%", bar=0), entry(2, Level.INFO, "x")]))
    model.set_live([entry(7, Level.STDERR, "50%", bar=0, live=True), entry(8, Level.STDERR, "1%", bar=1, live=True)])
    assert [model.id_at(index) for index in range(len(model))] == [2, 7, 8]
    model.set_live([])
    model.extend(LogIds(1, [9], False, 0.0))
    assert [model.id_at(index) for index in range(len(model))] == [2, 9]


def test_matches_are_gone_to_and_shown_alone() -> None:
    model = LogModel()
    model.extend(LogIds(1, range(10), True, 0.0))
    model.extend_matches(LogMatches(1, model.look_for(LogSearch("x")), [2, 5], True, 0.0))
    cases = [(0, False, 2), (2, False, 5), (5, False, None), (5, True, 2), (9, True, 5), (2, True, None)]
    for at, backwards, found in cases:
        assert model.match_from(at, backwards=backwards) == found
    model.hiding = True
    model.set_live([entry(20, Level.INFO, "Xylo", bar=1, live=True), entry(21, Level.INFO, "y", bar=2, live=True)])
    assert [model.id_at(index) for index in range(len(model))] == [2, 5, 20]
    model.look_for(None)
    assert len(model) == 12


# -- which lines are on the screen ------------------------------------------------------------------------------------


def test_the_window_is_at_the_end_and_moves_by_entries() -> None:
    heights = [1, 1, 5, 1, 1, 12, 1, 1]
    window = LogWindow(heights.__getitem__)
    assert window.lay_out(8, 4) == [(5, 10), (5, 11), (6, 0), (7, 0)]
    window.move(-1, 8, 4)
    assert window.lay_out(8, 4)[0] == (5, 10)
    assert not window.following
    window.move(-1, 8, 4)  # onto the tall one, of which the end is seen
    assert (window.cursor, window.lay_out(8, 4)[-1]) == (5, (5, 11)) or window.lay_out(8, 4)[0][0] == 5
    window.cursor, window.first, window.skipped = 2, 2, 0
    assert window.lay_out(8, 4) == [(2, 0), (2, 1), (2, 2), (2, 3)]
    window.move(1, 8, 4)  # through it line by line
    assert window.lay_out(8, 4) == [(2, 1), (2, 2), (2, 3), (2, 4)]
    window.move(1, 8, 4)
    assert window.cursor == 3


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["move", "scroll"]), st.integers(-9, 9)), max_size=30),
)
def test_the_cursor_is_always_on_the_screen_and_nothing_is_left_blank(
    heights: list[int], height: int, steps: list[tuple[str, int]]
) -> None:
    window = LogWindow(heights.__getitem__)
    every = [(index, line) for index, tall in enumerate(heights) for line in range(tall)]
    for kind, by in [("move", 0), *steps]:
        getattr(window, kind)(by, len(heights), height)
        rows = window.lay_out(len(heights), height)
        assert len(rows) == min(height, len(every))
        start = every.index(rows[0])
        assert rows == every[start : start + height]
        assert any(index == window.cursor for index, _ in rows)
        assert window.lay_out(len(heights), height) == rows


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 8), st.booleans())
def test_either_end_is_reached_by_pages(heights: list[int], height: int, up: bool) -> None:
    window = LogWindow(heights.__getitem__)
    window.following = up
    for _ in range(sum(heights) + 2):
        window.scroll((-1 if up else 1) * max(height - 1, 1), len(heights), height)
    assert window.cursor == (0 if up else len(heights) - 1)


# -- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "search", "fields"),
    [
        ("", None, ()),
        ("page 4", LogSearch("page 4"), ()),
        ("/pa.e/", LogSearch(pattern="pa.e"), ()),
        ("//", LogSearch("//"), ()),
        ("=page", None, (Field("page"),)),
        ("=page=4 reset", LogSearch("reset"), (Field("page", 4),)),
        ('=a="x y" =b=', None, (Field("a", "x y"), Field("b", ""))),
        ("a=b", LogSearch("a=b"), ()),
    ],
)
def test_what_is_looked_for(typed: str, search: LogSearch | None, fields: tuple[Field, ...]) -> None:
    assert parse_search(typed) == (search, fields)


def test_a_wrong_expression_is_named() -> None:
    with pytest.raises(ValueError, match="missing \\), unterminated subpattern at position 2"):
        parse_search("/ab(/")


def test_a_search_is_of_what_is_shown() -> None:
    one = entry(1, Level.INFO, "page {page}", {"page": 4, "url": "x y"})
    for text in ("PAGE 4", "url='x y'"):
        assert matches(LogSearch(text), one)
    assert not matches(LogSearch("{page}"), one)
    assert matches(LogSearch(pattern="^page . "), one)


@pytest.mark.parametrize(
    ("text", "at"),
    [("+30s", 30.0), ("-5m", 700.0), ("+1h", 3600.0), (clock(12), 12.0), (clock(0), 0.0), (clock(12) + ".5", 12.5)],
)
def test_a_time_is_read(text: str, at: float) -> None:
    assert parse_moment(text, NOW, NOW + 1000.0) == pytest.approx(NOW + at)


def test_a_time_of_the_next_day_and_what_is_none() -> None:
    before = clock(-60)
    assert parse_moment(before, NOW, NOW) == pytest.approx(NOW + 86_400 - 60)
    with pytest.raises(ValueError, match=r"'soon' is no time: .*, \+30s from the beginning"):
        parse_moment("soon", NOW, NOW)


# -- how entries look -------------------------------------------------------------------------------------------------


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def test_values_stand_in_line_behind_the_text_in_the_colour_of_their_type() -> None:
    look = Look(100, UNICODE, NOW, {("R1", 2): "fetch"}, "R1", 1, 7)
    line = paint_entry(entry(1, Level.INFO, "batch", {"n": 4, "ok": True, "who": "me"}, at=1.5), None, look)
    assert text_of(line).split() == ["1.500", "2", "fetch", "I", "batch", "n=4", "ok=True", "who=me"]
    assert [style for text, style in line if text in ("4", "True", "me", "n=")] == ["dim", "cyan", "magenta", "green"]
    other = paint_entry(entry(1, Level.INFO, "a longer text", {"n": 4}), None, look)
    assert text_of(other).index("n=") == text_of(line).index("n=")


def test_times_are_since_the_start_the_clocks_or_since_the_entry_above() -> None:
    one, two = entry(1, Level.INFO, "x", at=1.0), entry(2, Level.INFO, "y", at=3725.25)
    look = Look(100, UNICODE, NOW)
    shown = {kind: text_of(paint_entry(two, one, look._replace(times=kind))).split()[0] for kind in Times}
    assert shown == {Times.RUN: "1:02:05", Times.CLOCK: f"{clock(3725.25)}.250", Times.PREVIOUS: "+1h02m"}


def test_what_is_looked_for_is_marked_and_the_rest_is_dim() -> None:
    look = Look(100, UNICODE, NOW, search=LogSearch("PAGE"))
    found = paint_entry(entry(1, Level.ERROR, "no page here", {"page": 1}), None, look)
    assert [text for text, style in found if style == MATCH] == ["page", "page"]
    assert {style for _, style in paint_entry(entry(1, Level.ERROR, "x"), None, look)} == {"dim"}


def test_an_unfolded_entry_has_all_that_is_known() -> None:
    error = entry(1, Level.ERROR, TRACEBACK, {"attempt": 3}, logger="app.http")
    lines = [text_of(line) for line in paint_unfolded(error, None, None, Look(100, UNICODE, NOW, {("R1", 2): "fetch"}))]
    assert any("ConnectionError: connection reset by peer" in line for line in lines)
    assert any(line.split() == ["│", "attempt", "3"] for line in lines)
    assert lines[-1].endswith("error  ·  R1:2 fetch  ·  attempt 1  ·  logger app.http")


def test_a_megabyte_in_a_line_is_cut_before_it_is_looked_at() -> None:
    """FAULT-K: 1 MB lines; a whole one is 200 lines at most, and says what is missing."""
    look = Look(80, UNICODE, NOW)
    long = entry(1, Level.STDOUT, "x" * (1 << 20), {"v": "y" * (1 << 20)})
    assert cell_len(text_of(paint_entry(long, None, look))) <= 80
    assert len(paint_wrapped(long, None, look)) == 200
    lines = paint_unfolded(long, LogWhole(1, long, 1 << 20), None, look)
    assert len(lines) <= 203
    assert "cut: 1,048,576 characters in all   S: save" in text_of(lines[-2])


@pytest.mark.parametrize("width", [1, 5, 20, 33, 60, 80, 140])
@pytest.mark.parametrize("unicode", [True, False])
def test_nothing_is_wider_than_the_screen_and_no_escape_gets_through(width: int, unicode: bool) -> None:
    for search in (None, LogSearch("page")):
        look = Look(width, Glyphs(unicode), NOW, {("R1", 2): "注文"}, "R1", search=search)
        for one in realistic(20):
            for line in (
                paint_entry(one, None, look),
                *paint_wrapped(one, None, look),
                *paint_unfolded(one, None, None, look),
            ):
                text = text_of(line)
                assert cell_len(text) <= max(width, 10)
                assert not set("\x1b\x07\u202e\n\r") & set(text)


def test_the_colours_that_a_line_sets_are_kept() -> None:
    one = entry(1, Level.STDOUT, "\x1b[1;31mred\x1b[0m plain \x1b[38;5;9mof a palette\x1b[m \x1b[2Jwiped")
    pieces = {text.strip(): style for text, style in paint_entry(one, None, Look(100, UNICODE, NOW))}
    assert pieces["red"] == "bold red"
    assert pieces["plain"] == ""
    assert pieces["of a palette"] == ""
    assert pieces["^[[2Jwiped"] == ""


# -- how it is read ---------------------------------------------------------------------------------------------------


class Screen:
    """Asks a reader, and takes all that it tells."""

    def __init__(self, history: History) -> None:
        self.state = LogState()
        self.reader = LogReader()
        self.history = history
        self.told: list[Update] = []

    def ask(self, request: Request) -> None:
        self._take(self.reader.answer(self.history, request))
        self.look()

    def open(self, **wanted: object) -> None:
        log_filter = LogFilter("Rtest", **wanted)  # type: ignore[arg-type]
        self.ask(LogsAsked(self.state.open(log_filter), log_filter))

    def look(self) -> None:
        """There are news."""
        news = EVERYTHING
        while True:
            self._take(self.reader.read(self.history, news))
            news = NOTHING
            if not self.reader.busy:
                return

    def _take(self, updates: Iterator[Update]) -> None:
        for update in updates:
            self.told.append(update)
            self.state.take(update)

    @property
    def ids(self) -> list[int]:
        return [self.state.model.id_at(index) for index in range(len(self.state.model))]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(str(tmp_path / ".coflux"))
    store.commit(
        batch(
            run_row(),
            *(step_row(number=number, parent=parent, group=group) for number, parent, group in STEPS),
            GroupRow("Rtest", 1, 1, 0, "outer", None),
            GroupRow("Rtest", 1, 1, 1, "inner", 0),
            run_row("Rchild", parent="Rtest:3:1", root_run="Rtest"),
            run_row("Rgrand", parent="Rchild:1:1", root_run="Rtest"),
            run_row("Rother"),
        )
    )
    yield store
    with suppress(ProgrammingError):  # closed by the test
        store.close()


STEPS = [(1, None, None), (2, "Rtest:1:1", 0), (3, "Rtest:2:1", None), (4, "Rtest:1:1", 1), (5, "Rtest:1:1", None)]
PLACES = [
    ("Rtest", 1),
    ("Rtest", 2),
    ("Rtest", 3),
    ("Rchild", 1),
    ("Rgrand", 4),
    ("Rother", 1),
    ("Rtest", 4),
    ("Rtest", 5),
]


@pytest.fixture
def screen(store: Store, tmp_path: Path) -> Iterator[Screen]:
    store.commit(batch(*(log_row(run, step, at=NOW + n, template=f"line {n}") for n, (run, step) in enumerate(PLACES))))
    history = History.open(str(tmp_path / ".coflux"))
    yield Screen(history)
    history.close()


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        ({}, [1, 2, 3, 4, 5, 7, 8]),
        ({"step": 2}, [2, 3, 4, 5]),
        ({"step": 3, "attempt": 1}, [3]),
        ({"step": 1, "attempt": 1, "group": 0}, [2, 3, 4, 5, 7]),
        ({"step": 1, "attempt": 1, "group": 1}, [7]),
        ({"step": 5}, [8]),
    ],
)
def test_a_log_is_of_a_run_with_its_child_runs_or_of_what_is_below_a_step(
    screen: Screen, scope: dict[str, int], ids: list[int]
) -> None:
    screen.open(**scope)
    assert screen.ids == ids
    assert screen.state.model.left == 0


def test_what_comes_is_followed_also_of_new_steps_and_runs(store: Store, screen: Screen) -> None:
    screen.open(step=2)
    store.commit(
        batch(
            step_row(number=6, parent="Rtest:3:2"),
            run_row("Rlate", parent="Rtest:6:1", root_run="Rtest"),
            log_row(step=6, template="x"),
            log_row(step=1, template="elsewhere"),
            log_row("Rlate", 1, template="y"),
            log_row(step=6, template="10%", bar=0, live=True),
        )
    )
    screen.look()
    assert screen.ids == [2, 3, 4, 5, 9, 11, 12]
    assert screen.state.added == 2
    store.commit(batch(log_row(step=6, template="99%", bar=0, live=True)))
    screen.look()
    assert screen.ids[-2:] == [11, 13]
    store.commit(batch(log_row(step=6, template="100%", bar=0, live=False)))
    screen.look()
    assert screen.ids[-2:] == [11, 14]
    assert not screen.state.model.live


def test_matches_entries_and_times_are_read(store: Store, screen: Screen) -> None:
    store.commit(batch(log_row(template="z" * 100_000, values=b'{"k":"%s"}' % (b"v" * 100_000), at=NOW + 50)))
    screen.open()
    screen.ask(
        LogSearchAsked(1, screen.state.model.look_for(LogSearch(pattern="line [36]")), LogSearch(pattern="line [36]"))
    )
    assert list(screen.state.model.matches) == [4, 7]
    screen.ask(LogEntriesAsked(1, [3, 9]))
    one = screen.state.model.entry(len(screen.ids) - 1)
    assert isinstance(one, LogEntry)
    assert len(one.template or "") + len(one.values or b"") < 5000
    screen.ask(LogEntryAsked(1, 9))
    whole = screen.state.model.whole(9)
    assert whole is not None
    assert (len(whole.entry.template or ""), whole.length) == (64 * 1024, 100_000)
    screen.ask(LogTimeAsked(1, NOW + 5.2))
    assert screen.state.found == 7  # 6 is nearer, and of another run


def test_a_long_log_comes_from_its_end_in_portions(store: Store, screen: Screen) -> None:
    store.commit(batch(*(log_row(template="x") for _ in range(5000))))
    asked = LogFilter("Rtest")
    request = LogsAsked(screen.state.open(asked), asked)
    assert not list(screen.reader.answer(screen.history, request))
    first = list(screen.reader.read(screen.history, EVERYTHING))
    [told] = [update for update in first if isinstance(update, LogIds)]
    assert told.ids[-1] == 5008
    assert 0.5 < told.left < 1
    assert screen.reader.busy
    store.commit(batch(log_row(template="new")))  # told before the rest of the old
    again = list(screen.reader.read(screen.history, EVERYTHING))
    assert [list(update.ids) for update in again if isinstance(update, LogIds)] == [[5009]]


def test_a_log_that_is_removed_or_damaged_says_so(store: Store, screen: Screen, tmp_path: Path) -> None:
    """FAULT: the logs are pruned as a whole, or spoilt, while one looks."""
    screen.open()
    assert len(screen.ids) == 7
    store.close()
    logs = tmp_path / ".coflux" / "logs.db"
    kept = logs.read_bytes()
    os.unlink(logs)
    screen.look()
    assert screen.ids == []
    assert screen.state.model.gone
    logs.write_bytes(b"not a database" * 1000)
    screen.look()
    assert "logs.db is damaged" in screen.state.model.trouble
    os.unlink(logs)
    logs.write_bytes(kept)
    screen.look()
    assert len(screen.ids) == 7
    assert not screen.state.model.trouble


def test_a_log_is_saved_and_never_over_a_file_that_nobody_gave_up(screen: Screen, tmp_path: Path) -> None:
    def save(request: LogSaveAsked) -> list[Update]:
        saver = LogSaver()
        told = list(saver.answer(screen.history, request))
        while saver.busy:
            told += saver.read(screen.history, NOTHING)
        return told

    path = tmp_path / "run.log"
    request = LogSaveAsked(LogFilter("Rtest", step=2), None, str(path))
    [said] = save(request)
    assert said == Said("info", f"4 log entries saved to {path}")
    lines = path.read_text().splitlines()
    assert lines[0].endswith(" Rtest:2 ingest info: line 1")
    assert save(request) == [LogFileThere(request)]
    save(request._replace(search=LogSearch("line 2"), overwrite=True))
    assert len(path.read_text().splitlines()) == 1
    [failed] = save(request._replace(path=str(tmp_path / "none" / "x.log")))
    assert isinstance(failed, Failed)
    assert "No such file or directory" in failed.why
    assert sorted(os.listdir(tmp_path)) == [".coflux", "run.log"]
