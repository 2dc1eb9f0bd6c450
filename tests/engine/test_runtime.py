"""What an execution asks the engine for. The test plays the engine on the other end of the channel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coflux.encoded import Value
from coflux.executor.blobs import FileBlobs
from coflux.executor.channel import Channel
from coflux.executor.messages import Answer, FromWorker, Succeeded, ToWorker, Wait
from coflux.executor.runtime import Runtime
from coflux.handles import Execution


class Engine:
    """The other end: what was asked, and answers to it."""

    def __init__(self, blobs: Path) -> None:
        ours, theirs = socket.socketpair()
        self.channel: Channel[FromWorker] = Channel(ours, FromWorker)
        self._theirs: Channel[ToWorker] = Channel(theirs, ToWorker)
        self.runtime = Runtime(self._theirs, FileBlobs(str(blobs)), "Rbcd:1:1", "/project")

    def asked(self) -> list[FromWorker]:
        """What has been asked since the last call."""
        self.channel.fill(wait=False)
        return list(self.channel.pending())

    def close(self) -> None:
        self.channel.close()
        self._theirs.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    engine.close()


def number(value: int) -> Succeeded:
    return Succeeded(Value("json", str(value).encode(), 1))


def handle(index: int) -> Execution[int]:
    return Execution(module="flow", target="square", number=index)


Ask = Callable[[Runtime, Execution[int]], Any]

WAYS: list[Ask] = [
    lambda runtime, one: runtime.result(one),
    lambda runtime, one: runtime.poll(one, None, None),
    lambda runtime, one: runtime.poll(one, 5.0, None),
    lambda runtime, one: asyncio.run(runtime.result_async(one)),
]


@pytest.mark.parametrize("ask", WAYS, ids=["result", "poll", "poll with a timeout", "await"])
def test_an_outcome_that_was_sent_ahead_is_not_asked_for(engine: Engine, ask: Ask) -> None:
    engine.channel.send(Answer(1, 0, number(10), more=((2, number(20)), (3, number(30)))))
    assert engine.runtime.result(handle(1)) == 10
    assert engine.asked() == [Wait(1, ("@1",), None)]
    assert (ask(engine.runtime, handle(3)), ask(engine.runtime, handle(2))) == (30, 20)
    assert engine.asked() == []
