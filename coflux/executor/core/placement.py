"""Placement: where the code of a step is, and which worker groups may run it.

Whatever lacks nothing but a slot comes here. A stub is looked up first, since its requirements are the real target's.
Then there is a route, or the execution stays queued as one that no group can ever run. The route has an interpreter:
if it is the caller's, its own code stays at its site; all else gets another one, whose module is imported on demand.
Executions without a host wait at their site, in nobody's way.
"""

from __future__ import annotations

from difflib import get_close_matches

from msgspec.structs import replace

from coflux.encoded import Failure
from coflux.executor.core.catalogue import Catalogue
from coflux.executor.core.commands import NeedHost
from coflux.executor.core.effects import Outbox
from coflux.executor.core.queue import Queues
from coflux.executor.core.refusals import refusal
from coflux.executor.core.routing import Router, interpreter_for, requirements, why_unroutable
from coflux.executor.core.state import Execution, Family, Host, Run, Site, SiteKey, State, Step
from coflux.executor.messages import Failed, Outcome, TargetSpec

__all__ = ["Placement"]


class Placement:
    """
    Attributes:
        failing: executions that are to fail, as far as they are still queued, each with its outcome.
        unroutable: families with executions that no group can ever run.
    """

    def __init__(self, router: Router, queue: Queues, catalogue: Catalogue, outbox: Outbox) -> None:
        """
        Args:
            router: finds the groups of a step.
            queue: takes what is ready for a slot.
            catalogue: knows what module hosts have imported.
            outbox: takes requests for hosts, and what is to be written.
        """
        self.failing: list[tuple[Execution, Outcome]] = []
        self.unroutable: dict[Family, None] = {}
        self._router = router
        self._queue = queue
        self._catalogue = catalogue
        self._outbox = outbox

    # -- executions ----------------------------------------------------------------------------------------------

    def push(self, execution: Execution) -> None:
        """It lacks nothing but a slot, and perhaps a place to run at."""
        step = execution.step
        if step.route is None and not self._find_route(execution):
            return
        site = step.site
        assert site is not None  # with the route
        if site.host is None:
            self._wait_at(site, execution)
            return
        host = execution.host
        if host is not site.host and (host is None or host.key != site.key):
            execution.bind(site.host)
        self._queue.push(execution)

    def withdraw(self, execution: Execution) -> None:
        """It does not start, for now or for good. Nothing happens if it was not about to."""
        self._queue.withdraw(execution)

    def _find_route(self, execution: Execution) -> bool:
        """Decide where its step runs. False, and it is not ready, if that is not known yet or nowhere."""
        step = execution.step
        if not self.knows_target(execution):
            return False
        requires, module, router = requirements(step), step.spec.module, self._router
        route = router.only
        if requires or route is None:
            route = router.route(module, requires, step.run.family.home.key.python)
        if route is None:
            self._set_aside(execution, why_unroutable(router.groups, module, requires))
            return False
        step.route = route
        step.site = self._site(step, route.python)
        return True

    def _set_aside(self, execution: Execution, reason: str) -> None:
        """No group can ever run it."""
        family = execution.step.run.family
        family.unroutable[execution] = None
        self.unroutable[family] = None
        self._set_reason(execution, reason)

    def _set_reason(self, execution: Execution, reason: str) -> None:
        execution.reason = reason
        self._outbox.executions[execution] = None

    # -- stubs ---------------------------------------------------------------------------------------------------

    def knows_target(self, execution: Execution) -> bool:
        """Whether the target of its step is known. A stub whose is not fails, or waits until the module is imported."""
        step = execution.step
        if step.resolved or self.resolve(execution):
            return True
        if step.site is not None and execution in step.site.unresolved:
            self._wait_at(step.site, execution)
        return False

    def resolve(self, execution: Execution) -> bool:
        """Let a stub's step have what only the real target knows. False if there is no such target, or if the module
        has to be imported first."""
        step = execution.step
        module = step.spec.module
        site = self._having(step, module)
        if site is None:
            family = step.run.family
            python = interpreter_for(self._router.groups, module, family.home.key.python)
            step.site = family.site(SiteKey(python, (module,)))
            step.site.unresolved[execution] = None
            self._request(family, step.site)
            return False
        assert site.host is not None  # else it would not have the module
        targets = self._catalogue.targets(site.host.id, module)
        problem = _mismatch(step.spec, targets)
        if problem is not None:
            self.failing.append((execution, refusal(problem)))
            return False
        step.spec = _as_declared(step.spec, targets[step.spec.name])
        step.resolved = True
        return True

    def _having(self, step: Step, module: str) -> Site | None:
        """A site of the family whose host has imported the module: the caller's, if that has."""
        for site in (_caller_site(step), *step.run.family.sites.values()):
            if site.host is not None and self._catalogue.has_module(site.host.id, module):
                return site
        return None

    # -- sites ---------------------------------------------------------------------------------------------------

    def settle_restored(self, run: Run) -> None:
        """A family that came from the store: its root's module is about to be imported."""
        assert run.root is not None
        spec = run.root.step.spec
        python = interpreter_for(self._router.groups, spec.module)
        run.family.settle_at(SiteKey(python, _modules(spec)), None)

    def _site(self, step: Step, python: str) -> Site:
        """Where a step's code is, for that interpreter. The caller has imported what it calls, unless by a stub."""
        spec, family, caller = step.spec, step.run.family, _caller_site(step)
        if caller.key.python == python and not spec.stub:
            return caller
        for site in (caller, *family.sites.values()):
            there = spec.code is not None or spec.module in site.key.modules or self._has(site, spec.module)
            if there and site.key.python == python:
                return site
        return family.site(SiteKey(python, _modules(spec)))

    def _has(self, site: Site, module: str) -> bool:
        return site.host is not None and self._catalogue.has_module(site.host.id, module)

    def _wait_at(self, site: Site, execution: Execution) -> None:
        """It waits for a host, which is asked for unless that has been done."""
        if site.refused is not None:
            self.failing.append((execution, site.refused))
            return
        site.waiting[execution] = None
        modules = ", ".join(site.key.modules)
        self._set_reason(execution, f"importing module {modules}" if modules else "starting a module host")
        self._request(execution.step.run.family, site)

    def _request(self, family: Family, site: Site) -> None:
        if not site.requested:
            site.requested = True
            self._outbox.commands.append(NeedHost(family.root.id, site.key))

    # -- hosts ---------------------------------------------------------------------------------------------------

    def host_ready(self, family: Family, host: Host) -> list[Execution]:
        """A host serves one of the family's sites. Return the executions that have waited for it: they can be ready."""
        site = family.site(host.key)
        site.host = host
        site.requested = False
        site.refused = None
        unresolved, site.unresolved = site.unresolved, {}
        for execution in unresolved:
            if execution.state is State.QUEUED and not execution.step.resolved:
                self.resolve(execution)
        waiting, site.waiting = site.waiting, {}
        return list(waiting)

    def host_lost(self, family: Family, host: Host) -> None:
        """The host of a site died, and another one is being built."""
        site = family.sites.get(host.key)
        if site is None or site.host is not host:
            return
        site.host = None
        site.requested = True
        for execution in family.executions.values():
            if execution.ready and execution.step.site is site:
                self._queue.withdraw(execution)
                self._wait_at(site, execution)

    def host_refused(self, family: Family, key: SiteKey | None, outcome: Outcome) -> None:
        """There will be no host: what is queued for the site fails. The next that needs one elsewhere than at the
        family's home asks again: the module may have been mended."""
        site = family.home if key is None else family.site(key)
        site.requested = False
        if site is family.home and site.host is None:
            site.refused = outcome
        unresolved, site.unresolved = site.unresolved, {}
        for execution in family.executions.values():
            if execution.state is State.QUEUED and execution.worker is None:
                here = execution.step.site or (site if site is family.home else None)
                if here is site:
                    self._queue.withdraw(execution)
                    named = execution in unresolved
                    self.failing.append((execution, _naming(execution.step.spec, outcome) if named else outcome))


def _caller_site(step: Step) -> Site:
    """Where the code is that calls it."""
    caller = step.parent if step.parent is not None else step.run.parent
    site = None if caller is None else caller.step.site
    return step.run.family.home if site is None else site


def _modules(spec: TargetSpec) -> tuple[str, ...]:
    """What has to be imported to run it."""
    return () if spec.code is not None else (spec.module,)


def _mismatch(stub: TargetSpec, targets: dict[str, TargetSpec]) -> str | None:
    """Why a stub stands for nothing that its module defines."""
    target = targets.get(stub.name)
    if target is None:
        near = get_close_matches(stub.name, targets, 3, 0.5) or sorted(targets)[:5]
        hint = f"; it has {', '.join(near)}" if near else "; it has no targets at all"
        return f"module {stub.module} has no target {stub.name!r}{hint}"
    if target.type != stub.type:
        return (
            f"{stub.module}/{stub.name} is a {target.type}, and the stub says {stub.type}: declare it with "
            f'type="{target.type}"'
        )
    return None


def _as_declared(stub: TargetSpec, target: TargetSpec) -> TargetSpec:
    """The stub with the real target's requirements and timeout, as far as the call site has not changed them, and with
    the default that it has for the steps of its run."""
    real = target.options._asdict()
    taken = {name: real[name] for name in ("requires", "timeout") if name not in stub.overrides}
    return replace(stub, options=stub.options._replace(**taken), run_memo=target.run_memo)


def _naming(spec: TargetSpec, outcome: Outcome) -> Outcome:
    """The outcome of a stub whose module does not import, with the target's name."""
    if not isinstance(outcome, Failed):
        return outcome
    failure = outcome.failure
    message = f"{spec.module}/{spec.name}: {failure.message}"
    return Failed(Failure(failure.type, message, failure.traceback))
