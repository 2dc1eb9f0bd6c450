"""Contexts of worker groups that have an interpreter of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

from coflux.executor.messages import Context

__all__ = ["context_of_group"]

_FOR_ONE_INTERPRETER = frozenset({"PYTHONHOME", "__PYVENV_LAUNCHER__"})  # variables that would mislead another one


def context_of_group(context: Context, python: str, project: str) -> Context:
    """Where a client's code runs in a worker group whose interpreter is `python` ("" for the client's own).

    Of the client's import path, another interpreter gets what is in the project, before its own path: the packages that
    the client's interpreter has are not for it.
    """
    if not python:
        return context
    path = dict.fromkeys((*_within(context, project), project))
    environment = {name: value for name, value in context.environment.items() if name not in _FOR_ONE_INTERPRETER}
    return Context(python, tuple(path), environment, context.directory, own_path=True)


def _within(context: Context, project: str) -> Iterator[str]:
    """The directories of the client's path that are in the project and not of an environment in it."""
    root = os.path.realpath(project)
    environment = os.path.realpath(os.path.dirname(os.path.dirname(context.interpreter)))
    for entry in context.sys_path:
        real = os.path.realpath(entry)
        if _is_below(real, root) and not (_is_below(environment, root) and _is_below(real, environment)):
            yield entry


def _is_below(path: str, directory: str) -> bool:
    return f"{path}{os.sep}".startswith(f"{directory.rstrip(os.sep)}{os.sep}")
