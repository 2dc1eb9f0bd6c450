"""The engine and the store as commands see them: their errors end the command with one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Literal, TypeVar

from coflux.cli import exits
from coflux.cli.app import did_you_mean
from coflux.cli.streams import Streams, open_streams
from coflux.cli.targets import RunId, parse_id
from coflux.display.text import visible_lines
from coflux.executor.client import Client, ConnectionLost, EngineError, NoEngine, RequestError
from coflux.executor.database import StoreError
from coflux.executor.history import History, NoStore, RunNotFound
from coflux.executor.requests import Notice, ToSupervisor
from coflux.executor.rows import format_execution_id
from coflux.project import Project

__all__ = [
    "NothingStored",
    "check_workspace",
    "connect",
    "describe_notice",
    "open_history",
    "requested",
    "resolve_id",
    "show_notices",
]

_STATUS = {"usage": exits.USAGE, "not_found": exits.NOT_FOUND, "failed": exits.FAILED}

_Reply = TypeVar("_Reply")


class NothingStored(exits.CommandError):
    """There is no store yet, so nothing that is asked for can be in it."""


@contextmanager
def connect(
    project: Project, role: Literal["foreground", "command", "dashboard"], *, start: bool = True
) -> Iterator[Client]:
    """A connection to the project's engine, which is started if need be. `NoEngine` passes when `start` is false."""
    try:
        with Client.connect(project, role, start=start) as client:
            yield client
    except NoEngine:
        raise
    except EngineError as error:
        raise exits.CommandError(str(error)) from None
    except ConnectionLost as error:
        raise exits.CommandError(f"lost the engine: {error}", exits.FAILED) from None


def requested(client: Client, message: ToSupervisor, reply_type: type[_Reply]) -> _Reply:
    """Send a request and return its reply. A refusal ends the command with the status of its kind."""
    try:
        reply = client.request(message)
    except RequestError as error:
        show_notices(client, open_streams())
        raise exits.CommandError(str(error), _STATUS[error.kind]) from None
    assert isinstance(reply, reply_type), reply
    return reply


def show_notices(client: Client, streams: Streams) -> None:
    """Show what the engine said, on standard error: what modules print when they are imported, and warnings."""
    for notice in client.take_notices():
        for line in visible_lines(describe_notice(notice)):
            streams.err.line(line)
    streams.err.flush()


def describe_notice(notice: Notice) -> str:
    return notice.text if notice.level == "info" else f"{notice.level}: {notice.text}"


@contextmanager
def open_history(project: Project) -> Iterator[History]:
    """The project's store, for reading. Runs that do not exist are not found; other trouble is one line."""
    try:
        with closing(History.open(project.data_dir)) as history:
            yield history
    except NoStore as error:
        raise NothingStored(str(error), exits.NOT_FOUND) from None
    except RunNotFound as error:
        raise exits.CommandError(str(error), exits.NOT_FOUND) from None
    except StoreError as error:
        raise exits.CommandError(str(error)) from None


def resolve_id(history: History, text: str) -> RunId:
    """The run, step or execution that `text` names, with the run's whole id. One that does not exist is not found."""
    parsed = parse_id(text)
    found = parsed._replace(run=history.resolve_run(parsed.run))
    if found.step is None:
        return found
    if found.attempt is not None:
        execution_id = format_execution_id(found.run, found.step, found.attempt)
        if history.execution(execution_id) is None:
            raise exits.CommandError(f"there is no execution {execution_id}; {_remedy(found)}", exits.NOT_FOUND)
    elif not any(step.number == found.step for step in history.steps(found.run, found.step - 1, limit=1)):
        raise exits.CommandError(f"there is no step {found.run}:{found.step}; {_remedy(found)}", exits.NOT_FOUND)
    return found


def check_workspace(history: History, name: str | None) -> None:
    """See to it that there is a workspace of this name, if one is given."""
    known = [row.name for row in history.workspaces()]
    if name is not None and name not in known:
        hint = did_you_mean(name, known) or "; `coflux workspaces list` shows those there are"
        raise exits.CommandError(f"there is no workspace {name!r}{hint}")


def _remedy(found: RunId) -> str:
    return f"`coflux runs inspect {found.run}` shows the steps there are"
