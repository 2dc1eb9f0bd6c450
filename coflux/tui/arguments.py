"""From what was typed into a form to the words of a command line, and the command that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from coflux.executor.messages import ParameterInfo, TargetSpec

__all__ = ["command_line", "problem_of", "words_of"]


def words_of(parameters: Sequence[ParameterInfo], typed: Sequence[str | None]) -> tuple[str, ...]:
    """The words that give each parameter what was typed; `None` leaves its default."""
    positional: list[str] = []
    named: list[str] = []
    for parameter, text in zip(parameters, typed, strict=True):
        if text is None:
            continue
        match parameter.kind:
            case "POSITIONAL_ONLY":
                positional.append(text)
            case "VAR_POSITIONAL":
                positional += shlex.split(text)
            case "VAR_KEYWORD":
                named += [part for word in shlex.split(text) for part in _named(*word.partition("=")[::2])]
            case _:
                named += _named(parameter.name, text)
    return (*named, *(["--", *positional] if positional else []))


def _named(name: str, text: str) -> list[str]:
    return [f"--{name}", text]


def problem_of(parameter: ParameterInfo, text: str | None) -> str:
    """What is wrong with what was typed, as far as the annotation tells; "" for nothing. The engine decides."""
    if text is None:
        required = parameter.default is None and not parameter.kind.startswith("VAR_")
        return "needed" if required else ""
    kind = (parameter.annotation or "").strip()
    test = _TESTS.get(kind.removesuffix(" | None").removeprefix("Optional[").removesuffix("]"))
    if test is None:
        return ""
    try:
        test(text)
    except ValueError:
        return f"not {_ARTICLES.get(kind, kind)}"
    return ""


def _boolean(text: str) -> None:
    if text.lower() not in ("true", "false", "yes", "no", "1", "0", "on", "off"):
        raise ValueError(text)


_TESTS: dict[str, Callable[[str], object]] = {"int": int, "float": float, "bool": _boolean}
_ARTICLES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def command_line(spec: TargetSpec, words: Sequence[str]) -> str:
    """The command that starts the same run."""
    return shlex.join(["coflux", "run", f"{spec.module}/{spec.name}", *words])
