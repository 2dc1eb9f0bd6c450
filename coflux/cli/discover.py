"""`coflux discover`: the workflows and tasks of modules and files."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import click
import msgspec

import coflux
from coflux.cli import exits
from coflux.cli.engine import connect, requested, show_notices
from coflux.cli.ndjson import VERSION
from coflux.cli.options import json_option, project_option
from coflux.cli.streams import open_streams
from coflux.cli.targets import Sources, parse_sources
from coflux.cli.terminal import Output
from coflux.display.signatures import signature
from coflux.display.text import visible, visible_lines
from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.requests import Discover, Discovered
from coflux.project import Project

__all__ = ["command", "describe_error", "files_with_targets", "sources_of"]

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


@click.command()
@click.argument("words", metavar="[MODULE|FILE]...", nargs=-1)
@json_option
@project_option
def command(project: Project, words: tuple[str, ...], as_json: bool) -> int:
    """List the workflows and tasks of modules or files; by default of the configured modules, else of every file of the
    project that imports coflux."""
    sources = sources_of(project, words)
    if not sources.modules and not sources.files:
        raise exits.CommandError(f"no Python file below {project.root} imports coflux")
    streams = open_streams()
    with connect(project, "command") as client:
        found = requested(client, Discover(client.next_request(), *sources), Discovered)
        show_notices(client, streams)
    if as_json:
        streams.out.json(msgspec.json.encode(_document(found)))
    else:
        _print_targets(streams.out, found.targets)
        for error in found.errors:
            for line in visible_lines(describe_error(error)):
                streams.err.line(line)
    streams.finish()
    return exits.USAGE if found.errors else exits.SUCCEEDED


def sources_of(project: Project, words: tuple[str, ...]) -> Sources:
    """What `words` name; without any, the configured modules, else every file of the project that imports coflux."""
    if words:
        return parse_sources(words)
    if project.settings.modules:
        return Sources(project.settings.modules, ())
    return Sources((), tuple(files_with_targets(project.root)))


def files_with_targets(root: str) -> Iterator[str]:
    """The Python files below `root` that import coflux, in order. Virtual environments and hidden directories are left
    out, and so is coflux itself; nothing is executed."""
    ourselves = os.path.dirname(os.path.realpath(coflux.__file__))
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = sorted(
            name
            for name in subdirectories
            if not name.startswith(".")
            and name not in _SKIPPED
            and not os.path.exists(os.path.join(directory, name, "pyvenv.cfg"))
            and os.path.join(directory, name) != ourselves
        )
        for name in sorted(names):
            path = os.path.join(directory, name)
            if name.endswith(".py") and _imports_coflux(path):
                yield path


def _imports_coflux(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError:
        return False  # a dangling link, or not ours to read: no target of this user's
    if b"coflux" not in source:
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True  # importing it will tell where the error is
    for node in ast.walk(tree):
        match node:
            case ast.Import(names) if any(_is_coflux(alias.name) for alias in names):
                return True
            case ast.ImportFrom(module=str(module), level=0) if _is_coflux(module):
                return True
    return False


def _is_coflux(module: str) -> bool:
    return module == "coflux" or module.startswith("coflux.")


# -- output -----------------------------------------------------------------------------------------------------------


def _print_targets(out: Output, targets: tuple[TargetInfo, ...]) -> None:
    module = ""
    for target in sorted(targets, key=lambda target: (target.spec.module, target.line)):
        if target.spec.module != module:
            module = target.spec.module
            out.line(f"{visible(module)}  {visible(target.file)}")
        doc = f"  # {_first_line(target.doc)}" if target.doc else ""
        out.line(visible(f"  {target.spec.type:<8}  {signature(target)}{doc}"))


def _first_line(doc: str) -> str:
    return doc.strip().partition("\n")[0]


def describe_error(error: ModuleError) -> str:
    """What is wrong with a module, and where."""
    place = f"{error.file}:{error.line}" if error.line else error.file or error.module
    return error.message if error.message.startswith(place) else f"{place}: {error.message}"


def _document(found: Discovered) -> dict[str, object]:
    return {
        "version": VERSION,
        "targets": [
            {
                "target": f"{target.spec.module}/{target.spec.name}",
                "type": target.spec.type,
                "signature": signature(target),
                "parameters": target.parameters,
                "doc": target.doc,
                "file": target.file,
                "line": target.line,
            }
            for target in found.targets
        ],
        "errors": found.errors,
    }
