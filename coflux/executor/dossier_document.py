"""What `coflux runs inspect` prints as JSON of single steps: texts are cut, so that one call fits into a prompt.

Where something was cut, it says so: a text by its end, a list by how many are left out (`omitted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coflux.encoded import Frame
from coflux.executor import log_values
from coflux.executor.causes import Cause, users_frames
from coflux.executor.document import error_object, iso_time
from coflux.executor.dossier import Argument, Dossier
from coflux.executor.history import LogEntry
from coflux.logs import Level, render

__all__ = ["argument_object", "dossier_object"]

MESSAGE_LIMIT = 1000  # characters
ARGUMENT_LIMIT = 200
LOG_LIMIT = 300
LOGS_SIZE = 4500  # characters of all entries of all steps
CAUSES = 4
FRAMES = 4  # of one exception, the innermost


def _shortened(text: str, limit: int) -> str:
    """`text` in about `limit` characters, with a word on what is missing."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def dossier_object(dossier: Dossier, same: Sequence[str] = (), *, of: int = 1) -> dict[str, Any]:
    """A step that failed, as one of `of` steps of a document. `same` are the ids of others that failed alike."""
    error = error_object(dossier.outcome)
    logs, omitted = _logs(dossier.logs, LOGS_SIZE // of)
    return {
        "id": dossier.execution.id,
        "target": f"{dossier.step.module}/{dossier.step.name}",
        "status": dossier.execution.status,
        "attempts": len(dossier.attempts),
        "arguments": {argument.name: _shortened(argument.preview, ARGUMENT_LIMIT) for argument in dossier.arguments},
        "error": None if error is None else {**error, "message": _shortened(error["message"], MESSAGE_LIMIT)},
        "causes": [_cause(cause) for cause in dossier.causes[:CAUSES]],
        "logs": logs,
        "same_error": list(same),
        "omitted": {
            "causes": max(len(dossier.causes) - CAUSES, 0),
            "logs": omitted,
            "older_logs": dossier.more_logs,
        },
    }


def argument_object(argument: Argument) -> dict[str, str | None]:
    return {"name": argument.name, "preview": argument.preview, "summary": argument.summary or None}


def _cause(cause: Cause) -> dict[str, Any]:
    frames = users_frames(cause.frames)
    return {
        "link": cause.link or None,
        "type": cause.type,
        "message": _shortened(cause.message, MESSAGE_LIMIT),
        "frames": [_frame(frame) for frame in frames[-FRAMES:]],
        "omitted_frames": len(cause.frames) - min(len(frames), FRAMES),
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {"file": frame.file, "line": frame.line, "function": frame.function, "source": frame.source}


def _logs(entries: Sequence[LogEntry], room: int) -> tuple[list[str], int]:
    """The last entries that there is room for, oldest first, and how many others there are."""
    logs: list[str] = []
    for entry in reversed(entries):
        text = _shortened(render(entry.template, log_values.texts(entry.values)), LOG_LIMIT)
        line = f"{iso_time(entry.at)} {Level(entry.level).name.lower()} {text}"
        room -= len(line)
        if room < 0 and logs:
            break
        logs.append(line)
    return logs[::-1], len(entries) - len(logs)
