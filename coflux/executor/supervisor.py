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

from coflux.executor.archive import StoreArchive
from coflux.executor.blobs import FileBlobs
from coflux.executor.channel import decoder
from coflux.executor.collector import Collector
from coflux.executor.core import commands as cmd
from coflux.executor.core import events as ev
from coflux.executor.core.descent import earlier_children
from coflux.executor.core.effects import Effects
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import Execution, Instant
from coflux.executor.core.state import Wait as CoreWait
from coflux.executor.database import StoreBusy, StoreDamaged, StoreError, StoreFull
from coflux.executor.generations import Generations
from coflux.executor.hosts import HostState, ImportedModules
from coflux.executor.messages import (
    Answer,
    Cancel,
    DefineMetric,
    Execute,
    Exited,
    HoldPoint,
    Identified,
    Identify,
    KeepAsset,
    Log,
    OpenGroup,
    Outcome,
    Ready,
    RecordPoints,
    Returned,
    RevealSecrets,
    ShowTerminal,
    Submit,
    Succeeded,
    Suspend,
    TargetSpec,
    Wait,
)
from coflux.executor.peers import Poller
from coflux.executor.persistence import blobs_of, restore, to_batch
from coflux.executor.processes import become_subreaper
from coflux.executor.recording import HeldPoints, Recorded, record
from coflux.executor.rows import Batch, LogRow
from coflux.executor.sampling import ProcessTrees
from coflux.executor.server import Server
from coflux.executor.spawning import ChildProcess
from coflux.executor.store import Store
from coflux.executor.terminals import Terminals
from coflux.executor.trees import remove_tree
from coflux.executor.vault import Vault
from coflux.executor.worker_starts import WorkerStarts
from coflux.executor.workers import WorkerProcess
from coflux.logs import Level
from coflux.project import Project
from coflux.redaction import environment_secrets

__all__ = ["Supervisor"]

STALL = 2.0  # seconds that a turn may come late before timeouts are extended by the delay
STORE_RETRY = 0.05  # seconds between two tries at a busy store
SAMPLE = 0.5  # seconds between two looks at the workers' memory
OUTCOMES_AHEAD = 256  # outcomes that are sent along with one that was asked for
SMALL_OUTCOME = 512  # bytes of a value that is sent ahead
ROUNDS = 4  # times that a turn looks for more to read before it commits
LONG_TURN = 0.02  # seconds after which it looks no more
LINES_A_TURN = 1000  # of output; what else there is stays in the pipes for the next one, and its writers wait
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
        self.vault = Vault()
        self.redactor = self.vault.redactor(environment_secrets(os.environ))  # of what it says itself
        self._blobs = FileBlobs(project.blobs_dir)
        self.archive = StoreArchive(store, self._blobs, lambda text: self.server.notice("warning", text))
        self.imported = ImportedModules()
        self.scheduler = Scheduler(
            settings.groups,
            _uniform,
            self.archive,
            self.imported,
            max_depth=settings.max_depth,
            reuse=settings.isolation == "shared",
        )
        self.terminals = Terminals(self.scheduler.families)
        self.workers: dict[int, WorkerProcess] = {}
        self.worker_starts = WorkerStarts(self)
        self.leaving = False
        self._trash: SimpleQueue[str] = SimpleQueue()
        self._janitor_started = False
        self.scratch = self._make_scratch()
        self.generations = Generations(self, guardian, _raise_descriptor_limit())
        self._batch = Batch()
        self._held_points = HeldPoints()
        self._commands: list[cmd.Command] = []
        self._after_commit: list[Callable[[], None]] = []
        self._store_blocked_since: float | None = None
        self._store_retry_due = False
        self._events: deque[Any] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = 0
        self._stalled = 0.0
        self._specs: dict[bytes, TargetSpec] = {}
        self._sampling = False
        self._lines_taken = 0
        self._leave_asked = False
        self._now = self._read_clock()
        self.server = Server(self, listener)
        self.collector = Collector(self)
        self._watch_children()

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until nobody is attached and nothing is unfinished, or until told to leave."""
        restore(self.scheduler, self.store, self._now)
        self.generations.bring_back()
        self.server.administration.pause_paused()
        self.collector.begin()
        if self.store.warning:
            self.server.warn(self.store.warning)
        try:
            while not (self.leaving and not self._batch and not self._events):
                self._turn()
            self._record_all_held()
        finally:
            self._shut_down()

    def _turn(self) -> None:
        timeout = self._timeout()
        before = time.monotonic()
        calls = self.poller.wait(timeout)
        begun = time.monotonic()
        late = begun - before - (timeout or 0.0)
        if timeout is not None and late > STALL:
            self._stalled += late
        self._now = self._read_clock()
        self._lines_taken = 0
        for looks_left in range(ROUNDS, -1, -1):
            for call in calls:
                call()
            self._advance()
            # What came meanwhile shares this turn's commit: under load that is what a turn costs most.
            more = calls and looks_left and time.monotonic() - begun < LONG_TURN
            calls = self.poller.wait(0.0) if more else []
            if not calls:
                break
        self._flush()
        if self.collector.due_at <= self._now.monotonic and self.recorded:
            self.collector.advance()
        self.server.tell_advance()
        if not self._events and self._is_idle() and not self._batch and self.collector.finished():
            self.leaving = True
        if self._leave_asked and not any(family.leaving for family in self.scheduler.families.values()):
            self.leaving = True

    def _advance(self) -> None:
        """Let happen what is due, and take the scheduler's rows and commands over."""
        while self._events:
            self.scheduler.handle(self._events.popleft(), self._now)
        self.scheduler.handle_time(self._now)
        while self._timers and self._timers[0][0] <= self._now.monotonic:
            heappop(self._timers)[2]()
        effects = self.scheduler.drain(self._now)
        for digest in blobs_of(effects):
            self.store.blob_written(self._blobs.path_of(digest))
        to_batch(effects, self._batch, self._now.wall, self.redactor)
        self._commands += self._without_kills(effects)

    def _is_idle(self) -> bool:
        """Whether nobody is attached and nothing is unfinished."""
        return self.server.deserted and not self.scheduler.families

    def _timeout(self) -> float | None:
        if self._events or (self._is_idle() and self.collector.finished()):
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
        self._lines_taken += 1
        self._batch.logs.append(row)

    @property
    def takes_output(self) -> bool:
        """Whether this turn reads more of what workers write."""
        return self._lines_taken < LINES_A_TURN

    def happen(self, event: Any) -> None:
        """Tell the scheduler, at once."""
        self.scheduler.handle(event, self._now)

    @property
    def recorded(self) -> bool:
        """Whether everything that happened so far is recorded."""
        return not (self._batch or self._events or self._after_commit or self.scheduler.outbox)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call when everything that happened so far is recorded."""
        self._after_commit.append(call)

    def reveal_secrets(self, worker: WorkerProcess) -> None:
        """What it is about to be given may refer to any that are here."""
        if worker.secrets_told != len(self.vault):
            worker.peer.send(RevealSecrets(self.vault.since(worker.secrets_told)))
            worker.secrets_told = len(self.vault)

    # -- recording and doing -------------------------------------------------------------------------------------

    def _flush(self) -> None:
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
        except StoreDamaged as error:
            try:
                self.server.warn(self.store.renew_logs(error))
                self.wake_within(0.0)  # to try again
            except StoreError as failure:
                self._give_up(failure)
            return False
        except StoreError as error:
            self._give_up(error)
            return False
        self._batch = Batch()
        self.scheduler.committed()
        if self._store_blocked_since is not None:
            self._store_blocked_since = None
            self.server.notice("info", "the store can be written again; nothing was lost")
        self.server.advanced(batch)
        for pin in self.store.take_pins():
            self.server.reader_pinned(pin)
        return True

    def _give_up(self, error: StoreError) -> None:
        self.server.notice("error", f"{error}; the engine stops, since it cannot record anything any more")
        self._batch = Batch()
        self.leaving = True

    def _store_is_blocked(self, error: StoreError) -> None:
        if self._store_blocked_since is None:
            self._store_blocked_since = self._now.monotonic
            self.server.notice("warning", f"{error}; waiting for it, nothing is lost")
        self._store_retry_due = True
        self.later(STORE_RETRY, self._retry_store)

    def _retry_store(self) -> None:
        self._store_retry_due = False

    def _carry_out(self, command: cmd.Command) -> None:  # noqa: C901  # an arm for each kind of command
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
                    self._record_held(worker)
                    worker.kill(dump=command.dump, immediate=command.immediate)
            case cmd.RetireWorker():
                worker = self.workers.get(command.worker)
                if worker is not None:
                    worker.retire()
            case cmd.Finished():
                self.server.run_finished(command.run, command.status)
            case cmd.Settled():
                self.server.run_settled(command.run, command.status)
                self.generations.release()
            case cmd.NeedHost():
                self.generations.provide(command.family, command.site)
                self.wake_within(0.0)  # it may be there already
            case cmd.Stuck():
                self.server.run_stuck(command.run, command.message)
            case _:
                raise AssertionError(command)

    def _hand_over(self, worker_id: int, execution: Execution) -> None:
        worker = self.workers.get(worker_id)
        if worker is None or self.scheduler.running_on(worker_id) is not execution:
            return  # cancelled before it was recorded that it runs
        step = execution.step
        worker.works_for((step.run.id, step.number, execution.attempt))
        context = step.run.family.root.context
        if worker.terminal != context:
            worker.terminal = context
            worker.peer.send(ShowTerminal(self.terminals.of(context)))
        self.reveal_secrets(worker)
        earlier = earlier_children(execution) if execution.resumes else None
        worker.peer.send(Execute(execution.id, step.encoded, step.arguments, step.number == 1, step.run.memo, earlier))
        if not self._sampling:
            self._sampling = True
            self.later(SAMPLE, self._sample)

    def _answer(self, command: cmd.Answered) -> None:
        worker = self.workers.get(command.worker)
        if worker is None:
            return
        outcome = None if command.ended is None else command.ended.outcome
        more = () if command.ended is None else _outcomes_ahead(command.wait)
        self.reveal_secrets(worker)
        worker.peer.send(Answer(command.wait.request, command.index, outcome, command.error, more))

    def _sample(self) -> None:
        """Look at busy workers now and then; nobody wakes up for it while none is."""
        busy = [worker for worker in self.workers.values() if self.scheduler.running_on(worker.id) is not None]
        trees = ProcessTrees()
        for worker in busy:
            worker.sample(trees)
        self._sampling = bool(busy)
        if busy:
            self.later(SAMPLE, self._sample)

    # -- workers -------------------------------------------------------------------------------------------------

    def _start_worker(self, worker_id: int, host_id: int) -> None:
        host = self.generations.hosts.get(host_id)
        if host is None or host.state is not HostState.READY:
            self._events.append(ev.WorkerExited(worker_id, "its module host ended", None))
            return
        try:
            self.worker_starts.start(worker_id, host, self._from_worker)
        except OSError as error:
            message = f"no worker process can be started: {error.strerror} (after {len(self.workers)} of them)"
            self._events.append(ev.WorkerRefused(worker_id, message))

    def _from_worker(self, worker_id: int, message: Any) -> None:
        match message:
            case Submit():
                spec = self.spec(message.target)
                self.happen(
                    ev.Submitted(
                        worker_id,
                        message.number,
                        spec,
                        message.target,
                        message.arguments,
                        message.group,
                        message.keys,
                        message.earlier,
                    )
                )
            case Returned():
                worker = self.workers[worker_id]
                worker.drain()
                unclean = self.generations.returned(worker, message)
                self.happen(
                    ev.Returned(
                        worker_id,
                        message.execution,
                        message.outcome,
                        message.retryable,
                        unclean,
                        worker.used(message.usage),
                        message.fingerprint,
                    )
                )
                worker.returned()
            case Wait():
                self.happen(
                    ev.WaitAsked(worker_id, message.request, message.handles, message.timeout, message.suspends)
                )
            case Suspend():
                self.happen(ev.SuspendAsked(worker_id, message.delay, message.until, message.handles))
            case Identify():
                self.happen(ev.IdentifyAsked(worker_id, message.request, message.number))
            case Ready():
                self.happen(ev.WorkerReady(worker_id, message.pid))
            case Cancel():
                self.happen(ev.CancelAsked(worker_id, message.handles))
            case OpenGroup():
                self.happen(ev.GroupOpened(worker_id, message))
            case Log() | DefineMetric() | RecordPoints() | KeepAsset():
                self._record(worker_id, message)
            case HoldPoint():
                execution = self.scheduler.running_on(worker_id)
                if execution is not None:
                    self._held_points.hold(execution, message)
            case _:
                assert_never(message)

    def _record(self, worker_id: int, message: Recorded) -> None:
        execution = self.scheduler.running_on(worker_id)
        if execution is None:
            return  # it has ended, and what its process says now comes too late
        if isinstance(message, Log) and not self.workers[worker_id].admits(message):
            return
        if isinstance(message, KeepAsset):
            for blob in message.blobs:
                self.store.blob_written(self._blobs.path_of(blob))
        if isinstance(message, RecordPoints):
            self._held_points.replace(execution, message)
        record(self._batch, execution, message, self._now.wall)

    def _record_held(self, worker: WorkerProcess) -> None:
        """What it runs ends, without a word of the points that it holds back."""
        if worker.owner is not None:
            self._held_points.record(self._batch, worker.owner)

    def _record_all_held(self) -> None:
        """What still runs ends with us: it goes on in other attempts, at the next start."""
        self._held_points.record_all(self._batch)
        self.wake_within(0.0)
        while self._batch:
            self._turn()

    def spec(self, encoded: bytes) -> TargetSpec:
        """Decode a target's spec, each different one once."""
        spec = self._specs.get(encoded)
        if spec is None:
            if len(self._specs) >= SPEC_CACHE:
                self._specs.clear()
            spec = self._specs[encoded] = _spec_decoder.decode(encoded)
        return spec

    def worker_ended(self, worker_id: int, status: int) -> None:
        worker = self.workers.get(worker_id)
        if worker is None:
            return
        worker.peer.read(sys.maxsize)  # what it said before it ended counts
        self._record_held(worker)
        del self.workers[worker_id]
        stack = worker.take_stack()
        owner = worker.owner
        evidence, usage = worker.ended(status)
        evidence = self.worker_starts.ended(worker, status, evidence)
        if worker.on_end is not None:
            worker.on_end(evidence)
        if owner is not None and stack:
            self.log(LogRow(*owner, self._now.wall, Level.ERROR, f"stacks when it was stopped:\n{stack}", None))
        self._discard(os.path.join(self.scratch, str(worker.pid)))
        self.happen(ev.WorkerExited(worker_id, evidence, usage))

    def _discard(self, directory: str) -> None:
        """Remove a killed worker's working directory, which may be big: not on this thread."""
        if not os.path.isdir(directory):
            return
        if not self._janitor_started:
            self._janitor_started = True
            threading.Thread(target=self._clean, name="janitor", daemon=True).start()
        self._trash.put(directory)

    def _clean(self) -> None:
        while True:
            remove_tree(self._trash.get())

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

    def exited(self, message: Exited) -> None:
        """A guardian reports: a worker or a module host is gone, and all that it left behind."""
        if message.worker is not None:
            self.worker_ended(message.worker, message.status)
            self.generations.release()
            return
        host = self.generations.hosts.pop(message.host, None)
        if host is not None:
            self.generations.ended(host, message.status)

    # -- children ------------------------------------------------------------------------------------------------

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
        self.generations.poll()

    # -- the end -------------------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        self.server.close()
        self.generations.close()
        remove_tree(self.scratch)
        try:
            self.store.close()
        except StoreError as error:
            print(f"coflux: {error}", file=sys.stderr)


def _uniform() -> float:
    """A random number in [0, 1), as `random.random` makes it."""
    return (int.from_bytes(os.urandom(7), "big") >> 3) * 2.0**-53


def _outcomes_ahead(wait: CoreWait) -> tuple[tuple[int, Outcome], ...]:
    """Small outcomes of the submissions that follow the one waited for, up to the first that has not ended."""
    if not wait.number:
        return ()
    waiter = wait.execution
    more: list[tuple[int, Outcome]] = []
    for index in range(max(wait.number, waiter.told), len(waiter.submissions)):
        ended = waiter.submissions[index].end()
        outcome = ended.outcome
        if ended.unfinished or not isinstance(outcome, Succeeded) or outcome.value.size > SMALL_OUTCOME:
            break
        more.append((index + 1, outcome))
        waiter.told = index + 1
        if len(more) == OUTCOMES_AHEAD:
            break
    return tuple(more)


def _raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; return what it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
