"""The feed of a supervisor's news, for a thread of a dashboard: it goes on when the supervisor is another one.

The thread iterates over `FeedClient.updates`, reads from the store (`executor.history`) what an update names, and posts
that to whoever draws it. Other threads may change what is subscribed to, and end it.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from coflux.executor.client import Client, ConnectionLost, EngineError
from coflux.executor.requests import (
    Advanced,
    Dropped,
    FromSupervisor,
    Notice,
    RunFinished,
    RunSettled,
    RunStuck,
    Sampled,
    Subscribe,
    Unsubscribe,
)
from coflux.project import Project

__all__ = ["FeedClient", "Update"]

RECONNECT_INTERVAL = 0.5  # seconds between two tries to reach a supervisor

Key = tuple[str, int, int]  # run, step, attempt

_Name = TypeVar("_Name", Key, str)


class Update(NamedTuple):
    """What has happened since the last one.

    connected: whether there is a supervisor; `problem` says why not, in one line.
    advanced: the store has something new. Then `executions`, `metrics` and `runs` name what has changed, or are `None`:
        all that is shown has to be read again.
    sampled: the latest, if there was any.
    told: notices, and ends of runs that were subscribed to by name, in order.
    """

    connected: bool
    problem: str = ""
    advanced: bool = False
    executions: frozenset[Key] | None = frozenset()
    metrics: frozenset[Key] | None = frozenset()
    runs: frozenset[str] | None = frozenset()
    sampled: Sampled | None = None
    told: tuple[Notice | RunFinished | RunSettled | RunStuck, ...] = ()

    def merge(self, message: FromSupervisor) -> Update:
        """This, and a message that came after it."""
        match message:
            case Advanced(_, executions, metrics, runs):
                return self._replace(
                    advanced=True,
                    executions=_merged(self.executions, executions),
                    metrics=_merged(self.metrics, metrics),
                    runs=_merged(self.runs, runs),
                )
            case Sampled():
                return self._replace(sampled=message)
            case Notice() | RunFinished() | RunSettled() | RunStuck():
                return self._replace(told=(*self.told, message))
            case _:
                return self  # replies to what others have asked over this connection: there are none


def _merged(known: frozenset[_Name] | None, more: tuple[_Name, ...] | None) -> frozenset[_Name] | None:
    return None if known is None or more is None else known.union(more)


class FeedClient:
    """A subscriber to a project's supervisor, whichever one there is. `updates` is for one thread, the rest for any."""

    def __init__(self, project: Project, *, start: bool = False) -> None:
        """With `start`, a supervisor is started where none runs, also when one has ended."""
        self._project = project
        self._start = start
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._wanted: set[str | None] = set()
        self._subscribed: set[str | None] = set()  # of those, what this connection's supervisor was told
        self._closed = False
        self._wakes, self._wake = socket.socketpair()  # a byte for whoever waits in `updates`
        self._wakes.setblocking(False)

    def subscribe(self, run: str | None) -> None:
        """Be told of a run and all that comes of it, or of everything (`None`)."""
        with self._lock:
            self._wanted.add(run)
            self._wake_up()

    def unsubscribe(self, run: str | None) -> None:
        """The opposite of `subscribe`."""
        with self._lock:
            self._wanted.discard(run)
            self._wake_up()

    def close(self) -> None:
        """End `updates`, and with it the connection. Nothing that runs is cancelled by that."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._wake.close()

    def _wake_up(self) -> None:
        if not self._closed:
            self._wake.send(b"\0")

    def updates(self) -> Iterator[Update]:
        """Wait for news, and give all that came meanwhile as one update, until `close` is called.

        After a new supervisor was found, all that is shown has to be read again, as the update then says.
        """
        problem = ""
        try:
            while not self._closed:
                try:
                    client = self._connected()
                    self._tell_wishes(client)
                    update = self._next(client)
                    problem = ""
                except (EngineError, ConnectionLost) as error:
                    self._disconnect()
                    update = Update(False, str(error)) if str(error) != problem else None
                    problem = str(error)
                if update is not None:
                    yield update
                if problem:
                    self._rest()
        finally:
            self._disconnect()
            self._wakes.close()

    def _connected(self) -> Client:
        if self._client is None:
            self._client = Client.connect(self._project, "dashboard", start=self._start)
            self._subscribed.clear()
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _tell_wishes(self, client: Client) -> None:
        with self._lock:
            wanted = set(self._wanted)
        for run in self._subscribed - wanted:
            client.send(Unsubscribe(run))
        for run in wanted - self._subscribed:
            client.send(Subscribe(run))
        self._subscribed = wanted

    def _next(self, client: Client) -> Update | None:
        """Wait, then take all that has come. `None` when it was only somebody's wish."""
        readable, _, _ = select.select([client.fileno(), self._wakes.fileno()], [], [])
        self._take_wakes()
        if client.fileno() not in readable:
            return None
        update = nothing = Update(True)
        while (message := client.receive(0)) is not None:
            if isinstance(message, Dropped):
                self._subscribed = set()  # our reads are short: whatever kept one from its end is over
            update = update.merge(message)
        return None if update == nothing else update

    def _take_wakes(self) -> None:
        try:
            self._wakes.recv(4096)
        except BlockingIOError:
            pass

    def _rest(self) -> None:
        """Wait until it is time to try again."""
        if not self._closed:
            select.select([self._wakes], [], [], RECONNECT_INTERVAL)
            self._take_wakes()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
