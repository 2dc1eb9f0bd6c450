"""The guardian (stage A): a process with third-party packages imported, parent of all module hosts.

    supervisor ──exec──> guardian ──fork──> module host ──fork──> worker

It is single-threaded, in a session of its own, and a subreaper: whatever a dying worker leaves behind becomes its
child, and its only other children are the module hosts. So on every death below it, it kills what it was given
thereby, and only then tells the supervisor of the death. When the supervisor is gone, it kills everything.

The user's modules are not imported here, or no change of theirs would ever be seen. What third-party packages import
of the user's, and what might come to shadow them, is told to the supervisor, which then starts another guardian.
"""

from __future__ import annotations

import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
from importlib.machinery import PathFinder

from msgspec.structs import replace

from coflux.executor import standard_logging
from coflux.executor.capture import write_c_lines
from coflux.executor.channel import Channel, ChannelClosed
from coflux.executor.importing import ImportRecorder, is_third_party
from coflux.executor.messages import (
    Configure,
    DumpHost,
    Exited,
    GuardianReady,
    KillHost,
    Retire,
    StartHost,
    ToGuardian,
)
from coflux.executor.processes import become_subreaper, kill_strays
from coflux.executor.signals import DUMP_SIGNAL, OWN_FAULT
from coflux.executor.terminals import describes_terminal
from coflux.executor.trees import remove_tree

__all__ = ["main"]

DEATH = struct.Struct("!iiiB")  # host -> guardian: worker id, pid, status, whether it has exited (else: started)


class Guardian:
    def __init__(self, channel: Channel[ToGuardian], configuration: Configure, recorder: ImportRecorder) -> None:
        self._channel = channel
        self._configuration = configuration
        self._recorder = recorder
        self._hosts: dict[int, int] = {}  # pid -> host id
        self._notes: dict[int, socket.socket] = {}  # host id -> where it tells of its workers
        self._workers: dict[int, tuple[int, int]] = {}  # pid -> (host id, worker id)
        self._retired = False
        self._selector = selectors.DefaultSelector()
        self._wakeup_read, self._wakeup_write = socket.socketpair()

    def run(self) -> None:
        """Serve until the supervisor is gone, then take everything down."""
        for end in (self._wakeup_read, self._wakeup_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        self._selector.register(self._channel.fileno(), selectors.EVENT_READ, self._read_commands)
        self._selector.register(self._wakeup_read, selectors.EVENT_READ, self._child_ended)
        try:
            self._channel.send(GuardianReady(os.getpid(), self._recorder.take()))
            self._obey()  # what came together with the configuration
            while not self._retired:
                for key, _ in self._selector.select():
                    key.data()
        except ChannelClosed:
            self._end()
        else:
            kill_strays((), lambda pid, status: None)

    def _read_commands(self) -> None:
        self._channel.fill_with_descriptors()
        self._obey()

    def _obey(self) -> None:
        for message in self._channel.pending():
            if isinstance(message, StartHost):
                self._start_host(message)
            elif isinstance(message, KillHost):
                self._signal(message.host, signal.SIGKILL)
            elif isinstance(message, DumpHost):
                self._signal(message.host, DUMP_SIGNAL)
            elif isinstance(message, Retire):
                self._retired = True

    def _signal(self, host: int, number: int) -> None:
        for pid, known in self._hosts.items():
            if known == host:
                os.kill(pid, number)

    def _start_host(self, message: StartHost) -> None:
        descriptors = [self._channel.descriptors.popleft() for _ in range(4)]
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            self._become_host(message, descriptors, theirs)
        for descriptor in descriptors:
            os.close(descriptor)
        theirs.close()
        ours.setblocking(False)
        self._hosts[pid] = message.host
        self._notes[message.host] = ours
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._notes_came(message.host))

    def _become_host(self, message: StartHost, descriptors: list[int], notes: socket.socket) -> None:
        """In the child: let go of everything that is the guardian's. Never returns."""
        guardian = os.getppid()
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._wakeup_read.close()
        self._wakeup_write.close()
        self._channel.close()
        for other in self._notes.values():
            other.close()
        from coflux.executor import host

        try:
            host.main(message, self._configuration, self._recorder, descriptors, notes, guardian)
        except BaseException:  # noqa: BLE001 (whatever it is, the child must not run on as a second guardian)
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(OWN_FAULT)

    def _notes_came(self, host: int) -> None:
        exits = self._read_notes(host)
        if exits:
            self._settle(exits)

    def _child_ended(self) -> None:
        while True:
            try:
                if not self._wakeup_read.recv(4096):
                    break
            except BlockingIOError:
                break
        self._settle([])

    def _read_notes(self, host: int) -> list[Exited]:
        """What a host tells of its workers: of those started, so that they are known if it dies, and of those ended."""
        notes = self._notes.get(host)
        if notes is None:
            return []  # read to the end in this very turn
        try:
            data = notes.recv(DEATH.size * 4096)
        except BlockingIOError:
            return []
        if not data:
            self._selector.unregister(notes)
            notes.close()
            del self._notes[host]
        exits = []
        for worker, pid, status, exited in DEATH.iter_unpack(data):
            if exited:
                exits.append(Exited(pid, status, host, worker))
                self._workers.pop(pid, None)
            else:
                self._workers[pid] = (host, worker)
        return exits

    def _settle(self, exits: list[Exited]) -> None:
        """Kill what was adopted, so that nothing is left of what ended, and then tell of it: hosts after their workers.

        Workers of a host that died are adopted, too, and told of like any other.
        """
        ended: list[tuple[int, int]] = []
        if not kill_strays(self._hosts.keys(), lambda pid, status: ended.append((pid, status))):
            print("coflux: some processes could not be killed", file=sys.stderr, flush=True)
        gone = [(pid, status, self._hosts.pop(pid)) for pid, status in ended if pid in self._hosts]
        for _, _, host in gone:
            while host in self._notes:
                exits += self._read_notes(host)
        for pid, status in ended:
            if pid in self._workers:
                exits.append(Exited(pid, status, *self._workers.pop(pid)))
        exits += [Exited(pid, status, host, None) for pid, status, host in gone]
        for message in exits:
            self._channel.send(message)

    def _end(self) -> None:
        """The supervisor is gone: nothing of its may survive it, nor may the working directories."""
        kill_strays((), lambda pid, status: None)
        remove_tree(self._configuration.scratch)


def _ignore(signum: int, frame: object) -> None:
    """A handler must be set for the wakeup descriptor to be written to."""


def _settle_objects() -> None:
    """What is there stays: no collection in a fork need look at it, and copy its pages by that."""
    gc.collect()
    gc.freeze()


def _preload(packages: tuple[str, ...]) -> None:
    for package in packages:
        try:
            if _is_installed(package):
                importlib.import_module(package)
        except BaseException:  # noqa: BLE001 (whoever needs it will meet the error where it can be told)
            sys.modules.pop(package, None)


def _is_installed(package: str) -> bool:
    """Whether it is found among the installed packages, and not a module of the user's that has the name now."""
    spec = PathFinder.find_spec(package.partition(".")[0])
    if spec is None:
        return False
    places = spec.submodule_search_locations if spec.origin is None else [spec.origin]
    return bool(places) and all(is_third_party(place) for place in places or ())


def main(descriptor: int) -> None:
    """Be a guardian whose channel is `descriptor`. Returns when it is retired, or the supervisor is gone."""
    # Imported here, so that forks have them.
    from coflux import decorators  # noqa: F401
    from coflux.executor import host, worker  # noqa: F401

    become_subreaper()
    write_c_lines()
    standard_logging.prepare()
    _settle_objects()
    channel: Channel[ToGuardian] = Channel(socket.socket(fileno=descriptor), ToGuardian)
    while True:
        try:
            channel.fill_with_descriptors()
        except ChannelClosed:
            return
        first = next(iter(channel.pending()), None)
        if first is not None:
            break
    assert isinstance(first, Configure)
    for name in filter(describes_terminal, list(os.environ)):
        del os.environ[name]  # it may be a fork of a supervisor, which has that of its own client
    signal.signal(DUMP_SIGNAL, signal.SIG_IGN)  # until a module host is ready for it
    os.chdir(first.project)
    recorder = ImportRecorder()
    recorder.install()  # first: from here on nothing of the user's passes for a module of the standard library
    first = replace(first, sys_path=(*first.sys_path, *(sys.path if first.own_path else ())))
    sys.path[:] = first.sys_path
    importlib.invalidate_caches()
    if first.preload:
        _preload(first.preload)
        _settle_objects()
    Guardian(channel, first, recorder).run()
