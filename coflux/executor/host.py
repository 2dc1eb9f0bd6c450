"""The module host (stage B): the user's modules are imported here, and workers are forked from here.

It runs no targets. Where forking would not be safe (a thread is running after the imports, or a forked worker died
before it was ready), or `start_method` says so, workers are fresh interpreters that import the modules themselves.
"""

from __future__ import annotations

import gc
import os
import resource
import selectors
import signal
import socket
import sys
from importlib.machinery import FileFinder
from typing import TYPE_CHECKING

import msgspec

from coflux.executor import worker
from coflux.executor.capture import install_streams
from coflux.executor.channel import Channel, ChannelClosed
from coflux.executor.fork_safety import open_descriptors, reason_not_to_fork, shared_resources
from coflux.executor.importing import ImportRecorder, describe_import_error, is_third_party
from coflux.executor.manifest import discovered_targets, duplicate_errors, reexports
from coflux.executor.messages import (
    Configure,
    Imported,
    ModuleError,
    StartHost,
    StartWorker,
    ToHost,
    WorkerFailed,
    WorkerStarted,
)
from coflux.executor.processes import die_with_parent, reap
from coflux.executor.signals import OWN_FAULT
from coflux.executor.spawning import BOOTSTRAP
from coflux.executor.trail import ImportTrail
from coflux.executor.zygote import DEATH
from coflux.redaction import THIS_PROCESS, learn_environment

if TYPE_CHECKING:
    import subprocess

__all__ = ["main"]


class ModuleHost:
    def __init__(
        self,
        channel: Channel[ToHost],
        notes: socket.socket,
        configuration: Configure,
        recorder: ImportRecorder,
        modules: tuple[str, ...],
    ) -> None:
        self._channel = channel
        self._notes = notes
        self._configuration = configuration
        self._recorder = recorder
        self._modules = modules
        self._workers: dict[int, int] = {}  # pid -> worker id
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup_read, self._wakeup_write = socket.socketpair()

    def run(self) -> None:
        for end in (self._wakeup_read, self._wakeup_write):
            end.setblocking(False)
        # After the user's imports: whatever they did to SIGCHLD is undone.
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._channel.fileno(), selectors.EVENT_READ, self._read_commands)
        self._selector.register(self._wakeup_read, selectors.EVENT_READ, self._child_ended)
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _read_commands(self) -> None:
        self._channel.fill_with_descriptors()
        for message in self._channel.pending():
            if isinstance(message, StartWorker):
                descriptors = [self._channel.descriptors.popleft() for _ in range(4)]
                self._start_worker(message, descriptors)

    def _start_worker(self, message: StartWorker, descriptors: list[int]) -> None:
        worker_id = message.worker
        try:
            pid = self._fork(descriptors) if message.start_method == "fork" else self._spawn(descriptors)
        except OSError as error:
            self._channel.send(WorkerFailed(worker_id, f"no process could be started: {error.strerror}"))
        else:
            self._notes.sendall(DEATH.pack(worker_id, pid, 0, False))
            self._workers[pid] = worker_id
            self._channel.send(WorkerStarted(worker_id, pid))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, descriptors: list[int]) -> int:
        parent = os.getpid()
        worker.record_crashes(descriptors[-1])  # the modules' fork handlers run before anything of the worker's
        pid = os.fork()
        if pid:
            worker.forget_crashes()
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._wakeup_read.close()
            self._wakeup_write.close()
            self._notes.close()
            self._channel.close()
            worker.main(self._configuration, self._recorder, descriptors, parent)
        except BaseException:  # noqa: BLE001 (whatever it is, the child must not run on as a second host)
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(OWN_FAULT)

    def _spawn(self, descriptors: list[int]) -> int:
        start = worker.SpawnArguments(self._configuration, tuple(descriptors), self._modules, os.getpid())
        environment = dict(os.environ)
        if self._configuration.own_path:
            command = [sys.executable, BOOTSTRAP, "worker", msgspec.json.encode(start).decode()]
        else:
            # -P: a file in the working directory must not pass for a module of the standard library.
            command = [sys.executable, "-P", "-m", "coflux.executor.worker", msgspec.json.encode(start).decode()]
            environment["PYTHONPATH"] = os.pathsep.join(_package_path())
        import subprocess

        process = subprocess.Popen(command, pass_fds=descriptors, env=environment, start_new_session=False)
        self._spawned[process.pid] = process
        return process.pid

    def _child_ended(self) -> None:
        try:
            while self._wakeup_read.recv(4096):
                pass
        except BlockingIOError:
            pass
        reap(self._worker_ended)

    def _worker_ended(self, pid: int, status: int) -> None:
        spawned = self._spawned.pop(pid, None)
        if spawned is not None:
            spawned.returncode = os.waitstatus_to_exitcode(status)
        worker_id = self._workers.pop(pid, None)
        if worker_id is not None:
            self._notes.sendall(DEATH.pack(worker_id, pid, status, True))


def _ignore(signum: int, frame: object) -> None:
    """A handler must be set for the wakeup descriptor to be written to."""


def _package_path() -> list[str]:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _with_submodules(recorder: ImportRecorder, module: str) -> list[str]:
    """A package's modules, without those that have a private name or may not be imported by being looked at."""
    package = sys.modules.get(module)
    paths = getattr(package, "__path__", None)
    if paths is None or is_third_party(next(iter(paths), sys.prefix)):
        return []
    found = []
    import pkgutil

    for path in paths:
        recorder.walk(path)
    for info in pkgutil.walk_packages(paths, f"{module}.", onerror=lambda name: None):
        parts = info.name.split(".")
        if info.ispkg and isinstance(info.module_finder, FileFinder):
            recorder.walk(os.path.join(info.module_finder.path, parts[-1]))
        if not any(part.startswith("_") for part in parts):
            found.append(info.name)
    return found


def main(
    message: StartHost,
    configuration: Configure,
    recorder: ImportRecorder,
    descriptors: list[int],
    notes: socket.socket,
    guardian: int,
) -> None:
    """Be a module host: import the modules, tell what they hold, and start workers until the channel closes."""
    die_with_parent(guardian)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control, stdout, stderr, crash = descriptors
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    install_streams()
    channel: Channel[ToHost] = Channel(socket.socket(fileno=control), ToHost)
    before = set(sys.modules)
    descriptors_before = set(open_descriptors().values())
    learn_environment()
    with ImportTrail(crash) as trail:
        recorder.trail = trail
        errors = _import(recorder, message.modules)
        recorder.trail = None
    learn_environment()  # of what the modules have put there, too
    sources = recorder.take()
    forking = message.start_method == "fork"
    no_fork = reason_not_to_fork(message.modules, open_descriptors().values()) if forking else ""
    forking = forking and not no_fork
    imported = Imported(
        targets=discovered_targets(message.modules),
        errors=(*errors, *duplicate_errors()),
        sources=sources,
        third_party=_third_party(before),
        start_method="fork" if forking else "spawn",
        no_fork=no_fork,
        shared=shared_resources({file.path for file in sources.files}, descriptors_before) if forking else (),
        reexports=reexports({file.path for file in sources.files}),
        hidden=recorder.hidden_modules(),
        secrets=tuple(THIS_PROCESS.secrets),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()
    try:
        channel.send(imported)
        ModuleHost(channel, notes, configuration, recorder, message.modules).run()
    except ChannelClosed:
        os._exit(0)


def _import(recorder: ImportRecorder, modules: tuple[str, ...]) -> list[ModuleError]:
    errors = recorder.import_all(modules)
    failed = {error.module for error in errors}
    for module in modules:
        if module in failed:
            continue
        try:
            submodules = _with_submodules(recorder, module)
        except BaseException as error:  # noqa: BLE001 (walking a package imports its parts)
            errors.append(describe_import_error(module, error))
        else:
            errors += recorder.import_all(submodules)
    return errors


def _third_party(before: set[str]) -> tuple[str, ...]:
    """The installed packages that the user's modules pulled in: worth keeping across reloads."""
    tops = {name.partition(".")[0] for name in set(sys.modules) - before}
    found = []
    for name in sorted(tops):
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if file is not None and is_third_party(file) and name != "coflux":
            found.append(name)
    return tuple(found)


def restore_descriptor_limit(limit: int) -> None:
    """Give the user's code the limit that it would have had without us."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
