"""The live tree of a run on a terminal, with output, logs and failures scrolling by above it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from coflux.cli.lines import Narrator, log_text
from coflux.cli.terminal import BACKLOG, Output, Terminal
from coflux.cli.view import Line, RunView, describe_counts
from coflux.display.bars import progress_text
from coflux.display.feed import (
    Event,
    ExecutionChanged,
    GroupOpened,
    HandleShared,
    Key,
    Logged,
    RunChanged,
    StepSubmitted,
)
from coflux.display.marks import MARKS
from coflux.display.reasons import problem_of
from coflux.display.text import duration, fit, visible, visible_lines
from coflux.executor.history import LogEntry
from coflux.executor.series import Progress

__all__ = ["Tree"]

IDLE_INTERVAL = 1.0  # seconds between redraws when only the time goes by
BARS = 4  # progress bars that are shown at once, below the tree


class _Stream:
    """What rich writes to: our queue, which rich must never wait for."""

    def __init__(self, output: Output) -> None:
        self.encoding = output.encoding
        self.write = output.write

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


class Tree:
    """A display that redraws itself."""

    animated = True

    def __init__(self, output: Output, terminal: Terminal) -> None:
        self._output = output
        self._terminal = terminal
        self._narrator = Narrator(terminal)
        self._view = RunView()
        self._title = ""
        self._above: list[str] = []  # lines to print with the next picture
        self._bars: dict[tuple[object, ...], str] = {}  # progress bars of the steps, as they are now
        self._drawn_at = 0.0
        self._dirty = True
        self._console = Console(
            file=_Stream(output),  # type: ignore[arg-type]
            force_terminal=True,
            no_color=not terminal.color,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self._live = Live(self, console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def take(self, event: Event) -> None:
        self._dirty = True
        lines = self._narrator.lines(event)
        match event:
            case RunChanged(row):
                self._title = self._title or f"run {row.id} {visible(f'{row.module}/{row.name}')}"
            case GroupOpened(row):
                self._view.add_group(row)
            case StepSubmitted(step, spawned_by):
                self._view.add_step(step, spawned_by)
            case HandleShared(row):
                self._view.add_shared(row)
            case ExecutionChanged(row, outcome):
                self._view.update(row, problem_of(outcome))
                if len(lines) > 1:  # with a traceback
                    self._above += lines
            case Logged(entry):
                self._above += lines
                if entry.bar is not None:
                    self._note_bar(entry)

    def _note_bar(self, entry: LogEntry) -> None:
        bar = (entry.run, entry.step, entry.attempt, entry.bar)
        if entry.live:
            self._bars[bar] = f"{entry.run}:{entry.step} {visible(log_text(entry).strip())}"
        else:
            self._bars.pop(bar, None)

    def show_progress(self, progress: Mapping[Key, Progress]) -> None:
        for key, told in progress.items():
            if self._view.tell_progress(key, progress_text(told, rate=False)):
                self._dirty = True

    def recall(self, event: Event) -> None:
        self.take(event)
        self._above.clear()

    def say(self, text: str) -> None:
        self._above += visible_lines(text)

    def refresh(self) -> None:
        now = time.monotonic()
        changed = self._dirty or bool(self._above)
        if self._output.pending < BACKLOG and (changed or now - self._drawn_at >= IDLE_INTERVAL):
            self._drawn_at = now
            self._draw()

    def close(self) -> None:
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        """Print what has come and draw the tree below it, at once: rich draws it again for every print."""
        self._dirty = False
        if self._above:
            lines = Text("\n").join(Text.from_ansi(line) for line in self._above)
            self._above.clear()
            self._console.print(lines, soft_wrap=True)
        else:
            self._live.refresh()

    # -- drawing: rich asks with the size that the terminal has now --------------------------------------------------

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = time.time()
        width = max(options.max_width, 1)
        bars = list(self._bars.values())[:BARS]
        lines = self._view.lines(max(console.size.height - 3 - len(bars), 1), now)
        yield Text(set_cell_size(self._title, min(cell_len(self._title), width)), style="bold", no_wrap=True)
        for line in lines:
            yield self._line(line, width)
        for bar in bars:
            yield Text(self._fit(bar, width), no_wrap=True, overflow="crop")
        yield Text(describe_counts(self._view.counts), style="dim", no_wrap=True, overflow="crop")

    def _line(self, line: Line, width: int) -> Text:
        mark = MARKS[line.state]
        indent = " " * min(2 * line.depth, width // 2)
        start = f"{indent}{mark.unicode if self._terminal.unicode else mark.ascii} "
        time_taken = "" if line.seconds is None else f"  {duration(line.seconds)}"
        note = f"  {visible(line.note)}" if line.note else ""
        # The time always fits, then the note up to a third of the width, then as much of the call as there is room for.
        note = self._fit(note, max(width // 3, width - cell_len(start) - cell_len(line.title) - len(time_taken)))
        title = self._fit(visible(line.title), width - cell_len(start) - cell_len(note) - len(time_taken))
        text = Text(no_wrap=True, overflow="crop")
        text.append(start, style=mark.style)
        text.append(title)
        text.append(note, style=mark.style)
        text.append(time_taken, style="dim")
        return text

    def _fit(self, text: str, cells: int) -> str:
        return fit(text, cells, "…" if self._terminal.unicode else "~")
