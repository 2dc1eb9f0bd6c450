"""Generations of the user's code: which guardian and which module host serve which families, and when others must.

A generation is one module host: a set of modules as they were when it imported them, in the environment of one kind of
client. A new one is started when a file has changed; the old one stays as long as something is bound to it. So it is
with guardians, when something has changed that their third-party packages depend on.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, assert_never

from coflux.encoded import Failure
from coflux.executor.core import events as ev
from coflux.executor.core.state import Family, SiteKey
from coflux.executor.database import StoreError
from coflux.executor.hosts import (
    Guardian,
    GuardianKey,
    HostState,
    ModuleHost,
    end_guardian,
    guardian_key,
    launch_guardian,
    own_environment,
)
from coflux.executor.interpreters import context_of_group
from coflux.executor.messages import (
    Configure,
    Context,
    Failed,
    Imported,
    ModuleError,
    Returned,
    WorkerFailed,
    WorkerStarted,
)
from coflux.executor.missing import describe_failure, is_missing, modules_in
from coflux.executor.processes import kill_strays
from coflux.executor.sources import SourceWatch
from coflux.executor.spawning import ChildProcess
from coflux.project import taken_name

if TYPE_CHECKING:
    from coflux.executor.supervisor import Supervisor
    from coflux.executor.workers import WorkerProcess

__all__ = ["Generations"]

IMPORT_ATTEMPTS = 5  # imports in a row during which a file changed, until that file is blamed
SHARED_NAMED = 5  # resources that a warning names
HOST_RESTARTS = 3  # times in a row that a family gets another host for one that died, before it fails
HOST_WELL = 30.0  # seconds that a host served after which its end is the first in a row
UNFORKABLE_KNOWN = 100  # sets of modules of which it is remembered that they bear no fork


class Generations:
    def __init__(
        self,
        supervisor: Supervisor,
        guardian: tuple[ChildProcess, socket.socket] | None,
        descriptor_limit: int,
    ) -> None:
        """`guardian` is one that was started beforehand, with our interpreter and environment."""
        self.hosts = supervisor.imported.hosts
        self._supervisor = supervisor
        self._guardians: dict[GuardianKey, Guardian] = {}
        self._superseded: list[Guardian] = []  # guardians whose hosts are still needed
        self._spare_guardian = guardian
        self._descriptor_limit = descriptor_limit
        self._host_ids = 0
        self._losses: dict[tuple[str, SiteKey], int] = {}  # hosts that a family (root run id) has lost in a row
        self._unforkable: dict[tuple[GuardianKey, tuple[str, ...]], _Unforkable] = {}  # the latest last

    def host_for(
        self, context: Context, modules: tuple[str, ...], ready: Callable[[ModuleHost], None], python: str = ""
    ) -> None:
        """Call `ready` with a host of these modules, as they are on disk now, when its imports are over.

        `python` is the interpreter of a worker group, "" for the context's own. Raises `OSError` when it cannot be
        started.
        """
        guardian = self._guardian_for(context_of_group(context, python, self._supervisor.project.root))
        for host in list(self.hosts.values()):
            if host.guardian is not guardian or host.modules != modules or host.superseded:
                continue
            if host.state is HostState.IMPORTING:
                host.waiting.append(ready)
                return
            if host.state is HostState.READY and host.fresh() and not host.failed_modules:
                ready(host)
                return
            self._supersede(host)
        self._start_host(guardian, modules).waiting.append(ready)

    def forget(self, ready: Callable[[ModuleHost], None]) -> None:
        """Whoever asked with `ready` does not wait any more. Imports that nobody else waits for are ended."""
        for host in list(self.hosts.values()):
            if ready in host.waiting:
                host.waiting.remove(ready)
                if not host.waiting:
                    self._supersede(host)

    def _guardian_for(self, context: Context) -> Guardian:
        key = guardian_key(context)
        guardian = self._guardians.get(key)
        if guardian is not None and guardian.sources.changed() is not None:
            self._supersede_guardian(key)
            guardian = None
        if guardian is None:
            process, sock = self._new_guardian(key)
            guardian = Guardian(
                self._supervisor,
                process,
                sock,
                key,
                self._configuration(key),
                self._supervisor.exited,
                self._guardian_lost,
            )
            self._guardians[key] = guardian
        return guardian

    def _supersede_guardian(self, key: GuardianKey) -> None:
        guardian = self._guardians.pop(key)
        self._superseded.append(guardian)
        for host in list(self.hosts.values()):
            if host.guardian is guardian and not host.superseded:
                self._supersede(host)
        self.release()

    def _new_guardian(self, key: GuardianKey) -> tuple[ChildProcess, socket.socket]:
        spare = self._spare_guardian
        ours = sys.executable, own_environment(), False
        if spare is not None and (key.interpreter, key.environment, key.own_path) == ours:
            self._spare_guardian = None
            return spare
        return launch_guardian(key)

    def _configuration(self, key: GuardianKey) -> Configure:
        preload = self._supervisor.project.settings.preload
        packages: tuple[str, ...] = ()
        if preload == "auto":
            learnt = self._supervisor.store.get_setting(_preload_key(key))
            packages = tuple(learnt.decode().split("\n")) if learnt else ()
        elif preload != "off":
            packages = preload
        return Configure(
            sys_path=key.sys_path,
            preload=packages,
            project=self._supervisor.project.root,
            scratch=self._supervisor.scratch,
            blobs=self._supervisor.project.blobs_dir,
            descriptor_limit=self._descriptor_limit,
            own_path=key.own_path,
        )

    def _start_host(self, guardian: Guardian, modules: tuple[str, ...], attempt: int = 1) -> ModuleHost:
        self._host_ids += 1
        settings = self._supervisor.project.settings
        host = ModuleHost(
            self._supervisor,
            self._host_ids,
            guardian,
            modules,
            settings.start_method,
            self._from_host,
            attempt,
            no_fork=self._known_not_to_fork(guardian, modules),
        )
        self.hosts[host.id] = host
        self._supervisor.scheduler.add_host(host.id, host.key)
        self._supervisor.later(settings.import_timeout, lambda: host.import_timed_out(settings.import_timeout))
        return host

    def _from_host(self, host: ModuleHost, message: Imported | WorkerStarted | WorkerFailed) -> None:
        match message:
            case Imported():
                self._learn_preload(host, message)
                self._host_imported(host, message)
            case WorkerStarted():
                worker = self._supervisor.workers.get(message.worker)
                if worker is not None:
                    worker.started(message.pid)
                    self._supervisor.worker_starts.started(worker)
            case WorkerFailed():
                failed = self._supervisor.workers.pop(message.worker, None)
                if failed is not None:
                    failed.ended(0)
                    if failed.on_end is not None:
                        failed.on_end(message.message)
                    self._supervisor.happen(ev.WorkerRefused(message.worker, message.message))
            case _:
                assert_never(message)

    def _host_imported(self, host: ModuleHost, message: Imported) -> None:
        host.ready(message)
        host.ready_at = self._supervisor.now.monotonic
        changed = host.sources.changed()
        if changed is None or not host.waiting:
            self._warn(host, message)
            host.tell()
            self._take_over(host)
            return
        if host.attempt < IMPORT_ATTEMPTS:  # it was saved while it was imported
            successor = self._start_host(host.guardian, host.modules, host.attempt + 1)
            successor.waiting, host.waiting = host.waiting, []
        else:
            host.keeps_changing(changed)
            host.tell()
        self._supersede(host)

    def _take_over(self, host: ModuleHost) -> None:
        """Whose modules an older generation has served, starts new attempts on this one (§13.2)."""
        if host.superseded or any(host.error_of(module) is not None for module in host.modules):
            return
        taken = [
            root
            for root, family in self._supervisor.scheduler.families.items()
            if any(self._succeeds(host, self.hosts.get(older)) for older in _hosts_of(family))
        ]
        if taken:
            self._supervisor.happen(ev.HostReady(host.id, tuple(taken)))
            self.release()

    def _succeeds(self, host: ModuleHost, older: ModuleHost | None) -> bool:
        return (
            older is not None
            and older.superseded
            and (older.guardian.key, older.modules) == (host.guardian.key, host.modules)
        )

    def returned(self, worker: WorkerProcess, message: Returned) -> str:
        """Take in what a worker has imported. Return why it must not be used again, "" if it may.

        One whose code is old already has to leave, and nothing is left of it. What the others imported has to be as it
        is on disk when the next run starts.
        """
        if self._losses:
            self._forget_losses(worker.id)
        host = self.hosts.get(worker.host)
        if message.unclean or message.sources is None or host is None:
            return message.unclean
        imported = SourceWatch()
        imported.add(message.sources)
        changed = imported.changed()
        if changed is not None:
            return f"{changed} has changed since it was imported"
        host.sources.add(message.sources)
        return ""

    def _forget_losses(self, worker_id: int) -> None:
        """The family whose work it did gets on."""
        execution = self._supervisor.scheduler.running_on(worker_id)
        if execution is not None and execution.step.site is not None:
            self._losses.pop((execution.step.run.family.root.id, execution.step.site.key), None)

    def bears_no_fork(self, host: ModuleHost) -> None:
        """Say so. Another host of these modules spawns its workers from the start, as long as no file has changed."""
        known = host.guardian.key, host.modules
        self._unforkable.pop(known, None)
        self._unforkable[known] = _Unforkable(host.no_fork, host.sources)
        if len(self._unforkable) > UNFORKABLE_KNOWN:
            del self._unforkable[next(iter(self._unforkable))]
        modules = ", ".join(host.modules) or "this code"
        self._supervisor.server.notice("warning", f"the workers of {modules} are spawned, not forked: {host.no_fork}")

    def _known_not_to_fork(self, guardian: Guardian, modules: tuple[str, ...]) -> str:
        """Why the modules, as they are on disk now, bear no fork; "" when nothing is known."""
        known = self._unforkable.get((guardian.key, modules))
        return known.reason if known is not None and known.sources.changed() is None else ""

    def _warn(self, host: ModuleHost, message: Imported) -> None:
        """Say, once for a generation, what its imports do to its workers, and which files they can never be of."""
        modules = ", ".join(host.modules)
        for path in message.hidden:
            self._supervisor.server.notice("warning", taken_name(path, os.path.basename(path).removesuffix(".py")))
        if message.no_fork:
            self.bears_no_fork(host)
        elif message.shared:
            named = [f"{resource.name} ({resource.kind})" for resource in message.shared[:SHARED_NAMED]]
            more = len(message.shared) - len(named)
            others = f" and {more} more (`coflux doctor` names them)" if more else ""
            self._supervisor.server.notice(
                "warning",
                f"importing {modules} made what all workers now share: {', '.join(named)}{others}; make it inside the "
                'task that uses it, or configure start_method = "spawn"',
            )

    def _learn_preload(self, host: ModuleHost, message: Imported) -> None:
        """What the modules pulled in from outside the project, a guardian may import beforehand next time."""
        if self._supervisor.project.settings.preload != "auto" or not message.third_party:
            return
        configuration = host.guardian.configuration
        known = set(configuration.preload)
        if known.issuperset(message.third_party):
            return
        if not self._is_current(host.guardian):
            return
        packages = "\n".join(sorted(known | set(message.third_party))).encode()
        setting = _preload_key(host.guardian.key)
        self._supervisor.after_commit(lambda: self._put_setting(setting, packages))

    def _is_current(self, guardian: Guardian) -> bool:
        """Whether it is neither gone nor superseded."""
        return self._guardians.get(guardian.key) is guardian

    def _put_setting(self, key: str, value: bytes) -> None:
        try:
            self._supervisor.store.put_setting(key, value)
        except StoreError:
            pass  # only a shortcut of the next start, which learns it again

    def _supersede(self, host: ModuleHost) -> None:
        host.superseded = True
        self._supervisor.scheduler.supersede_host(host.id)
        self.release()

    def release(self) -> None:
        """End hosts of old code that nothing needs any more, and guardians that have none left."""
        for host in self.hosts.values():
            if host.superseded and not self._in_use(host):
                host.kill()
        needed = {host.guardian for host in self.hosts.values()}
        for guardian in self._superseded:
            if guardian not in needed and not guardian.retired:
                guardian.retire()

    def _in_use(self, host: ModuleHost) -> bool:
        if host.waiting or self._supervisor.scheduler.host_in_use(host.id):
            return True
        return any(worker.host == host.id for worker in self._supervisor.workers.values() if worker.id < 0)  # binders

    def ended(self, host: ModuleHost, status: int) -> None:
        """A host's process is gone, and so are its workers."""
        self._supervisor.worker_starts.host_ended(host, status)
        for worker in [worker for worker in self._supervisor.workers.values() if worker.host == host.id]:
            self._supervisor.worker_ended(worker.id, status)  # its guardian found none of them left
        families = self._supervisor.scheduler.families
        orphans = [root for root, family in families.items() if host.id in _hosts_of(family)]
        self._supervisor.happen(ev.HostLost(host.id))
        if host.ended(status) and orphans:
            self._replace_host(host, orphans)
        self.release()

    def _replace_host(self, host: ModuleHost, families: list[str]) -> None:
        lost_often = self._count_losses(host, families)
        if lost_often:
            self._refuse(lost_often, _lost_too_often(host.key), host.key)
        others = [root for root in families if root not in lost_often]
        if not others:
            return
        if not self._is_current(host.guardian):
            self.bring_back()
            return
        self._start_host(host.guardian, host.modules).waiting.append(lambda new: self.serve(new, others))

    def _count_losses(self, host: ModuleHost, families: list[str]) -> list[str]:
        """Those of the families that have lost their host too often, without that work was done in between."""
        unfinished = self._supervisor.scheduler.families
        self._losses = {site: losses for site, losses in self._losses.items() if site[0] in unfinished}
        was_well = self._supervisor.now.monotonic - host.ready_at >= HOST_WELL
        for root in families:
            self._losses[root, host.key] = 1 if was_well else self._losses.get((root, host.key), 0) + 1
        return [root for root in families if self._losses[root, host.key] > HOST_RESTARTS]

    def serve(self, host: ModuleHost, families: list[str]) -> None:
        """A host for a site of families that had none there, or an older one, has its modules, or could not import."""
        errors = [error for module in host.modules if (error := host.error_of(module)) is not None]
        failure = host.failure or (errors[0] if errors else None)
        if failure is not None:
            self._refuse(families, describe_failure(failure, self._known_modules()), host.key, failure)
        else:
            self._supervisor.happen(ev.HostReady(host.id, tuple(families)))

    def _known_modules(self) -> set[str]:
        """What somebody may have meant who named a module that does not exist."""
        return modules_in(self._supervisor.project.root).union(*(host.modules for host in self.hosts.values()))

    def _refuse(self, families: list[str], message: str, site: SiteKey, error: ModuleError | None = None) -> None:
        """`error` is what the module raised, if it did: callers can catch that."""
        traceback = message if error is None else error.traceback
        if error is not None and error.type and not is_missing(error):
            failure = Failure(error.type, message, traceback, exception=error.exception)
        else:
            failure = Failure("coflux.errors.ExecutionError", message, traceback)
        self._supervisor.happen(ev.HostRefused(tuple(families), Failed(failure), site))

    def bring_back(self) -> None:
        """Give families without a host one, wherever they are to have one."""
        for root, family in list(self._supervisor.scheduler.families.items()):
            for site in list(family.sites.values()):
                if site.host is None and site.requested:
                    self.provide(root, site.key)

    def provide(self, root: str, site: SiteKey) -> None:
        """Bring up a host for one site of a family, in the context that it was started with."""
        family = self._supervisor.scheduler.families.get(root)
        if family is None:
            return
        if self._losses.get((root, site), 0) > HOST_RESTARTS:
            self._refuse([root], _lost_too_often(site), site)
            return
        context = self.stored_context(family.root.context)
        if context is None:
            self._refuse([root], f"the environment that {root} was started in is not in the store any more", site)
            return
        try:
            self.host_for(context, site.modules, lambda host: self.serve(host, [root]), site.python)
        except OSError as error:
            interpreter = site.python or context.interpreter
            self._refuse([root], f"{interpreter} cannot be started: {error.strerror}", site)

    def stored_context(self, context_id: int) -> Context | None:
        """The context that a run was started in, with the secrets that are not stored taken from our own environment;
        `None` when it is not in the store any more."""
        row = self._supervisor.store.context(context_id)
        if row is None:
            return None
        secrets = {name: os.environ[name] for name in row.omitted if name in os.environ}
        environment = row.environment | secrets
        self._supervisor.terminals.remember(context_id, environment)
        return Context(row.interpreter, tuple(row.sys_path), environment, self._supervisor.project.root)

    def _guardian_lost(self, guardian: Guardian) -> None:
        """A guardian died: its hosts and workers with it, and what they leave behind is ours to kill."""
        for key, known in list(self._guardians.items()):
            if known is guardian:
                del self._guardians[key]
        self._superseded = [known for known in self._superseded if known is not guardian]
        guardian.process.kill()
        self._kill_strays()
        for host in [host for host in self.hosts.values() if host.guardian is guardian]:
            del self.hosts[host.id]
            if host.state is HostState.IMPORTING and guardian.problem:
                host.fail(guardian.problem)
            self.ended(host, signal.SIGKILL)

    def _kill_strays(self) -> None:
        """Kill what we have adopted: children of ours that are no guardians."""
        keep = {guardian.pid for guardian in self._all_guardians()}
        if self._spare_guardian is not None:
            keep.add(self._spare_guardian[0].pid)
        kill_strays(keep, lambda pid, status: None)

    def _all_guardians(self) -> list[Guardian]:
        return [*self._guardians.values(), *self._superseded]

    def poll(self) -> None:
        """A child may have ended: wait for guardians that have."""
        for guardian in self._all_guardians():
            guardian.process.poll()

    def close(self) -> None:
        """End all guardians, and with them everything below."""
        if self._spare_guardian is not None:
            process, sock = self._spare_guardian
            sock.close()  # it leaves
            process.wait(5.0)
        for guardian in self._all_guardians():
            end_guardian(guardian)
        self._guardians.clear()
        self._superseded.clear()
        kill_strays((), lambda pid, status: None)


class _Unforkable(NamedTuple):
    """Modules that bear no fork, as long as these are their sources."""

    reason: str
    sources: SourceWatch


def _hosts_of(family: Family) -> set[int]:
    """The hosts that serve a family, the newest generations."""
    return {site.host.id for site in family.sites.values() if site.host is not None}


def _lost_too_often(site: SiteKey) -> str:
    modules = ", ".join(site.modules) or "this code"
    return f"the module host of {modules} ended {HOST_RESTARTS + 1} times in a row; it is not started again"


def _preload_key(key: GuardianKey) -> str:
    return "preload:" + key.interpreter + ":" + os.pathsep.join(key.sys_path)
