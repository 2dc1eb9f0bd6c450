"""The dashboard's app: one look at what has come, twenty times a second, and the screens.

The model never waits for the screen: when the terminal does not keep up, or drawing costs much, pictures are left out,
nothing else. A key is answered at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar, Protocol

from textual.app import App
from textual.binding import Binding, BindingType
from textual.content import Content

from coflux.executor.messages import TargetInfo
from coflux.tui.assets import FileRow
from coflux.tui.pace import Pace
from coflux.tui.painting import Glyphs
from coflux.tui.screens.ask import Ask
from coflux.tui.screens.base import View
from coflux.tui.screens.file import AskDirectory, FileScreen
from coflux.tui.screens.form import StartForm
from coflux.tui.screens.help import Help
from coflux.tui.screens.home import Home
from coflux.tui.screens.run import RunScreen
from coflux.tui.state import State
from coflux.tui.text import cell_len, fit
from coflux.tui.tree import UNFINISHED
from coflux.tui.updates import (
    CancelAsked,
    DownloadAsked,
    DownloadBlocked,
    Request,
    RerunAsked,
    RunOpened,
    StartAsked,
    Update,
)
from coflux.tui.widgets.one_line import OneLine

__all__ = ["Dashboard", "Source"]

RATE = 20  # looks a second at what has come
TAKING = 0.015  # seconds of CPU time that what has come is taken in before keys have a turn
SHARE = 0.08  # of a core, that drawing what has come may take
PATIENCE = 0.5  # seconds after which it is drawn whatever it takes
BURST = 0.15  # seconds of CPU time for what was asked for
ANSWER = 0.008  # seconds after which it is looked for an answer, or what is left


class Source(Protocol):
    """Where the dashboard asks, and what tells it: `coflux.tui.link.Link`, or a test."""

    def ask(self, request: Request) -> None: ...
    def take(self) -> Iterator[Update]: ...


class Dashboard(App[int]):
    TITLE = "coflux"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-middle"), (160, "-wide")]  # noqa: RUF012  # as it is declared
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "quit", id="app.quit"),
        Binding("question_mark", "help", "keys", id="app.help"),
        Binding("ctrl+c", "interrupt", "quit", show=False, priority=True, id="app.interrupt"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        title: str = "",
        unicode: bool = True,
        clock: Callable[[], float] = time.time,
        live: bool = True,
    ) -> None:
        """`live` false leaves out all timers: a test calls `pump` and `second` itself."""
        super().__init__()
        self.source = source
        self.state = State()
        self.glyphs = Glyphs(unicode)
        self.clock = clock
        self._what = title
        self._live = live
        self._interrupted_at = 0.0
        self._pace = Pace(SHARE, PATIENCE, BURST)
        self._taking = 0.0  # CPU seconds that were not for drawing
        self._undrawn = False  # something has come that is not on the screen
        self._typed: dict[tuple[str, str], list[str | None]] = {}  # into the form of each target

    def on_mount(self) -> None:
        if not _has_colors(os.environ):
            self.theme = "ansi-dark"
        if not self.glyphs.unicode:
            self.add_class("-ascii")
        if self._live:
            self._leave_on_signals()
        self.push_screen(Home())
        if self._live:
            self.set_interval(1 / RATE, self.pump)
            self.set_interval(1, self.second)

    def _leave_on_signals(self) -> None:
        """A signal that ends the process leaves the terminal as it was."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))

    # -- what has come -----------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Take in what has come, and draw it if the terminal keeps up."""
        began = time.thread_time()
        for update in self.source.take():
            self.state.take(update)
            self._undrawn = True
            if self._live and time.thread_time() - began > TAKING:
                self.set_timer(ANSWER, self.pump)  # the rest comes after the keys that were pressed meanwhile
                break
        self._taking += time.thread_time() - began
        for said in self.state.said:
            severity = {"info": "information"}.get(said.level, said.level)
            self.notify(said.text, severity=severity, markup=False)  # type: ignore[arg-type]
        self.state.said.clear()
        for started in self.state.started:
            self.open_run(started.run)
        self.state.started.clear()
        for blocked in self.state.blocked:
            self._ask_to_replace(blocked)
        self.state.blocked.clear()
        screen = self.screen
        if self._undrawn and isinstance(screen, View) and screen.ready and self._may_draw():
            self._undrawn = False
            screen.flush()

    def second(self) -> None:
        if isinstance(self.screen, View) and self.screen.ready and not self._terminal_is_behind():
            self.screen.tick()

    def _may_draw(self) -> bool:
        """Whether there is time to draw what nobody has pressed a key for."""
        if not self._live:
            return True
        return self._pace.allows(time.monotonic(), time.thread_time() - self._taking) and not self._terminal_is_behind()

    def _terminal_is_behind(self) -> bool:
        """Textual queues 30 pictures for the terminal, and then stands still until it has taken one."""
        writer = getattr(self._driver, "_writer_thread", None)
        return writer is not None and writer._queue.qsize() > 1

    # -- doing -------------------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> None:
        self.source.ask(request)
        if self._live:
            self._pace.hurry()
            self.set_timer(ANSWER, self.pump)

    def open_run(self, run: str) -> None:
        self.state.open_run(run)
        self.ask(RunOpened(run))
        if isinstance(self.screen, RunScreen):
            self.screen.flush()
        else:
            self.push_screen(RunScreen())

    def close_run(self) -> None:
        self.state.open_run("")
        self.ask(RunOpened(""))
        self.pop_screen()

    def start(self, target: TargetInfo) -> None:
        """Start a run of a target, with what is typed into its form."""
        place = target.spec.module, target.spec.name
        form = StartForm(target, self._typed.get(place))

        def start(words: tuple[str, ...] | None) -> None:
            if words is not None:
                self._typed[place] = form.fields()
                self.ask(StartAsked(place[0], "", place[1], words))

        self.push_screen(form, start)

    def view_file(self, row: FileRow) -> None:
        self.push_screen(FileScreen(row))

    def download(self, asset: str, path: str | None, name: str, suggested: str) -> None:
        """Write an asset, or a file of it, below a directory that is asked for."""

        def answered(directory: str | None) -> None:
            if directory:
                self.ask(DownloadAsked(asset, path, os.path.expanduser(directory)))

        self.push_screen(AskDirectory(name, suggested), answered)

    def _ask_to_replace(self, blocked: DownloadBlocked) -> None:
        def answered(key: str | None) -> None:
            if key == "y":
                self.ask(blocked.request._replace(replace=True))

        about = [blocked.file, "is there already; nothing was written"]
        self.push_screen(Ask("Replace files that are there?", about, [("y", "replace them")]), answered)

    def rerun(self, run: str, step: int, *, resume: bool = False) -> None:
        self.ask(RerunAsked(run, step, resume))

    def cancel(self, execution: str, about: str) -> None:
        """Cancel a run or an execution, if that is meant."""

        def answered(key: str | None) -> None:
            if key == "y":
                self.ask(CancelAsked(execution))

        self.push_screen(Ask(f"Cancel {execution}?", [about], [("y", "cancel it")]), answered)

    def action_leave(self) -> None:
        """Leave; if work is unfinished, ask what is to become of it."""
        unfinished = [row for row in self.state.runs.shown if row.status in UNFINISHED]
        if not unfinished:
            self.exit(0)
            return
        named = [f"{row.id} {row.module}/{row.name}" for row in unfinished[:5]]

        def answered(key: str | None) -> None:
            if key == "c":
                for row in unfinished:
                    self.ask(CancelAsked(row.id))
            if key in ("c", "d"):
                self.exit(0)

        answers = [("d", "leave them running"), ("c", "cancel them and leave")]
        self.push_screen(Ask(f"{len(unfinished)} unfinished runs", named, answers), answered)

    def action_help(self) -> None:
        """Show the keys that work here."""
        if not isinstance(self.screen, View):
            return
        keys = []
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if enabled and binding.description and binding.id is not None:
                keys.append((self.get_key_display(binding), binding.description))
        self.push_screen(Help(self.screen.TITLE or "Keys", self.screen.PROSE, list(dict.fromkeys(keys))))

    def action_interrupt(self) -> None:
        now = time.monotonic()
        if now - self._interrupted_at < 2:
            self.exit(130, return_code=130)
        self._interrupted_at = now
        self.notify("Ctrl-C again to leave; what runs goes on", markup=False)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def rule(self, title: str, width: int) -> Content:
        return Content.assemble((f" {title} ", "bold"), (self.glyphs.rule * max(width - cell_len(title) - 2, 0), "dim"))

    def draw_status(self, widget: OneLine) -> None:
        """The engine in one line."""
        state = self.state
        parts: list[tuple[str, str]] = [(" coflux dev ", "reverse"), (f" {self._what} ", "bold")]
        engine = state.engine
        if engine.lost:
            parts.append((fit(engine.lost, 60), "red"))
        elif engine.errors:
            error = engine.errors[0]
            parts.append((fit(f"✗ {error.file}:{error.line} {error.message}", 80), "red bold"))
        elif engine.searched:
            parts.append(("✓ loaded ", "green"))
        else:
            parts.append(("… loading ", "dim"))
        if engine.sample is not None:
            sample = engine.sample
            taken = sum(group.taken for group in sample.groups)
            places = sum(group.concurrency for group in sample.groups)
            parts.append((f" workers {taken}/{places}  queued {sample.queued}  running {sample.running}", "dim"))
        widget.update(Content.assemble(*parts))


def _has_colors(environment: Mapping[str, str]) -> bool:
    """Whether the terminal tells more than the sixteen colours apart, whose meaning themes would be reduced to, and
    colours are wanted."""
    if environment.get("NO_COLOR"):
        return False
    return (
        bool(environment.get("COLORTERM"))
        or "256" in environment.get("TERM", "")
        or "direct" in environment.get("TERM", "")
    )
