"""The thread between the screen and the engine: it alone reads the store and the socket, so the screen never waits.

    screen ── ask() ──▶ inbox ──▶ THREAD ──▶ socket, store
    screen ◀── take() ── outbox ◀──┘

It sleeps until the engine or the screen has something for it. Long readings (the log of a run with a million entries)
go on a page at a time between other requests.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator

from coflux.display.feed import Event, Feed, Key
from coflux.executor import log_search
from coflux.executor.client import Client, ConnectionLost, EngineError
from coflux.executor.database import StoreError
from coflux.executor.history import History, NoStore
from coflux.executor.messages import RunOptions
from coflux.executor.requests import (
    Advanced,
    CancelRun,
    Discover,
    Discovered,
    Done,
    Notice,
    RequestFailed,
    Rerun,
    StartRun,
    Status,
    StatusReport,
    Subscribe,
)
from coflux.executor.requests import RunStarted as Started
from coflux.executor.rows import parse_execution_id
from coflux.project import Project
from coflux.tui.updates import (
    CancelAsked,
    Connected,
    Details,
    DetailsAsked,
    Disconnected,
    Failed,
    LogIds,
    LogPage,
    LogPageAsked,
    LogsAsked,
    Request,
    RerunAsked,
    RunOpened,
    RunProgressed,
    RunsRead,
    RunStarted,
    Said,
    StartAsked,
    StatusRead,
    TargetsRead,
    Update,
)

__all__ = ["Link"]

RUNS = 1000  # newest runs that are listed
LOG_IDS = 5000  # ids of log entries that are read at a time
EVENTS = 2000  # events that are told at a time
STATUS_INTERVAL = 1.0  # seconds
RECONNECT = 0.5  # seconds between two tries


class Link:
    """The engine and the store of a project, for one screen. Targets are those of `modules` and `files`."""

    def __init__(self, project: Project, modules: tuple[str, ...], files: tuple[str, ...]) -> None:
        self._project = project
        self._modules = modules
        self._files = files
        self._inbox: deque[Request] = deque()
        self._outbox: deque[Update] = deque()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="coflux-link", daemon=True)

    # -- for the screen ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def ask(self, request: Request) -> None:
        self._inbox.append(request)
        self._wake()

    def take(self) -> Iterator[Update]:
        """What has come since the last time."""
        for _ in range(len(self._outbox)):
            yield self._outbox.popleft()

    def close(self) -> None:
        self._ended = True
        self._wake()
        self._thread.join()
        self._woken.close()
        self._waker.close()

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            pass  # it has not yet taken in what it was woken for before

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended:
            try:
                with Client.connect(self._project, "dashboard") as client:
                    _Connection(self, client).serve()
            except (EngineError, ConnectionLost, StoreError) as error:
                self.tell(Disconnected(str(error)))
                select.select([self._woken], [], [], RECONNECT)

    def tell(self, update: Update) -> None:
        self._outbox.append(update)

    @property
    def ended(self) -> bool:
        return self._ended

    def next_request(self) -> Request | None:
        return self._inbox.popleft() if self._inbox else None

    def sleep(self, client: Client, seconds: float) -> None:
        """Wait for something to do."""
        if self._inbox:
            return
        select.select([client.fileno(), self._woken.fileno()], [], [], max(seconds, 0.0))
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            pass


class _Connection:
    """What is read over one connection, from its beginning to its end."""

    def __init__(self, link: Link, client: Client) -> None:
        self._link = link
        self._client = client
        self._project = link._project
        self._history: History | None = None
        self._known_runs = False
        self._changed: dict[Key, None] | None = None  # executions that have changed; None for any
        self._advanced = True
        self._feed: Feed | None = None
        self._run = ""
        self._events: Iterator[Event] | None = None  # of a pass that is not over
        self._log: LogsAsked | None = None
        self._log_after = 0
        self._log_left = False
        self._asked: dict[int, Request] = {}
        self._status_at = 0.0

    def serve(self) -> None:
        link = self._link
        link.tell(Connected(self._client.supervisor_pid))
        self._client.send(Subscribe(None))
        self._client.send(Discover(self._client.next_request(), link._modules, link._files))
        try:
            while not link.ended:
                self._receive()
                while (request := link.next_request()) is not None:
                    self._answer(request)
                self._read()
                self._ask_status()
                busy = self._events is not None or self._log_left
                link.sleep(self._client, 0.0 if busy else self._status_at - time.monotonic())
        finally:
            if self._history is not None:
                self._history.close()

    def _receive(self) -> None:
        while (message := self._client.receive(0)) is not None:
            match message:
                case Advanced(executions=executions):
                    self._advanced = True
                    if executions is None:
                        self._changed = None
                    elif self._changed is not None:
                        self._changed.update(dict.fromkeys(executions))
                case Notice(level, text):
                    self._link.tell(Said(level, text))
                case Discovered(targets=targets, errors=errors):
                    self._link.tell(TargetsRead(targets, errors))
                case StatusReport():
                    self._link.tell(StatusRead(message))
                case Started(number, run):
                    if isinstance(self._asked.pop(number, None), StartAsked):
                        self._link.tell(RunStarted(run))
                case RequestFailed(number, _, text):
                    request = self._asked.pop(number, None)
                    self._link.tell(Failed(request, text) if request is not None else Said("error", text))
                case Done(number, text):
                    self._asked.pop(number, None)
                    self._link.tell(Said("info", text))
                case _:
                    pass

    def _ask_status(self) -> None:
        if time.monotonic() >= self._status_at:
            self._status_at = time.monotonic() + STATUS_INTERVAL
            self._client.send(Status(self._client.next_request()))

    # -- what the screen asks for ------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        match request:
            case RunOpened(run):
                self._run, self._feed, self._events = run, None, None
                self._advanced = True
                self._log = None
            case LogsAsked():
                self._log, self._log_after, self._log_left = request, 0, True
            case LogPageAsked(number, page, ids):
                if self._history is not None and self._log is not None and self._log.number == number:
                    self._link.tell(LogPage(number, page, self._history.log_entries(ids)))
            case DetailsAsked(execution):
                self._tell_details(execution)
            case StartAsked(module, name, words):
                self._send(request, StartRun(0, module, "", name, RunOptions(), words))
            case RerunAsked(run, step, resume):
                self._send(request, Rerun(0, run, step, "", resume, detach=True))
            case CancelAsked(id):
                self._send(request, CancelRun(0, id))

    def _send(self, request: Request, message: StartRun | Rerun | CancelRun) -> None:
        import msgspec

        number = self._client.next_request()
        self._asked[number] = request
        self._client.send(msgspec.structs.replace(message, request=number))

    def _tell_details(self, execution: str) -> None:
        history = self._history
        row = None if history is None else history.execution(execution)
        if history is None or row is None:
            return
        run, step, _ = parse_execution_id(execution)
        self._link.tell(Details(row, history.arguments(run, step), history.outcome(execution)))

    # -- what is new in the store ------------------------------------------------------------------------------------

    def _read(self) -> None:
        history = self._open()
        if history is None:
            return
        if self._events is not None:
            self._tell_events()
        elif self._advanced:
            self._advanced = False
            changed, self._changed = self._changed, {}
            self._read_runs(history, changed)
            self._log_left = self._log_left or self._log is not None
            if self._run:
                first = self._feed is None
                self._feed = self._feed or Feed(history, self._run, entries=False)
                self._events = self._feed.events(None if first else changed)
                self._tell_events()
        self._read_log(history)

    def _open(self) -> History | None:
        if self._history is None:
            try:
                self._history = History.open(self._project.data_dir)
            except NoStore:
                return None
        return self._history

    def _read_runs(self, history: History, changed: Collection[Key] | None) -> None:
        if changed is None or not self._known_runs:
            self._known_runs = True
            self._link.tell(RunsRead(history.runs(RUNS)))
            return
        rows = [history.run(run) for run in dict.fromkeys(run for run, _, _ in changed)]
        self._link.tell(RunsRead([row for row in rows if row is not None]))

    def _tell_events(self) -> None:
        assert self._events is not None
        some: list[Event] = []
        for event in self._events:
            some.append(event)
            if len(some) == EVENTS:
                break
        else:
            self._events = None
        if some:
            self._link.tell(RunProgressed(self._run, some))

    def _read_log(self, history: History) -> None:
        if self._log is None or not self._log_left:
            return
        number, wanted = self._log
        search = log_search.LogFilter(wanted.levels, wanted.text)
        ids = history.log_ids(wanted.run, wanted.step, wanted.attempt, self._log_after, LOG_IDS, search)
        if ids:
            self._log_after = ids[-1]
        self._log_left = len(ids) == LOG_IDS
        self._link.tell(LogIds(number, ids))
