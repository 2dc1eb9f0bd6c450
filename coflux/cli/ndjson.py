"""`coflux run --events`: what happens in a run as NDJSON, one JSON object a line, as it happens.

Every object has `version` (1), `event`, and by its kind:
    run        id, target, status, parent (the execution that called it, or null), created_at, started_at, finished_at;
               when the run appears and when one of these changes
    step       id, target, parent (execution id or null), group (null, or its number, name and parent), arguments
               (previews), created_at
    shared     execution (whose handle a submission was given, instead of a step of its own), with (the execution that
               submitted), group
    execution  id, attempt, status, reason, next (execution id or null), created_at, started_at, finished_at,
               cpu_seconds, peak_memory, read_bytes, written_bytes (null where unknown), error (null or type, message,
               traceback); at every change of state that is seen: an execution that was quick comes once, finished
    log        execution, at, level, text (with the values filled in), template, values, logger (the name of the
               standard library's logger that it came from, or null), bar (null, or which progress bar of the
               execution this line is: it replaces what was told of that bar before), live (that line will probably be
               drawn again)
    result     run, result, result_repr, error, as in the document of `--json`; the last line
Of a run that is executed again, only what happens from then on is told.
Times are ISO 8601 in UTC, durations seconds, sizes bytes. Keys may be added within a version, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coflux.cli.lines import log_text
from coflux.cli.terminal import Output
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
from coflux.display.text import visible_lines
from coflux.executor import log_values
from coflux.executor.document import execution_object, iso_time, result_fields
from coflux.executor.history import LogEntry
from coflux.executor.rows import GroupRow, RunRow, format_execution_id
from coflux.executor.series import Progress
from coflux.logs import Level

__all__ = ["VERSION", "Events", "log_object", "result_fields", "run_object"]

VERSION = 1


class Events:
    """A display for programs on standard output; what is for people goes to `notices`."""

    animated = False

    def __init__(self, output: Output, notices: Output) -> None:
        self._output = output
        self._notices = notices
        self._groups: dict[tuple[str, int], GroupRow] = {}

    def take(self, event: Event) -> None:
        match event:
            case RunChanged(row):
                self._write("run", run_object(row))
            case GroupOpened(row):
                self._groups[format_execution_id(row.run, row.step, row.attempt), row.number] = row
            case StepSubmitted(step, _):
                group = None if step.group is None else self._groups.get((step.parent or "", step.group))
                self._write(
                    "step",
                    {
                        "id": step.id,
                        "target": f"{step.module}/{step.name}",
                        "parent": step.parent,
                        "group": _group_object(group),
                        "arguments": step.arguments,
                        "created_at": iso_time(step.created_at),
                    },
                )
            case HandleShared(row):
                submitter = format_execution_id(row.run, row.step, row.attempt)
                group = None if row.group is None else self._groups.get((submitter, row.group))
                self._write("shared", {"execution": row.child, "with": submitter, "group": _group_object(group)})
            case ExecutionChanged(row, outcome):
                self._write("execution", {**execution_object(row), "error": result_fields(outcome)["error"]})
            case Logged(entry):
                self._write("log", log_object(entry))

    def show_progress(self, progress: Mapping[Key, Progress]) -> None:
        pass

    def recall(self, event: Event) -> None:
        if isinstance(event, GroupOpened):
            self.take(event)

    def result(self, document: bytes) -> None:
        """The last line, from the run's document."""
        parts = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
        result = {key: parts[key] for key in ("run", "result", "result_repr", "error")}
        self._write("result", result)

    def say(self, text: str) -> None:
        for line in visible_lines(text):
            self._notices.line(line)

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _write(self, kind: str, fields: object) -> None:
        assert isinstance(fields, dict)
        self._output.json(msgspec.json.encode({"version": VERSION, "event": kind, **fields}))


def _group_object(group: GroupRow | None) -> dict[str, object] | None:
    return None if group is None else {"number": group.number, "name": group.name, "parent": group.parent}


def run_object(row: RunRow) -> dict[str, object]:
    return {
        "id": row.id,
        "target": f"{row.module}/{row.name}",
        "workspace": row.workspace,
        "status": row.status,
        "parent": row.parent,
        "created_at": iso_time(row.created_at),
        "started_at": iso_time(row.started_at),
        "finished_at": iso_time(row.finished_at),
    }


def log_object(entry: LogEntry) -> dict[str, object]:
    return {
        "execution": format_execution_id(entry.run, entry.step, entry.attempt),
        "at": iso_time(entry.at),
        "level": Level(entry.level).name.lower(),
        "text": log_text(entry),
        "template": entry.template,
        "values": log_values.decode(entry.values),
        "logger": entry.logger,
        "bar": entry.bar,
        "live": entry.live,
    }
