"""Options that several commands share, and callbacks that check the values of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from coflux.project import ConfigError, find_project

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from coflux.executor.history import History

__all__ = [
    "complete_runs",
    "complete_targets",
    "complete_workspaces",
    "json_option",
    "project_option",
    "requirements",
    "retries",
    "seconds",
    "workspace_option",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_WORDS = {"true": True, "false": False}


def _find_project(ctx: click.Context, parameter: click.Parameter, value: str | None) -> object:
    return None if ctx.resilient_parsing else find_project(data_dir=value)


project_option = click.option(
    "--data-dir",
    "project",
    metavar="DIRECTORY",
    callback=_find_project,
    help="Where runs are stored.  [default: $COFLUX_DATA_DIR or .coflux in the project]",
)
"""`--data-dir`; the command gets the `project` it leads to."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def seconds(ctx: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """A duration, 0 or more, in seconds."""
    if text is None:
        return None
    from coflux.durations import FORM, parse_duration

    try:
        value = parse_duration(text).total_seconds()
    except (ValueError, OverflowError):
        value = -1.0
    if value < 0:
        raise click.BadParameter(f"{text!r} is not a duration of 0 or more: {FORM}", ctx, parameter)
    return value


def retries(ctx: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """A number of retries; -1 stands for `unlimited`."""
    if text is None:
        return None
    if text == "unlimited":
        return -1
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a whole number, 0 or more, nor 'unlimited'", ctx, parameter)
    return int(text)


def requirements(
    ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, bool | list[str]] | None:
    """What tags have to be provided: `gpu` with any value, `gpu=A100` with that one, `gpu=false` not at all. Several
    values of one tag are alternatives. `None` when nothing is said."""
    tags: dict[str, bool | list[str]] = {}
    for text in texts:
        tag, separator, value = text.partition("=")
        tag, value = tag.strip(), value.strip()
        if not tag or (separator and not value):
            raise click.BadParameter(f"{text!r} is neither TAG nor TAG=VALUE", ctx, parameter)
        accepted = _WORDS.get(value, [value]) if separator else True
        known = tags.get(tag)
        if isinstance(known, list) and isinstance(accepted, list):
            known += accepted
        elif known is None or known == accepted:
            tags[tag] = accepted
        else:
            raise click.BadParameter(f"{tag!r} is required in ways that contradict each other", ctx, parameter)
    return tags or None


# -- completion: from the store, so that no user code is imported -----------------------------------------------------


def complete_runs(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the latest runs."""
    from click.shell_completion import CompletionItem

    with _history() as history:
        rows = history.runs(limit=100) if history else []
    matches = [row for row in rows if row.id.startswith(incomplete)]
    return [CompletionItem(row.id, help=f"{row.module}/{row.name} {row.status}") for row in matches]


def complete_targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Targets that were run before, and files."""
    from click.shell_completion import CompletionItem

    with _history() as history:
        rows = history.runs(limit=500) if history else []
    names = dict.fromkeys(f"{row.module}/{row.name}" for row in rows)
    targets = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [*targets, CompletionItem(incomplete, type="file")]


def complete_workspaces(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Workspaces that take work."""
    from click.shell_completion import CompletionItem

    with _history() as history:
        rows = history.workspaces() if history else []
    return [CompletionItem(row.name) for row in rows if row.name.startswith(incomplete) and row.state != "archived"]


def workspace_option(text: str) -> Callable[[_Command], _Command]:
    """`--workspace`, explained by `text`."""
    return click.option(
        "--workspace",
        metavar="NAME",
        default="default",
        show_default=True,
        shell_complete=complete_workspaces,
        help=text,
    )


@contextmanager
def _history() -> Iterator[History | None]:
    """The store of the current project, or nothing: a completion has no place for messages."""
    from coflux.executor.database import StoreError
    from coflux.executor.history import History

    try:
        history = History.open(find_project().data_dir)
    except (ConfigError, StoreError):
        yield None
        return
    try:
        yield history
    finally:
        history.close()
