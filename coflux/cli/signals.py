"""Signals as data: the loop that waits for everything else also waits for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from coflux.cli.exits import INTERRUPTED

__all__ = ["Signals", "hangup_postponed", "listening"]

LAST_RESORT = 0.3  # seconds from the second Ctrl-C until the process leaves, whatever it is doing


class Signals:
    """SIGINT, SIGTERM and SIGHUP, readable from `fd`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._interrupts = 0

    def read(self) -> list[int]:
        """The signals that have come since the last call."""
        try:
            return list(os.read(self.fd, 64))
        except BlockingIOError:
            return []

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The wake-up descriptor tells the loop; this only makes sure that a second Ctrl-C is never in vain."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts == 2:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(INTERRUPTED))
            signal.setitimer(signal.ITIMER_REAL, LAST_RESORT)


@contextmanager
def hangup_postponed() -> Iterator[None]:
    """Keep a SIGHUP until somebody is `listening`, or the block ends. A run that is being started is not to be lost to
    it. Only where no process is started, which would inherit this."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def listening() -> Iterator[Signals]:
    """Turn SIGINT, SIGTERM and SIGHUP into data while the block runs. SIGHUP stays ignored under `nohup`."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signals = Signals(reader)
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, signals.handle) for number in numbers}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield signals
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(wakeup)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
