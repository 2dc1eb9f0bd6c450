"""What is known of a step, as lines for people: arguments, attempts, the error with its causes, the last log lines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from coflux.cli.lines import Painter, log_text
from coflux.display.marks import MARKS
from coflux.display.reasons import problem_of
from coflux.display.text import duration, fit, size, visible, visible_lines
from coflux.encoded import Frame
from coflux.executor.causes import Cause, users_frames
from coflux.executor.dossier import Argument, Dossier
from coflux.executor.history import LogEntry
from coflux.executor.rows import ExecutionRow
from coflux.logs import Level

__all__ = ["Dossiers"]

FRAMES = 6  # of one exception, the innermost
CAUSES = 5
MESSAGE_LINES = 12
SUMMARY_LINES = 12
LOG_LINES = 10
ENTRY_LINES = 10  # of one log entry
ARGUMENTS = 20
NAMED = 5  # steps that failed alike
ATTEMPTS = 20

_LINKS = {"": "", "cause": "caused by ", "context": "while handling "}
_LEVEL_STYLES = {Level.DEBUG: "dim", Level.WARNING: "yellow", Level.ERROR: "red"}


class Dossiers:
    """Writes dossiers in `width` columns. Files of the project are shown relative to `root`."""

    def __init__(self, painter: Painter, unicode: bool, width: int, root: str) -> None:
        self._painter = painter
        self._ellipsis = "…" if unicode else "..."
        self._unicode = unicode
        self._width = width
        self._root = root + os.sep

    def failure(self, dossier: Dossier, same: Sequence[str]) -> Iterator[str]:
        """A step that failed. `same` are the ids of others with the same error."""
        row = dossier.execution
        mark = MARKS[row.status]
        paint = self._painter.paint
        call = visible(f"{row.run}:{row.step} {dossier.step.name}")
        count = f" after {len(dossier.attempts)} attempts" if len(dossier.attempts) > 1 else ""
        symbol = mark.unicode if self._unicode else mark.ascii
        state = row.status.replace("_", " ")
        yield f"{paint(f'{symbol} {call}', mark.style)} {state}{count}{paint(_measures(row), 'dim')}"
        yield from self._indented(self.arguments(dossier.arguments[:ARGUMENTS]))
        if len(dossier.arguments) > ARGUMENTS:
            yield paint(f"  {self._ellipsis} {len(dossier.arguments) - ARGUMENTS} more arguments", "dim")
        yield from self._indented(self.error(dossier))
        if same:
            yield self._cropped(f"  the same error in {len(same)} more: {self._named(same)}")
        yield from self._indented(self.logs(dossier))

    def arguments(self, arguments: Sequence[Argument], *, summaries: bool = False) -> Iterator[str]:
        """A line for each, or more for those that have more to show, if `summaries` are wanted."""
        width = max((len(argument.name) for argument in arguments), default=0)
        for argument in arguments:
            yield self._cropped(f"{argument.name:<{width}} = {visible(argument.preview)}")
            if summaries:
                yield from self._indented(self.block(argument.summary, SUMMARY_LINES))

    def attempts(self, attempts: Sequence[ExecutionRow]) -> Iterator[str]:
        """A line for each attempt, the latest ones."""
        if len(attempts) > ATTEMPTS:
            yield self._painter.paint(f"{self._ellipsis} {len(attempts) - ATTEMPTS} before", "dim")
        width = max(len(row.status) for row in attempts)
        for row in attempts[-ATTEMPTS:]:
            state = self._painter.paint(f"{row.status.replace('_', ' '):<{width}}", MARKS[row.status].style)
            begun = row.started_at if row.started_at is not None else row.created_at
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begun))
            trigger = "" if row.trigger in ("submission", "retry") else f"  {row.trigger}"
            older = "  older code" if row.older_code else ""
            reason = f"  {visible(row.reason)}" if row.reason else ""
            yield f"{row.attempt:>2}  {state}  {clock}{_measures(row)}{trigger}{older}{reason}"

    def error(self, dossier: Dossier) -> Iterator[str]:
        """The error of an execution that did not succeed, with what led to it."""
        if not dossier.causes:
            problem = problem_of(dossier.outcome) or dossier.execution.reason
            if problem:
                yield self._painter.paint(self._cropped(visible(problem)), "red bold")
            return
        for cause in dossier.causes[:CAUSES]:
            yield from self._cause(cause)
        if len(dossier.causes) > CAUSES:
            yield self._painter.paint(f"{self._ellipsis} {len(dossier.causes) - CAUSES} more causes", "dim")

    def _cause(self, cause: Cause) -> Iterator[str]:
        first, *more = visible_lines(cause.message) or [""]
        link = self._painter.paint(_LINKS[cause.link], "dim") if cause.link else ""
        error = visible(f"{cause.type}: {first}" if first else cause.type)
        yield link + self._painter.paint(self._cropped(error), "red bold")
        yield from self._indented(self.block("\n".join(more), MESSAGE_LINES))
        frames = users_frames(cause.frames)
        shown = frames[-FRAMES:][::-1]
        for number, frame in enumerate(shown):
            yield from self._frame(frame, "in" if number == 0 else "called from")
        if len(cause.frames) > len(shown):
            hidden = len(cause.frames) - len(shown)
            yield self._painter.paint(f"  {self._ellipsis} {hidden} more frame{'s' * (hidden > 1)}", "dim")

    def _frame(self, frame: Frame, relation: str) -> Iterator[str]:
        place = visible(f"{frame.file.removeprefix(self._root)}:{frame.line}")
        function = visible(frame.function)
        yield f"  {self._painter.paint(relation, 'dim')} {place} {self._painter.paint(function, 'cyan')}"
        if frame.source:
            yield self._cropped(f"      {visible(frame.source)}")

    def logs(self, dossier: Dossier, limit: int = LOG_LINES) -> Iterator[str]:
        """The last log lines, with what is to be done to see all."""
        entries = dossier.logs[-limit:]
        if not entries:
            return
        row = dossier.execution
        more = dossier.more_logs or len(dossier.logs) > limit
        everything = f" (`coflux logs {row.id}` shows all)" if more else ""
        yield self._painter.paint(f"last log lines{everything}", "dim")
        for entry in entries:
            yield from self._log_lines(entry)

    def _log_lines(self, entry: LogEntry) -> Iterator[str]:
        level = Level(entry.level)
        clock = time.strftime("%H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at % 1 * 1000):03d}"
        label = "" if level in (Level.STDOUT, Level.STDERR) else f"{level.name.lower()}: "
        paint = self._painter.paint
        lines = log_text(entry).splitlines() or [""]
        if len(lines) > ENTRY_LINES:
            lines[ENTRY_LINES:] = [f"{self._ellipsis} {len(lines) - ENTRY_LINES} more lines"]
        for line in lines:
            text = fit(f"{label}{visible(line)}", max(self._width - len(clock) - 5, 20), self._ellipsis)
            yield f"  {paint(clock, 'dim')} {paint(text, _LEVEL_STYLES.get(level, ''))}"

    def block(self, text: str, limit: int) -> Iterator[str]:
        """Some lines of a longer text."""
        lines = visible_lines(text) if text else []
        for line in lines[:limit]:
            yield self._cropped(line)
        if len(lines) > limit:
            yield self._painter.paint(f"{self._ellipsis} {len(lines) - limit} more lines", "dim")

    def others(self, ids: Sequence[str]) -> str:
        """A line on steps that failed in other ways, and are not told of one by one."""
        return f"{len(ids)} more failed with other errors: {self._named(ids)}"

    def _named(self, ids: Sequence[str]) -> str:
        return ", ".join(ids[:NAMED]) + (f", {self._ellipsis}" if len(ids) > NAMED else "")

    def _indented(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            yield f"  {line}"

    def _cropped(self, text: str) -> str:
        return fit(text, max(self._width - 4, 20), self._ellipsis)


def _measures(row: ExecutionRow) -> str:
    """What it took: `, 7.6s, cpu 0.1s, 45 MiB`, as far as it is known."""
    parts = []
    if row.started_at is not None and row.finished_at is not None:
        parts.append(duration(row.finished_at - row.started_at))
    if row.cpu_seconds is not None:
        parts.append(f"cpu {duration(row.cpu_seconds)}")
    if row.peak_memory:
        parts.append(size(row.peak_memory))
    if row.read_bytes:
        parts.append(f"read {size(row.read_bytes)}")
    if row.written_bytes:
        parts.append(f"wrote {size(row.written_bytes)}")
    return "".join(f", {part}" for part in parts)
