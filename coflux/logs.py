"""Structured log entries: a template and the values that belong to it, stored apart."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import IntEnum

from coflux import backend

__all__ = ["Level", "fill", "log_debug", "log_error", "log_info", "log_warning", "quoted", "render"]


class Level(IntEnum):
    """How much an entry matters. Captured output has levels of its own, so that all lines sort and filter alike."""

    DEBUG = 0
    STDOUT = 1
    INFO = 2
    STDERR = 3
    WARNING = 4
    ERROR = 5


def log_debug(template: str | None = None, /, **values: object) -> None:
    """Log at level debug: see `log_info`."""
    _log(Level.DEBUG, template, values)


def log_info(template: str | None = None, /, **values: object) -> None:
    """Log `template` with the `values` that belong to it. Both are stored, apart from each other.

    `{key}` in the template is shown as the value of that name; the other values are shown after it, as `key=value`.
    With a positional template, every keyword is a value, whatever its name.

    Outside a run the entry goes to standard error.
    """
    _log(Level.INFO, template, values)


def log_warning(template: str | None = None, /, **values: object) -> None:
    """Log at level warning: see `log_info`."""
    _log(Level.WARNING, template, values)


def log_error(template: str | None = None, /, **values: object) -> None:
    """Log at level error: see `log_info`."""
    _log(Level.ERROR, template, values)


def render(template: str | None, values: Mapping[str, object], *, literal: bool = False) -> str:
    """One text of a template and its values.

    Every `{key}` is filled once: braces in a value stay as they are, and so does a placeholder without a value. Values
    that the template does not mention follow as `key=value`, in their order.

    Args:
        literal: nothing is filled in, and values follow below a text of several lines: that of a record of the standard
            library's `logging`, with a traceback.
    """
    text, others = fill(template, values, literal=literal)
    rest = " ".join([f"{key}={quoted(value)}" for key, value in others.items()])
    if not text or not rest:
        return text or rest
    return f"{text}\n{rest}" if literal and "\n" in text else f"{text} {rest}"


def fill(template: str | None, values: Mapping[str, object], *, literal: bool = False) -> tuple[str, dict[str, object]]:
    """The text of a template, and the values that it does not mention: see `render`."""
    if literal:
        return template or "", dict(values)
    mentioned: set[str] = set()

    def fill_one(match: re.Match[str]) -> str:
        key = match[1]
        if key not in values:
            return match[0]
        mentioned.add(key)
        return str(values[key])

    text = re.sub(r"\{([^{}]*)\}", fill_one, template or "")
    return text, {key: value for key, value in values.items() if key not in mentioned}


def quoted(value: object) -> str:
    """`value` as text; a string in quotes where one could not tell otherwise where it ends."""
    return repr(value) if isinstance(value, str) and not re.fullmatch(r"[^\s\"'=]+", value) else str(value)


def _log(level: Level, template: str | None, values: dict[str, object]) -> None:
    if template is None:
        # Not given by position: then the keyword `template`, if any, is the template.
        template = values.pop("template", None)  # type: ignore[assignment]
    if template is not None and not isinstance(template, str):
        raise TypeError(
            f"a log template must be a str, not {template!r}: pass values by keyword, log_info(error=error)"
        )
    engine = backend.current()
    if engine is not None:
        engine.log(level, template, values)
    elif sys.stderr is not None:
        print(f"{level.name.lower()}: {render(template, values)}", file=sys.stderr)
