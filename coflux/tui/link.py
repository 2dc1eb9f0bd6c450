"""The thread between the screen and the engine: it alone reads the store and the socket, so the screen never waits.

    screen ── ask() ──▶ inbox ──▶ THREAD ──▶ socket, store
    screen ◀── take() ── outbox ◀──┘

It sleeps until the engine or the screen has something for it, and after work for a while whatever the engine has. What
is read from the store, the readers know (`coflux.tui.readers`); what takes long they read in portions. They stay when
the engine is another one.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import msgspec

from coflux.executor.client import Client, ConnectionLost, EngineError
from coflux.executor.database import StoreError
from coflux.executor.history import History, NoStore
from coflux.executor.messages import RunOptions
from coflux.executor.news import EVERYTHING, NOTHING
from coflux.executor.requests import (
    Advanced,
    CancelRun,
    DeleteRun,
    Discover,
    Discovered,
    Done,
    Dropped,
    FromSupervisor,
    Notice,
    RequestFailed,
    Rerun,
    Sampled,
    StartRun,
    Subscribe,
)
from coflux.executor.requests import RunStarted as Started
from coflux.project import ConfigError, Project, module_of_file
from coflux.tui.form_memory import ForgottenError, FormMemory
from coflux.tui.readers.assets import AssetsReader
from coflux.tui.readers.base import Reader
from coflux.tui.readers.details import DetailsReader
from coflux.tui.readers.log_saving import LogSaver
from coflux.tui.readers.logs import LogReader
from coflux.tui.readers.metrics import MetricsReader
from coflux.tui.readers.run import RunReader
from coflux.tui.readers.runs import RunsReader
from coflux.tui.readers.saving import SavingReader
from coflux.tui.readers.sparks import SparksReader
from coflux.tui.updates import (
    CancelAsked,
    Connected,
    DeleteAsked,
    Deleted,
    Disconnected,
    DiscoverAsked,
    Failed,
    RememberAsked,
    Remembered,
    Request,
    RerunAsked,
    RunStarted,
    Said,
    SampleRead,
    Searched,
    StartAsked,
    TargetsRead,
    Update,
)

__all__ = ["Link"]

RECONNECT = 0.5  # seconds between two tries
SHARE = 0.1  # of a core, that reading what comes by itself may take
LEAST_REST = 0.05  # seconds
MOST_REST = 0.5  # seconds

_Asking = StartRun | Rerun | CancelRun | DeleteRun | Discover

READERS: tuple[type[Reader], ...] = (
    RunsReader,
    RunReader,
    LogReader,
    LogSaver,
    DetailsReader,
    MetricsReader,
    SparksReader,
    AssetsReader,
    SavingReader,
)


class Link:
    """The engine and the store of a project, for one screen. Targets are those of `modules` and `files`."""

    def __init__(
        self,
        project: Project,
        modules: tuple[str, ...],
        files: tuple[str, ...],
        *,
        start: bool = True,
        client: Client | None = None,
        find: Callable[[], tuple[tuple[str, ...], tuple[str, ...]]] | None = None,
    ) -> None:
        """With `start`, an engine is started where none runs, also when one has ended. `client` is a connection that
        there is already, as a dashboard's: from now on it is the thread's. `find` finds the modules and files anew
        where somebody asks to look again; `None`: they are always these."""
        self._project = project
        self._sources = modules, files
        self._find = find
        self._start = start
        self._client = client
        self._inbox: deque[Request] = deque()
        self._outbox: deque[Update] = deque()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="coflux-link", daemon=True)
        # The rest is the thread's alone.
        self._readers = [reader() for reader in READERS]
        self._history: History | None = None
        self._news = EVERYTHING
        self._asked: dict[int, Request] = {}
        self._used = 0.0  # CPU seconds, at the last rest
        self._complaint = ""  # about the store, the last one
        self._memory = FormMemory(project.data_dir)

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
        """End the thread. What was asked before is sent first, if the engine takes it."""
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
        try:
            self._recall()
            while not self._ended:
                try:
                    client, self._client = self._client, None
                    with client or Client.connect(self._project, "dashboard", start=self._start) as client:
                        self._serve(client)
                except (EngineError, ConnectionLost) as error:
                    self._lose(str(error))
                    self._turn(None)
                    self._sleep(None, RECONNECT)
        finally:
            if self._history is not None:
                self._history.close()

    def _serve(self, client: Client) -> None:
        self._tell(Connected(client.supervisor_pid))
        client.send(Subscribe(None))
        client.send(msgspec.structs.replace(self._discover(), request=client.next_request()))
        self._news = EVERYTHING
        while not self._ended:
            while (message := client.receive(0)) is not None:
                self._receive(client, message)
            self._turn(client)
            if not any(reader.busy for reader in self._readers):
                self._sleep(None, self._rest())
                self._sleep(client, self._until_due())
        while self._inbox:  # what was asked in the moment before: to cancel everything, maybe
            self._answer(client, self._inbox.popleft())

    def _turn(self, client: Client | None) -> None:
        for _ in range(len(self._inbox)):
            self._answer(client, self._inbox.popleft())
        self._read()

    def _sleep(self, client: Client | None, seconds: float | None) -> None:
        """Wait for something to do."""
        wakers = [self._woken.fileno()] + ([] if client is None else [client.fileno()])
        if not self._inbox:
            select.select(wakers, [], [], seconds)
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _until_due(self) -> float | None:
        """The seconds until a reader has something to read, news or not."""
        due = [reader.due for reader in self._readers if reader.due is not None]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _rest(self) -> float:
        """The seconds in which what comes is left to come together, after so much work: the screen does not look more
        often, and the engine needs the processor more than it."""
        used = time.thread_time()
        worked, self._used = used - self._used, used
        return min(max(worked / SHARE, LEAST_REST), MOST_REST)

    def _lose(self, why: str) -> None:
        """There is no engine: what was asked of it, nobody will answer any more."""
        self._tell(Disconnected(why))
        for request in self._asked.values():
            self._tell(Failed(request, "the engine has ended before it answered"))
        self._asked.clear()

    def _tell(self, update: Update) -> None:
        self._outbox.append(update)

    def _receive(self, client: Client, message: FromSupervisor) -> None:  # an arm for each kind
        match message:
            case Advanced():
                self._news = self._news.merge(message)
            case Dropped(reason):
                self._tell(Said("warning", reason))
                client.send(Subscribe(None))  # our readings are short: whatever kept one from its end is over
            case Sampled():
                self._tell(SampleRead(message))
            case Notice(level, text):
                self._tell(Said(level, text))
            case Discovered(number, targets, errors):
                self._asked.pop(number, None)
                self._tell(TargetsRead(targets, errors))
            case Started(number, run):
                self._tell(RunStarted(run, self._asked.pop(number)))
            case RequestFailed(number, _, text):
                asked = self._asked.pop(number, None)
                self._tell(Failed(asked, text) if asked is not None else Said("error", text))
            case Done(number, text):
                asked = self._asked.pop(number, None)
                self._tell(Deleted(asked.run) if isinstance(asked, DeleteAsked) else Said("info", text))
            case _:
                pass  # what only those are told who run something in the foreground

    def _answer(self, client: Client | None, request: Request) -> None:
        message = self._message(request)
        if message is not None and client is None:
            self._tell(Failed(request, "there is no engine now"))
        elif message is not None and client is not None:
            number = client.next_request()
            self._asked[number] = request
            client.send(msgspec.structs.replace(message, request=number))
        elif isinstance(request, RememberAsked):
            self._remember(request)
        else:
            self._with_store(lambda reader, history: reader.answer(history, request))

    def _message(self, request: Request) -> _Asking | None:
        """What asks the engine for that; `None` if it is asked of the store."""
        match request:
            case StartAsked(module, file, name, words, document):
                return StartRun(0, "" if file else module, file, name, RunOptions(), words, document)
            case RerunAsked(run, step, resume):
                return Rerun(0, run, step, "", resume, detach=True)
            case CancelAsked(id):
                return CancelRun(0, id)
            case DeleteAsked(run):
                return DeleteRun(0, run)
            case DiscoverAsked():
                if self._find is not None:
                    self._sources = self._find()
                return self._discover()
            case _:
                return None

    def _discover(self) -> Discover:
        """Look for targets, and tell where."""
        modules, files = self._sources
        named: dict[str, str] = {}
        for file in files:
            with suppress(ConfigError):  # the engine tells
                named[module_of_file(file)[0]] = file
        self._tell(Searched(self._project.root, modules, named))
        return Discover(0, modules, files)

    # -- what was typed ----------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        try:
            self._tell(Remembered(self._memory.load()))
        except ForgottenError as error:
            self._tell(Said("warning", str(error)))

    def _remember(self, request: RememberAsked) -> None:
        try:
            self._memory.save(*request)
        except ForgottenError as error:
            self._tell(Said("warning", str(error)))

    # -- the store ---------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        news, self._news = self._news, NOTHING
        now = time.monotonic()

        def wants(reader: Reader) -> bool:
            return reader.busy or news is not NOTHING or (reader.due is not None and reader.due <= now)

        self._with_store(lambda reader, history: reader.read(history, news) if wants(reader) else ())

    def _with_store(self, ask: Callable[[Reader, History], Iterable[Update]]) -> None:
        """Let each reader tell something."""
        try:
            self._history = self._history or History.open(self._project.data_dir)
        except NoStore:
            return
        except StoreError as error:
            self._complain(error)
            return
        for reader in self._readers:
            try:
                self._outbox.extend(ask(reader, self._history))
            except StoreError as error:
                reader.busy, reader.due = False, None
                self._complain(error)

    def _complain(self, error: StoreError) -> None:
        if str(error) != self._complaint:
            self._complaint = str(error)
            self._tell(Said("error", self._complaint))
