"""A real worker process, with the test as the supervisor at the other end of its channel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TypeVar

import msgspec

from coflux import values
from coflux.executor.blobs import FileBlobs
from coflux.executor.channel import Channel, encode
from coflux.executor.messages import (
    Answer,
    Configure,
    Execute,
    FromWorker,
    Identified,
    Identify,
    Log,
    Ready,
    Retire,
    Returned,
    TargetSpec,
)
from coflux.executor.worker import SpawnArguments
from coflux.task_options import TaskOptions

M = TypeVar("M")

ROOT = Path(__file__).parents[2]


class ScriptedWorker:
    """A worker that has imported a module `flow` with this source."""

    def __init__(self, directory: Path, source: str, **environment: str) -> None:
        directory.mkdir(exist_ok=True)
        header = "import coflux as cf\n"
        (directory / "flow.py").write_text(header + textwrap.dedent(source))
        self.blobs = FileBlobs(str(directory / "blobs"))
        ours, theirs = socket.socketpair()
        self.channel: Channel[FromWorker] = Channel(ours, FromWorker)
        self.output = directory / "output"
        with open(self.output, "wb") as output, open(directory / "crash", "wb") as crash:
            descriptors = (theirs.fileno(), output.fileno(), output.fileno(), crash.fileno())
            path = (str(directory), *sys.path)
            configuration = Configure(
                path, (), str(directory), str(directory / "scratch"), str(directory / "blobs"), 1024
            )
            start = SpawnArguments(configuration, descriptors, ("flow",), os.getpid())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "coflux.executor.worker", msgspec.json.encode(start).decode()],
                pass_fds=descriptors,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )
        theirs.close()
        assert isinstance(self.channel.receive(), Ready)

    def execute(self, name: str, *arguments: object, options: TaskOptions | None = None) -> None:
        """Hand over an execution of a task of the module."""
        parameters = tuple(f"p{number}" for number in range(len(arguments)))
        spec = TargetSpec("flow", name, "task", parameters, options or TaskOptions())
        encoded = tuple(values.encode(argument, self.blobs) for argument in arguments)
        self.channel.send(Execute("Rbcd:1:1", encode(spec), encoded, False))

    def expect(self, kind: type[M]) -> M:
        """The next message, which is of this kind."""
        message = self.channel.receive()
        assert isinstance(message, kind), message
        return message

    def until(self, kind: type[M]) -> tuple[list[FromWorker], M]:
        """The messages up to the next of this kind, and that one. Questions for ids are answered meanwhile."""
        before: list[FromWorker] = []
        while True:
            message = self.channel.receive()
            if isinstance(message, kind):
                return before, message
            if isinstance(message, Identify):
                self.channel.send(Identified(message.request, f"Rbcd:{message.number + 1}:1"))
            else:
                before.append(message)

    def too_late(self, request: int) -> None:
        """Answer a wait whose time is up."""
        self.channel.send(Answer(request, -1, None))

    def returned(self) -> tuple[list[str], Returned]:
        """What the execution logged until its end, where nothing else was sent, and its end."""
        before, returned = self.until(Returned)
        assert all(isinstance(message, Log) for message in before), before
        return [message.template or "" for message in before if isinstance(message, Log)], returned

    @property
    def exit_code(self) -> int:
        """Once it has been told to leave, or should have ended by itself."""
        return self._process.wait(30)

    def close(self) -> None:
        if self._process.poll() is None:
            self.channel.send(Retire())
        self.channel.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
