"""Displays of a run's progress on one stream: lines, or a live tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from coflux.cli.lines import Narrator
from coflux.cli.terminal import Output, Terminal
from coflux.display.feed import FAILURES, Event, ExecutionChanged, Key, StepSubmitted
from coflux.display.reasons import problem_of
from coflux.display.text import visible_lines
from coflux.executor.rows import ExecutionRow
from coflux.executor.series import Progress

__all__ = ["Display", "Lines", "Problems", "open_display"]


class Display(Protocol):
    animated: bool
    """Whether `refresh` wants to be called, a few times a second."""

    def take(self, event: Event) -> None:
        """Show one event, with the output's next push at the latest."""

    def show_progress(self, progress: Mapping[Key, Progress]) -> None:
        """Show, if this display is animated, how far executions have got."""

    def recall(self, event: Event) -> None:
        """Take note of what had happened before: it is the background of what is shown."""

    def say(self, text: str) -> None:
        """Show a line that is not about one step."""

    def refresh(self) -> None:
        """Bring up to date what is animated."""

    def close(self) -> None:
        """Leave the final picture. What is shown after that comes as lines."""


def open_display(output: Output, terminal: Terminal) -> Display:
    """A live tree where the terminal can redraw, else lines."""
    if not terminal.live:
        return Lines(output, terminal)
    from coflux.cli.tree import Tree

    return Tree(output, terminal)


class Lines:
    """Everything as lines, in the order it happened."""

    animated = False

    def __init__(self, output: Output, terminal: Terminal) -> None:
        self._output = output
        self._narrator = Narrator(terminal)

    def take(self, event: Event) -> None:
        for line in self._narrator.lines(event):
            self._output.put(line + "\n")

    def show_progress(self, progress: Mapping[Key, Progress]) -> None:
        pass

    def recall(self, event: Event) -> None:
        self._narrator.lines(event)

    def say(self, text: str) -> None:
        for line in visible_lines(text):
            self._output.line(line)

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


class Problems:
    """The steps whose last attempt did not succeed, but for the one that is followed: it speaks for itself."""

    def __init__(self, run: str, step: int = 1) -> None:
        self._followed = (run, step)
        self._names: dict[tuple[str, int], str] = {}
        self._problems: dict[tuple[str, int], str] = {}

    def take(self, event: Event) -> None:
        match event:
            case StepSubmitted(step, _):
                self._names[step.run, step.number] = step.name
            case ExecutionChanged(row, outcome) if (row.run, row.step) != self._followed:
                key = row.run, row.step
                if row.status in FAILURES and row.next is None:
                    why = problem_of(outcome) or row.reason
                    self._problems[key] = f"{row.status.replace('_', ' ')}: {why}"
                else:
                    self._problems.pop(key, None)

    def recall(self, event: Event) -> None:
        """Take note of what had happened before: only the names of the steps matter."""
        if isinstance(event, StepSubmitted):
            self.take(event)

    def name_of(self, row: ExecutionRow) -> str:
        return self._names.get((row.run, row.step), "")

    def lines(self, limit: int = 20) -> list[str]:
        """At most `limit` lines, and one that counts the rest."""
        lines = [
            f"{run}:{step} {self._names.get((run, step), '')} {problem}"
            for (run, step), problem in list(self._problems.items())[:limit]
        ]
        if len(self._problems) > limit:
            lines.append(f"and {len(self._problems) - limit} more steps did not succeed")
        return lines
