"""Guardians and module hosts as the supervisor sees them: who imports what, and whether it is still what is on disk."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from coflux.executor.core.state import SiteKey
from coflux.executor.evidence import describe_exit, oom_kills, user_stack
from coflux.executor.messages import (
    Configure,
    Context,
    DumpHost,
    Exited,
    FromGuardian,
    FromHost,
    GuardianReady,
    GuardianRefused,
    Imported,
    KillHost,
    ModuleError,
    Retire,
    StartHost,
    StartMethod,
    StartWorker,
    TargetInfo,
    TargetSpec,
    WorkerFailed,
    WorkerStarted,
)
from coflux.executor.output import CUT_BEGINNING
from coflux.executor.peers import Peer
from coflux.executor.sources import SourceWatch
from coflux.executor.spawning import ChildProcess, start_foreign, start_python
from coflux.executor.terminals import relevant
from coflux.executor.trail import last_place
from coflux.executor.workers import DUMP_TIME, Shell, WorkerProcess, crash_file, pipe_ends
from coflux.redaction import Redactor, environment_secrets

__all__ = ["Guardian", "GuardianKey", "HostState", "ImportedModules", "ModuleHost", "guardian_key", "launch_guardian"]

IMPORT_OUTPUT_LIMIT = 64 << 10  # bytes of what imports print that are kept


class GuardianKey(NamedTuple):
    """What makes two clients' code run in different processes."""

    interpreter: str
    sys_path: tuple[str, ...]
    environment: frozenset[tuple[str, str]]
    own_path: bool


def guardian_key(context: Context) -> GuardianKey:
    environment = frozenset(relevant(context.environment).items())
    return GuardianKey(context.interpreter, context.sys_path, environment, context.own_path)


def own_environment() -> frozenset[tuple[str, str]]:
    """This process's environment, as a guardian's key holds it."""
    return frozenset(relevant(os.environ).items())


def launch_guardian(key: GuardianKey) -> tuple[ChildProcess, socket.socket]:
    """Start a guardian process; return it and our end of its channel. Raises `OSError`."""
    ours, theirs = socket.socketpair()
    environment = dict(key.environment)
    code = f"from coflux.executor.zygote import main; main({theirs.fileno()})"
    try:
        if key.own_path:
            return start_foreign(key.interpreter, "guardian", environment, keep=theirs.fileno()), ours
        return start_python(key.interpreter, code, (), environment, keep=theirs.fileno()), ours
    finally:
        theirs.close()


class Guardian:
    """One stage A process."""

    def __init__(
        self,
        shell: Shell,
        process: ChildProcess,
        sock: socket.socket,
        key: GuardianKey,
        configuration: Configure,
        exited: Callable[[Exited], None],
        lost: Callable[[Guardian], None],
    ) -> None:
        self.process = process
        self.key = key
        self.configuration = configuration
        self.pid = process.pid
        self.sources = SourceWatch()  # what its third-party packages depend on
        self.retired = False  # it was told to leave
        self._ready = False
        self._refusal = ""  # why its interpreter cannot be one
        self._exited = exited
        self.peer = Peer(shell.poller, sock, FromGuardian, self._received, lambda why: lost(self))
        self.peer.send(configuration)

    def _received(self, message: FromGuardian) -> None:
        match message:
            case Exited():
                self._exited(message)
            case GuardianReady():
                self._ready = True
                self.sources.add(message.sources)
            case GuardianRefused():
                self._refusal = message.message

    @property
    def problem(self) -> str:
        """Why nothing was ever imported in it, when it has ended; "" if it got as far."""
        if self._refusal or self._ready:
            return self._refusal
        return f"{self.key.interpreter} ended before it could import anything: is it a Python interpreter?"

    def retire(self) -> None:
        """Nothing of it is needed any more: it leaves."""
        self.retired = True
        self.peer.send(Retire())


class HostState(Enum):
    IMPORTING = "importing"
    READY = "ready"
    GONE = "gone"


class ModuleHost:
    """One generation of a set of modules."""

    def __init__(
        self,
        shell: Shell,
        host_id: int,
        guardian: Guardian,
        modules: tuple[str, ...],
        start_method: StartMethod,
        received: Callable[[ModuleHost, Any], None],
        attempt: int = 1,
        no_fork: str = "",
    ) -> None:
        """`no_fork` says why its workers cannot be forked, whatever `start_method` is."""
        self.id = host_id
        self.attempt = attempt  # how often these modules are being imported because files changed meanwhile
        self.guardian = guardian
        self.modules = modules
        self.start_method: StartMethod = "spawn" if no_fork else start_method
        self.no_fork = no_fork  # why its workers are spawned, when they were to be forked
        self.starting: set[int] = set()  # workers that it was asked for and has not told of
        self.heard = 0  # messages of it
        self.state = HostState.IMPORTING
        self.imported: Imported | None = None
        self.ready_at = 0.0  # on the monotonic clock
        self.sources = SourceWatch()
        self.secrets = environment_secrets(dict(guardian.key.environment))
        self.superseded = False
        self.output = bytearray()  # what the imports print
        self.waiting: list[Callable[[ModuleHost], None]] = []  # called when the imports are over, in one way or another
        self.failure: ModuleError | None = None  # why nothing can be run on it
        self._targets: dict[str, dict[str, TargetInfo]] | None = None  # by module and name, once somebody asked
        self._shell = shell
        self._overdue = ""  # why its imports are being ended
        self._oom_kills = oom_kills()
        self._crash = crash_file()
        ours, theirs = socket.socketpair()
        self._received = received
        self.peer = Peer(shell.poller, ours, FromHost, self._receive, lambda why: None)
        stdout, stdout_write = pipe_ends()
        stderr, stderr_write = pipe_ends()
        self._pipes = [stdout, stderr]
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)
            shell.poller.add(descriptor, lambda descriptor=descriptor: self._read(descriptor))  # type: ignore[misc]
        given = [os.dup(theirs.fileno()), stdout_write, stderr_write, os.dup(self._crash)]
        theirs.close()
        guardian.peer.send(StartHost(host_id, modules, self.start_method), given)

    @property
    def key(self) -> SiteKey:
        """Of the sites that it serves."""
        guardian = self.guardian.key
        return SiteKey(guardian.interpreter if guardian.own_path else "", self.modules)

    def _receive(self, message: FromHost) -> None:
        self.heard += 1
        if isinstance(message, WorkerStarted | WorkerFailed):
            self.starting.discard(message.worker)
        self._received(self, message)

    def start_worker(self, worker: WorkerProcess) -> None:
        worker.start_method = self.start_method
        self.starting.add(worker.id)
        self.peer.send(StartWorker(worker.id, self.start_method), worker.given)

    def spawn_from_now_on(self, reason: str) -> None:
        """Start its workers as fresh interpreters."""
        self.start_method = "spawn"
        self.no_fork = reason

    def ready(self, imported: Imported) -> None:
        """Its imports are in. Those who wait for them are told apart (`tell`)."""
        self.state = HostState.READY
        self.imported = imported
        self.sources.add(imported.sources)
        self.secrets |= set(imported.secrets)
        self._shell.redactor.add(imported.secrets)  # its targets' options may hold them
        if imported.no_fork:
            self.spawn_from_now_on(imported.no_fork)
        self._drain()

    def import_timed_out(self, seconds: float) -> None:
        """Called when the time is up: if it is still importing, have its stack written, then kill it."""
        if self.state is HostState.IMPORTING:
            self.guardian.peer.send(DumpHost(self.id))
            self._shell.later(DUMP_TIME, lambda: self._end_overdue(seconds))

    def _end_overdue(self, seconds: float) -> None:
        if self.state is HostState.IMPORTING:
            self._overdue = f"importing took longer than {seconds:g} s (import_timeout)"
            self.kill()

    def ended(self, status: int) -> bool:
        """The process is gone. Whether it had been serving."""
        served = self.state is HostState.READY
        self.state = HostState.GONE
        self._drain()
        if not served and self.failure is None:
            self.failure = self._import_failure(status)
        self.close()
        self.tell()
        return served

    def _import_failure(self, status: int) -> ModuleError:
        """Why the imports ended with the process, and where."""
        out_of_memory = oom_kills() > self._oom_kills
        evidence = describe_exit(status, stack="", peak_memory=0, out_of_memory=out_of_memory)
        message = self._redactor.text(self._overdue or f"importing ended the process: {evidence}")
        place = last_place(os.pread(self._crash, os.fstat(self._crash).st_size, 0))
        names = ", ".join(self.modules)
        stack = self._redactor.text(user_stack(place.dump))
        return ModuleError(names, message, f"{stack}\n{message}\n".lstrip(), place.file, place.line)

    def kill(self) -> None:
        self.guardian.peer.send(KillHost(self.id))

    @property
    def failed_modules(self) -> tuple[ModuleError, ...]:
        """Those of its modules that could not be imported."""
        return () if self.imported is None else self.imported.errors

    def error_of(self, module: str) -> ModuleError | None:
        """Why `module` cannot be used, `None` if it can: itself or a package that it is in does not import."""
        if self.failure is not None:
            return self.failure
        return next((error for error in self.failed_modules if f"{module}.".startswith(f"{error.module}.")), None)

    def targets(self, module: str) -> dict[str, TargetInfo]:
        """The targets that the module defines, by name."""
        if self._targets is None:
            self._targets = {}
            for info in self.imported.targets if self.imported is not None else ():
                self._targets.setdefault(info.spec.module, {})[info.spec.name] = info
        return self._targets.get(module, {})

    def has_module(self, module: str) -> bool:
        """Whether the module was imported, as one of its own or for another that has targets of it."""
        return (module in self.modules and self.error_of(module) is None) or bool(self.targets(module))

    def fail(self, message: str) -> None:
        """Its modules cannot be imported, whatever they are."""
        self.failure = ModuleError(", ".join(self.modules), message, f"{message}\n")

    def fresh(self) -> bool:
        """Whether what it imported is still what is on disk (§13.1)."""
        return self.sources.changed() is None

    def keeps_changing(self, path: str) -> None:
        """Its modules cannot be imported: `path` is another file each time."""
        message = f"{path} changes while it is imported, {self.attempt} times in a row"
        self.failure = ModuleError(", ".join(self.modules), message, message + "\n", path)

    def take_output(self) -> str:
        text = self.output.decode("utf-8", "backslashreplace")
        self.output.clear()
        return self._redactor.text(text, cut=CUT_BEGINNING)

    @property
    def _redactor(self) -> Redactor:
        return self._shell.vault.redactor(self.secrets)

    def tell(self) -> None:
        """Call those who wait for the imports."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call(self)

    def _drain(self) -> None:
        for descriptor in self._pipes:
            self._read(descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            while data := os.read(descriptor, 1 << 16):
                self.output += data[: max(0, IMPORT_OUTPUT_LIMIT - len(self.output))]
            self._shell.poller.remove(descriptor)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self.peer.close()
        for descriptor in self._pipes:
            self._shell.poller.remove(descriptor)
            os.close(descriptor)
        self._pipes.clear()
        os.close(self._crash)


class ImportedModules:
    """The catalogue of what module hosts have imported (see `coflux.executor.core.catalogue`)."""

    def __init__(self) -> None:
        self.hosts: dict[int, ModuleHost] = {}

    def has_module(self, host: int, module: str) -> bool:
        known = self.hosts.get(host)
        return known is not None and known.has_module(module)

    def targets(self, host: int, module: str) -> dict[str, TargetSpec]:
        return {name: info.spec for name, info in self.hosts[host].targets(module).items()}

    def fingerprint(self, host: int, module: str, name: str) -> bytes:
        known = self.hosts.get(host)
        info = None if known is None else known.targets(module).get(name)
        return b"" if info is None else info.fingerprint


def end_guardian(guardian: Guardian) -> None:
    """Close its channel: it kills everything below it and leaves."""
    guardian.peer.close()
    if guardian.process.wait(15.0) is None:
        print(f"coflux: guardian {guardian.pid} does not leave, killing it", file=sys.stderr)
        guardian.process.kill()
