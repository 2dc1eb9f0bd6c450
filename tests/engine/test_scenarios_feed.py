"""Scenarios: dashboards, which are told what has changed and read the rest from the store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psutil
import pytest

from coflux.executor.client import Client
from coflux.executor.requests import Advanced, DeleteRun, Done, FromSupervisor, Notice, Sampled, Subscribe, Unsubscribe
from tests.engine.scratch import SLACK, ScratchProject, eventually

FLOW = """
@cf.task()
def item(number):
    return number

@cf.workflow()
def many(count=100):
    for handle in [item.submit(number) for number in range(int(count))]:
        handle.result()

@cf.task()
def burning():
    mark("burning")
    gate("burn")

@cf.workflow()
def inner():
    return burning()

@cf.workflow()
def outer():
    return inner()
"""

# A client that is told everything, and says so only when it is asked by a line.
LISTENER = """
import sys
from coflux.executor.client import Client
from coflux.executor.requests import Advanced, Subscribe
from coflux.project import find_project

with Client.connect(find_project(), "dashboard", start=False) as client:
    client.send(Subscribe(None))
    while not isinstance(client.receive(None), Advanced):
        pass
    print("subscribed", flush=True)
    sys.stdin.readline()
    news = []
    while (message := client.receive(0.5)) is not None:
        if isinstance(message, Advanced):
            news.append(message.executions)
    everything = None in news
    print(len(news), everything or len({name for names in news for name in names}), flush=True)
"""


# An engine that looks for whoever pins a write-ahead log much earlier.
IMPATIENT_ENGINE = """
from coflux.executor import checkpoints
from coflux.executor.launch import main

checkpoints.GROWTH, checkpoints.LIMIT, checkpoints.PIN_LIMIT = 100_000, 200_000, 400_000
main()
"""

# A client with a transaction that does not end.
PINNING = """
import os, sqlite3, sys
from coflux.executor.client import Client
from coflux.executor.requests import Dropped, Notice, Subscribe
from coflux.project import find_project

project = find_project()
store = sqlite3.connect(os.path.join(project.data_dir, "coflux.db"), isolation_level=None)
store.execute("BEGIN")
store.execute("SELECT count(*) FROM runs").fetchall()
with Client.connect(project, "dashboard", start=False) as client:
    client.send(Subscribe(None))
    print("reading", flush=True)
    while not isinstance(message := client.receive(None), Dropped):
        pass
    store.close()
    print(message.reason, flush=True)
    client.send(Subscribe(None))
    print(type(client.receive(None)).__name__, flush=True)
    sys.stdin.read()
"""


@contextmanager
def impatient_engine(project: ScratchProject) -> Iterator[None]:
    settings = project.project
    settings.prepare()
    ours, theirs = socket.socketpair()
    with ours, open(os.path.join(settings.data_dir, "supervisor.log"), "wb") as log:
        arguments = ["-c", IMPATIENT_ENGINE, str(theirs.fileno()), settings.root, settings.data_dir]
        engine = subprocess.Popen(
            [sys.executable, *arguments], env=project.environment, pass_fds=[theirs.fileno()], stderr=log
        )
        theirs.close()
        eventually(lambda: os.path.exists(settings.socket_path))
        with engine:
            try:
                yield
            finally:
                ours.close()  # nobody is attached any more, so it leaves


@contextmanager
def subscribed(project: ScratchProject, *runs: str | None) -> Iterator[Client]:
    with Client.connect(project.project, "dashboard") as client:
        for run in runs:
            client.send(Subscribe(run))
        yield client


def told(client: Client, until: Any, timeout: float = 20.0) -> list[FromSupervisor]:
    """All messages up to the one for which `until` is true."""
    messages: list[FromSupervisor] = []
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        message = client.receive(0.1)
        if message is not None:
            messages.append(message)
            if until(message):
                return messages
    raise AssertionError(f"not among {messages}")


def names(messages: list[FromSupervisor], kind: str) -> set[Any]:
    """What was told by name, in all messages."""
    news = [getattr(message, kind) or () for message in messages if isinstance(message, Advanced)]
    return {name for one in news for name in one}


def test_whoever_subscribes_to_everything_sees_runs_and_child_runs(project: ScratchProject) -> None:
    """The first message asks to read everything; a run that is deleted is named as well. The engine is sampled."""
    project.write("flow", FLOW)
    with subscribed(project, None) as client:
        first = told(client, lambda message: isinstance(message, Advanced))[-1]
        assert isinstance(first, Advanced)
        assert (first.executions, first.metrics, first.runs) == (None, None, None)

        run = project.detach("flow/outer")
        project.marked("burning")

        def shows_burning(message: FromSupervisor) -> bool:
            return isinstance(message, Sampled) and (message.running, message.waiting) == (1, 2)

        messages = told(client, shows_burning)
        sampled = messages[-1]
        assert isinstance(sampled, Sampled)
        child = next(name for name in names(messages, "runs") if name != run)
        assert {(run, 1, 1), (run, 2, 1), (child, 1, 1), (child, 2, 1)} <= names(messages, "executions")
        by_state = {one.id: one.state for one in sampled.executions}
        assert by_state == {f"{child}:2:1": "running", f"{child}:1:1": "waiting", f"{run}:1:1": "waiting"}
        assert (sampled.queued, sampled.groups[0].taken) == (0, 1)
        assert all(one.pid in project.workers() and one.memory > 1 << 20 for one in sampled.executions)
        assert sampled.memory > max(one.memory for one in sampled.executions)
        assert sampled.cpu_seconds > 0
        assert sampled.main_size > 0
        assert any("flow" in generation.modules for generation in sampled.generations)
        samples = [message.at for message in messages if isinstance(message, Sampled)]
        assert all(later - earlier > 0.4 for earlier, later in pairwise(samples))

        project.open_gate("burn")
        project.settled(run)
        client.send(DeleteRun(client.next_request(), run))
        told(client, lambda message: isinstance(message, Done))
        told(client, lambda message: isinstance(message, Advanced) and run in (message.runs or ()))


def test_unsubscribing_stops_the_messages(project: ScratchProject) -> None:
    """Of one run with its child runs, while others go on; then of everything: nothing is sampled any more."""
    project.write("flow", FLOW)
    with subscribed(project) as client:
        run = project.detach("flow/outer")
        project.marked("burning")
        client.send(Subscribe(run))
        told(client, lambda message: isinstance(message, Advanced))
        other = project.detach("flow/many")
        project.settled(other)
        project.open_gate("burn")
        project.settled(run)
        messages = told(client, lambda message: isinstance(message, Advanced) and run in (message.runs or ()))
        assert other not in {key[0] for key in names(messages, "executions")} | names(messages, "runs")
        assert len({key[0] for key in names(messages, "executions")}) == 2  # the child run's are named, too
        client.send(Unsubscribe(run))
        while client.receive(0.2) is not None:  # what was under way
            pass
        project.settled(project.detach("flow/many"))
        assert client.receive(0.7) is None


@pytest.mark.slow
def test_a_stopped_client_costs_nothing_and_catches_up(project: ScratchProject) -> None:
    """20,000 changes while a client does not read: what changed is named once, or everything is to be read again."""
    project.write("flow", FLOW)
    project.hold()
    project.run("flow/many", "10")
    listener = project.start_python("-c", LISTENER)
    assert listener.stdout is not None
    assert listener.stdin is not None
    assert listener.stdout.readline() == "subscribed\n"
    os.kill(listener.pid, signal.SIGSTOP)
    project.settled(project.detach("flow/many", "7000"), 60.0 * SLACK)  # each is queued, running, then succeeded
    engine = psutil.Process(project.supervisor_pid())
    before = engine.memory_info().rss
    project.settled(project.detach("flow/many", "3000"), 60.0 * SLACK)
    assert engine.memory_info().rss - before < 20 << 20
    os.kill(listener.pid, signal.SIGCONT)
    listener.stdin.write("\n")
    listener.stdin.flush()
    messages, executions = listener.stdout.readline().split()
    assert int(messages) < 1000
    assert executions in ("True", "10002")


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the system does not tell who reads")
def test_a_reader_that_pins_the_write_ahead_log_is_named_and_dropped(project: ScratchProject) -> None:
    """All clients are told, once, and so is the log. It may subscribe again, and is not meant any more then."""
    project.write("flow", FLOW)
    with impatient_engine(project), Client.connect(project.project, "command") as client:
        project.run("flow/many", "1")
        pinning = project.start_python("-c", PINNING)
        assert pinning.stdout is not None
        assert pinning.stdout.readline() == "reading\n"
        notices: list[Notice] = []
        while not notices:
            project.run("flow/many", "500")
            notices = warned(client)
        database = os.path.join(project.project.data_dir, "coflux.db")
        assert notices[0].text.startswith(f"process {pinning.pid} ({sys.executable} -c import os, sqlite3")
        assert f"reads {database} in a transaction that does not end" in notices[0].text
        assert pinning.stdout.readline() == notices[0].text + "\n"
        assert pinning.stdout.readline() == "Advanced\n"
        project.run("flow/many", "500")
        assert not warned(client)
        assert (project.root / ".coflux" / "supervisor.log").read_text() == f"coflux: {notices[0].text}\n"
        assert os.path.getsize(f"{database}-wal") < 400_000
        project.finish(pinning)


def warned(client: Client) -> list[Notice]:
    """The notices that have come about readers."""
    notices = []
    while (message := client.receive(0.05)) is not None:
        if isinstance(message, Notice) and "transaction" in message.text:
            notices.append(message)
    return notices
