"""What of a step can be copied, and whether the terminal's clipboard takes it (by the escape sequence OSC 52)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from coflux.display.reasons import problem_of
from coflux.executor.messages import Failed, ParameterInfo, Terminated
from coflux.tui.arguments import Given, Slot, call_of
from coflux.tui.updates import Details, ShownValue

__all__ = ["LIMIT", "Copy", "copies", "fits", "has_clipboard", "sendable"]

LIMIT = 75_000  # bytes of base64 that terminals take
GLIMPSE = 300  # characters


class Copy(NamedTuple):
    """Something that can be copied: the key for it, what it is, the text, the name of a file for it, and what the text
    is about, if its first line does not say that."""

    key: str
    what: str
    text: str
    file: str
    about: str = ""

    @property
    def glimpse(self) -> str:
        """A line that shows it."""
        return self.about or self.text[:GLIMPSE].strip().partition("\n")[0]


def has_clipboard(environment: Mapping[str, str]) -> bool:
    """Whether the terminal may know the sequence: those that do cannot be asked."""
    return environment.get("TERM", "") not in ("", "dumb", "linux")


def sendable(text: str) -> str:
    """`text` in characters that UTF-8 has."""
    return text.encode("utf-8", "backslashreplace").decode()


def fits(text: str) -> bool:
    """Whether terminals take a text that long."""
    return (len(text.encode()) + 2) // 3 * 4 <= LIMIT


def copies(details: Details, parameters: Sequence[ParameterInfo] | None = None) -> list[Copy]:
    """What there is to copy of an execution. `parameters` are the target's, if it is known how it is called."""
    name = details.row.id.replace(":", "-")
    found = [Copy("i", "id", details.row.id, f"{name}.id.txt")]
    if details.arguments:
        text, is_json = _arguments(details)
        found.append(Copy("a", "arguments", text, f"{name}.arguments.{'json' if is_json else 'txt'}"))
    if details.result is not None:
        kind = "txt" if details.result.json is None else "json"
        found.append(Copy("r", "result", _text(details.result), f"{name}.result.{kind}"))
    match details.outcome:
        case Failed(failure):
            found.append(
                Copy("t", "traceback", failure.traceback, f"{name}.traceback.txt", problem_of(details.outcome))
            )
        case Terminated(_, message):
            found.append(Copy("t", "problem", message, f"{name}.problem.txt"))
    return [*found, Copy("c", "command", command(details, parameters), f"{name}.command.txt")]


def _text(value: ShownValue) -> str:
    return (value.summary or value.preview) if value.json is None else value.json


def _arguments(details: Details) -> tuple[str, bool]:
    """As a JSON object where all have that form, else a line each."""
    named = list(zip(details.step.parameters, details.arguments, strict=False))
    if all(value.json is not None for _, value in named):
        parts = {name: msgspec.Raw((value.json or "").encode()) for name, value in named}
        return msgspec.json.encode(parts).decode(), True
    return "".join(f"{name} = {value.preview}\n" for name, value in named), False


def command(details: Details, parameters: Sequence[ParameterInfo] | None) -> str:
    """The command that does the same again: `coflux run` for the root of a run whose arguments can be written down,
    else `coflux runs rerun`."""
    step = details.step
    again = shlex.join(["coflux", "runs", "rerun", step.id])
    if step.number != 1 or parameters is None or tuple(one.name for one in parameters) != step.parameters:
        return again
    exact = all(value.exact for value in details.arguments)
    if not exact or any(parameter.kind.startswith("VAR_") for parameter in parameters):
        return again
    target = f"{step.module}/{step.name}"
    words = [_word(parameter, value) for parameter, value in zip(parameters, details.arguments, strict=True)]
    if None not in words:
        call = call_of([Slot(parameter, "/") for parameter in parameters], [Given(word) for word in words])
        return shlex.join(["coflux", "run", target, *call.words])
    document, _ = _arguments(details)
    return f"printf %s {shlex.quote(document)} | {shlex.join(['coflux', 'run', '--args', '-', target])}"


_WORDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _word(parameter: ParameterInfo, value: ShownValue) -> str | None:
    """The word for an argument on a command line; `None` if it is not certain to mean the same there."""
    decoded: Any = msgspec.json.decode(value.json or "")
    if type(decoded) not in _WORDS.get(parameter.annotation or "", ()):
        return None
    word = decoded if isinstance(decoded, str) else value.json or ""
    return None if word.startswith("-") else word
