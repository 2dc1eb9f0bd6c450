"""The worker's `Backend`: what the API calls inside an execution.

There is no thread of ours in a worker. Whoever waits for a reply reads the channel, hands the replies of others to
them, and passes the reading on when its own has come; an event loop that waits reads when the channel is readable.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from coflux import values
from coflux.executor import log_values
from coflux.executor.channel import Channel, ChannelClosed, encode
from coflux.executor.manifest import encoded_arguments, submitted_spec
from coflux.executor.messages import (
    Answer,
    Cancel,
    Failed,
    Identified,
    Identify,
    Log,
    OpenGroup,
    Outcome,
    Submit,
    Succeeded,
    ToWorker,
    Wait,
)
from coflux.failures import rebuild, terminated_error
from coflux.handles import Execution

if TYPE_CHECKING:
    import asyncio

    from coflux.target import Target
    from coflux.values import BlobStore

__all__ = ["Runtime", "decode_outcome"]


class _Pending:
    """A request and its reply, once there."""

    __slots__ = ("future", "loop", "reply")

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, future: asyncio.Future[Any] | None = None
    ) -> None:
        self.reply: Answer | Identified | None = None
        self.loop = loop
        self.future = future


class Runtime:
    """The engine as seen from one execution. Created anew for each; the channel is the process's."""

    def __init__(self, channel: Channel[ToWorker], blobs: BlobStore, execution: str, project: str) -> None:
        self._channel = channel
        self._blobs = blobs
        self._execution = execution
        self._project = project
        self._pid = os.getpid()
        self._submissions = 0
        self._groups = 0
        self._requests = 0
        self._specs: dict[int, tuple[Target[..., Any], bytes]] = {}
        self._send_lock = threading.Lock()
        self._replies = threading.Condition()
        self._reading = False  # a thread is in the blocking read
        self._pending: dict[int, _Pending] = {}
        self._ahead: dict[str, Outcome] = {}  # outcomes that came before they were asked for, by handle
        self._loop_waits = 0

    # -- the Backend protocol ------------------------------------------------------------------------------------

    def execution_id(self) -> str:
        return self._execution

    def project_dir(self) -> str:
        return self._project

    def submit(self, target: Target[..., Any], arguments: Sequence[object], group: int | None) -> Execution[Any]:
        unsupported = target.unsupported()
        if unsupported is not None:
            raise NotImplementedError(f"{target.module}/{target.name}: {unsupported} is not available yet")
        if target.type == "workflow":
            raise NotImplementedError(
                f"{target.module}/{target.name}: a workflow called from code, as a run of its own, is not available yet"
            )
        spec = self._encoded_spec(target)
        encoded = encoded_arguments(target, arguments, self._blobs)
        with self._sending():
            self._submissions += 1
            self._channel.send(Submit(self._submissions, spec, encoded, group))
            number = self._submissions
        return Execution(module=target.module, target=target.name, number=number)

    def identify(self, handle: Execution[Any]) -> str:
        number = handle.number
        assert number is not None  # a handle with an id is not asked about
        reply = self._ask(lambda request: Identify(request, number))
        assert isinstance(reply, Identified)
        return reply.execution

    def result(self, handle: Execution[Any]) -> Any:
        token = handle.reference().id
        reply = self._sent_ahead(token) or self._ask(lambda request: Wait(request, (token,), None))
        return self._value(reply)

    async def result_async(self, handle: Execution[Any]) -> Any:
        token = handle.reference().id
        reply = self._sent_ahead(token) or await self._ask_async(lambda request: Wait(request, (token,), None))
        return self._value(reply)

    def poll(self, handle: Execution[Any], timeout: float | None, default: Any) -> Any:
        token = handle.reference().id
        reply = self._sent_ahead(token) or self._ask(lambda request: Wait(request, (token,), timeout or 0.0))
        assert isinstance(reply, Answer)
        if reply.index < 0 and not reply.error:
            return default
        return self._value(reply)

    def cancel(self, handles: Sequence[Execution[Any]]) -> None:
        if handles:
            self._send(Cancel(tuple(handle.reference().id for handle in handles)))

    def open_group(self, name: str | None, parent: int | None) -> int:
        with self._sending():
            number = self._groups
            self._groups += 1
            self._channel.send(OpenGroup(number, name, parent))
        return number

    def log(self, level: int, template: str | None, values: dict[str, object]) -> None:
        encoded, references = log_values.encode(values)
        self._send(Log(time.time(), level, template, encoded, references))

    # -- requests and replies ------------------------------------------------------------------------------------

    def _encoded_spec(self, target: Target[..., Any]) -> bytes:
        cached = self._specs.get(id(target))
        if cached is not None:
            return cached[1]
        encoded = encode(submitted_spec(target, self._blobs))
        if not target.overrides:  # copies of `with_*` are often made per call: keeping them would grow without end
            self._specs[id(target)] = (target, encoded)
        return encoded

    def _sending(self) -> threading.Lock:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this is a forked child of an execution: only the execution's own process can call coflux"
            )
        return self._send_lock

    def _send(self, message: object) -> None:
        with self._sending():
            self._channel.send(message)

    def _register(self, pending: _Pending) -> int:
        with self._replies:
            self._requests += 1
            self._pending[self._requests] = pending
            return self._requests

    def _ask(self, message: Callable[[int], object]) -> Answer | Identified:
        pending = _Pending()
        self._send(message(self._register(pending)))
        while True:
            with self._replies:
                while pending.reply is None and self._reading:
                    self._replies.wait()
                if pending.reply is not None:
                    return pending.reply
                self._reading = True
            try:
                self._channel.fill()
            finally:
                with self._replies:
                    self._reading = False
                    self._deliver()
                    self._replies.notify_all()

    async def _ask_async(self, message: Callable[[int], object]) -> Answer | Identified:
        import asyncio

        loop = asyncio.get_running_loop()
        pending = _Pending(loop, loop.create_future())
        assert pending.future is not None
        request = self._register(pending)
        self._send(message(request))
        if not self._loop_waits:
            loop.add_reader(self._channel.fileno(), self._channel_readable)
        self._loop_waits += 1
        try:
            reply: Answer | Identified = await pending.future
            return reply
        finally:
            self._loop_waits -= 1
            if not self._loop_waits:
                loop.remove_reader(self._channel.fileno())

    def _channel_readable(self) -> None:
        with self._replies:
            if self._reading:
                return  # that thread will deliver
            self._channel.fill(wait=False)
            self._deliver()
            self._replies.notify_all()

    def _deliver(self) -> None:
        for reply in self._channel.pending():
            assert isinstance(reply, Answer | Identified)  # nothing else is sent to a busy worker
            pending = self._pending.pop(reply.request, None)
            if pending is None:
                continue  # whoever asked has been cancelled
            if isinstance(reply, Answer) and reply.more:
                self._ahead.update((f"@{number}", outcome) for number, outcome in reply.more)
            pending.reply = reply
            if pending.loop is not None and pending.future is not None:
                pending.loop.call_soon_threadsafe(_settle, pending.future, reply)

    def _sent_ahead(self, token: str) -> Answer | None:
        """The answer to a wait for this handle, if its outcome has come before it was asked for."""
        outcome = self._ahead.pop(token, None)
        return None if outcome is None else Answer(0, 0, outcome)

    def _value(self, reply: Answer | Identified) -> Any:
        assert isinstance(reply, Answer)
        if reply.error:
            from coflux.errors import ExecutionError

            raise ExecutionError(reply.error)
        assert reply.outcome is not None
        return decode_outcome(reply.outcome, self._blobs)


def decode_outcome(outcome: Outcome, blobs: BlobStore) -> Any:
    """The value of an outcome, or its error raised."""
    if isinstance(outcome, Succeeded):
        return values.decode(outcome.value, blobs)
    if isinstance(outcome, Failed):
        raise rebuild(outcome.failure, blobs)
    raise terminated_error(outcome.kind, outcome.message)


def _settle(future: asyncio.Future[Any], reply: Answer | Identified) -> None:
    if not future.done():
        future.set_result(reply)


def wait_closed(channel: Channel[ToWorker]) -> ToWorker | None:
    """The next message, `None` when the supervisor is gone."""
    try:
        return channel.receive()
    except ChannelClosed:
        return None
