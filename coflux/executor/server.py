"""The supervisor's clients: who is attached, what they ask for, and what they are told."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, assert_never

from coflux import __version__
from coflux.executor.administration import Administration
from coflux.executor.core import events as ev
from coflux.executor.core.state import Execution, Family
from coflux.executor.database import StoreError
from coflux.executor.discovering import Discovery
from coflux.executor.messages import Context, KeepSecret, SecretKept
from coflux.executor.peers import Peer, pid_of_peer
from coflux.executor.requests import (
    CancelRun,
    ChangeWorkspace,
    ClearCache,
    Collect,
    CreateWorkspace,
    DeleteRun,
    Discover,
    Done,
    Dropped,
    Hello,
    Notice,
    RecalledSecrets,
    RecallSecrets,
    Refused,
    Release,
    RequestFailed,
    Rerun,
    RunFinished,
    RunSettled,
    RunStuck,
    StartRun,
    Status,
    StatusReport,
    Stop,
    Subscribe,
    ToSupervisor,
    Unsubscribe,
    Welcome,
    WorkerInfo,
)
from coflux.executor.rerunning import Rerunner
from coflux.executor.starting import RunStarter
from coflux.executor.subscriptions import Subscriptions
from coflux.executor.vitals import Vitals, worker_state
from coflux.redaction import environment_secrets

if TYPE_CHECKING:
    from coflux.executor.hosts import ModuleHost
    from coflux.executor.rows import Batch
    from coflux.executor.supervisor import Supervisor
    from coflux.executor.wal_readers import Pin

__all__ = ["Server", "Session"]

ADVANCE_INTERVAL = 0.02  # seconds between two `Advanced` to one client
SAMPLE_INTERVAL = 0.5  # seconds between two `Sampled`
MOST_UNREAD = 100  # messages that wait for a client beyond what its socket takes, until notices pass it by


class Session:
    """One client's connection."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self.context: Context | None = None
        self.role = ""
        self.follows: dict[str, str] = {}  # runs whose end it is told of, each with the top of its family
        self.subscriptions = Subscriptions()
        self.own_runs: dict[str, int] = {}  # runs of which that step is cancelled if the client vanishes
        self.discoveries: set[Discovery] = set()  # that it waits for
        self.told_at = 0.0
        self.pid = pid_of_peer(sock)
        self.connected_at = time.time()
        self.peer = Peer(server.supervisor.poller, sock, ToSupervisor, self._received, self._closed)

    def _received(self, message: Any) -> None:
        self._server.received(self, message)

    def _closed(self, problem: str) -> None:
        self._server.vanished(self)

    @property
    def watches(self) -> bool:
        """Whether it is sent samples."""
        return self.role == "dashboard" and bool(self.subscriptions)

    def send(self, message: object) -> None:
        self.peer.send(message)

    def show_output(self, host: ModuleHost) -> None:
        """Show what the host's imports have printed, once."""
        printed = host.take_output()
        if printed:
            self.send(Notice("info", printed.rstrip("\n")))

    def fail(self, request: int, kind: Literal["usage", "not_found", "failed"], text: str) -> None:
        self.send(RequestFailed(request, kind, self._server.supervisor.redactor.text(text)))


class Server:
    def __init__(self, supervisor: Supervisor, listener: socket.socket) -> None:
        self.supervisor = supervisor
        self._listener = listener
        self._sessions: set[Session] = set()
        self._untold: list[str] = []  # warnings that nobody was there for
        self.administration = Administration(supervisor)
        self._starter = RunStarter(supervisor)
        self._rerunner = Rerunner(supervisor)
        self._vitals = Vitals(supervisor)
        self._sampling = False
        listener.setblocking(False)
        supervisor.poller.add(listener.fileno(), self._accept)

    @property
    def deserted(self) -> bool:
        """Whether nobody is attached."""
        return not self._sessions

    def clients_since(self) -> list[float]:
        """When those connected that may send values, in seconds since the epoch."""
        return [session.connected_at for session in self._sessions if session.role != "dashboard"]

    def followed(self) -> set[str]:
        """The families, by their roots, of which somebody is told of the end."""
        return {root for session in self._sessions for root in session.follows.values()}

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self.attach(sock)

    def attach(self, sock: socket.socket) -> None:
        """Take in a connection, accepted here or inherited from the client that started us."""
        self._sessions.add(Session(self, sock))

    # -- requests ------------------------------------------------------------------------------------------------

    def received(self, session: Session, message: Any) -> None:  # noqa: C901, PLR0912  # an arm for each kind
        if session.context is None:
            if isinstance(message, Hello):
                self._hello(session, message)
            return
        match message:
            case Hello():
                pass
            case StartRun():
                self._starter.start(session, message)
            case Rerun():
                self._rerunner.rerun(session, message)
            case CancelRun():
                self._cancel(session, message)
            case Release():
                session.own_runs.pop(message.run, None)
            case Subscribe():
                self._subscribe(session, message.run)
            case Unsubscribe():
                self._unsubscribe(session, message.run)
            case Discover():
                Discovery(self.supervisor, session, message).start()
            case DeleteRun():
                self._delete(session, message)
            case Collect():
                self.supervisor.collector.requested(session, message)
            case ClearCache():
                self.administration.clear_cache(session, message)
            case CreateWorkspace():
                self.administration.create(session, message)
            case ChangeWorkspace():
                self.administration.change(session, message)
            case KeepSecret():
                session.send(SecretKept(message.request, self.supervisor.vault.keep(message.value)))
            case RecallSecrets():
                session.send(RecalledSecrets(message.request, self.supervisor.vault.named(message.ids)))
            case Status():
                session.send(self._report(message.request))
            case Stop():
                self._stop(session, message)
            case _:
                assert_never(message)

    def _hello(self, session: Session, message: Hello) -> None:
        if message.version == __version__:
            session.context = message.context
            self.supervisor.redactor.add(environment_secrets(message.context.environment))
            session.role = message.role
            session.send(Welcome(__version__, os.getpid()))
            untold, self._untold = self._untold, []
            for text in untold:
                session.send(Notice("warning", text))
            return
        idle = not self.supervisor.scheduler.families and len(self._sessions) == 1
        session.send(
            Refused(
                f"the engine of this project is coflux {__version__} (pid {os.getpid()}) and busy; this is "
                f"{message.version}. Wait for its runs to end, or stop it with `coflux stop --cancel`",
                leaving=idle,
            )
        )
        if idle:
            self.supervisor.leaving = True

    def _subscribe(self, session: Session, run: str | None) -> None:
        known = self.supervisor.scheduler.runs.get(run) if run is not None else None
        session.subscriptions.add(run, known.family.runs if known is not None else ())
        if run is not None and run not in session.follows:  # who started a run is told of its end in any case
            self.supervisor.after_commit(lambda: self.follow(session, run))
        if session.watches and not self._sampling:
            self._sampling = True
            self._sample()

    def _unsubscribe(self, session: Session, run: str | None) -> None:
        session.subscriptions.remove(run)
        if run is not None and run not in session.own_runs:
            session.follows.pop(run, None)

    def follow(self, session: Session, run_id: str) -> None:
        """Tell of the run's end when it comes, and at once if it has come. For after a commit."""
        run = self.supervisor.scheduler.runs.get(run_id)
        if run is not None:
            session.follows[run_id] = run.family.root.id
            if run.root is not None and not run.root.end().unfinished:
                session.send(RunFinished(run_id, run.root.end().state.value))
            if run.family.unroutable and run.family.stuck:
                session.send(RunStuck(run_id, self.supervisor.redactor.text(run.family.stuck)))
            return
        loaded = self.supervisor.store.load_run(run_id)
        if loaded is not None and loaded.run.settled:
            session.send(RunFinished(run_id, loaded.run.status))
            session.send(RunSettled(run_id, loaded.run.status))

    def _cancel(self, session: Session, message: CancelRun) -> None:
        scheduler = self.supervisor.scheduler
        run_id = message.id.partition(":")[0]
        run = scheduler.runs.get(run_id)
        if run is None:
            known = self.supervisor.store.load_run(run_id)
            if known is None:
                session.fail(message.request, "not_found", f"there is no run {run_id}")
            else:
                session.send(Done(message.request, f"{message.id} has ended already ({known.run.status})"))
            return
        attempts = self._named(message.id)
        if not attempts:
            session.fail(message.request, "not_found", f"there is no execution {message.id}")
            return
        newest = attempts[-1].end()
        already, ended = not newest.unfinished, newest.state.value
        for attempt in attempts:
            self.supervisor.happen(ev.CancelRequested(attempt.id, message.now))
        if already:
            text = f"{message.id} has ended already ({ended}); what it left running is cancelled"
        else:
            text = f"cancelled {message.id}"
        self.supervisor.after_commit(lambda: session.send(Done(message.request, text)))

    def _named(self, text: str) -> list[Execution]:
        """The attempt that `RUN:STEP:ATTEMPT` names, or all attempts of `RUN:STEP`, and of the root for `RUN`."""
        run, _, rest = text.partition(":")
        if ":" not in rest:
            return self._attempts(run, int(rest) if rest else 1)
        execution = self.supervisor.scheduler.find(text)
        return [] if execution is None else [execution]

    def _attempts(self, run_id: str, step: int) -> list[Execution]:
        """The attempts of a step of an unfinished run, in order: each with what is below it."""
        run = self.supervisor.scheduler.runs.get(run_id)
        executions = run.family.executions.values() if run is not None else ()
        attempts = [one for one in executions if one.step.run is run and one.step.number == step]
        return sorted(attempts, key=lambda one: one.attempt)

    def _delete(self, session: Session, message: DeleteRun) -> None:
        if message.run in self.supervisor.scheduler.runs:
            session.fail(
                message.request, "failed", f"{message.run} is unfinished: wait for its end, or cancel it first"
            )
            return
        if self.supervisor.store.load_run(message.run) is None:
            session.fail(message.request, "not_found", f"there is no run {message.run}")
            return
        try:
            self.supervisor.store.delete_run(message.run)
        except StoreError as error:
            session.fail(message.request, "failed", str(error))
        else:
            for other in self._sessions:
                other.subscriptions.run_deleted(message.run)
            session.send(Done(message.request, f"deleted {message.run}"))
            self.supervisor.collector.purge()

    def _stop(self, session: Session, message: Stop) -> None:
        scheduler = self.supervisor.scheduler
        unfinished = list(scheduler.families.values())
        if message.cancel:
            for family in unfinished:
                for attempt in self._attempts(family.root.id, 1):
                    self.supervisor.happen(ev.CancelRequested(attempt.id, False))
            text = f"stopping; cancelled {len(unfinished)} unfinished runs" if unfinished else "stopping"
        elif any(execution.worker is not None for family in unfinished for execution in _unfinished(family)):
            text = f"{self._unfinished_runs()} running: wait for the end, or cancel with `coflux stop --cancel`"
            session.fail(message.request, "failed", text)
            return
        elif unfinished:
            text = f"stopping; {len(unfinished)} queued runs go on at the next start"
        else:
            text = "stopping"
        self.supervisor.after_commit(lambda: self._leave(session, message.request, text))

    def _leave(self, session: Session, request: int, text: str) -> None:
        session.send(Done(request, text))
        self.supervisor.leave_when_settled()

    def _report(self, request: int) -> StatusReport:
        scheduler = self.supervisor.scheduler
        executions = [item for family in scheduler.families.values() for item in family.executions.values()]
        running = [execution for execution in executions if execution.worker is not None and execution.unfinished]
        workers = tuple(
            WorkerInfo(
                worker.id, worker.pid, worker_state(worker), None if worker.execution is None else worker.execution.id
            )
            for worker in scheduler.workers.values()
        )
        return StatusReport(
            request=request,
            pid=os.getpid(),
            started_at=self.supervisor.started_at,
            data_dir=self.supervisor.project.data_dir,
            concurrency=scheduler.slots.concurrency,
            workers=workers,
            queued=sum(1 for item in executions if item.unfinished and item.worker is None),
            running=sum(1 for item in running if not item.waits),
            waiting=sum(1 for item in running if item.waits),
            keeps=self.keeps(),
        )

    def keeps(self) -> str:
        """What keeps the supervisor alive, in words."""
        if self.supervisor.scheduler.families:
            remedy = "cancel one with `coflux runs cancel ID`, all with `coflux stop --cancel`"
            return f"unfinished runs: {self._unfinished_runs()} ({remedy})"
        return f"{len(self._sessions)} attached clients" if self._sessions else ""

    def _unfinished_runs(self) -> str:
        families = sorted(self.supervisor.scheduler.families)
        return ", ".join(families[:3]) + (", …" if len(families) > 3 else "")

    # -- news ----------------------------------------------------------------------------------------------------

    def run_finished(self, run: str, status: str) -> None:
        for session in self._sessions:
            if run in session.follows:
                self._advance(session)
                session.send(RunFinished(run, status))

    def run_settled(self, run: str, status: str) -> None:
        """Nothing of a family is unfinished: whoever follows one of its runs is told of that one."""
        for session in self._sessions:
            for followed in [one for one, root in session.follows.items() if root == run]:
                session.own_runs.pop(followed, None)
                self._advance(session)
                session.send(RunSettled(followed, status))

    def run_stuck(self, run: str, message: str) -> None:
        for session in self._sessions:
            if run in session.follows:
                self._advance(session)
                session.send(RunStuck(run, self.supervisor.redactor.text(message)))

    def notice(self, level: Literal["info", "warning", "error"], text: str) -> None:
        for session in self._sessions:
            if session.context is not None and session.peer.backlog < MOST_UNREAD:
                session.send(Notice(level, self.supervisor.redactor.text(text)))

    def warn(self, text: str) -> None:
        """Tell everybody, who comes next if nobody is there, and the engine's log."""
        text = self.supervisor.redactor.text(text)
        print(text, file=sys.stderr, flush=True)
        if all(session.context is None for session in self._sessions):
            self._untold.append(text)
        self.notice("warning", text)

    def advanced(self, batch: Batch) -> None:
        """The store has these rows now: subscribers are told soon."""
        for session in self._sessions:
            if session.subscriptions:
                session.subscriptions.note(batch)

    def tell_advance(self) -> None:
        """Tell those that are behind, each at most every 20 ms, and nobody who has not read the last news."""
        now = self.supervisor.now.monotonic
        for session in self._sessions:
            if not session.subscriptions.behind or session.peer.backlog:
                continue
            wait = session.told_at + ADVANCE_INTERVAL - now
            if wait <= 0:
                self._advance(session)
            else:
                self.supervisor.wake_within(wait)

    def _advance(self, session: Session) -> None:
        if session.subscriptions.behind:
            session.told_at = self.supervisor.now.monotonic
            session.send(session.subscriptions.take(self.supervisor.store.last_log_id))

    def _sample(self) -> None:
        """Tell dashboards how the engine is, as long as there are any."""
        watching = [session for session in self._sessions if session.watches]
        self._sampling = bool(watching)
        if not watching:
            return
        reading = [session for session in watching if not session.peer.backlog]
        if reading:
            sampled = self._vitals.sample()
            for session in reading:
                session.send(sampled)
        self.supervisor.later(SAMPLE_INTERVAL, self._sample)

    def reader_pinned(self, pin: Pin) -> None:
        """Somebody's transaction keeps a write-ahead log from starting over: say so, and stop feeding who it is."""
        text = pin.describe()
        print(f"coflux: {text}", file=sys.stderr, flush=True)
        self.notice("warning", text)
        pids = {reader.pid for reader in pin.readers}
        for session in self._sessions:
            if session.pid in pids and session.subscriptions:
                session.subscriptions = Subscriptions()
                session.send(Dropped(text))

    def vanished(self, session: Session) -> None:
        """A client is gone. What a foreground client ran goes with it, unless it was detached."""
        self._sessions.discard(session)
        self._starter.vanished(session)
        for discovery in list(session.discoveries):
            discovery.abandon()
        self._rerunner.vanished(session)
        for run_id, step in session.own_runs.items():
            for attempt in self._attempts(run_id, step):
                self.supervisor.happen(ev.CancelRequested(attempt.id, False))

    def close(self) -> None:
        self.supervisor.poller.remove(self._listener.fileno())
        self._listener.close()
        for session in list(self._sessions):
            session.peer.close()
        self._sessions.clear()


def _unfinished(family: Family) -> list[Execution]:
    return [execution for execution in family.executions.values() if execution.unfinished]
