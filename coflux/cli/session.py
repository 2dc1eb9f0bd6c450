"""Following a run in the foreground, from its start until everything of it has ended.

One loop waits for the engine's messages, for signals, for readers that make room, and for the clock. Nothing in it
blocks or takes long: a terminal that is stopped, a pipe that nobody reads or a task that prints faster than anybody can
show delays what is shown, never the reaction to Ctrl-C. So the end of the run is a place in what there is to show: it
is acted upon when everything before it has been shown.
"""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, Protocol

from coflux.cli import exits
from coflux.cli.engine import describe_notice
from coflux.cli.progress import Display, Problems
from coflux.cli.signals import Signals
from coflux.cli.terminal import BACKLOG, Output
from coflux.display.feed import Event, ExecutionChanged, Feed, Key, RunChanged
from coflux.display.reasons import reason_of
from coflux.executor.client import Client, ConnectionLost, describe_loss
from coflux.executor.requests import (
    Advanced,
    CancelRun,
    Dropped,
    FromSupervisor,
    Notice,
    Release,
    RunFinished,
    RunSettled,
    RunStuck,
    Subscribe,
    ToSupervisor,
)
from coflux.executor.rows import ExecutionRow, RunRow, parse_execution_id

__all__ = ["EngineLost", "Session"]

REFRESH = 0.1  # seconds between two pictures
SLICE = 0.05  # seconds of showing news until signals and messages get their turn
PATIENCE = 3.0  # seconds, beyond the grace period, that a first Ctrl-C waits for the run to end
WAITING_NOTICE = 1.0  # seconds after the result until it is said what the run still waits for


class OnFinished(Protocol):
    def __call__(self) -> None:
        """The root's result is in the store."""


class EngineLost(exits.CommandError):
    """The engine ended before the run did."""


End = RunFinished | RunSettled | ConnectionLost


class _Pass(NamedTuple):
    """One reading of the store, as far as it is not shown yet. `ends` had been heard of when it began, so that it has
    everything that happened before them."""

    events: Iterator[Event]
    ends: list[End]


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
        self._target = run  # what a signal cancels
        self._find_end: Callable[[], str] | None = None
        self._unfinished: dict[str, ExecutionRow] = {}
        self._row: RunRow | None = None  # the run, as it was read last
        self.status = ""  # of the root, once it has ended
        self._settled = False
        self._over = False  # the run has settled or the engine is lost: there is nothing more to hear or to cancel
        self._pass: _Pass | None = None
        self._ends: list[End] = []  # that were heard of since that pass began
        self._unheard = False  # there may be messages that have been read from the socket already
        self._advanced = True  # the store may have something new
        self._changed: dict[Key, None] | None = None  # executions that may have changed; None: any of them
        self._signal = 0  # the first that came
        self._give_up_at: float | None = None
        self._explain_at: float | None = None
        self._refreshed_at = 0.0

    def follow_execution(self, execution_id: str, find_end: Callable[[], str]) -> None:
        """Follow an attempt of another step than the root. Nobody tells of its end: `find_end` returns the state in
        which it has ended, "" while it has not."""
        self.problems = Problems(self._run, parse_execution_id(execution_id)[1])
        self._target = execution_id
        self._find_end = find_end

    def recall(self, past: Iterable[Event]) -> None:
        """Take note of what had happened before."""
        for event in past:
            self._display.recall(event)
            self.problems.recall(event)
            if isinstance(event, ExecutionChanged):
                self._note(event.row)

    def follow(self, signals: Signals, on_finished: OnFinished, *, wait_children: bool) -> int:
        """Wait until the run has settled, or only until its root has finished, and return the exit status."""
        self._subscribe()
        while True:
            self._receive()
            self._show(on_finished)
            if self._settled:
                return self._exit_status()
            if self.status and self._is_enough(wait_children):
                self._send(Release(self._run))
                return self._exit_status()
            for number in signals.read():
                if self._interrupted(number):
                    return self._exit_status()
            if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                self._give_up(on_finished)
                return self._exit_status()
            self._wait(signals)

    def _is_enough(self, wait_children: bool) -> bool:
        """Whether the end of what is followed is all that there is to wait for. What else a step's run does is no
        business of whoever interrupts that step."""
        return self._find_end is not None if self._signal else not wait_children

    # -- messages -----------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        self._send(Subscribe(self._run))
        if self._find_end is not None:
            self._send(Subscribe(None))  # the chain of an attempt may lead to an execution of any run

    def _send(self, message: ToSupervisor) -> None:
        with suppress(ConnectionLost):  # which the next `receive` will meet, too
            self._client.send(message)

    def _receive(self) -> None:
        """Read what has come, up to an end: that is shown before what was said after it, unless it takes long."""
        heard = len(self._ends)
        try:
            while not self._over and len(self._ends) == heard and (message := self._client.receive(0)) is not None:
                self._handle(message)
            self._unheard = len(self._ends) > heard
        except ConnectionLost as error:
            self._changed = None
            self._over = True
            self._hear(error)

    def _handle(self, message: FromSupervisor) -> None:
        match message:
            case Advanced(executions=executions):
                self._advanced = True
                if executions is None:
                    self._changed = None
                elif self._changed is not None:
                    self._changed.update(dict.fromkeys(executions))
            case Notice():
                self._display.say(describe_notice(message))
            case Dropped():  # this process was stopped in the middle of a read, which is over by now
                self._subscribe()
            case RunFinished(run) if run == self._run and self._find_end is None:
                self._hear(message)
            case RunSettled(run) if run == self._run:
                self._over = True
                self._hear(message)
            case RunStuck(run) if run == self._run:
                self._stuck(message.message)
            case _:
                pass  # replies that nobody waits for, and news of other runs

    def _stuck(self, why: str) -> None:
        """Nothing of the run can get on: it is ended, since nobody would ever see its end."""
        self._display.say(why)
        self._send(CancelRun(self._client.next_request(), self._run))

    def _hear(self, end: End) -> None:
        self._advanced = True
        self._ends.append(end)

    def _look(self, on_finished: OnFinished) -> None:
        """Whether what is followed has ended, where nobody tells."""
        status = self._find_end() if self._find_end is not None and not self.status else ""
        if status:
            self._finish(status, on_finished)

    def _reach(self, end: End, on_finished: OnFinished) -> None:
        """Act upon an end: everything before it has been shown."""
        match end:
            case RunFinished(status=status):
                self._finish(status, on_finished)
            case RunSettled(status=status):
                self._settle(status, on_finished)
            case ConnectionLost() if self._row is not None and self._row.settled:
                self._settle(self._row.status, on_finished)
            case ConnectionLost():
                raise EngineLost(describe_loss(end, self._run), exits.FAILED)

    def _finish(self, status: str, on_finished: OnFinished) -> None:
        for stream in self._streams:
            stream.push()  # before the result, which goes to another stream
        self.status = status
        self._explain_at = time.monotonic() + WAITING_NOTICE
        on_finished()

    def _settle(self, status: str, on_finished: OnFinished) -> None:
        if not self.status:
            self._finish(status, on_finished)
        self._settled = True

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self, on_finished: OnFinished) -> None:
        if self._can_go_on():
            self._show_news(on_finished)
        now = time.monotonic()
        if self._explain_at is not None and now >= self._explain_at:
            self._explain_at = None
            self._display.say(f"waiting for {self._what_runs()} (Ctrl-C cancels)")
        if self._display.animated and now - self._refreshed_at >= REFRESH:
            self._refreshed_at = now
            if running := [row for row in self._unfinished.values() if row.status == "running"]:
                self._display.show_progress(self._feed.progress(running))
            self._display.refresh()
        for stream in self._streams:
            stream.push()

    def _can_go_on(self) -> bool:
        """Whether there may be news, and room for them."""
        return (self._pass is not None or self._advanced) and self._has_room()

    def _has_room(self) -> bool:
        return all(stream.pending < BACKLOG for stream in self._streams)

    def _show_news(self, on_finished: OnFinished) -> None:
        """Show what is new, for `SLICE` seconds and as long as there is room. The next call goes on with the rest."""
        until = time.monotonic() + SLICE
        self._pass = self._pass or self._new_pass()
        for event in self._pass.events:
            self._take(event)
            if time.monotonic() >= until or not self._has_room():
                return
        ends = self._pass.ends
        self._pass = None
        self._look(on_finished)
        for end in ends:
            self._reach(end, on_finished)

    def _new_pass(self) -> _Pass:
        self._advanced = False
        changed, self._changed = self._changed, {}
        ends, self._ends = self._ends, []
        return _Pass(self._feed.events(changed), ends)

    def _take(self, event: Event) -> None:
        self._display.take(event)
        self.problems.take(event)
        if isinstance(event, RunChanged) and event.row.id == self._run:
            self._row = event.row
        elif isinstance(event, ExecutionChanged):
            self._note(event.row)

    def _note(self, row: ExecutionRow) -> None:
        if row.status in ("queued", "running"):
            self._unfinished[row.id] = row
        else:
            self._unfinished.pop(row.id, None)

    def _what_runs(self, limit: int = 5) -> str:
        rows, now = islice(self._unfinished.values(), limit), time.time()
        named = [f"{row.id} {self.problems.name_of(row)} ({reason_of(row, now) or row.status})" for row in rows]
        more = len(self._unfinished) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "") or "the last processes to end"

    # -- waiting and signals ------------------------------------------------------------------------------------------

    def _wait(self, signals: Signals) -> None:
        """Wait for something to do, at most until the next picture or deadline is due."""
        due = [at for at in (self._explain_at, self._give_up_at) if at is not None]
        if self._display.animated:
            due.append(self._refreshed_at + REFRESH)
        if self._can_go_on() or (self._unheard and not self._over):
            due.append(0.0)
        poll = select.poll()
        poll.register(signals.fd, select.POLLIN)
        if not self._over:
            poll.register(self._client.fileno(), select.POLLIN)
        for stream in self._streams:
            if stream.pending:
                poll.register(stream.fd, select.POLLOUT)
        poll.poll(max(min(due) - time.monotonic(), 0.0) * 1000 if due else None)

    def _interrupted(self, number: int) -> bool:
        """React to a signal; return whether to leave at once."""
        if number == signal.SIGHUP:
            self._hung_up()
            return True
        if self._signal:
            if number == signal.SIGINT:
                self._send(CancelRun(self._client.next_request(), self._target, now=True))
            return number == signal.SIGINT
        self._signal = number
        self._give_up_at = time.monotonic()
        if not self._over:  # else only what is left to show is interrupted
            self._give_up_at += self._grace + PATIENCE
            self._send(CancelRun(self._client.next_request(), self._target))
            again = "; Ctrl-C again kills it" if number == signal.SIGINT else ""
            what = f"run {self._run}" if self._target == self._run else self._target
            self._display.say(f"cancelling {what}{again}")
        return False

    def _give_up(self, on_finished: OnFinished) -> None:
        """Leave after a signal: the run does not end, or it has ended and there is too much to show."""
        if not self._over:
            self._display.say(f"run {self._run} has not ended yet: `coflux runs inspect {self._run}` shows why")
            return
        self._display.say(f"the rest of the output is not shown: `coflux logs {self._run}` has it")
        for end in (*(self._pass.ends if self._pass is not None else ()), *self._ends):
            self._reach(end, on_finished)

    def _hung_up(self) -> None:
        """The terminal is gone: the run outlives it, unless it is being cancelled already."""
        if not self._signal:
            self._signal = signal.SIGHUP
            self._send(Release(self._run))
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
