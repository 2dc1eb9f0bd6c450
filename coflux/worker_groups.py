"""Worker groups: the `[[workers]]` tables of a project's configuration.

Only the standard library's cheap modules are imported at the top: every command reads the configuration first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["DEFAULT", "WorkerGroup", "read_groups"]

DEFAULT = "default"  # the group that is always there


class WorkerGroup(NamedTuple):
    """Processes of one kind, and which steps they take.

    name: what people call it.
    modules: the modules that it hosts, with their submodules; empty for any.
    python: the interpreter, an absolute path; "" for that of the client that starts the run.
    provides: the tags that a step may require, each with its values; `True` where the tag alone says all.
    accepts: takes only steps that require each of these tags, with one of its values; `True` for any value.
    concurrency: steps that run in it at the same time; 0 for the project's `concurrency`.
    """

    name: str
    modules: tuple[str, ...] = ()
    python: str = ""
    provides: Mapping[str, frozenset[str] | bool] = {}
    accepts: Mapping[str, frozenset[str] | bool] = {}
    concurrency: int = 0

    def lists(self, module: str) -> bool:
        """Whether the module, or a package that it is in, is among `modules`."""
        return any(module == listed or module.startswith(f"{listed}.") for listed in self.modules)

    def hosts(self, module: str) -> bool:
        """Whether steps of the module may run in it, whatever they require."""
        return not self.modules or self.lists(module)

    @property
    def tags(self) -> str:
        """What it provides and accepts, for people: `gpu=A100|H100, ssd; accepts priority=high`."""
        parts = [", ".join(_tag(*tag) for tag in self.provides.items())]
        if self.accepts:
            parts.append("accepts " + ", ".join(_tag(*tag) for tag in self.accepts.items()))
        return "; ".join(filter(None, parts))


def _tag(name: str, values: frozenset[str] | bool) -> str:
    return name if isinstance(values, bool) else f"{name}={'|'.join(sorted(values))}"


def read_groups(value: object, table: str, root: str) -> tuple[WorkerGroup, ...]:
    """The groups of an array of tables called `table`, of a project whose directory is `root`.

    Raises `ValueError` with the place and what is wrong there.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{table} must be an array of tables, [[{table}]] each")
    groups: list[WorkerGroup] = []
    for number, item in enumerate(value, 1):
        named = f" ({item['name']!r})" if isinstance(item.get("name"), str) else ""
        place = f"[[{table}]] number {number}{named}"
        group = _read_group(item, place, number, root)
        if any(group.name == other.name for other in groups):
            raise ValueError(f"{place}: there is another group of that name, {group.name!r}")
        groups.append(group)
    return tuple(groups)


def _read_group(item: Mapping[str, object], place: str, number: int, root: str) -> WorkerGroup:
    values: dict[str, object] = {"name": f"workers {number}"}
    for key, value in item.items():
        read = _KEYS.get(key)
        if read is None:
            from difflib import get_close_matches

            near = get_close_matches(key, _KEYS, n=1)
            raise ValueError(f"{place}: unknown key {key!r}{f'; did you mean {near[0]!r}?' if near else ''}")
        try:
            values[key] = read(value, root)
        except ValueError as error:
            raise ValueError(f"{place}: {key} must be {error}, not {value!r}") from None
    return WorkerGroup(**values)  # type: ignore[arg-type]


# -- what the values of a table must be: each is given the value and the project's directory --------------------------


def _name(value: object, root: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("a name")
    return value


def _modules(value: object, root: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and _is_dotted_name(name) for name in value):
        raise ValueError("a list of module names")
    return tuple(value)


def _is_dotted_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _python(value: object, root: str) -> str:
    """An interpreter, or the one of a virtual environment's directory. Links are kept: they tell environments apart."""
    if not isinstance(value, str) or not value:
        raise ValueError("the path of an interpreter or of a virtual environment")
    path = os.path.normpath(os.path.join(root, os.path.expanduser(value)))
    if os.path.isdir(path):
        path = os.path.join(path, "Scripts", "python.exe") if sys.platform == "win32" else f"{path}/bin/python"
    if not os.path.isfile(path):
        raise ValueError(f"the path of an interpreter or of a virtual environment ({path} does not exist)")
    if not os.access(path, os.X_OK):
        raise ValueError(f"the path of an interpreter or of a virtual environment ({path} is not executable)")
    return path


def _tags(value: object, root: str) -> dict[str, frozenset[str] | bool]:
    form = "a table of tags, each with a text, a list of texts or true"
    if not isinstance(value, dict):
        raise ValueError(form)
    tags: dict[str, frozenset[str] | bool] = {}
    for tag, values in value.items():
        if values is True:
            tags[tag] = True
        elif isinstance(values, str) and values:
            tags[tag] = frozenset({values})
        elif isinstance(values, list) and values and all(isinstance(item, str) and item for item in values):
            tags[tag] = frozenset(values)
        else:
            raise ValueError(form)
    return tags


def _concurrency(value: object, root: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


_KEYS: dict[str, Callable[[object, str], object]] = {
    "name": _name,
    "modules": _modules,
    "python": _python,
    "provides": _tags,
    "accepts": _tags,
    "concurrency": _concurrency,
}
