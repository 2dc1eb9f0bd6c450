"""Following a run in the foreground, from its start until everything of it has ended.

One loop waits for the engine's messages, for signals, for readers that make room, and for the clock. Nothing in it
blocks: a terminal that is stopped or a pipe that nobody reads delays what is shown, never the reaction to Ctrl-C.
"""

from __future__ import annotations

import select
import signal
import time
from contextlib import suppress
from itertools import islice
from typing import Protocol

from coflux.cli import exits
from coflux.cli.engine import describe_notice
from coflux.cli.feed import ExecutionChanged, Feed, Key, RunChanged
from coflux.cli.progress import Display, Problems
from coflux.cli.signals import Signals
from coflux.cli.terminal import BACKLOG, Output
from coflux.executor.client import Client, ConnectionLost, describe_loss
from coflux.executor.messages import (
    Advanced,
    CancelRun,
    FromSupervisor,
    Notice,
    Release,
    RunFinished,
    RunSettled,
    Subscribe,
)
from coflux.executor.rows import ExecutionRow, RunRow

__all__ = ["Session"]

REFRESH = 0.1  # seconds between two pictures
PATIENCE = 3.0  # seconds, beyond the grace period, that a first Ctrl-C waits for the run to end
WAITING_NOTICE = 1.0  # seconds after the result until it is said what the run still waits for


class OnFinished(Protocol):
    def __call__(self) -> None:
        """The root's result is in the store."""


class Session:
    """Shows the progress of `run` on `display` until it ends, and reacts to signals."""

    def __init__(
        self, client: Client, run: str, feed: Feed, display: Display, streams: tuple[Output, ...], grace: float
    ) -> None:
        self._client = client
        self._run = run
        self._feed = feed
        self._display = display
        self._streams = streams
        self._grace = grace
        self.problems = Problems(run)
        self._subscribed: set[str] = set()  # child runs
        self._unfinished: dict[str, ExecutionRow] = {}
        self._row: RunRow | None = None  # the run, as it was read last
        self.status = ""  # of the root, once it has ended
        self._settled = False
        self._advanced = True  # the store may have something new
        self._changed: dict[Key, None] | None = None  # executions that may have changed; None: any of them
        self._signal = 0  # the first that came
        self._give_up_at: float | None = None
        self._explain_at: float | None = None
        self._refreshed_at = 0.0

    def follow(self, signals: Signals, on_finished: OnFinished, *, wait_children: bool) -> int:
        """Wait until the run has settled, or only until its root has finished, and return the exit status."""
        poll = select.poll()
        poll.register(self._client.fileno(), select.POLLIN)
        poll.register(signals.fd, select.POLLIN)
        self._client.send(Subscribe(self._run))
        while True:
            self._receive(on_finished)
            if self._settled:
                return self._exit_status()
            if self.status and not wait_children and not self._signal:
                self._client.send(Release(self._run))
                return self._exit_status()
            for number in signals.read():
                if self._interrupted(number):
                    return self._exit_status()
            if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                self._display.say(f"run {self._run} has not ended yet: `coflux runs inspect {self._run}` shows why")
                return self._exit_status()
            self._show()
            self._wait(poll)

    def _receive(self, on_finished: OnFinished) -> None:
        try:
            # Once the run has settled there is nothing more to hear, and perhaps nobody to hear it from.
            while not self._settled and (message := self._client.receive(0)) is not None:
                self._handle(message, on_finished)
        except ConnectionLost as error:
            self._changed = None
            self._show_news()
            if self._row is None or not self._row.settled:
                raise exits.CommandError(describe_loss(error, self._run), exits.FAILED) from None
            self._settle(self._row.status, on_finished)

    def _handle(self, message: FromSupervisor, on_finished: OnFinished) -> None:
        match message:
            case Advanced(executions=executions):
                self._advanced = True
                if executions is None:
                    self._changed = None
                elif self._changed is not None:
                    self._changed.update(dict.fromkeys(executions))
            case Notice():
                self._display.say(describe_notice(message))
            case RunFinished(run, status) if run == self._run:
                self._finish(status, on_finished)
            case RunSettled(run, status) if run == self._run:
                self._settle(status, on_finished)
            case _:
                pass  # replies that nobody waits for, and news of other runs

    def _finish(self, status: str, on_finished: OnFinished) -> None:
        self._show_news()
        self.status = status
        self._explain_at = time.monotonic() + WAITING_NOTICE
        on_finished()

    def _settle(self, status: str, on_finished: OnFinished) -> None:
        if not self.status:
            self._finish(status, on_finished)
        self._show_news()
        self._settled = True

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        now = time.monotonic()
        if self._advanced and all(stream.pending < BACKLOG for stream in self._streams):
            self._show_news()
        if self._explain_at is not None and now >= self._explain_at:
            self._explain_at = None
            self._display.say(f"waiting for {self._what_runs()} (Ctrl-C cancels)")
        if self._display.animated and now - self._refreshed_at >= REFRESH:
            self._refreshed_at = now
            self._display.refresh()
        for stream in self._streams:
            stream.push()

    def _show_news(self) -> None:
        self._advanced = False
        changed, self._changed = self._changed, {}
        for event in self._feed.events(changed):
            self._display.take(event)
            self.problems.take(event)
            if isinstance(event, RunChanged) and event.row.id == self._run:
                self._row = event.row
            elif isinstance(event, RunChanged) and event.row.id not in self._subscribed:
                self._subscribed.add(event.row.id)
                with suppress(ConnectionLost):  # which the next `receive` will meet, too
                    self._client.send(Subscribe(event.row.id))
            elif isinstance(event, ExecutionChanged):
                row = event.row
                if row.status in ("queued", "running"):
                    self._unfinished[row.id] = row
                else:
                    self._unfinished.pop(row.id, None)
        for stream in self._streams:
            stream.push()  # before the result, which goes to another stream

    def _what_runs(self, limit: int = 5) -> str:
        rows = islice(self._unfinished.values(), limit)
        named = [f"{row.id} {self.problems.name_of(row)} ({row.reason or row.status})" for row in rows]
        more = len(self._unfinished) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "") or "the last processes to end"

    # -- waiting and signals ------------------------------------------------------------------------------------------

    def _wait(self, poll: select.poll) -> None:
        """Wait for something to do, at most until the next picture or deadline is due."""
        due = [at for at in (self._explain_at, self._give_up_at) if at is not None]
        if self._display.animated:
            due.append(self._refreshed_at + REFRESH)
        timeout = max(min(due) - time.monotonic(), 0.0) * 1000 if due else None
        blocked = [stream for stream in self._streams if stream.pending]
        for stream in blocked:
            poll.register(stream.fd, select.POLLOUT)
        try:
            poll.poll(timeout)
        finally:
            for stream in blocked:
                poll.unregister(stream.fd)

    def _interrupted(self, number: int) -> bool:
        """React to a signal; return whether to leave at once."""
        if number == signal.SIGHUP:
            self._hung_up()
            return True
        if self._signal:
            if number == signal.SIGINT:
                self._client.send(CancelRun(self._client.next_request(), self._run, now=True))
            return number == signal.SIGINT
        self._signal = number
        self._give_up_at = time.monotonic() + self._grace + PATIENCE
        self._client.send(CancelRun(self._client.next_request(), self._run))
        again = "; Ctrl-C again kills it" if number == signal.SIGINT else ""
        self._display.say(f"cancelling run {self._run}{again}")
        return False

    def _hung_up(self) -> None:
        """The terminal is gone: the run outlives it, unless it is being cancelled already."""
        if not self._signal:
            self._signal = signal.SIGHUP
            self._client.send(Release(self._run))
            self._display.say(f"hung up; run {self._run} goes on: `coflux logs -f {self._run}` follows it")

    def _exit_status(self) -> int:
        match self._signal:
            case signal.SIGHUP:
                return exits.HUNG_UP
            case signal.SIGINT:
                return exits.INTERRUPTED
            case signal.SIGTERM:
                return exits.TERMINATED
            case _:
                return exits.exit_status(self.status)
