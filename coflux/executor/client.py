"""The client's side of the supervisor's socket: what the CLI, the dashboard, `cf.run` and tests use."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Literal, Self

from coflux import __version__
from coflux.errors import ClientError
from coflux.executor.channel import Channel, ChannelClosed
from coflux.executor.launch import EngineError, launch, launched_ahead
from coflux.executor.messages import Context, KeepSecret, Outcome, RunOptions, SecretKept, Succeeded, Terminated
from coflux.executor.requests import (
    Advanced,
    CancelRun,
    FromSupervisor,
    Hello,
    Notice,
    RecalledSecrets,
    RecallSecrets,
    Refused,
    Release,
    RequestFailed,
    RunFinished,
    RunSettled,
    RunStarted,
    RunStuck,
    StartRun,
    Subscribe,
    Welcome,
)
from coflux.project import Project, find_project
from coflux.redaction import learn_environment
from coflux.secret import keeping, recall

__all__ = ["Client", "ConnectionLost", "EngineError", "NoEngine", "RequestError", "describe_loss", "start_target"]

CONNECT_TIMEOUT = 20.0  # seconds: a supervisor that is leaving may have to wait for processes to die


class NoEngine(EngineError):
    """No supervisor runs for this project."""


class ConnectionLost(ClientError):
    """The supervisor ended, or closed the connection."""


class RequestError(ClientError):
    """The supervisor refused a request. `kind` is "usage", "not_found" or "failed"."""

    def __init__(self, kind: Literal["usage", "not_found", "failed"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _connect(path: str) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        sock.close()
        return None
    except OSError as error:
        sock.close()
        raise EngineError(f"cannot connect to the engine at {path}: {error.strerror}") from None
    return sock


class Client:
    """A connection to a project's supervisor. For one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._channel: Channel[FromSupervisor] = Channel(sock, FromSupervisor)
        self._kept: deque[FromSupervisor] = deque()
        self._requests = 0
        self.supervisor_pid = 0

    @classmethod
    def connect(
        cls, project: Project, role: Literal["foreground", "command", "dashboard"], *, start: bool = True
    ) -> Self:
        """Attach to the project's supervisor; with `start`, start one if none runs.

        Raises:
            NoEngine: none runs, and `start` is false.
            EngineError: it could not be started, or refuses this client. One line.
        """
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            launched = None
            sock = None if launched_ahead(project) else _connect(project.socket_path)
            if sock is None:
                if not start:
                    raise NoEngine(f"no engine runs for {project.root}")
                launched = launch(project)
                sock = launched.connection
            client = cls(sock)
            try:
                if client._greet(project, role):
                    return client
            except ConnectionLost:
                # It was leaving when we came, or another starter was quicker; or it is broken.
                if launched is not None and launched.process.wait(CONNECT_TIMEOUT):
                    reason = launched.last_words() or "it ended at once"
                    raise EngineError(f"the engine cannot be started: {reason} (see {launched.log})") from None
            finally:
                if client.supervisor_pid == 0:
                    client.close()
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the engine of {project.root} does not answer; its log is {project.data_dir}/supervisor.log"
                )
            time.sleep(0.01)

    def _greet(self, project: Project, role: Literal["foreground", "command", "dashboard"]) -> bool:
        """Say hello. False when the supervisor makes room for one of our version."""
        self.send(Hello(__version__, current_context(project), role))
        reply = self.receive(CONNECT_TIMEOUT)
        if isinstance(reply, Welcome):
            self.supervisor_pid = reply.pid
            return True
        if isinstance(reply, Refused) and not reply.leaving:
            raise EngineError(reply.message)
        return False

    def next_request(self) -> int:
        self._requests += 1
        return self._requests

    def send(self, message: object) -> None:
        try:
            self._channel.send(message)
        except ChannelClosed:
            raise ConnectionLost("the engine has ended") from None

    def receive(self, timeout: float | None) -> FromSupervisor | None:
        """The next message; `None` when there is none within `timeout` seconds (`None`: wait for ever)."""
        if self._kept:
            return self._kept.popleft()
        return self._receive(timeout)

    def _receive(self, timeout: float | None) -> FromSupervisor | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for message in self._channel.pending():
                return message
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not select.select([self._channel.fileno()], [], [], left)[0]:
                return None
            try:
                self._channel.fill(wait=False)
            except ChannelClosed:
                raise ConnectionLost("the engine has ended") from None

    def request(self, message: Any) -> FromSupervisor:
        """Send a request and return its reply. Other messages that come meanwhile are kept for `receive`.

        Raises `RequestError` when it is refused, `ConnectionLost` when the supervisor ends.
        """
        self.send(message)
        while True:
            reply = self._receive(None)
            if reply is None:
                continue
            if getattr(reply, "request", None) != message.request:
                self._kept.append(reply)
            elif isinstance(reply, RequestFailed):
                raise RequestError(reply.kind, reply.message)
            else:
                return reply

    def take_notices(self) -> list[Notice]:
        """What was said to people while a request was answered, for whoever does not go on to `receive`."""
        notices = [message for message in self._kept if isinstance(message, Notice)]
        self._kept = deque(message for message in self._kept if not isinstance(message, Notice))
        return notices

    def fileno(self) -> int:
        return self._channel.fileno()

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def current_context(project: Project) -> Context:
    """Where the code of this process's runs is to run: as it would run here.

    The command's own directory on the path is replaced by the project's: that is where a user's modules are.
    """
    path = [entry for entry in sys.path if entry]
    if _is_command():
        path = [entry for entry in path if entry != os.path.dirname(os.path.realpath(sys.argv[0]))]
        source = os.path.join(project.root, "src")
        own = [os.getcwd(), project.root, *([source] if os.path.isdir(source) else [])]
        path = [*dict.fromkeys(own), *(entry for entry in path if entry not in own)]
    elif "" in sys.path and os.getcwd() not in path:
        path.insert(0, os.getcwd())
    directory = os.getcwd()
    for name, value in os.environ.items():
        _check_text(f"the environment variable {name}", value)
    for place in (directory, *path):
        _check_text(f"the path {place}")
    return Context(sys.executable, tuple(path), dict(os.environ), directory)


def _check_text(what: str, value: str = "") -> None:
    """Refuse what cannot be stored as text. Python stands for such bytes with lone surrogates."""
    try:
        (what + value).encode()
    except UnicodeEncodeError:
        shown = what.encode("utf-8", "backslashreplace").decode()
        raise EngineError(f"{shown} is not UTF-8, so no run could see it: unset or rename it") from None


def _is_command() -> bool:
    """Whether this process is the `coflux` command, not a script of the user's."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return bool(spec.name.partition(".")[0] == "coflux")
    return os.path.basename(sys.argv[0] if sys.argv else "") == "coflux"


_unread: set[ClientRun] = set()  # those whose connection must stay open, whether or not anybody has the handle


class ClientRun:
    """A run that this process started (`cf.start`). For any number of threads.

    It is attached until the result is known, and its run is cancelled if this process vanishes before. From then on it
    is in the store for good, and needs no engine.
    """

    def __init__(self, client: Client, project: Project, run: str) -> None:
        self._client = client
        self._project = project
        self._outcome: Outcome | None = None
        self._waiting = threading.Lock()  # held by the one thread that reads the connection; the others wait for it
        self.id = run
        _unread.add(self)

    def result(self) -> Any:
        """Block until the root's chain has ended; return its value or raise its error, a new one each time. What the
        run prints and logs goes to standard error meanwhile.

        A run of which nothing can ever get on is cancelled. Raises `ConnectionLost` when the engine ends before that.
        """
        from coflux.executor.blobs import FileBlobs
        from coflux.executor.runtime import decode_outcome

        with self._waiting:
            if self._outcome is None:
                self._outcome = self._wait()
                self._recall_secrets(self._outcome)
                self._client.close()
                _unread.discard(self)
        return decode_outcome(self._outcome, FileBlobs(self._project.blobs_dir))

    def _wait(self) -> Outcome:
        from coflux.executor.history import History
        from coflux.executor.script_output import ScriptOutput

        stuck = ""
        history = History.open(self._project.data_dir)
        output = ScriptOutput(history, self.id)
        try:
            self._client.send(Subscribe(self.id))
            while True:
                message = self._client.receive(None)
                if isinstance(message, Advanced):
                    output.show()
                if isinstance(message, RunFinished | RunSettled) and message.run == self.id:
                    self._client.send(Release(self.id))
                    break
                if isinstance(message, RunStuck) and message.run == self.id:
                    stuck = message.message
                    self._client.send(CancelRun(self._client.next_request(), self.id))
        except ConnectionLost as error:
            outcome = self._recorded()[1]
            if outcome is None:
                raise ConnectionLost(describe_loss(error, self.id)) from None
        else:
            outcome = self._recorded()[1]
            if outcome is None:
                raise EngineError(f"{self.id} has no result in the store")
        finally:
            output.show()
            history.close()
        if stuck and isinstance(outcome, Terminated):
            return Terminated("cancelled", stuck)
        return outcome

    def _recall_secrets(self, outcome: Outcome) -> None:
        """Ask the engine for the secrets in a result, as long as there is one: decoding tells if they are gone."""
        references = outcome.value.references if isinstance(outcome, Succeeded) else ()
        ids = tuple(reference.id for reference in references if reference.kind == "secret")
        if not ids:
            return
        try:
            reply = self._client.request(RecallSecrets(self._client.next_request(), ids))
        except ConnectionLost:
            return
        assert isinstance(reply, RecalledSecrets)
        recall(reply.secrets)

    def _recorded(self) -> tuple[bool, Outcome | None]:
        """Whether nothing of the run is unfinished, and the outcome of the root's chain, if it has one."""
        from coflux.executor.history import History

        history = History.open(self._project.data_dir)
        try:
            run = history.run(self.id)
            end = history.newest_end(self.id)
            return run is None or run.settled, None if end is None else history.outcome(end.id)
        finally:
            history.close()

    def cancel(self) -> None:
        """Cancel what is unfinished of it, over a connection of its own: another thread may be reading this one."""
        if not self._recorded()[0]:
            with Client.connect(self._project, "command") as client:
                client.request(CancelRun(client.next_request(), self.id))
        _unread.discard(self)


def describe_loss(error: ConnectionLost, run: str) -> str:
    """What becomes of a run whose engine has ended, in one line."""
    return (
        f"lost the engine ({error}). What run {run} was running is abandoned, and retried only if it has retries; what"
        f" was queued goes on when an engine runs again: `coflux logs -f {run}` starts one and follows the run"
    )


def start_target(target: Any, arguments: tuple[object, ...]) -> ClientRun:
    """Start a run of a target from a script or notebook. Targets that cannot be imported by name travel by value."""
    from coflux.executor.argument_keys import argument_keys, key_plan
    from coflux.executor.blobs import FileBlobs
    from coflux.executor.manifest import encoded_arguments, submitted_spec

    project = find_project()
    project.prepare()
    learn_environment()
    blobs = FileBlobs(project.blobs_dir)
    connection = _Connection(project)
    try:
        with keeping(connection.keep_secret):
            spec = submitted_spec(target, blobs)
            encoded = encoded_arguments(target, arguments, blobs)
            keys = argument_keys(key_plan(target, run_memo=False), target, arguments)
        client = connection.client()
        number = client.next_request()
        started = client.request(
            StartRun(number, target.module, "", target.name, RunOptions(), arguments=encoded, spec=spec, keys=keys)
        )
    except ConnectionLost as error:
        connection.close()
        log = os.path.join(project.data_dir, "supervisor.log")
        raise ConnectionLost(f"lost the engine ({error}) before it had started the run; its log is {log}") from None
    except BaseException:
        connection.close()
        raise
    assert isinstance(started, RunStarted)
    return ClientRun(client, project, started.run)


class _Connection:
    """A client that attaches when it is needed: an engine need not be started for what cannot be sent to it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._client: Client | None = None

    def client(self) -> Client:
        if self._client is None:
            self._client = Client.connect(self._project, "foreground")
        return self._client

    def keep_secret(self, value: str) -> str:
        """Have the engine hold a secret; return its id."""
        client = self.client()
        reply = client.request(KeepSecret(client.next_request(), value))
        assert isinstance(reply, SecretKept)
        return reply.id

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
