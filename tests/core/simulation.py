"""A whole engine in one thread and no time: the real scheduler between pretend clients, hosts and processes.

Everything follows from the seed. The world lets things happen on a virtual clock (`at`); what the scheduler gets to
know of it is delivered in turns of one or several events, as the supervisor's loop does it. The ledger checks every
promise on the way, and at the end, when nothing can happen any more, everything must have settled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from random import Random
from unittest.mock import patch

from coflux.executor.core import commands as cmd
from coflux.executor.core import endings
from coflux.executor.core import events as ev
from coflux.executor.core.commands import Answered, Command, HandOver, KillWorker, NeedHost, RetireWorker, StartWorker
from coflux.executor.core.events import Event
from coflux.executor.core.scheduler import AnyEvent, Scheduler
from coflux.executor.core.state import Instant, SiteKey, State
from coflux.executor.messages import RunOptions
from coflux.worker_groups import WorkerGroup
from tests.core.factories import Imports, failed, instant
from tests.core.ledger import Ledger
from tests.core.pretend import GROUPS, TARGETS, WORKSPACES, Habits, Process, random_call, random_target
from tests.core.rebuilding import load_family, restore
from tests.core.shelf import Shelf

__all__ = ["Simulation", "Stuck"]

HOME = SiteKey("", ("shop.orders",))  # where the targets of runs are found
MOST_TURNS = 5_000
DISTURBANCES = {
    "nothing": 100,
    "run": 4,
    "cancel": 6,
    "rerun": 3,
    "pause": 2,
    "restart": 1,
    "host dies": 2,
    "reload": 2,
    "machine sleeps": 1,
}
"""What people, other programs and the machine do to a running engine, and how often."""


class Stuck(AssertionError):
    """Nothing can happen any more and something is unfinished, or it goes on for ever."""


class Simulation:
    def __init__(self, seed: int, *, concurrency: int | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.habits = Habits.choose(self.random)
        self.imports = Imports()
        self.calm = False
        self.turns = 0
        self.handed_over = 0
        self.shelf = Shelf()
        self.shelf.bases.update(zip(WORKSPACES[1:], WORKSPACES, strict=False))
        self.paused: set[str] = set()
        default = WorkerGroup("default", concurrency=concurrency or self.random.randint(1, 4))
        self._groups = (default, *(GROUPS if self.habits.groups else ()))
        self._max_depth = self.random.choice((4, 8))
        self._reuse = self.random.random() < 0.8
        self.scheduler = self._new_scheduler()
        self.ledger = Ledger(self.scheduler, self.shelf)
        self.processes: dict[int, Process] = {}
        self.live_hosts: set[int] = set()
        self._time = 0.0
        self._asleep = 0.0
        self._inbox: list[Event] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._runs = 0
        self._reruns = 0
        self._hosts = 0
        self._keys: dict[int, SiteKey] = {}  # of hosts
        self._newest_host = self._add_host(HOME)
        self._replacing = False  # a host is being built

    def _new_scheduler(self) -> Scheduler:
        return Scheduler(
            self._groups,
            self.random.random,
            self.shelf,
            self.imports,
            max_depth=self._max_depth,
            reuse=self._reuse,
        )

    # -- the world -----------------------------------------------------------------------------------------------

    @property
    def time(self) -> float:
        return self._time

    @property
    def now(self) -> Instant:
        return instant(self._time, self._asleep)

    def at(self, time: float, action: Callable[[], None]) -> None:
        self._scheduled += 1
        heappush(self._agenda, (time, self._scheduled, action))

    def deliver(self, event: Event) -> None:
        self._inbox.append(event)

    def anybody(self) -> str | None:
        """The id of some execution, known by no right."""
        families = list(self.scheduler.families.values())
        return self.random.choice(list(self.random.choice(families).executions)) if families else None

    # -- a life --------------------------------------------------------------------------------------------------

    def run(self, turns: int = 30) -> None:
        """Live wildly for some turns, then calmly until nothing can happen."""
        with patch.object(endings, "KEPT_RECURRENCES", 2):
            self._live(turns)

    def _live(self, turns: int) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.at(self.random.random() * 2, self._start_run)
        while self.turns < turns:
            if self.habits.restless:
                self._disturb()
            if not self._step():
                self._start_run()
        self.calm = True
        for workspace in sorted(self.paused):
            self.deliver(ev.WorkspaceChanged(workspace, paused=False))
        self.paused.clear()
        while self._step():
            if self.turns > MOST_TURNS:
                raise Stuck(f"seed {self.seed}: still busy after {MOST_TURNS} turns")
        self._check_end()

    def _disturb(self) -> None:
        """What people, other programs and the machine do to a running engine."""
        kind = self.random.choices(tuple(DISTURBANCES), tuple(DISTURBANCES.values()))[0]
        self.ledger.counts[kind] += 1
        match kind:
            case "run" if self._runs < 6:
                self._start_run()
            case "cancel":
                execution = self.anybody()
                if execution is not None:
                    self.deliver(ev.CancelRequested(execution, self.random.random() < 0.3))
            case "rerun":
                self._rerun()
            case "pause":
                self._pause()
            case "restart":
                self._restart()
            case "host dies" if self.live_hosts:
                self._kill_host(self.random.choice(sorted(self.live_hosts)))
            case "reload" if self.live_hosts and not self._replacing:
                self._reload()
            case "machine sleeps":
                self._asleep += 10.0
                self._time += 10.0

    def _rerun(self) -> None:
        """Somebody asks for a step again, of a run that is known or of one that has settled."""
        known = list(self.shelf.rows)
        if known and self._reruns < 4:
            self._reruns += 1
            execution = self.random.choice(known)
            row = self.shelf.rows[execution]
            workspaces = [name for name in self.habits.workspaces if row.workspace in self.shelf.lineage(name)]
            workspace = self.random.choice(workspaces)
            resume = row.step == 1 and self.random.random() < 0.5
            self.deliver(ev.RerunRequested(execution, workspace, resume, detach=False))

    def _pause(self) -> None:
        workspace = self.random.choice(self.habits.workspaces)
        self.paused ^= {workspace}
        self.deliver(ev.WorkspaceChanged(workspace, workspace in self.paused))

    def _restart(self) -> None:
        """The engine ends at any moment between two commits, and another one finds what was recorded."""
        self.processes.clear()
        self.live_hosts.clear()
        self._inbox.clear()
        self._agenda = [entry for entry in self._agenda if entry[2] == self._start_run]
        heapify(self._agenda)
        self.scheduler = self._new_scheduler()
        self.ledger = Ledger(self.scheduler, self.shelf, before=self.ledger)
        self._newest_host = self._add_host(HOME)
        for workspace in sorted(self.paused):
            self.scheduler.handle(ev.WorkspaceChanged(workspace, paused=True), self.now)
        restore(self.scheduler, self.shelf, self.now)
        self._replacing = True
        self.at(self._time + self.random.random(), self._replace)
        self._commit()

    def _step(self) -> bool:
        """Go to the next moment at which something happens, and perhaps tell the scheduler. False when all is quiet."""
        due = self.scheduler.next_due(self.now)
        moments = [self._agenda[0][0]] if self._agenda else []
        if due is not None:
            moments.append(self._time + due + 1e-6)  # clocks are never exact
        if not moments and not self._inbox:
            return False
        if not self._inbox or (moments and self.random.random() < 0.3):
            self._time = max(self._time, min(moments))
        while self._agenda and self._agenda[0][0] <= self._time:
            heappop(self._agenda)[2]()
        if self.random.random() < 0.7 or not self._agenda:
            self._turn()
        return True

    def _turn(self) -> None:
        """As the supervisor does it: first what has come in, then what is due, then the commands."""
        self.turns += 1
        events, self._inbox = self._inbox, []
        for event in events:
            if isinstance(event, ev.RunRequested) and event.host not in self.scheduler.fleet.hosts:
                continue  # refused at the door: its modules do not import
            if isinstance(event, ev.WorkerExited | ev.WorkerRefused):
                self.processes.pop(event.worker)
            if isinstance(event, ev.RerunRequested) and not self._take_in(event):
                continue
            self.ledger.handle(self._completed(event), self.now)
        if self.scheduler.next_due(self.now) == 0:
            self.ledger.handle_time(self.now)
        self._commit()

    def _take_in(self, event: ev.RerunRequested) -> bool:
        """Have the family of an execution in the scheduler, if there still is such an execution."""
        execution = event.execution
        row = self.shelf.rows.get(execution)
        if row is None:
            return False
        if row.run not in self.scheduler.runs:
            if row.run in self.scheduler.register._settled:
                self.deliver(event)  # it has settled in this very turn: the shelf has yet to get to know
                return False
            root = self.shelf.runs[row.run].root
            load_family(self.scheduler, self.shelf, root)
            self.ledger.taken_in(root)
            if self._newest_host in self.scheduler.fleet.hosts:
                self.scheduler.handle(ev.HostReady(self._newest_host, (root,)), self.now)
            elif not self._replacing:
                self._replacing = True
                self.at(self._time + self.random.random(), self._replace)
        return True

    def _commit(self) -> None:
        effects = self.ledger.drain(self.now)
        self.shelf.commit(effects)
        self.scheduler.committed()
        for command in effects.commands:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, StartWorker):
            process = self.processes[command.worker] = Process(self, command.worker, command.host)
            if command.host in self.live_hosts:
                process.start()
            else:
                process.die(0.01, "its host is gone")
        elif isinstance(command, NeedHost):
            self.at(self._time + self.random.random(), lambda: self._bring_up(command.family, command.site))
        elif isinstance(command, cmd.Stuck):
            self._give_up(command.run)
        elif isinstance(command, HandOver | Answered | KillWorker | RetireWorker):
            found = self.processes.get(command.worker)
            if found is not None:  # else its exit was told in the same turn
                self._tell(found, command)

    def _give_up(self, run: str) -> None:
        """Somebody cancels what no worker group can ever run, and perhaps the whole run."""
        family = self.scheduler.families.get(run)
        if family is not None:
            root = [f"{run}:1:1"] if self.random.random() < 0.5 else []
            for execution in root + [execution.id for execution in family.unroutable]:
                self.deliver(ev.CancelRequested(execution, False))

    def _tell(self, process: Process, command: HandOver | Answered | KillWorker | RetireWorker) -> None:
        match command:
            case HandOver(execution=execution):
                self.handed_over += 1
                process.execute(execution)
            case Answered():
                process.answer(command)
            case KillWorker():
                process.kill()
            case RetireWorker():
                process.die(self.random.random(), "exit code 0")

    # -- clients and hosts ---------------------------------------------------------------------------------------

    def _start_run(self) -> None:
        self._runs += 1
        workspace = self.random.choice(self.habits.workspaces)
        options = RunOptions(
            concurrency=self.random.choice((None, None, 1, 2)),
            memo=self.random.choice((None, None, True, False)),
            workspace=workspace,
        )
        call = random_call(self.random, self.habits, root=True)
        run = f"R{self._runs}"
        self.deliver(ev.RunRequested(run, call.spec, b"", call.arguments, options, 1, self._newest_host, call.keys))

    def _add_host(self, key: SiteKey) -> int:
        self._hosts += 1
        self.live_hosts.add(self._hosts)
        self._keys[self._hosts] = key
        for module in key.modules:
            self.imports.add(self._hosts, module, *(random_target(name, module, self.random) for name in TARGETS))
        self.scheduler.add_host(self._hosts, key)
        return self._hosts

    def _bring_up(self, family: str, key: SiteKey) -> None:
        """A host for one site of a family, if its modules import."""
        if not self.calm and self.random.random() < 0.2:
            self.deliver(ev.HostRefused((family,), failed("no such module"), key))
        else:
            self.deliver(ev.HostReady(self._add_host(key), (family,)))

    def _kill_host(self, host: int) -> None:
        self.live_hosts.discard(host)
        for process in self.processes.values():
            if process.host == host:
                process.die(self.random.random() * 0.2, "its host is gone")
        self.at(self._time + self.random.random() * 0.2, lambda: self._lose(host))

    def _lose(self, host: int) -> None:
        self.deliver(ev.HostLost(host))
        if self._keys[host] == HOME and not self._replacing:
            self._replacing = True
            self.at(self._time + self.random.random(), self._replace)

    def _replace(self) -> None:
        """The modules of the families without a host are imported again, if they import."""
        self._replacing = False
        if not self.calm and self.random.random() < 0.3:
            self.deliver(ev.HostRefused((), failed("no such module")))
            if self.random.random() < 0.5:
                self._replacing = True
                self.at(self._time + self.random.random(), self._replace)
        else:
            self._newest_host = self._add_host(HOME)
            self.deliver(ev.HostReady(self._newest_host, ()))

    def _replace_elsewhere(self, host: int, key: SiteKey) -> None:
        """Bring up another one for each family that it serves at a site other than its home."""
        for root, family in self.scheduler.families.items():
            serving = family.sites[key].host if key in family.sites else None
            if serving is not None and serving.id == host:
                self.at(self._time + self.random.random(), partial(self._bring_up, root, key))

    def _reload(self) -> None:
        old = self._newest_host
        if old in self.scheduler.fleet.hosts:
            self._newest_host = self._add_host(HOME)
            families = tuple(self.scheduler.families)
            self.ledger.handle(ev.HostReady(self._newest_host, families), self.now)
            self.scheduler.supersede_host(old)

    def _completed(self, event: Event) -> AnyEvent:
        """News of a host concern whoever is without one when they arrive, or comes to be without one by that."""
        if isinstance(event, ev.HostLost) and self._keys[event.host] != HOME:
            self._replace_elsewhere(event.host, self._keys[event.host])
            return event
        families = tuple(root for root, family in self.scheduler.families.items() if family.host is None)
        if isinstance(event, ev.HostReady | ev.HostRefused) and event.families:
            return event
        if isinstance(event, ev.HostReady):
            return ev.HostReady(event.host, families)
        if isinstance(event, ev.HostRefused):
            return ev.HostRefused(families, event.outcome)
        return event  # type: ignore[return-value]  # the events that the world makes are the scheduler's

    # -- the end -------------------------------------------------------------------------------------------------

    def _check_end(self) -> None:
        scheduler = self.scheduler
        for family in scheduler.families.values():
            left = [execution for execution in family.executions.values() if execution.unfinished]
            raise Stuck(f"seed {self.seed}: {family.root.id} has not settled (host {family.host}), unfinished: {left}")
        for process in self.processes.values():
            if process.program is not None:
                raise Stuck(f"seed {self.seed}: process {process.id} still runs {process.program.execution}")
        if scheduler.slots.active or len(scheduler.slots.queue) or set(scheduler.workers) != set(self.processes):
            raise Stuck(f"seed {self.seed}: slots, queue entries or workers are left")
        self._check_leaks()

    def _check_leaks(self) -> None:
        """With everything settled, no index holds anything."""
        scheduler = self.scheduler
        left = {
            "runs": scheduler.register.runs,
            "settled runs": scheduler.register._settled,
            "sources": scheduler.sources._by_key,
            "ended sources": scheduler.sources._ended,
            "deferral": (*scheduler.deferral._newest,),
            "due": scheduler.admission.due,
            "parked": scheduler.admission._parked,
            "delays": [one for one in scheduler.admission.delays.items() if one.state is State.QUEUED],
            "answers": [wait for pool in scheduler.slots.pools for wait in pool.resumable if not wait.over],
            "failing": scheduler.placement.failing,
        }
        for name, garbage in left.items():
            if garbage:
                raise Stuck(f"seed {self.seed}: {name} are left: {garbage}")
