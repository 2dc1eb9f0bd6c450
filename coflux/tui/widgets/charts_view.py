"""Charts on the screen, in as many columns as there is room for. One of them is chosen: keys are about that one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.binding import Binding, BindingType

from coflux.display.axes import ChartName
from coflux.tui.charts import SHORTEST, paint_bars, paint_chart
from coflux.tui.details import Line
from coflux.tui.metrics import Chart, Excerpt, MetricsState, Naming, chart_of
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import cell_len
from coflux.tui.widgets.line_view import LineView

__all__ = ["ChartsView"]

NARROWEST = 46  # cells of a chart that stands beside another
COMFORTABLE = 16  # lines of a chart
GAP = 2  # cells between two of them
ZOOM = 0.5


class _Place(NamedTuple):
    """Where a chart is: its lines and cells."""

    top: int
    left: int
    width: int
    height: int


class ChartsView(LineView):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "cursor(1)", "look at points", id="metrics.right"),
        Binding("left,h", "cursor(-1)", "look at points", show=False, id="metrics.left"),
        Binding("shift+right,L", "cursor(10)", "further", show=False, id="metrics.far_right"),
        Binding("shift+left,H", "cursor(-10)", "further", show=False, id="metrics.far_left"),
        Binding("plus,equals_sign", "zoom(True)", "zoom in", id="metrics.zoom_in"),
        Binding("minus", "zoom(False)", "zoom out", id="metrics.zoom_out"),
        Binding("0", "all", "all", id="metrics.all"),
        Binding("escape", "leave", "back", show=False, id="metrics.leave"),
    ]

    def __init__(self, state: MetricsState, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.chosen = 0
        self.maximised = False
        self._state = state
        self._glyphs = glyphs
        self._naming: Naming = lambda metric: ""
        self._lines: list[Line] = []
        self._places: dict[int, _Place] = {}
        self._painted: dict[ChartName, tuple[object, list[Line]]] = {}
        self._drawn: tuple[object, ...] = ()
        self.empty = ""

    # -- drawing -----------------------------------------------------------------------------------------------------

    def show(self, naming: Naming, empty: str) -> None:
        """Draw what has changed; `empty` is said where there is nothing."""
        self._naming, self.empty = naming, empty
        self.chosen = max(0, min(self.chosen, len(self._state.charts) - 1))
        drawn = (self._state.version, self.size, self.chosen, self.maximised, self.has_focus, empty)
        if drawn != self._drawn:
            self._drawn = drawn
            self._lines = self._laid_out(self.size.width, self.size.height)
            self.lines_changed()

    def _laid_out(self, width: int, height: int) -> list[Line]:
        state = self._state
        self._places.clear()
        if not state.charts and not state.bars:
            return [[], [(f"  {self.empty}", "dim")]]
        told = [(self._bar_name(index), progress) for index, (_, progress) in enumerate(state.bars)]
        lines = [] if self.maximised and state.charts else paint_bars(told, state.more_bars, width, self._glyphs)
        if lines and state.charts:
            lines.append([])
        numbers = [self.chosen] if self.maximised and state.charts else list(range(len(state.charts)))
        across = _across(len(numbers), width, height - len(lines))
        room = (width - GAP * (across - 1)) // across
        rows = -(-len(numbers) // across) or 1
        tall = (height - len(lines)) // rows - (rows > 1)
        tall = max(min(tall, max(room // 2, 14)), SHORTEST) if not self.maximised else height
        for start in range(0, len(numbers), across):
            some = numbers[start : start + across]
            for place, number in enumerate(some):
                self._places[number] = _Place(len(lines), place * (room + GAP), room, tall)
            lines += _beside([self._chart(number, room, tall) for number in some], room)
            if rows > 1:
                lines.append([])
        if state.more_charts and not self.maximised:
            lines.append([(f" and {state.more_charts:,} more charts: choose a step", "dim")])
        return lines

    def _bar_name(self, index: int) -> str:
        metric, _ = self._state.bars[index]
        several = len({one.execution for one, _ in self._state.bars}) > 1
        return f"{self._naming(metric)} {metric.key}" if several else metric.key

    def _chart(self, number: int, width: int, height: int) -> list[Line]:
        """The lines of a chart; those of one that is as it was are not made again."""
        read = self._state.charts[number]
        excerpt = self._state.excerpt(read.name)
        chosen = number == self.chosen and self.has_focus
        facts = (read, excerpt, width, height, chosen)
        known = self._painted.get(read.name)
        if known is None or known[0] != facts:
            chart = chart_of(read, excerpt, self._naming)
            known = facts, paint_chart(chart, width, height, self._glyphs, chosen=chosen)
            self._painted[read.name] = known
        return known[1]

    def count(self) -> int:
        return len(self._lines)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        return self._lines[index]

    def _clamp(self) -> None:
        """No line has the cursor: it is on a chart."""
        self.cursor = -1
        self.first = max(0, min(self.first, self.count() - self.size.height))

    def _refresh(self) -> None:
        self.show(self._naming, self.empty)
        self.post_message(self.Moved(self))

    def on_resize(self) -> None:
        self._refresh()

    def on_focus(self) -> None:
        self._refresh()

    def on_blur(self) -> None:
        self._refresh()

    # -- keys --------------------------------------------------------------------------------------------------------

    def action_move(self, lines: int) -> None:
        self._choose(self.chosen + lines)

    def action_page(self, pages: int) -> None:
        self.go_to_line(self.first + pages * max(self.size.height - 1, 1))

    def action_edge(self, end: bool) -> None:
        self._choose(len(self._state.charts) - 1 if end else 0)

    def action_choose(self) -> None:
        """Give the chart all the room, or take it back."""
        self.maximised = not self.maximised and bool(self._state.charts)
        self._refresh()

    def action_cursor(self, cells: int) -> None:
        place = self._places.get(self.chosen)
        if place is not None:
            self._look(lambda chart: chart.moved(cells / max(place.width - 10, 1)))

    def action_zoom(self, closer: bool) -> None:
        self._look(lambda chart: chart.zoomed(ZOOM if closer else 1 / ZOOM))

    def action_all(self) -> None:
        self._look(lambda chart: Excerpt())

    def action_leave(self) -> None:
        """Put the cursor away; then, make room for the other charts."""
        if self._excerpt.cursor is not None:
            self._look(lambda chart: chart.excerpt._replace(cursor=None))
        else:
            self.action_choose()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "leave" or self.maximised or self._excerpt.cursor is not None

    @property
    def _excerpt(self) -> Excerpt:
        charts = self._state.charts
        return self._state.excerpt(charts[self.chosen].name) if self.chosen < len(charts) else Excerpt()

    def _look(self, change: Callable[[Chart], Excerpt]) -> None:
        if self.chosen < len(self._state.charts):
            read = self._state.charts[self.chosen]
            chart = chart_of(read, self._state.excerpt(read.name), self._naming)
            self._state.look_at(read.name, change(chart))
            self._refresh()

    def _choose(self, number: int) -> None:
        self.chosen = max(0, min(number, len(self._state.charts) - 1))
        self._refresh()
        place = self._places.get(self.chosen)
        if place is not None:
            top = 0 if place.top <= len(self._state.bars) + 2 else place.top
            self.go_to_line(max(min(self.first, top), place.top + place.height - self.size.height))

    def go_to_line(self, line: int) -> None:
        """Scroll."""
        self.first = line
        self._clamp()
        self.refresh()

    # -- the mouse ---------------------------------------------------------------------------------------------------

    @on(events.Click)
    def choose_clicked(self, event: events.Click) -> None:
        event.prevent_default()
        event.stop()
        line = self.first + event.y
        for number, place in self._places.items():
            if place.top <= line < place.top + place.height and place.left <= event.x < place.left + place.width:
                self._choose(number)

    @on(events.MouseScrollDown)
    @on(events.MouseScrollUp)
    def turn_wheel(self, event: events.MouseEvent) -> None:
        event.prevent_default()  # no cursor moves
        event.stop()
        self.go_to_line(self.first + (3 if isinstance(event, events.MouseScrollDown) else -3))


def _across(count: int, width: int, height: int) -> int:
    """How many charts are beside each other: as few as will do to show all of them."""
    most = max(min(width // NARROWEST, count), 1)
    return next((across for across in range(1, most) if -(-count // across) * COMFORTABLE <= height), most)


def _beside(charts: Sequence[Sequence[Line]], width: int) -> list[Line]:
    """Charts beside each other, each `width` cells wide."""
    lines: list[Line] = []
    for number in range(max(map(len, charts))):
        line: list[Piece] = []
        for place, chart in enumerate(charts):
            pieces = list(chart[number]) if number < len(chart) else []
            if place < len(charts) - 1:
                taken = sum(cell_len(text) for text, _ in pieces)
                pieces.append((" " * (width + GAP - taken), ""))
            line += pieces
        lines.append(line)
    return lines
