"""The supervisor's side of channels: non-blocking, one poller for all descriptors.

Reading takes what there is; writing queues what the other side has no room for. Neither ever blocks the loop.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from coflux.executor.channel import FrameBuffer, decoder, encode, frame

__all__ = ["Peer", "Poller", "pid_of_peer"]

READ_SIZE = 1 << 16  # bytes; more would be mapped and unmapped again for each read
READS_AT_ONCE = 1  # a peer that writes without end must not keep the others from being read


class Poller:
    """Which descriptors want what, and who handles them. epoll where there is one, else poll."""

    def __init__(self) -> None:
        self._poll: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._to_seconds = 1.0 if hasattr(select, "epoll") else 1000.0
        self._handlers: dict[int, tuple[Callable[[], None], Callable[[], None] | None]] = {}
        self._calls: list[Callable[[], None]] = []
        self._read = select.POLLIN
        self._write = select.POLLOUT

    def add(self, descriptor: int, readable: Callable[[], None], writable: Callable[[], None] | None = None) -> None:
        self._handlers[descriptor] = (readable, writable)
        self._poll.register(descriptor, self._read)

    def want_write(self, descriptor: int, wanted: bool) -> None:
        self._poll.modify(descriptor, self._read | (self._write if wanted else 0))

    def remove(self, descriptor: int) -> None:
        handlers = self._handlers.pop(descriptor, None)
        if handlers is not None:
            self._poll.unregister(descriptor)
            # The descriptor's number may soon be another one's: what is still to be called of this turn must not be.
            self._calls[:] = [_nothing if call in handlers else call for call in self._calls]

    def wait(self, timeout: float | None) -> list[Callable[[], None]]:
        """Wait for something to do, at most `timeout` seconds, and return what to call."""
        calls: list[Callable[[], None]] = []
        for descriptor, event in self._poll.poll(None if timeout is None else timeout * self._to_seconds):
            handlers = self._handlers.get(descriptor)
            if handlers is None:
                continue
            if event & self._write and handlers[1] is not None:
                calls.append(handlers[1])
            if event & ~self._write:  # readable, hung up or broken: reading tells which
                calls.append(handlers[0])
        self._calls = calls
        return calls


def _nothing() -> None:
    """In the place of a call whose descriptor was removed in the meantime."""


def pid_of_peer(sock: socket.socket) -> int:
    """The process that connected a Unix socket, or that made its pair; 0 where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)


class Peer:
    """One connected socket. `received` gets each message, `closed` is called once when the other side is gone."""

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        incoming: Any,
        received: Callable[[Any], None],
        closed: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._poller = poller
        self._socket = sock
        self._descriptor = sock.fileno()
        self._decode = decoder(incoming).decode
        self._buffer = FrameBuffer()
        self._outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._waits_for_room = False
        self._received = received
        self._closed = closed
        self.open = True
        poller.add(self._descriptor, self.read, self._write)

    def read(self, reads: int = READS_AT_ONCE) -> None:
        """Take what there is, and hand over the messages that are complete."""
        for _ in range(reads):
            try:
                data = self._socket.recv(READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._end("")
                return
            try:
                for payload in self._buffer.feed(data):
                    self._received(self._decode(payload))
            except msgspec.DecodeError as error:
                self._end(f"it sent something that is no message: {error}")
                return
            if len(data) < READ_SIZE or not self.open:
                return

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send one message, with descriptors that are closed here once they have gone out."""
        if not self.open:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        self._outgoing.append((frame(encode(message)), tuple(descriptors)))
        if len(self._outgoing) == 1:
            self._write()

    @property
    def backlog(self) -> int:
        """Messages that the other side has not taken yet."""
        return len(self._outgoing)

    def _write(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            try:
                if descriptors:
                    sent = socket.send_fds(self._socket, [data], list(descriptors))
                else:
                    sent = self._socket.send(data)
            except BlockingIOError:
                self._wait_for_room(True)
                return
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:  # too many descriptors under way: when some have been taken
                    self._wait_for_room(True)
                else:  # the reading side will find it closed
                    self._drop_outgoing()
                    self._wait_for_room(False)
                return
            for descriptor in descriptors:
                os.close(descriptor)
            if sent < len(data):
                self._outgoing[0] = (data[sent:], ())
            else:
                self._outgoing.popleft()
        self._wait_for_room(False)

    def _wait_for_room(self, waits: bool) -> None:
        if waits is not self._waits_for_room:
            self._waits_for_room = waits
            self._poller.want_write(self._descriptor, waits)

    def _drop_outgoing(self) -> None:
        for _, descriptors in self._outgoing:
            for descriptor in descriptors:
                os.close(descriptor)
        self._outgoing.clear()

    def _end(self, problem: str) -> None:
        if self.open:
            self.close()
            self._closed(problem)

    def close(self) -> None:
        """Close our side without calling `closed`."""
        if self.open:
            self.open = False
            self._poller.remove(self._descriptor)
            self._socket.close()
            self._drop_outgoing()
