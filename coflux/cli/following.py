"""Options of the commands that start something and see it through: what is printed, and when they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from coflux.cli.options import json_option

__all__ = ["Form", "following_options", "form_of"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Form(NamedTuple):
    """What goes to standard output, and when the command returns: at once with `detach`, else when everything has
    settled, or with `no_wait_children` when the target itself has finished. What is for other programs, or has its own
    idea of the end, is not for the dashboard (`opens_dashboard`)."""

    as_json: bool
    events: bool
    raw: bool
    detach: bool
    no_wait_children: bool
    no_ui: bool

    @property
    def opens_dashboard(self) -> bool:
        """Whether it is to be watched in the dashboard, where there is a terminal for it."""
        return not any(self)


_OPTIONS = (
    click.option("--detach", is_flag=True, help="Print its id and leave it running."),
    click.option("--no-ui", is_flag=True, help="Show progress here, not the dashboard."),
    click.option("--raw", is_flag=True, help="Print a text result as it is, not as JSON."),
    json_option,
    click.option("--events", is_flag=True, help="Print what happens as NDJSON, as it happens."),
    click.option("--no-wait-children", is_flag=True, help="Return when the target itself has finished."),
)


def following_options(command: _Command) -> _Command:
    """Add the options that `form_of` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def form_of(*, as_json: bool, events: bool, raw: bool, detach: bool, no_wait_children: bool, no_ui: bool) -> Form:
    """The options as they were given. Raises `click.UsageError` for those that contradict each other."""
    if as_json + events + raw > 1:
        raise click.UsageError("--json, --events and --raw exclude each other")
    if detach and (events or no_wait_children):
        raise click.UsageError("--detach waits for nothing: leave out --events and --no-wait-children")
    return Form(as_json, events, raw, detach, no_wait_children, no_ui)
