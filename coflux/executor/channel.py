"""Frames over stream sockets, and the only `encode` and `decode`.

A frame is what `multiprocessing.connection.Connection.send_bytes` writes: a signed 32-bit big-endian length, then that
many bytes (a length of -1 announces an unsigned 64-bit one). The payload is one msgpack-encoded message.

Writers may block, readers of the supervisor never do: it takes whatever bytes there are into a `FrameBuffer` and cuts
whole frames off, so a peer that stops in the middle of a frame holds up nobody.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

__all__ = ["Channel", "ChannelBroken", "ChannelClosed", "FrameBuffer", "decoder", "encode", "frame"]

_SHORT = struct.Struct("!i")
_LONG = struct.Struct("!iQ")
_CHUNK = 1 << 16  # bytes read at a time; more would be mapped and unmapped again for each read
_MAX_DESCRIPTORS = 64  # per read; a StartWorker brings four

encode = msgspec.msgpack.Encoder().encode

M = TypeVar("M")


@cache
def decoder(union: Any) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of one direction's messages. Unknown or malformed messages raise `msgspec.DecodeError`."""
    return msgspec.msgpack.Decoder(union)


def frame(payload: bytes) -> bytes:
    """A payload with its length before it."""
    size = len(payload)
    if size < 0x7FFFFFFF:
        return _SHORT.pack(size) + payload
    return _LONG.pack(-1, size) + payload


class ChannelClosed(Exception):
    """The other side is gone."""


class ChannelBroken(ChannelClosed):
    """Our own side is gone: somebody in this process has closed its descriptor."""


def _closed(error: OSError) -> Exception:
    """What an error of a socket means; itself, if it is another."""
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return ChannelClosed()
    if error.errno in (errno.EBADF, errno.ENOTSOCK, errno.ENOTCONN):
        return ChannelBroken("the descriptor of the engine's channel was closed in this process")
    return error


class FrameBuffer:
    """Bytes in, whole payloads out."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add what was read and cut off the frames that are complete."""
        if self._data:
            self._data += data
            data = bytes(self._data)
        frames: list[bytes] = []
        at = 0
        end = len(data)
        while end - at >= 4:
            (size,) = _SHORT.unpack_from(data, at)
            start = at + 4
            if size == -1:
                if end - at < 12:
                    break
                size = _LONG.unpack_from(data, at)[1]
                start = at + 12
            if end - start < size:
                break
            frames.append(data[start : start + size])
            at = start + size
        self._data = bytearray(data[at:])
        return frames


class Channel(Generic[M]):
    """The blocking end of a channel: a worker's, a guardian's, a client's."""

    def __init__(self, sock: socket.socket, incoming: Any) -> None:
        self._socket = sock
        self._buffer = FrameBuffer()
        self._decode = decoder(incoming).decode
        self._messages: deque[M] = deque()
        self.descriptors: deque[int] = deque()  # received and not yet taken, in the order of the messages

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: object) -> None:
        """Write one message, whole. Raises `ChannelClosed` when nobody is there to read it."""
        try:
            self._socket.sendall(frame(encode(message)))
        except OSError as error:
            raise _closed(error) from None

    def receive(self) -> M:
        """The next message; blocks for it."""
        while not self._messages:
            self.fill()
        return self._messages.popleft()

    def pending(self) -> Iterator[M]:
        """The messages that are here already."""
        while self._messages:
            yield self._messages.popleft()

    def fill(self, *, wait: bool = True) -> None:
        """Read once: block for data, or with `wait=False` take what there is."""
        try:
            data = self._socket.recv(_CHUNK, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise _closed(error) from None
        self._accept(data)

    def fill_with_descriptors(self) -> None:
        """As `fill`, for a channel that also carries descriptors."""
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._socket, _CHUNK, _MAX_DESCRIPTORS)
        except ConnectionResetError as error:  # it ended with something from us unread
            raise ChannelClosed from error
        self.descriptors.extend(descriptors)
        self._accept(data)

    def _accept(self, data: bytes) -> None:
        if not data:
            raise ChannelClosed
        self._messages.extend(self._decode(payload) for payload in self._buffer.feed(data))

    def close(self) -> None:
        self._socket.close()
