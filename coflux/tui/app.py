"""The dashboard's app: one look at what has come, twenty times a second, and the screens.

The model never waits for the screen: when the terminal does not keep up, or drawing costs much, pictures are left out,
nothing else. A key is answered at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import App
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input

from coflux.display.text import duration
from coflux.executor.messages import TargetInfo
from coflux.executor.rows import RunRow
from coflux.tui.about import About
from coflux.tui.assets import FileRow
from coflux.tui.bindings import keys_of
from coflux.tui.endings import Endings, describe_endings
from coflux.tui.faults import FaultLog
from coflux.tui.pace import Pace
from coflux.tui.painting import Glyphs, Piece, seconds_of
from coflux.tui.preferences import Preferences
from coflux.tui.screens.ask import Ask
from coflux.tui.screens.base import View
from coflux.tui.screens.file import AskDirectory, FileScreen
from coflux.tui.screens.form import StartForm
from coflux.tui.screens.help import Help
from coflux.tui.screens.home import Home
from coflux.tui.screens.run import RunScreen
from coflux.tui.screens.save_as import SaveAs
from coflux.tui.screens.system import SystemScreen
from coflux.tui.searching import open_palette
from coflux.tui.state import State
from coflux.tui.strip import Meter, strip
from coflux.tui.system import Heard
from coflux.tui.text import cell_len, clean
from coflux.tui.themes import DARK, TERMINAL_DARK, THEMES, Sheet
from coflux.tui.tree import UNFINISHED
from coflux.tui.updates import (
    CancelAsked,
    DownloadAsked,
    DownloadBlocked,
    LogFilter,
    LogIds,
    LogSaveAsked,
    LogSearch,
    ProgressRead,
    Request,
    RerunAsked,
    RunOpened,
    RunProgressed,
    RunsRead,
    Update,
)

__all__ = ["Dashboard", "Source"]

RATE = 20.0  # looks a second at what has come
TAKING = 0.015  # seconds of CPU time that what has come is taken in before keys have a turn
SHARE = 0.08  # of a core, that drawing what has come may take
LATEST = 0.5  # seconds after which it is drawn whatever it takes
BURST = 0.15  # seconds of CPU time for what was asked for
ANSWER = 0.008  # seconds after which it is looked for an answer, or what is left
PATIENCE = 4.0  # seconds for leaving in order, once a signal has come
HEARD = 500  # notices that are kept
HELD = 20_000  # updates that are kept back while the display is frozen
ERROR_SHOWN = 12.0  # seconds; other notices for 5
INTERRUPTED = 130  # exit status
SAVE_TITLE = "\x1b[22;2t"  # of the window, on a stack that the terminal has for them
TWICE = 2.0  # seconds in which a second Ctrl-C is one

_HOLDABLE = (RunsRead, RunProgressed, ProgressRead, LogIds)


class Source(Protocol):
    """Where the dashboard asks, and what tells it: `coflux.tui.link.Link`, or a test."""

    def ask(self, request: Request) -> None: ...
    def take(self) -> Iterator[Update]: ...


class Dashboard(App[None]):
    """`titled` tells whether it has put a title on the window in place of another one, which the terminal remembers.
    Its `return_code` is 0, 130 after Ctrl-C, 128 and its number after a signal, or 1 after a fault."""

    TITLE = "coflux"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-middle"), (160, "-wide")]  # noqa: RUF012  # as it is declared
    VERTICAL_BREAKPOINTS = [(0, "-low"), (12, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "quit", id="app.quit"),
        Binding("question_mark,f1", "help", "keys", id="app.help"),
        Binding("colon", "palette", "commands", id="app.palette", priority=True),
        Binding("ctrl+p", "palette_anyway", "commands", show=False, id="app.palette_anyway", priority=True),
        Binding("ctrl+f", "search_everywhere", "search everywhere", id="app.search", priority=True),
        Binding("exclamation_mark", "system", "engine and notices", id="app.system"),
        Binding("p", "freeze", "freeze", id="app.freeze"),
        Binding("ctrl+t", "next_theme", "next theme", id="app.theme"),
        Binding("ctrl+z", "suspend_process", "suspend", id="app.suspend"),
        Binding("ctrl+c", "interrupt", "copy, or twice: quit", show=False, priority=True, id="app.interrupt"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        about: About = About(),  # noqa: B008  # it cannot be changed
        unicode: bool = True,
        colors: bool = True,
        preferences: Preferences | None = None,
        log: str = "",
        clock: Callable[[], float] = time.time,
        rate: float = RATE,
        live: bool = True,
        directory: str = "",
    ) -> None:
        """Without `colors` the theme is the terminal's own; `rate` is how often a second it looks at what has come;
        `log` is the file for its own faults. `directory` is where relative
        paths start, by default the process's own. `live` false is for tests: they call `pump` and `second`, and no
        fault is forgiven."""
        # Without this said beforehand, Textual turns colours to grey where none are wanted.
        super().__init__(ansi_color=None if colors else True)
        self.animation_level = "none"
        self.stylesheet = Sheet(lambda: self.theme, variables=self.get_css_variables())
        self.preferences = preferences or Preferences("")
        self.themes_offered = [name for name, theme in THEMES.items() if colors or theme.ansi]
        for name in self.themes_offered:
            self.register_theme(THEMES[name])
        chosen = self.preferences.get("theme")
        self.theme = chosen if chosen in self.themes_offered else DARK if colors else TERMINAL_DARK
        self.source = source
        self.about = about
        self.state = State()
        self.glyphs = Glyphs(unicode)
        self.clock = clock
        self.titled = False
        self.heard: deque[Heard] = deque(maxlen=HEARD)
        self.directory = directory or os.getcwd()
        self._rate = rate
        self.live = live
        self._faults = FaultLog(log)
        self._endings = Endings()
        self._interrupted_at = float("-inf")
        self._pace = Pace(SHARE, LATEST, BURST)
        self._taking = 0.0  # CPU seconds that were not for drawing
        self._undrawn = False  # something has come that is not on the screen
        self._held: list[Update] | None = None  # what has come since the display was frozen
        self._waiting = False  # to leave when nothing is unfinished any more, with
        self._waiting_code = 0
        self._pictures = self._dropped = 0
        self._meter: Meter | None = None
        self._cpu = time.process_time()

    def on_mount(self) -> None:
        if not self.glyphs.unicode:
            self.add_class("-ascii")
        if self.live:
            self._leave_on_signals()
        self.push_screen(Home())
        if self.about.run:
            self.open_run(self.about.run)
        if self.live:
            self.set_interval(1 / self._rate, self.pump)
            self.set_interval(1, self.second)

    def _leave_on_signals(self) -> None:
        """A signal that ends the process leaves the terminal as it was."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._leave_on, number)

    def _leave_on(self, number: int) -> None:
        # The shell may have taken the terminal back already: putting it in order must not stop this process.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        # Textual waits for a terminal to take its last picture, and for one that is gone that is for ever.
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        self.exit(return_code=128 + number)

    # -- what has come -----------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Take in what has come, and draw it if the terminal keeps up."""
        try:
            self._take_in()
            if self._waiting and not self.unfinished():
                self.exit(return_code=self._waiting_code)
            self._draw()
        except Exception as error:  # noqa: BLE001  # the run goes on, and so should the view of it
            self.fault(error)

    def _take_in(self) -> None:
        began = time.thread_time()
        for update in self.source.take():
            self._undrawn = True
            if self._held is not None and isinstance(update, _HOLDABLE):
                self._held.append(update)
            else:
                self._take(update)
            if self.live and time.thread_time() - began > TAKING:
                self.set_timer(ANSWER, self.pump)  # the rest comes after the keys that were pressed meanwhile
                break
        self._taking += time.thread_time() - began
        if self._held is not None and len(self._held) > HELD:
            self.action_freeze()
            self.say("warning", f"the display goes on: {HELD:,} changes were held back")
        for said in self.state.said:
            self.say(said.level, said.text)
        self.state.said.clear()
        if isinstance(self.screen, StartForm):
            self.screen.receive()
        for refused in self.state.refused:  # of a form that was left
            self.say("error", refused.why)
        self.state.refused.clear()
        for started in self.state.started:
            self.open_run(started.run)
        self.state.started.clear()
        for blocked in self.state.blocked:
            self._ask_to_replace(blocked)
        self.state.blocked.clear()
        if self.state.log.unsaved:
            self._ask_to_overwrite(self.state.log.unsaved.pop(0))

    def _take(self, update: Update) -> None:
        self.state.take(update)
        if isinstance(update, RunsRead):
            opened = self.state.run.id if self.state.run is not None and isinstance(self.screen, RunScreen) else ""
            ended = [row for row in self._endings.take(update.rows) if row.id != opened or not self.app_focus]
            if ended:
                self._tell_ends(ended)

    def _tell_ends(self, ended: list[RunRow]) -> None:
        """Runs have ended that nobody looks at."""
        text, badly = describe_endings(ended, self.glyphs)
        self.say("warning" if badly else "info", text)
        self.bell()
        self._set_window_title(text)

    def _draw(self) -> None:
        screen = self.screen
        if not self._undrawn or not isinstance(screen, View) or not screen.ready:
            return
        if self._terminal_is_behind():
            self._dropped += 1
            return
        if not self._has_time():
            return
        self._undrawn = False
        self._pictures += 1
        screen.flush_strip()
        if self._held is None:
            screen.flush()

    def second(self) -> None:
        """A second has gone by."""
        cpu = time.process_time()
        self._meter = Meter(cpu - self._cpu, self._pictures, self._dropped)
        self._cpu, self._pictures = cpu, 0
        try:
            if isinstance(self.screen, View) and self.screen.ready and not self._terminal_is_behind():
                self.screen.flush_strip()
                if self._held is None:
                    self.screen.tick()
        except Exception as error:  # noqa: BLE001  # as in `pump`
            self.fault(error)

    def _has_time(self) -> bool:
        """Whether there is time to draw what nobody has pressed a key for."""
        return not self.live or self._pace.allows(time.monotonic(), time.thread_time() - self._taking)

    def _terminal_is_behind(self) -> bool:
        """Textual queues 30 pictures for the terminal, and then stands still until it has taken one."""
        writer = getattr(self._driver, "_writer_thread", None)
        return writer is not None and writer._queue.qsize() > 1

    # -- telling -----------------------------------------------------------------------------------------------------

    def say(self, level: str, text: str) -> None:
        """Show a line for people, and keep it."""
        self.heard.append(Heard(self.clock(), level, text))
        shown = "\n".join(clean(line, 500) for line in text.splitlines()[:5])
        timeout = ERROR_SHOWN if level == "error" else None
        severity = {"info": "information"}.get(level, level)
        self.notify(shown, severity=severity, timeout=timeout, markup=False)  # type: ignore[arg-type]

    def fault(self, error: Exception) -> None:
        """Something went wrong in the dashboard itself. Once it says so; the second time in a row it leaves."""
        text, again = self._faults.add(error)
        if again or not self.live:
            self._handle_exception(error)
            return
        self.heard.append(Heard(self.clock(), "error", text))
        self.say("error", f"a fault of the dashboard: {type(error).__name__}: {error} (! shows it)")

    def _fatal_error(self) -> None:
        """Textual would print the values of all local variables, too, secrets among them."""
        self.panic(Text(traceback.format_exc()))

    async def run_action(self, action: object, *args: object, **options: object) -> bool:
        """A key that fails is a fault, not the end."""
        try:
            return await super().run_action(action, *args, **options)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001
            self.fault(error)
            return True

    def _set_window_title(self, text: str) -> None:
        """Terminals and their tabs show it; OSC 2 with what no terminal can misread."""
        if self._driver is not None and not self.is_headless:
            shown = "".join(character for character in clean(text, 80) if character.isprintable())
            self._driver.write(f"{'' if self.titled else SAVE_TITLE}\x1b]2;{shown}\x07")
            self.titled = True

    def on_app_focus(self) -> None:
        if self.titled:
            self._set_window_title(f"coflux {self.about.title}")

    # -- doing -------------------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> None:
        self.source.ask(request)
        if self.live:
            self._pace.hurry()
            self.set_timer(ANSWER, self.pump)

    def open_run(self, run: str) -> None:
        self._thaw()
        self.state.open_run(run)
        self.ask(RunOpened(run))
        self.leave_system()
        if isinstance(self.screen, RunScreen):
            self.screen.flush()
        else:
            self.push_screen(RunScreen())

    def close_run(self) -> None:
        """Go back from a run to home; from that of `coflux run`, leave."""
        if self.about.own_run and self.state.run is not None and self.state.run.id == self.about.run:
            self.action_leave()
            return
        self.state.open_run("")
        self.ask(RunOpened(""))
        self.pop_screen()

    def start(self, target: TargetInfo, run: str = "") -> None:
        """Show the form that starts a target, with what was typed into it last, or with the arguments of `run`."""
        self.push_screen(StartForm(target, run))

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

    def delete(self, runs: Sequence[str]) -> None:
        """Delete runs that have ended; what comes of it is said."""
        for request in self.state.deletions.ask(runs):
            self.ask(request)

    def rerun(self, run: str, step: int, *, resume: bool = False) -> None:
        self.ask(RerunAsked(run, step, resume))

    def cancel(self, execution: str, about: str) -> None:
        """Cancel a run or an execution, if that is meant."""

        def answered(key: str | None) -> None:
            if key == "y":
                self.ask(CancelAsked(execution))

        self.push_screen(Ask(f"Cancel {execution}?", [about], [("y", "cancel it")]), answered)

    def save_log(self, wanted: LogFilter, search: LogSearch | None) -> None:
        """Save the entries that are shown to a file that is asked for."""

        def chosen(path: str | None) -> None:
            if path:
                self.ask(LogSaveAsked(wanted, search, path))

        self.push_screen(SaveAs("log", f"{wanted.run}.log"), chosen)

    def _ask_to_overwrite(self, request: LogSaveAsked) -> None:
        def answered(key: str | None) -> None:
            if key == "y":
                self.ask(request._replace(overwrite=True))

        about = "the log would take the place of what is in it"
        self.push_screen(Ask(f"{request.path} is there. Overwrite it?", [about], [("y", "overwrite")]), answered)

    # -- leaving -----------------------------------------------------------------------------------------------------

    def unfinished(self) -> list[str]:
        """The runs whose end leaving does not wait for; of `coflux run`, its own only."""
        if self.about.own_run:
            own = self.state.runs.get(self.about.run)
            return [] if own is not None and own.settled else [self.about.run]
        return [row.id for row in self.state.runs if row.status in UNFINISHED and row.parent is None]

    def action_leave(self) -> None:
        """Leave; if work is unfinished, ask what is to become of it."""
        unfinished = self.unfinished()
        if self._waiting:
            self._waiting = False
            self.say("info", "staying")
        elif not unfinished or not self.state.engine.connected or self.about.passing:
            self.exit(return_code=0)
        else:
            self._ask_how_to_leave(unfinished)

    def _ask_how_to_leave(self, unfinished: list[str]) -> None:
        count = len(unfinished)
        named = []
        for run in unfinished[:5]:
            row = self.state.runs.get(run)
            named.append(run if row is None else f"{run} {row.module}/{row.name}")
        if count > len(named):
            named.append(f"and {count - len(named)} more")

        def answered(key: str | None) -> None:
            match key:
                case "w":
                    self._leave_at_the_end(0)
                case "d":
                    self.exit(return_code=0)
                case "c":
                    self._cancel_and_leave(unfinished)

        them = "them" if count != 1 else "it"
        answers = [("w", "wait, then leave"), ("d", f"leave {them} running"), ("c", f"cancel {them} and leave")]
        self.push_screen(Ask(f"{count} unfinished run{'s' if count != 1 else ''}", named, answers), answered)

    def _leave_at_the_end(self, code: int) -> None:
        self._waiting, self._waiting_code = True, code
        self._flush_strip()

    def _cancel_and_leave(self, unfinished: list[str]) -> None:
        """Cancel runs; `coflux run` tells of its own run's end, so that is waited for."""
        for run in unfinished:
            self.ask(CancelAsked(run))
        if self.about.own_run:
            self._leave_at_the_end(INTERRUPTED)
        else:
            self.exit(return_code=0)

    def action_interrupt(self) -> None:
        """Copy what is selected; else the second time leave, and of `coflux run` cancel the run."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            return
        now = time.monotonic()
        own = self.unfinished() if self.about.own_run and not self._waiting else []
        if now - self._interrupted_at < TWICE:
            self._interrupted_at = float("-inf")
            if own:
                self._cancel_and_leave(own)
            else:
                self.exit(return_code=INTERRUPTED)
            return
        self._interrupted_at = now
        goes_on = "" if self.about.passing else "; what runs goes on"
        self.say("info", f"Ctrl-C again to {f'cancel {own[0]} and leave' if own else f'leave{goes_on}'}")

    # -- keys --------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A colon that is typed into a field is text; above a question there is no palette."""
        if action == "palette":
            return not isinstance(self.focused, Input) and isinstance(self.screen, View)
        if action in ("palette_anyway", "search_everywhere", "system", "leave"):
            return isinstance(self.screen, View)
        return True

    def action_help(self) -> None:
        """Show the keys that work here."""
        screen = self.screen
        if isinstance(screen, Help):
            return
        prose = getattr(screen, "PROSE", "")
        self.push_screen(Help(screen.TITLE or "Keys", prose, keys_of(screen), self.about.lines()))

    def action_palette(self) -> None:
        """Find a command, a target, a run or a step by its name."""
        open_palette(self)

    def action_palette_anyway(self) -> None:
        open_palette(self)

    def action_search_everywhere(self) -> None:
        """Search targets, runs, steps and the log of the open run."""
        open_palette(self, "/")

    def action_system(self) -> None:
        """Open what there is to know about the engine."""
        if not isinstance(self.screen, SystemScreen):
            self.push_screen(SystemScreen())

    def leave_system(self) -> None:
        """Go back to the screen below the engine's page, if that is open."""
        if isinstance(self.screen, SystemScreen):
            self.pop_screen()

    def action_freeze(self) -> None:
        """Stop the display, or let it go on; what happens meanwhile is counted."""
        if self._held is None:
            self._held = []
        else:
            self._thaw()
        self._flush_strip()

    def _thaw(self) -> None:
        held, self._held = self._held, None
        for update in held or ():
            self._take(update)
        self._undrawn = True

    def action_next_theme(self) -> None:
        offered = self.themes_offered
        following = (offered.index(self.theme) + 1) % len(offered) if self.theme in offered else 0
        self.action_theme(offered[following])

    def action_theme(self, name: str) -> None:
        """Change the colours, and remember that."""
        self.theme = name
        self.run_worker(self._remember_theme(name), exclusive=True, group="preferences")
        self.say("info", f"theme {name}")

    async def _remember_theme(self, name: str) -> None:
        try:
            await asyncio.to_thread(self.preferences.choose, "theme", name)
        except OSError as error:
            self.say("warning", f"the theme is not remembered: {error}")

    # -- drawing -----------------------------------------------------------------------------------------------------

    def rule(self, title: str, width: int, notes: Sequence[Piece] = ()) -> Content:
        """A line with a title; as many of the notes stand at its end as there is room for."""
        room = width - cell_len(title) - 4
        shown: list[Piece] = []
        for text, style in notes:
            if cell_len(text) + 1 > room:
                break
            room -= cell_len(text) + 1
            shown.append((f" {text}", style))
        ending = [*shown, (" ", "")] if shown else []
        dashes = width - cell_len(title) - 2 - sum(cell_len(text) for text, _ in ending)
        return Content.assemble((f" {title} ", "bold"), (self.glyphs.rule * max(dashes, 0), "dim"), *ending)

    def write_strip(self, width: int) -> list[Piece]:
        """The engine in one line."""
        return strip(
            self.state.engine,
            self.about.title,
            width,
            self.glyphs,
            data_dir=self.about.data_dir,
            notice=self._notice(),
            meter=self._meter if width >= 160 else None,
        )

    def _notice(self) -> Piece:
        """What the line at the top has to say of the dashboard itself."""
        if self._held is not None:
            return f"frozen +{len(self._held):,}: p goes on", "yellow reverse"
        if self._waiting:
            what = "cancelling, then leaving" if self._waiting_code else f"leaving when {len(self.unfinished())} ended"
            return f"{what}: q stays", "yellow reverse"
        own = self.state.runs.get(self.about.run) if self.about.own_run else None
        if own is None or not own.settled:
            return "", ""
        seconds = seconds_of(own, self.clock())
        took = "" if seconds is None else f" in {duration(seconds)}"
        style = "green reverse" if own.status == "succeeded" else "red reverse"
        return f"{own.status.replace('_', ' ')}{took}: q leaves", style

    def _flush_strip(self) -> None:
        if isinstance(self.screen, View):
            self.screen.flush_strip()
