"""Worker processes as the supervisor sees them: channel, output pipes, crash file, and the ladder that ends them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Protocol

from coflux.executor.evidence import describe_exit, oom_kills, resident_memory, user_stack
from coflux.executor.messages import FromWorker, Retire, Usage
from coflux.executor.output import OutputPipe
from coflux.executor.peers import Peer, Poller
from coflux.executor.rows import LogRow
from coflux.executor.signals import DUMP_SIGNAL
from coflux.logs import Level

__all__ = ["DUMP_TIME", "RETIRE_TIME", "WorkerProcess", "pipe_ends"]

DUMP_TIME = 0.1  # seconds between the request for a stack and the kill
RETIRE_TIME = 2.0  # seconds that exit handlers of a worker may take


class Shell(Protocol):
    """What a process needs of the supervisor."""

    poller: Poller

    def later(self, seconds: float, call: Callable[[], None]) -> None: ...
    def wall(self) -> float: ...
    def log(self, row: LogRow) -> None: ...


def pipe_ends() -> tuple[int, int]:
    """A pipe: the end that is kept, and the one that is given away."""
    read, write = os.pipe()
    return read, write


def _crash_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("coflux-crash")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class WorkerProcess:
    """One worker. It is over when its parent has reported its end (`ended`), not when a pipe closes."""

    def __init__(
        self,
        shell: Shell,
        worker_id: int,
        host: int,
        grace: float,
        received: Callable[[int, Any], None],
    ) -> None:
        self.id = worker_id
        self.host = host
        self.pid = 0
        self.peak_memory = 0
        self.owner: tuple[str, int, int] | None = None  # run, step, attempt of what it runs or ran last
        self.on_end: Callable[[str], None] | None = None  # told the evidence, if it ends while this is set
        self._shell = shell
        self._grace = grace
        self._pidfd = -1
        self._signalled: list[int] = []  # signals asked for before the pid was known
        self._ending = False
        self._killed = False
        self._oom_kills = oom_kills()
        self._over = False
        ours, theirs = socket.socketpair()
        self.peer = Peer(shell.poller, ours, FromWorker, lambda message: received(worker_id, message), lambda why: None)
        stdout, stdout_write = pipe_ends()
        stderr, stderr_write = pipe_ends()
        self._pipes = [OutputPipe(stdout, Level.STDOUT, shell.log), OutputPipe(stderr, Level.STDERR, shell.log)]
        self._crash = _crash_file()
        for pipe in self._pipes:
            shell.poller.add(pipe.descriptor, lambda pipe=pipe: self._read(pipe))  # type: ignore[misc]
        self.given = [os.dup(theirs.fileno()), stdout_write, stderr_write, os.dup(self._crash)]
        theirs.close()

    # -- output --------------------------------------------------------------------------------------------------

    def works_for(self, owner: tuple[str, int, int] | None) -> None:
        """What it writes from now on belongs to this execution."""
        self.peak_memory = 0
        self.owner = owner
        for pipe in self._pipes:
            pipe.belongs_to(owner)

    def drain(self) -> None:
        """Take all that it has written: before an outcome is told, and after its end."""
        wall = self._shell.wall()
        for pipe in self._pipes:
            pipe.drain(wall)

    def show_resting(self) -> None:
        for pipe in self._pipes:
            if pipe.resting:
                pipe.show_resting(self._shell.wall())

    def _read(self, pipe: OutputPipe) -> None:
        if not pipe.read(self._shell.wall()):
            self._shell.poller.remove(pipe.descriptor)

    # -- life ----------------------------------------------------------------------------------------------------

    def started(self, pid: int) -> None:
        self.pid = pid
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                pass  # it has ended already: its parent's report is on its way
        for number in self._signalled:
            self._signal(number)

    def sample(self) -> None:
        """Note how much memory it has now."""
        if self.pid:
            self.peak_memory = max(self.peak_memory, resident_memory(self.pid))

    def retire(self) -> None:
        """Ask it to leave; exit handlers that take too long are not waited for."""
        self.peer.send(Retire())
        self._shell.later(RETIRE_TIME, self._kill_now)

    def kill(self, *, dump: bool, immediate: bool) -> None:
        """End it and its process group. What it started elsewhere, its guardian ends with it.

        First its stacks are dumped if asked for, then SIGTERM gives it the grace period if one is configured.
        """
        self._ending = True
        grace = 0.0 if immediate else self._grace
        wait = DUMP_TIME if dump else 0.0
        if dump:
            self._signal(DUMP_SIGNAL)
        if grace:
            self._shell.later(wait, lambda: self._signal(signal.SIGTERM)) if wait else self._signal(signal.SIGTERM)
        if wait + grace:
            self._shell.later(wait + grace, self._kill_now)
        else:
            self._kill_now()

    def returned(self) -> None:
        """Its code has ended: one that is being ended needs no more of its grace period."""
        if self._ending:
            self._kill_now()

    def _kill_now(self) -> None:
        if not self._over:
            self._killed = True
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self.pid:
            self._signalled.append(number)
            return
        try:
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                os.kill(self.pid, number)
            if number == signal.SIGKILL:  # not yet waited for, so the group's number is still its own
                os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended: its parent's report is on its way

    def ended(self, status: int) -> tuple[str, Usage]:
        """It is gone. Return the evidence, and what it used as far as that is known."""
        self.drain()
        stack = self.take_stack()
        text = describe_exit(
            status,
            stack=stack,
            peak_memory=self.peak_memory,
            out_of_memory=not self._killed and oom_kills() > self._oom_kills,
        )
        self._release()
        return text, Usage(0.0, self.peak_memory)

    def take_stack(self) -> str:
        """What `faulthandler` wrote: asked for before a timeout kill, or at a crash."""
        size = os.fstat(self._crash).st_size
        return user_stack(os.pread(self._crash, min(size, 1 << 16), 0).decode("utf-8", "replace"))

    def _release(self) -> None:
        self._over = True
        self.peer.close()
        for pipe in self._pipes:
            self._shell.poller.remove(pipe.descriptor)
            pipe.close()
        os.close(self._crash)
        if self._pidfd >= 0:
            os.close(self._pidfd)
