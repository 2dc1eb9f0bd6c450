"""The supervisor: the shell around the scheduler. One thread, one poller.

                         ┌────────────────────────── one turn ──────────────────────────┐
    workers   ─ pipes ─▶ │ read what is there ─▶ events ─▶ scheduler ─▶ rows + commands │
    guardians ─ pipes ─▶ │                                               │        │      │
    clients   ─ socket ▶ │                                     commit ◀──┘        │      │
    timers    ─────────▶ │                                       └─ only then ─▶ do it ──┼─▶ workers, clients
                         └──────────────────────────────────────────────────────────────┘

It never imports or unpickles anything of the user's. A busy store never stops it: what must wait for the commit is
held back and retried by timer, kills and output are not.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any, assert_never

from blake3 import blake3

from coflux.encoded import Failure
from coflux.executor.blobs import FileBlobs
from coflux.executor.channel import decoder
from coflux.executor.core import commands as cmd
from coflux.executor.core import events as ev
from coflux.executor.core.scheduler import Effects, Scheduler
from coflux.executor.core.state import Execution, Instant
from coflux.executor.database import StoreBusy, StoreError, StoreFull
from coflux.executor.hosts import (
    Guardian,
    GuardianKey,
    HostState,
    ModuleHost,
    end_guardian,
    guardian_key,
    launch_guardian,
    own_environment,
    relevant,
)
from coflux.executor.messages import (
    Answer,
    Cancel,
    Configure,
    Context,
    Execute,
    Exited,
    Failed,
    Identified,
    Identify,
    Imported,
    Log,
    OpenGroup,
    Outcome,
    Ready,
    Returned,
    Submit,
    Succeeded,
    TargetSpec,
    Wait,
    WorkerFailed,
    WorkerStarted,
)
from coflux.executor.peers import Poller
from coflux.executor.persistence import blobs_of, restore, to_batch
from coflux.executor.processes import become_subreaper, kill_strays
from coflux.executor.rows import Batch, LogRow
from coflux.executor.server import Server
from coflux.executor.spawning import ChildProcess
from coflux.executor.store import Store
from coflux.executor.workers import WorkerProcess
from coflux.logs import Level
from coflux.project import Project

__all__ = ["Supervisor"]

STALL = 2.0  # seconds that a turn may come late before timeouts are extended by the delay
STORE_RETRY = 0.05  # seconds between two tries at a busy store
SAMPLE = 0.5  # seconds between two looks at the workers' memory and at resting output
HOST_RESTARTS = 3  # times that a host which died is replaced before its families fail
OUTCOMES_AHEAD = 256  # outcomes that are sent along with one that was asked for
SMALL_OUTCOME = 512  # bytes of a value that is sent ahead
ROUNDS = 4  # times that a turn looks for more to read before it commits
SPEC_CACHE = 4096  # decoded specs that are kept

_spec_decoder = decoder(TargetSpec)


class Supervisor:
    def __init__(
        self,
        project: Project,
        store: Store,
        listener: socket.socket,
        guardian: tuple[ChildProcess, socket.socket] | None = None,
    ) -> None:
        """`guardian` is one that was started beforehand, with our interpreter and environment."""
        settings = project.settings
        self.project = project
        self.store = store
        self.poller = Poller()
        self.started_at = time.time()
        self.scheduler = Scheduler(
            settings.concurrency,
            random.Random().random,
            max_depth=settings.max_depth,
            reuse=settings.isolation == "shared",
        )
        self.workers: dict[int, WorkerProcess] = {}
        self.hosts: dict[int, ModuleHost] = {}
        self.leaving = False
        self._guardians: dict[GuardianKey, Guardian] = {}
        self._spare_guardian = guardian
        self._blobs = FileBlobs(os.path.join(project.data_dir, "blobs"))
        self._trash: SimpleQueue[str] = SimpleQueue()
        self._janitor_started = False
        self._scratch = self._make_scratch()
        self._descriptor_limit = _raise_descriptor_limit()
        self._batch = Batch()
        self._commands: list[cmd.Command] = []
        self._after_commit: list[Callable[[], None]] = []
        self._store_blocked_since: float | None = None
        self._store_retry_due = False
        self._events: deque[Any] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = 0
        self._stalled = 0.0
        self._specs: dict[bytes, TargetSpec] = {}
        self._host_ids = 0
        self._host_losses: dict[tuple[str, ...], int] = {}
        self._sampling = False
        self._leave_asked = False
        self._now = self._read_clock()
        self.server = Server(self, listener)
        self._watch_children()

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until nobody is attached and nothing is unfinished, or until told to leave."""
        restore(self.scheduler, self.store.unfinished(), self._now)
        self._bring_back_hosts()
        try:
            while not (self.leaving and not self._batch and not self._events):
                self._turn()
        finally:
            self._shut_down()

    def _turn(self) -> None:
        timeout = self._timeout()
        before = time.monotonic()
        calls = self.poller.wait(timeout)
        late = time.monotonic() - before - (timeout or 0.0)
        if timeout is not None and late > STALL:
            self._stalled += late
        self._now = self._read_clock()
        for _ in range(ROUNDS):
            for call in calls:
                call()
            # What came meanwhile shares this turn's commit: under load that is what a turn costs most.
            calls = self.poller.wait(0.0) if calls else []
            if not calls:
                break
        else:
            for call in calls:
                call()
        while self._events:
            self.scheduler.handle(self._events.popleft(), self._now)
        self.scheduler.handle_time(self._now)
        while self._timers and self._timers[0][0] <= self._now.monotonic:
            heappop(self._timers)[2]()
        self._flush()
        self.server.tell_advance()
        if not self._events and self.server.deserted and not self.scheduler.families and not self._batch:
            self.leaving = True
        if self._leave_asked and not any(family.leaving for family in self.scheduler.families.values()):
            self.leaving = True

    def _timeout(self) -> float | None:
        if self._events or (self.server.deserted and not self.scheduler.families):
            return 0.0
        due = self.scheduler.next_due(self._now)
        if self._timers:
            timer = max(self._timers[0][0] - self._now.monotonic, 0.0)
            due = timer if due is None else min(due, timer)
        return due if due is None else min(due, 1.0)  # short turns, so that a stall is noticed as one

    def _read_clock(self) -> Instant:
        elapsed = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
        return Instant(time.monotonic() - self._stalled, elapsed, time.time())

    # -- what processes and the server need of the shell -------------------------------------------------------------

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer_ids += 1
        heappush(self._timers, (self._now.monotonic + seconds, self._timer_ids, call))

    def wake_within(self, seconds: float) -> None:
        """See to it that a turn begins soon."""
        if not self._timers or self._timers[0][0] - self._now.monotonic > seconds:
            self.later(seconds, lambda: None)

    def leave_when_settled(self) -> None:
        """Leave as soon as what was cancelled is gone; what is unfinished otherwise goes on at the next start."""
        self._leave_asked = True

    def wall(self) -> float:
        return self._now.wall

    @property
    def now(self) -> Instant:
        return self._now

    def log(self, row: LogRow) -> None:
        self._batch.logs.append(row)

    def happen(self, event: Any) -> None:
        """Tell the scheduler, at once."""
        self.scheduler.handle(event, self._now)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call when everything that happened so far is recorded."""
        self._after_commit.append(call)

    # -- recording and doing -------------------------------------------------------------------------------------

    def _flush(self) -> None:
        effects = self.scheduler.drain(self._now)
        for digest in blobs_of(effects):
            self.store.blob_written(self._blobs.path_of(digest))
        to_batch(effects, self._batch)
        self._commands += self._without_kills(effects)
        if self._batch and not self._commit():
            return
        commands, self._commands = self._commands, []
        for command in commands:
            self._carry_out(command)
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    def _without_kills(self, effects: Effects) -> list[cmd.Command]:
        """Kills wait for no store."""
        rest = []
        for command in effects.commands:
            if isinstance(command, cmd.KillWorker):
                self._carry_out(command)
            else:
                rest.append(command)
        return rest

    def _commit(self) -> bool:
        """Write the batch. While the store is busy or full, it grows and is tried again by timer."""
        if self._store_retry_due:
            return False
        batch = self._batch
        try:
            self.store.commit(batch)
        except (StoreBusy, StoreFull) as error:
            self._store_is_blocked(error)
            return False
        except StoreError as error:
            self.server.notice("error", f"{error}; the engine stops, since it cannot record anything any more")
            self._batch = Batch()
            self.leaving = True
            return False
        self._batch = Batch()
        if self._store_blocked_since is not None:
            self._store_blocked_since = None
            self.server.notice("info", "the store can be written again; nothing was lost")
        self.server.advanced()
        return True

    def _store_is_blocked(self, error: StoreError) -> None:
        if self._store_blocked_since is None:
            self._store_blocked_since = self._now.monotonic
            self.server.notice("warning", f"{error}; waiting for it, nothing is lost")
        self._store_retry_due = True
        self.later(STORE_RETRY, self._retry_store)

    def _retry_store(self) -> None:
        self._store_retry_due = False

    def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.HandOver():
                self._hand_over(command.worker, command.execution)
            case cmd.Answered():
                self._answer(command)
            case cmd.Identified():
                worker = self.workers.get(command.worker)
                if worker is not None:
                    worker.peer.send(Identified(command.request, command.execution.id))
            case cmd.StartWorker():
                self._start_worker(command.worker, command.host)
            case cmd.KillWorker():
                worker = self.workers.get(command.worker)
                if worker is not None:
                    worker.kill(dump=command.dump, immediate=command.immediate)
            case cmd.RetireWorker():
                worker = self.workers.get(command.worker)
                if worker is not None:
                    worker.retire()
            case cmd.Finished():
                self.server.run_finished(command.run, command.status)
            case cmd.Settled():
                self.server.run_settled(command.run, command.status)
                self._release_hosts()
            case _:
                raise AssertionError(command)

    def _hand_over(self, worker_id: int, execution: Execution) -> None:
        worker = self.workers.get(worker_id)
        if worker is None:
            return
        step = execution.step
        worker.works_for((step.run.id, step.number, execution.attempt))
        worker.peer.send(Execute(execution.id, step.encoded, step.arguments, step.number == 1))
        if not self._sampling:
            self._sampling = True
            self.later(SAMPLE, self._sample)

    def _answer(self, command: cmd.Answered) -> None:
        worker = self.workers.get(command.worker)
        if worker is None:
            return
        outcome = None if command.ended is None else command.ended.outcome
        more = () if command.ended is None else _outcomes_ahead(command.wait.execution, command.wait.targets)
        worker.peer.send(Answer(command.wait.request, command.index, outcome, command.error, more))

    def _sample(self) -> None:
        """Look at busy workers now and then; nobody wakes up for it while none is."""
        busy = [worker for worker in self.workers.values() if self.scheduler.running_on(worker.id) is not None]
        for worker in busy:
            worker.sample()
            worker.show_resting()
        self._sampling = bool(busy)
        if busy:
            self.later(SAMPLE, self._sample)

    # -- workers -------------------------------------------------------------------------------------------------

    def _start_worker(self, worker_id: int, host_id: int) -> None:
        host = self.hosts.get(host_id)
        if host is None or host.state is not HostState.READY:
            self._events.append(ev.WorkerExited(worker_id, "its module host ended", None))
            return
        try:
            worker = WorkerProcess(self, worker_id, host_id, self.project.settings.grace, self._from_worker)
        except OSError as error:
            message = f"no worker process can be started: {error.strerror} (after {len(self.workers)} of them)"
            self._events.append(ev.WorkerRefused(worker_id, message))
            return
        self.workers[worker_id] = worker
        host.start_worker(worker_id, worker.given)

    def _from_worker(self, worker_id: int, message: Any) -> None:
        match message:
            case Submit():
                spec = self.spec(message.target)
                self.happen(
                    ev.Submitted(worker_id, message.number, spec, message.target, message.arguments, message.group)
                )
            case Returned():
                worker = self.workers[worker_id]
                worker.drain()
                self.happen(
                    ev.Returned(
                        worker_id,
                        message.execution,
                        message.outcome,
                        message.retryable,
                        message.unclean,
                        message.usage,
                    )
                )
                worker.returned()
            case Wait():
                self.happen(ev.WaitAsked(worker_id, message.request, message.handles, message.timeout))
            case Identify():
                self.happen(ev.IdentifyAsked(worker_id, message.request, message.number))
            case Ready():
                self.happen(ev.WorkerReady(worker_id, message.pid))
            case Cancel():
                self.happen(ev.CancelAsked(worker_id, message.handles))
            case OpenGroup():
                self.happen(ev.GroupOpened(worker_id, message))
            case Log():
                self._log_entry(worker_id, message)
            case _:
                assert_never(message)

    def _log_entry(self, worker_id: int, message: Log) -> None:
        execution = self.scheduler.running_on(worker_id)
        if execution is not None:
            step = execution.step
            values = message.values or None
            self.log(
                LogRow(step.run.id, step.number, execution.attempt, message.at, message.level, message.template, values)
            )

    def spec(self, encoded: bytes) -> TargetSpec:
        """Decode a target's spec, each different one once."""
        spec = self._specs.get(encoded)
        if spec is None:
            if len(self._specs) >= SPEC_CACHE:
                self._specs.clear()
            spec = self._specs[encoded] = _spec_decoder.decode(encoded)
        return spec

    def _worker_ended(self, worker_id: int, status: int) -> None:
        worker = self.workers.get(worker_id)
        if worker is None:
            return
        worker.peer.read(sys.maxsize)  # what it said before it ended counts
        del self.workers[worker_id]
        stack = worker.take_stack()
        owner = worker.owner
        evidence, usage = worker.ended(status)
        if worker.on_end is not None:
            worker.on_end(evidence)
        if owner is not None:
            if stack:
                self.log(LogRow(*owner, self._now.wall, Level.ERROR, f"stacks when it was stopped:\n{stack}", None))
            self._discard(os.path.join(self._scratch, ".".join(map(str, owner))))
        self.happen(ev.WorkerExited(worker_id, evidence, usage))

    def _discard(self, directory: str) -> None:
        """Remove a killed execution's working directory, which may be big: not on this thread."""
        if not os.path.isdir(directory):
            return
        if not self._janitor_started:
            self._janitor_started = True
            threading.Thread(target=self._clean, name="janitor", daemon=True).start()
        self._trash.put(directory)

    def _clean(self) -> None:
        import shutil

        while True:
            shutil.rmtree(self._trash.get(), ignore_errors=True)

    def _make_scratch(self) -> str:
        """A directory for working directories, in the first place that takes one, as `tempfile` chooses."""
        places = filter(None, (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", self.project.data_dir))
        problems = []
        for place in places:
            try:
                return self._make_scratch_in(place)
            except OSError as error:
                problems.append(error)
        raise problems[0]

    def _make_scratch_in(self, base: str) -> str:
        """What a killed engine of this project left there is removed."""
        prefix = f"coflux-{blake3(os.fsencode(self.project.data_dir)).hexdigest(8)}-"
        with os.scandir(base) as entries:
            for entry in entries:
                if entry.name.startswith(prefix):
                    self._discard(entry.path)
        path = os.path.join(base, prefix + os.urandom(6).hex())
        os.mkdir(path, 0o700)
        return path

    # -- guardians and hosts -------------------------------------------------------------------------------------

    def host_for(self, context: Context, modules: tuple[str, ...], ready: Callable[[ModuleHost], None]) -> None:
        """Call `ready` with a host of these modules, as they are on disk now, when its imports are over.

        Raises `OSError` when the interpreter cannot be started.
        """
        guardian = self._guardian_for(context)
        for host in list(self.hosts.values()):
            if host.guardian is not guardian or host.modules != modules or host.superseded:
                continue
            if host.state is HostState.IMPORTING:
                host.waiting.append(ready)
                return
            if host.state is HostState.READY and host.fresh() and not (host.imported and host.imported.errors):
                ready(host)
                return
            self._supersede(host)
        self._start_host(guardian, modules).waiting.append(ready)

    def _guardian_for(self, context: Context) -> Guardian:
        key = guardian_key(context)
        guardian = self._guardians.get(key)
        if guardian is None:
            process, sock = self._new_guardian(key, context)
            guardian = Guardian(self, process, sock, self._configuration(context), self._exited, self._guardian_lost)
            self._guardians[key] = guardian
        return guardian

    def _new_guardian(self, key: GuardianKey, context: Context) -> tuple[ChildProcess, socket.socket]:
        spare = self._spare_guardian
        if spare is not None and (key.interpreter, key.environment) == (sys.executable, own_environment()):
            self._spare_guardian = None
            return spare
        return launch_guardian(context.interpreter, relevant(context.environment))

    def _configuration(self, context: Context) -> Configure:
        preload = self.project.settings.preload
        packages: tuple[str, ...] = ()
        if preload == "auto":
            learnt = self.store.get_setting(_preload_key(context))
            packages = tuple(learnt.decode().split("\n")) if learnt else ()
        elif preload != "off":
            packages = preload
        return Configure(
            sys_path=context.sys_path,
            preload=packages,
            project=self.project.root,
            scratch=self._scratch,
            blobs=os.path.join(self.project.data_dir, "blobs"),
            descriptor_limit=self._descriptor_limit,
        )

    def _start_host(self, guardian: Guardian, modules: tuple[str, ...]) -> ModuleHost:
        self._host_ids += 1
        settings = self.project.settings
        host = ModuleHost(self, self._host_ids, guardian, modules, settings.start_method, self._from_host)
        self.hosts[host.id] = host
        self.scheduler.add_host(host.id)
        self.later(settings.import_timeout, lambda: host.import_timed_out(settings.import_timeout))
        return host

    def _from_host(self, host: ModuleHost, message: Imported | WorkerStarted | WorkerFailed) -> None:
        match message:
            case Imported():
                if message.notice:
                    self.server.notice("warning", message.notice)
                self._learn_preload(host, message)
                self._host_imported(host, message)
            case WorkerStarted():
                worker = self.workers.get(message.worker)
                if worker is not None:
                    worker.started(message.pid)
            case WorkerFailed():
                failed = self.workers.pop(message.worker, None)
                if failed is not None:
                    failed.ended(0)
                    if failed.on_end is not None:
                        failed.on_end(message.message)
                    self.happen(ev.WorkerRefused(message.worker, message.message))
            case _:
                assert_never(message)

    def _host_imported(self, host: ModuleHost, message: Imported) -> None:
        waiting, host.waiting = host.waiting, []
        host.ready(message)
        if host.fresh():
            for call in waiting:
                call(host)
        else:  # a file was saved while it was imported
            self._supersede(host)
            self._start_host(host.guardian, host.modules).waiting.extend(waiting)

    def _learn_preload(self, host: ModuleHost, message: Imported) -> None:
        """What the modules pulled in from outside the project, a guardian may import beforehand next time."""
        if self.project.settings.preload != "auto" or not message.third_party:
            return
        configuration = host.guardian.configuration
        known = set(configuration.preload)
        if known.issuperset(message.third_party):
            return
        key = next(key for key, guardian in self._guardians.items() if guardian is host.guardian)
        packages = "\n".join(sorted(known | set(message.third_party))).encode()
        setting = _preload_key_of(key.interpreter, key.sys_path)
        self.after_commit(lambda: self._put_setting(setting, packages))

    def _put_setting(self, key: str, value: bytes) -> None:
        try:
            self.store.put_setting(key, value)
        except StoreError:
            pass  # only a shortcut of the next start, which learns it again

    def _supersede(self, host: ModuleHost) -> None:
        host.superseded = True
        self.scheduler.supersede_host(host.id)
        self._release_hosts()

    def _release_hosts(self) -> None:
        """End hosts of old code that nothing needs any more."""
        for host in list(self.hosts.values()):
            if host.superseded and host.state is HostState.READY and not self.scheduler.host_in_use(host.id):
                host.kill()

    def _exited(self, message: Exited) -> None:
        if message.worker is not None:
            self._worker_ended(message.worker, message.status)
            return
        host = self.hosts.pop(message.host, None)
        if host is not None:
            self._host_ended(host, message.status)

    def _host_ended(self, host: ModuleHost, status: int) -> None:
        for worker in [worker for worker in self.workers.values() if worker.host == host.id]:
            self._worker_ended(worker.id, status)  # its guardian found none of them left
        families = [root for root, family in self.scheduler.families.items() if _serves(family.host, host.id)]
        self.happen(ev.HostLost(host.id))
        if host.ended(status) and families:
            self._replace_host(host, families)

    def _replace_host(self, host: ModuleHost, families: list[str]) -> None:
        losses = self._host_losses[host.modules] = self._host_losses.get(host.modules, 0) + 1
        if losses > HOST_RESTARTS:
            message = f"the module host of {', '.join(host.modules)} ended {losses} times; it is not started again"
            self._refuse(families, message)
            return
        context = next((key for key, guardian in self._guardians.items() if guardian is host.guardian), None)
        if context is None:  # the guardian is gone as well
            self._bring_back_hosts()
            return
        self._start_host(host.guardian, host.modules).waiting.append(lambda new: self._serve(new, families))

    def _serve(self, host: ModuleHost, families: list[str]) -> None:
        """A host for families that had none is there, or will not be."""
        if host.failure is not None:
            self._refuse(families, host.failure.traceback)
            return
        served = []
        for root in families:
            family = self.scheduler.families.get(root)
            if family is None or family.root.root is None:
                continue
            error = host.error_of(family.root.root.step.spec.module)
            if error is None:
                served.append(root)
            else:
                self._refuse([root], error.traceback)
        self.happen(ev.HostReady(host.id, tuple(served)))

    def _refuse(self, families: list[str], message: str) -> None:
        failure = Failure("coflux.errors.ExecutionError", message.strip().rpartition("\n")[2], message)
        self.happen(ev.HostRefused(tuple(families), Failed(failure)))

    def _bring_back_hosts(self) -> None:
        """Give families without a host one, from the context that they were started with."""
        for root, family in list(self.scheduler.families.items()):
            if family.host is not None or family.root.root is None:
                continue
            context = self._stored_context(family.root.context)
            spec = family.root.root.step.spec
            if context is None:
                self._refuse([root], f"the environment that {root} was started in is not in the store any more")
                continue
            modules = () if spec.code is not None else (spec.module,)
            try:
                self.host_for(context, modules, lambda host, root=root: self._serve(host, [root]))  # type: ignore[misc]
            except OSError as error:
                self._refuse([root], f"{context.interpreter} cannot be started: {error.strerror}")

    def _stored_context(self, context_id: int) -> Context | None:
        row = self.store.context(context_id)
        if row is None:
            return None
        secrets = {name: os.environ[name] for name in row.omitted if name in os.environ}
        return Context(row.interpreter, tuple(row.sys_path), row.environment | secrets, self.project.root)

    def _guardian_lost(self, guardian: Guardian) -> None:
        """A guardian died: its hosts and workers with it, and what they leave behind is ours to kill."""
        for key, known in list(self._guardians.items()):
            if known is guardian:
                del self._guardians[key]
        guardian.process.kill()
        self._kill_strays()
        for host in [host for host in self.hosts.values() if host.guardian is guardian]:
            del self.hosts[host.id]
            self._host_ended(host, signal.SIGKILL)

    def _watch_children(self) -> None:
        """Be woken when a child ends. We adopt what a guardian that dies leaves behind."""
        become_subreaper()
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self._wakeup = (ours, theirs)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.poller.add(ours.fileno(), self._woken)

    def _signalled(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self.leaving = True  # what is unfinished goes on at the next start

    def _woken(self) -> None:
        try:
            while self._wakeup[0].recv(4096):
                pass
        except BlockingIOError:
            pass
        for guardian in list(self._guardians.values()):
            guardian.process.poll()

    def _kill_strays(self) -> None:
        keep = {guardian.pid for guardian in self._guardians.values()}
        if self._spare_guardian is not None:
            keep.add(self._spare_guardian[0].pid)
        kill_strays(keep, lambda pid, status: None)

    # -- the end -------------------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        self.server.close()
        if self._spare_guardian is not None:
            process, sock = self._spare_guardian
            sock.close()  # it leaves
            process.wait(5.0)
        for guardian in list(self._guardians.values()):
            end_guardian(guardian)
        self._guardians.clear()
        kill_strays((), lambda pid, status: None)
        import shutil

        shutil.rmtree(self._scratch, ignore_errors=True)
        try:
            self.store.close()
        except StoreError as error:
            print(f"coflux: {error}", file=sys.stderr)


def _outcomes_ahead(waiter: Execution, targets: list[Execution]) -> tuple[tuple[int, Outcome], ...]:
    """Small outcomes of the submissions that follow the one waited for, up to the first that has not ended."""
    submissions = waiter.submissions
    at = waiter.told
    if len(targets) != 1 or at >= len(submissions) or targets[0] is not submissions[at]:
        if len(targets) != 1 or targets[0].step.parent is not waiter:
            return ()
        at = next((i for i in range(at, len(submissions)) if submissions[i] is targets[0]), len(submissions))
    more: list[tuple[int, Outcome]] = []
    at += 1  # the one that is being answered
    while at < len(submissions) and len(more) < OUTCOMES_AHEAD:
        ended = submissions[at].end()
        outcome = ended.outcome
        if ended.unfinished or not isinstance(outcome, Succeeded) or outcome.value.size > SMALL_OUTCOME:
            break
        at += 1
        more.append((at, outcome))
    waiter.told = at
    return tuple(more)


def _serves(host: Any, host_id: int) -> bool:
    return host is not None and host.id == host_id


def _preload_key(context: Context) -> str:
    return _preload_key_of(context.interpreter, context.sys_path)


def _preload_key_of(interpreter: str, sys_path: tuple[str, ...]) -> str:
    return "preload:" + interpreter + ":" + os.pathsep.join(sys_path)


def _raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; return what it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
