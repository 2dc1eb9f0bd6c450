"""Modules that do not import, in words; and those that somebody may have meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

from coflux.executor.messages import ModuleError

__all__ = ["describe_failure", "is_missing", "modules_in"]

_NOT_FOUND = re.compile(r"ModuleNotFoundError: No module named '([^']*)'")


def is_missing(error: ModuleError) -> bool:
    """Whether the module is not there at all."""
    missing = _NOT_FOUND.fullmatch(error.message)
    return missing is not None and f"{error.module}.".startswith(f"{missing[1]}.")


def describe_failure(error: ModuleError, known: Iterable[str]) -> str:
    """Why a module cannot be used, in one line. `known` are names that are near, perhaps."""
    if not is_missing(error):
        return f"module {error.module} does not import: {error.message}" if error.module else error.message
    near = get_close_matches(error.module, sorted(set(known) - {error.module}), 3, 0.6)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    return f"there is no module {error.module!r}{hint}"


def modules_in(directory: str) -> set[str]:
    """The names of the modules and packages in a directory."""
    names = set()
    with os.scandir(directory) as entries:
        for entry in entries:
            stem, extension = os.path.splitext(entry.name)
            if stem.isidentifier() and (extension == ".py" or os.path.isfile(os.path.join(entry.path, "__init__.py"))):
                names.add(stem)
    return names
