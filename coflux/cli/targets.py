"""What a command line names: targets, modules and files, and ids of runs, steps and executions."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from coflux.cli.exits import NOT_FOUND, CommandError
from coflux.project import ConfigError, module_of_file

__all__ = ["RunId", "Target", "parse_id", "parse_sources", "parse_target"]


class Target(NamedTuple):
    """`module` and `name`, or an absolute `file` and a `name` that may be "" (the file's only workflow)."""

    module: str
    file: str
    name: str


def parse_target(text: str) -> Target:
    """Parse `module/name`, `path/to/file.py/name` or `file.py`. Raises `CommandError`."""
    if text.endswith(".py"):
        return Target("", _checked_file(text), "")
    place, slash, name = text.rpartition("/")
    if place.endswith(".py"):
        if not name:
            raise CommandError(f"{text!r} names no target: write {place}/NAME, or {place} for its only workflow")
        return Target("", _checked_file(place), name)
    if slash and name and all(part.isidentifier() for part in place.split(".")):
        return Target(place, "", name)
    hint = ""
    if not slash and re.fullmatch(r"[\w.]+:\w+", text):
        hint = f"; did you mean {text.replace(':', '/')!r}?"
    elif not slash and os.path.isfile(f"{text}.py"):
        hint = f"; did you mean {text + '.py'!r}?"
    raise CommandError(f"{text!r} is no target: write module/name, path/to/file.py/name or path/to/file.py{hint}")


def _checked_file(path: str) -> str:
    try:
        module_of_file(path)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    return os.path.abspath(path)


class Sources(NamedTuple):
    modules: tuple[str, ...]
    files: tuple[str, ...]


def parse_sources(words: tuple[str, ...]) -> Sources:
    """Sort what `discover` was given into modules and absolute file paths. Raises `CommandError`."""
    modules, files = [], []
    for word in words:
        if word.endswith(".py"):
            files.append(_checked_file(word))
        elif all(part.isidentifier() for part in word.split(".")):
            modules.append(word)
        else:
            raise CommandError(f"{word!r} is neither a module (package.module) nor a Python file (path/to/file.py)")
    return Sources(tuple(modules), tuple(files))


class RunId(NamedTuple):
    """`run`, `run:step` or `run:step:attempt`; what is missing is None."""

    run: str
    step: int | None
    attempt: int | None


def parse_id(text: str) -> RunId:
    """Parse an id. Raises `CommandError` when it cannot be one; whether it exists, the store knows."""
    match = re.fullmatch(r"(\w+)(?::([1-9]\d*)(?::([1-9]\d*))?)?", text)
    if match is None:
        raise CommandError(f"{text!r} is no id: write RUN, RUN:STEP or RUN:STEP:ATTEMPT", NOT_FOUND)
    run, step, attempt = match.groups()
    return RunId(run, int(step) if step else None, int(attempt) if attempt else None)
