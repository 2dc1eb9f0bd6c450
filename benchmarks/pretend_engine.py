"""An engine without work: it has a store and a socket as the real one, and writes so many changes a second.

    python benchmarks/pretend_engine.py PROJECT LOG_LINES

It says `ready` when it can be connected to. A line with a number on its standard input is how many changes a second it
makes from now on; the end of its input is its own. What it costs is not what it is about: a real engine does more.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.synthetic_store import RUNNING, write_store
from coflux import __version__
from coflux.executor.channel import Channel, ChannelClosed
from coflux.executor.messages import ParameterInfo, TargetInfo, TargetSpec
from coflux.executor.requests import (
    Discover,
    Discovered,
    GroupSample,
    Hello,
    Sampled,
    Subscribe,
    ToSupervisor,
    Welcome,
)
from coflux.executor.rows import Batch, ExecutionRow
from coflux.executor.store import Store
from coflux.executor.subscriptions import Subscriptions
from coflux.project import find_project
from coflux.task_options import TaskOptions

TURN = 0.02  # seconds: commits as often as the engine tells of them
SAMPLE = 0.5  # seconds

_PARAMETER = ParameterInfo("since", "POSITIONAL_OR_KEYWORD", "str", "'06-01'")
_SPECS = [TargetSpec("flow", name, "workflow", ("since",), TaskOptions()) for name in ("process_everything", "loud")]
_TARGETS = tuple(TargetInfo(spec, (_PARAMETER,), "Once a day.", "flow.py", 1) for spec in _SPECS)


class _Session:
    def __init__(self, sock: socket.socket) -> None:
        self.channel: Channel[object] = Channel(sock, ToSupervisor)
        self.subscriptions = Subscriptions()
        self.is_dashboard = False


class PretendEngine:
    def __init__(self, root: str, log_lines: int) -> None:
        project = find_project(root)
        self._changes: Iterator[ExecutionRow] = write_store(project, log_lines).changes()
        self._store = Store.open(project.data_dir)
        self._rate = 0.0  # changes a second
        self._selector = selectors.DefaultSelector()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(project.socket_path)
        listener.listen()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._command)
        self._listener = listener
        self._sessions: list[_Session] = []
        self._ended = False

    def serve(self) -> None:
        due, sampled, made = time.monotonic(), 0.0, 0.0
        while not self._ended:
            now = time.monotonic()
            for key, _ in self._selector.select(max(due - now, 0.0)):
                key.data()
            now = time.monotonic()
            if now < due:
                continue
            due = max(due + TURN, now)
            made += self._rate * TURN
            self._change(int(made))
            made -= int(made)
            if now - sampled >= SAMPLE:
                sampled = now
                self._sample()
        self._store.close()

    def _accept(self) -> None:
        session = _Session(self._listener.accept()[0])
        self._sessions.append(session)
        self._selector.register(session.channel.fileno(), selectors.EVENT_READ, lambda: self._received(session))

    def _command(self) -> None:
        line = sys.stdin.readline()
        self._ended = not line
        if line:
            self._rate = float(line)

    def _received(self, session: _Session) -> None:
        try:
            session.channel.fill(wait=False)
            for message in session.channel.pending():
                self._answer(session, message)
        except ChannelClosed:
            self._selector.unregister(session.channel.fileno())
            self._sessions.remove(session)
            session.channel.close()

    def _answer(self, session: _Session, message: object) -> None:
        match message:
            case Hello(role=role):
                session.is_dashboard = role == "dashboard"
                session.channel.send(Welcome(__version__, os.getpid()))
            case Subscribe(run):
                session.subscriptions.add(run)
                session.channel.send(session.subscriptions.take(self._store.last_log_id))
            case Discover(request):
                session.channel.send(Discovered(request, _TARGETS, ()))
            case _:
                pass  # nobody asks for more

    def _change(self, count: int) -> None:
        if count == 0:
            return
        batch = Batch()
        batch.executions += islice(self._changes, count)
        self._store.commit(batch)
        for session in self._sessions:
            session.subscriptions.note(batch)
            if session.subscriptions.behind:
                session.channel.send(session.subscriptions.take(self._store.last_log_id))

    def _sample(self) -> None:
        groups = (GroupSample("default", RUNNING, RUNNING),)
        sample = Sampled(
            time.time(), (), {"busy": RUNNING}, groups, 8000, RUNNING, 1, 10.0, 500 << 20, 1.0, 1 << 24, 1 << 24, 0, ()
        )
        for session in self._sessions:
            if session.is_dashboard:
                session.channel.send(sample)


if __name__ == "__main__":
    engine = PretendEngine(sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    engine.serve()
