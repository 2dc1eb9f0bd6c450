"""Worker processes as the supervisor sees them: channel, output pipes, crash file, and the ladder that ends them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from coflux.executor.evidence import describe_exit, oom_kills, own_fault, user_stack
from coflux.executor.messages import FromWorker, KeepSecret, Log, Ready, Retire, SecretKept, StartMethod, Usage
from coflux.executor.output import REFRESH, EntryLimit, OutputPipe
from coflux.executor.peers import Peer, Poller
from coflux.executor.rows import LogRow
from coflux.executor.sampling import ProcessTrees, more, sample, since
from coflux.executor.signals import DUMP_SIGNAL
from coflux.executor.vault import Vault
from coflux.logs import Level
from coflux.redaction import Redactor

__all__ = ["DUMP_TIME", "RETIRE_TIME", "WorkerProcess", "crash_file", "pipe_ends"]

DUMP_TIME = 0.1  # seconds between the request for a stack and the kill
RETIRE_TIME = 2.0  # seconds that exit handlers of a worker may take

_NOTHING = Usage(0.0, 0)


class Shell(Protocol):
    """What a process needs of the supervisor."""

    poller: Poller
    vault: Vault
    redactor: Redactor

    def later(self, seconds: float, call: Callable[[], None]) -> None: ...
    def wall(self) -> float: ...
    def log(self, row: LogRow) -> None: ...
    @property
    def takes_output(self) -> bool: ...


def pipe_ends() -> tuple[int, int]:
    """A pipe: the end that is kept, and the one that is given away."""
    read, write = os.pipe()
    return read, write


def crash_file() -> int:
    """A file without a name, for what is left to say when a process ends."""
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
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        """`secrets` are those of its environment."""
        self.id = worker_id
        self.host = host
        self.pid = 0
        self.sampled = _NOTHING  # of the execution; no memory when it was not looked at
        self._before = _NOTHING  # used by earlier executions, and before them
        self.owner: tuple[str, int, int] | None = None  # run, step, attempt of what it runs or ran last
        self.start_method: StartMethod = "spawn"  # of its host, when it was asked for
        self.terminal = 0  # the context whose client's terminal it was told of last
        self.ready = False
        self.secrets_told = 0  # how many of the vault's it knows
        self._serves = False  # it has said that it is ready
        self.given_up = 0.0  # seconds that it had to become ready, once it is killed because it did not
        self.on_end: Callable[[str], None] | None = None  # told the evidence, if it ends while this is set
        self._shell = shell
        self._grace = grace
        self._pidfd = -1
        self._signalled: list[int] = []  # signals asked for before the pid was known
        self._ending = False
        self._killed = False
        self._oom_kills = oom_kills()
        self._over = False
        self._received = received
        ours, theirs = socket.socketpair()
        self.peer = Peer(shell.poller, ours, FromWorker, self._receive, lambda why: None)
        stdout, stdout_write = pipe_ends()
        stderr, stderr_write = pipe_ends()
        self._redactor = shell.vault.redactor(secrets)
        bars = count()
        self._pipes = [
            OutputPipe(stdout, Level.STDOUT, shell.log, bars, self._redactor),
            OutputPipe(stderr, Level.STDERR, shell.log, bars, self._redactor),
        ]
        self._entries: EntryLimit | None = None  # once it has logged something
        self._showing = False  # it is looked after unfinished lines
        self._crash = crash_file()
        for pipe in self._pipes:
            shell.poller.add(pipe.descriptor, lambda pipe=pipe: self._read(pipe))  # type: ignore[misc]
        self.given = [os.dup(theirs.fileno()), stdout_write, stderr_write, os.dup(self._crash)]
        theirs.close()

    # -- output --------------------------------------------------------------------------------------------------

    def works_for(self, owner: tuple[str, int, int] | None) -> None:
        """What it writes from now on belongs to this execution."""
        self.sampled = _NOTHING
        self.owner = owner
        self._entries = None
        for pipe in self._pipes:
            pipe.belongs_to(owner)

    def admits(self, entry: Log) -> bool:
        """Whether an entry is recorded: its execution has not logged too much yet."""
        if self._entries is None:
            self._entries = EntryLimit()
        return self._entries.admits(len(entry.template or "") + len(entry.values))

    def drain(self) -> None:
        """Take all that it has written: before an outcome is told, and after its end."""
        wall = self._shell.wall()
        for pipe in self._pipes:
            pipe.drain(wall)
        marker = self._entries.marker() if self._entries is not None else None
        if marker is not None and self.owner is not None:
            self._shell.log(LogRow(*self.owner, wall, Level.WARNING, marker, None))
            self._entries = None

    def _read(self, pipe: OutputPipe) -> None:
        if not self._shell.takes_output:
            return  # the poller will say so again
        if not pipe.read(self._shell.wall()):
            self._shell.poller.remove(pipe.descriptor)
        elif pipe.unfinished and not self._showing:
            self._showing = True
            self._shell.later(REFRESH, self._show_unfinished)

    def _show_unfinished(self) -> None:
        wall = self._shell.wall()
        for pipe in self._pipes:
            pipe.show_unfinished(wall)
        self._showing = not self._over and any(pipe.unfinished for pipe in self._pipes)
        if self._showing:
            self._shell.later(REFRESH, self._show_unfinished)

    def _receive(self, message: Any) -> None:
        if isinstance(message, Ready):
            self._serves = True
            self._tell_ready()
        elif isinstance(message, KeepSecret):
            self.peer.send(SecretKept(message.request, self._shell.vault.keep(message.value)))
        else:
            self._received(self.id, message)

    def _tell_ready(self) -> None:
        """It is ready when it says so and its parent has survived the fork."""
        if self._serves and self.pid:
            self.ready = True
            self._before = sample(self.pid, ProcessTrees()) or _NOTHING
            self._received(self.id, Ready(self.pid))

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
        self._tell_ready()

    def sample(self, trees: ProcessTrees | None = None) -> None:
        """Note what its execution has used so far, with all processes below it."""
        used = sample(self.pid, trees or ProcessTrees()) if self.pid else None
        if used is not None:
            self.sampled = more(self.sampled, since(used, self._before))

    def used(self, usage: Usage) -> Usage:
        """Its execution has ended, and it says what that used. Return this with what was sampled."""
        before = self._before
        self._before = Usage(
            before.cpu_seconds + usage.cpu_seconds,
            0,
            (before.read_bytes or 0) + (usage.read_bytes or 0),
            (before.written_bytes or 0) + (usage.written_bytes or 0),
        )
        return usage if self.sampled is _NOTHING else more(usage, self.sampled)

    def retire(self) -> None:
        """Ask it to leave; exit handlers that take too long are not waited for."""
        self.peer.send(Retire())
        self._shell.later(RETIRE_TIME, self._kill_now)

    def kill(self, *, dump: bool, immediate: bool) -> None:
        """End it and its process group. What it started elsewhere, its guardian ends with it.

        First its stacks are dumped if asked for, then SIGTERM gives it the grace period if one is configured.
        """
        self._ending = True
        self.sample()
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

    def give_up(self, limit: float) -> None:
        """Its time to become ready is up: `limit` seconds."""
        if not self.ready and not self._over:
            self.given_up = limit
            self.kill(dump=True, immediate=True)

    def returned(self) -> None:
        """Its code has ended: one that is being ended needs no more of its grace period."""
        if self._ending:
            self._kill_now()

    def _kill_now(self) -> None:
        if not self._over:
            self._killed = True
            self.sample()
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

    def ended(self, status: int) -> tuple[str, Usage | None]:
        """It is gone. Return the evidence, and what it used as far as that is known."""
        self.drain()
        stack = self.take_stack()
        text = describe_exit(
            status,
            stack=stack,
            peak_memory=self.sampled.peak_memory,
            out_of_memory=not self._killed and oom_kills() > self._oom_kills,
            fault=own_fault(self._crash_text()),
        )
        self._release()
        return self._redactor.text(text), self.sampled if self.sampled.peak_memory else None

    def take_stack(self) -> str:
        """What `faulthandler` wrote: asked for before a timeout kill, or at a crash."""
        return self._redactor.text(user_stack(self._crash_text()))

    def _crash_text(self) -> str:
        size = os.fstat(self._crash).st_size
        return os.pread(self._crash, min(size, 1 << 16), 0).decode("utf-8", "replace")

    def _release(self) -> None:
        self._over = True
        self.peer.close()
        for pipe in self._pipes:
            self._shell.poller.remove(pipe.descriptor)
            pipe.close()
        os.close(self._crash)
        if self._pidfd >= 0:
            os.close(self._pidfd)
