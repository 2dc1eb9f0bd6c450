"""What `coflux runs inspect` prints as JSON of single steps: texts are cut, so that one call fits into a prompt.

Where something was cut, it says so: a text by its end, a list by how many are left out (`omitted`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from coflux.encoded import Frame
from coflux.executor import log_values
from coflux.executor.causes import Cause, users_frames
from coflux.executor.document import error_object, iso_time
from coflux.executor.dossier import Argument, Dossier
from coflux.executor.history import LogEntry
from coflux.logs import Level, render

__all__ = [
    "EVERYTHING",
    "SIZE",
    "WIDEST",
    "Limits",
    "argument_object",
    "dossier_object",
    "fitting",
    "shortened",
    "shortened_step",
]

SIZE = 8 << 10  # bytes of a document that has to be small


class Limits(NamedTuple):
    """How much a document has. `message`, `log` and `text` are in characters: of an error's message, of a log line and
    of any other text; `logs` is in characters of all log lines of all steps. The others are numbers: of failures that
    are told, of steps that lead there, of ids of those that failed alike, and for each failure of arguments, causes,
    and frames, the innermost, of each cause."""

    failures: int = 3
    steps: int = 8
    alike: int = 20
    arguments: int = 100
    causes: int = 4
    frames: int = 4
    message: int = 1000
    text: int = 300
    log: int = 300
    logs: int = 4500


WIDEST = Limits()
EVERYTHING = Limits(*[sys.maxsize] * len(WIDEST))
_NARROWING = (  # the last one fits whatever the texts, even if all of them are written as escapes
    WIDEST,
    Limits(3, 8, 20, arguments=30, causes=4, frames=4, message=600, text=200, log=200, logs=2000),
    Limits(3, 5, 10, arguments=12, causes=3, frames=3, message=300, text=150, log=150, logs=1000),
    Limits(3, 3, 5, arguments=8, causes=2, frames=2, message=200, text=100, log=100, logs=500),
    Limits(2, 2, 5, arguments=6, causes=2, frames=2, message=200, text=80, log=80, logs=200),
    Limits(1, 1, 3, arguments=4, causes=1, frames=2, message=150, text=50, log=50, logs=50),
    Limits(1, 1, 1, arguments=2, causes=1, frames=1, message=50, text=20, log=20, logs=20),
)


def fitting(build: Callable[[Limits], dict[str, Any]]) -> bytes:
    """What `build` makes, as JSON, with the widest limits with which it has no more than `SIZE`."""
    encoded = b""
    for limits in _NARROWING:
        encoded = msgspec.json.encode(build(limits))
        if len(encoded) <= SIZE:
            break
    return encoded


def shortened(value: Any, limits: Limits, key: str = "") -> Any:
    """`value`, plain data that is found under `key`, with all of its texts cut, each with a word on what is missing."""
    if isinstance(value, str):
        limit = limits.message if key == "message" else limits.log if key == "logs" else limits.text
        return value if len(value) <= limit else f"{value[:limit]}… ({len(value) - limit} more characters)"
    if isinstance(value, dict):
        return {shortened(name, limits): shortened(item, limits, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(item, limits, key) for item in value]
    return value


def shortened_step(step: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """A step of the document of a run, with its arguments and texts cut."""
    end = limits.arguments
    short = {**step, "parameters": step["parameters"][:end], "arguments": step["arguments"][:end]}
    short["omitted_arguments"] = len(step["arguments"]) - len(short["arguments"])
    cut: dict[str, Any] = shortened(short, limits)
    return cut


def dossier_object(
    dossier: Dossier, limits: Limits = WIDEST, same: Sequence[str] = (), *, of: int = 1
) -> dict[str, Any]:
    """A step that failed, as one of `of` steps of a document. `same` are the ids of others that failed alike."""
    logs, omitted = _logs(dossier.logs, limits, limits.logs // of)
    document: dict[str, Any] = {
        "id": dossier.execution.id,
        "target": f"{dossier.step.module}/{dossier.step.name}",
        "status": dossier.execution.status,
        "attempts": len(dossier.attempts),
        "arguments": {argument.name: argument.preview for argument in dossier.arguments[: limits.arguments]},
        "error": error_object(dossier.outcome),
        "causes": [_cause(cause, limits.frames) for cause in dossier.causes[: limits.causes]],
        "logs": logs,
        "same_error": same[: limits.alike],
        "omitted": {
            "arguments": max(len(dossier.arguments) - limits.arguments, 0),
            "causes": max(len(dossier.causes) - limits.causes, 0),
            "logs": omitted,
            "older_logs": dossier.more_logs,
        },
    }
    short: dict[str, Any] = shortened(document, limits)
    return short


def argument_object(argument: Argument) -> dict[str, str | None]:
    return {"name": argument.name, "preview": argument.preview, "summary": argument.summary or None}


def _cause(cause: Cause, limit: int) -> dict[str, Any]:
    frames = users_frames(cause.frames)
    return {
        "link": cause.link or None,
        "type": cause.type,
        "message": cause.message,
        "frames": [_frame(frame) for frame in frames[-limit:]],
        "omitted_frames": len(cause.frames) - min(len(frames), limit),
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {"file": frame.file, "line": frame.line, "function": frame.function, "source": frame.source}


def _logs(entries: Sequence[LogEntry], limits: Limits, room: int) -> tuple[list[str], int]:
    """The last entries that there is room for, oldest first, and how many others there are."""
    logs: list[str] = []
    for entry in reversed(entries):
        text = render(entry.template, log_values.texts(entry.values), literal=entry.logger is not None)
        line = f"{iso_time(entry.at)} {Level(entry.level).name.lower()} {text}"
        room -= min(len(line), limits.log)
        if room < 0 and logs:
            break
        logs.append(line)
    return logs[::-1], len(entries) - len(logs)
