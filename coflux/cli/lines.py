"""Events as lines of text: what a pipe gets, and what stands above the tree on a terminal."""

from __future__ import annotations

from coflux.cli.terminal import Terminal
from coflux.display.feed import Event, ExecutionChanged, GroupOpened, HandleShared, Logged, RunChanged, StepSubmitted
from coflux.display.marks import MARKS
from coflux.display.reasons import problem_of
from coflux.display.text import crop, duration, visible
from coflux.executor import log_values
from coflux.executor.history import LogEntry
from coflux.executor.messages import Failed, Outcome
from coflux.executor.rows import ExecutionRow
from coflux.logs import Level, render

__all__ = ["Narrator", "Painter", "log_lines", "log_text"]

ARGUMENT_LENGTH = 40  # characters of an argument in a line that mentions a call
CALL_LENGTH = 80
_OUTPUT = (Level.STDOUT, Level.STDERR)
_LEVEL_STYLES = {Level.DEBUG: "dim", Level.WARNING: "yellow", Level.ERROR: "red"}
_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


class Painter:
    """Puts text in the colours of a style such as "red bold", or leaves it as it is."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def paint(self, text: str, style: str) -> str:
        if not self._color or not style or not text:
            return text
        return f"\x1b[{';'.join(_SGR[word] for word in style.split())}m{text}\x1b[0m"

    def state(self, status: str) -> str:
        return self.paint(status.replace("_", " "), MARKS[status].style)


def log_text(entry: LogEntry) -> str:
    """The template with its values filled in."""
    return render(entry.template, log_values.texts(entry.values), literal=entry.logger is not None)


def log_lines(entry: LogEntry, name: str, painter: Painter) -> list[str]:
    """An entry behind the step it belongs to, `R7QK:2 load | …` for output, `R7QK:2 load info: …` for what was logged,
    `R7QK:2 load info app.db: …` if it was with the standard library. A line for each line of the text."""
    level = Level(entry.level)
    logger = "" if entry.logger is None else f" {visible(entry.logger)}"
    separator = " | " if level in _OUTPUT else f" {level.name.lower()}{logger}: "
    prefix = f"{entry.run}:{entry.step} {visible(name)}{separator}"
    style = _LEVEL_STYLES.get(level, "")
    lines = log_text(entry).splitlines() or [""]
    return [painter.paint(prefix, style or "dim") + painter.paint(visible(line), style) for line in lines]


def _traceback(outcome: Outcome | None) -> list[str]:
    if not isinstance(outcome, Failed):
        return []
    return [f"    {visible(line)}" for line in outcome.failure.traceback.splitlines()]


class Narrator:
    """Tells events in lines: a run, a step's start and end, a failure with its traceback, output and log."""

    def __init__(self, terminal: Terminal) -> None:
        self.painter = Painter(terminal.color)
        self._ellipsis = "…" if terminal.unicode else "..."
        self._runs: set[str] = set()
        self._names: dict[tuple[str, int], str] = {}
        self._calls: dict[tuple[str, int], str] = {}  # names with arguments, of steps not mentioned yet

    def lines(self, event: Event) -> list[str]:
        match event:
            case RunChanged(row) if row.id not in self._runs:
                self._runs.add(row.id)
                called = f" (called by {row.parent})" if row.parent else ""
                return [f"run {row.id} {visible(f'{row.module}/{row.name}')}{called}"]
            case StepSubmitted(step, _):
                arguments = ", ".join(crop(argument, ARGUMENT_LENGTH, self._ellipsis) for argument in step.arguments)
                call = visible(f"{step.name}({arguments})")
                self._names[step.run, step.number] = visible(step.name)
                self._calls[step.run, step.number] = crop(call, CALL_LENGTH, self._ellipsis)
                return []
            case ExecutionChanged(row, outcome) if row.status != "queued":
                # A failed attempt that is followed by another is told in one line.
                return [self._state(row, outcome), *(_traceback(outcome) if row.next is None else ())]
            case Logged(entry) if entry.live:
                return []  # a progress bar is told of when it is complete
            case Logged(entry):
                return log_lines(entry, self._names.get((entry.run, entry.step), ""), self.painter)
            case RunChanged() | GroupOpened() | HandleShared() | ExecutionChanged():
                return []

    def _state(self, row: ExecutionRow, outcome: Outcome | None) -> str:
        key = row.run, row.step
        attempt = f" attempt {row.attempt}" if row.attempt > 1 else ""
        state = self.painter.state(row.status)
        took = ""
        if row.started_at is not None and row.finished_at is not None:
            took = f" in {duration(row.finished_at - row.started_at)}"
        why = visible(problem_of(outcome) or row.reason)
        call = self._calls.pop(key, None) or self._names.get(key, "")
        return f"{row.run}:{row.step} {call}{attempt} {state}{took}{f': {why}' if why else ''}"
