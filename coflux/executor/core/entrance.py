"""The entrance: what is decided about an execution between its submission and its place in the queue.

submitted ──> deferral: does it supersede an older one? ──> its delay ──> due
due ──> cache: is there a result, or somebody who computes it? ──> arguments: have all ended that it waits for?
    ──> a workflow becomes a run of its own, anything else is ready
"""

from __future__ import annotations

from math import inf

from coflux.executor.core.admission import Admission
from coflux.executor.core.archive import Archive
from coflux.executor.core.catalogue import Catalogue
from coflux.executor.core.cycles import closed_cycle, describe_cycle
from coflux.executor.core.deferral import Deferral
from coflux.executor.core.effects import Outbox
from coflux.executor.core.endings import Endings
from coflux.executor.core.holds import Holds
from coflux.executor.core.placement import Placement
from coflux.executor.core.refusals import refusal, too_deep
from coflux.executor.core.register import Register
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import Execution, Instant, Run, State, StepKeys
from coflux.executor.messages import RunOptions

__all__ = ["Entrance"]


class Entrance:
    def __init__(
        self,
        register: Register,
        placement: Placement,
        admission: Admission,
        holds: Holds,
        deferral: Deferral,
        sources: Sources,
        endings: Endings,
        outbox: Outbox,
        archive: Archive,
        catalogue: Catalogue,
        max_depth: int,
    ) -> None:
        """
        Args:
            register: where runs are entered.
            placement: knows the real targets of stubs.
            admission: delays, and what is ready.
            holds: what waits for others.
            deferral: which submissions replace which.
            sources: results for the cache that the store does not know of.
            endings: takes what has a result without being executed.
            outbox: takes what is to be written.
            archive: results for the cache that the store knows of.
            catalogue: knows what code a result would be made by.
            max_depth: deepest nesting of calls.
        """
        self._register = register
        self._placement = placement
        self._admission = admission
        self._holds = holds
        self._deferral = deferral
        self._sources = sources
        self._endings = endings
        self._outbox = outbox
        self._archive = archive
        self._catalogue = catalogue
        self._max_depth = max_depth

    def enter(self, execution: Execution, delay: float, now: Instant) -> None:
        """Take in what was submitted, to be due after `delay` seconds."""
        if execution.step.depth >= self._max_depth:
            self._endings.end(execution, State.FAILED, too_deep(execution, self._max_depth), now)
            return
        if execution.step.defer_key is not None and execution.trigger == "submission":
            older = self._deferral.submitted(execution)
            if older is not None:
                self._supersede(older, execution)
        self._admission.enqueue(execution, delay, now)

    def settle(self, now: Instant) -> bool:
        """Decide all that is to be decided. To be called after whatever may have made executions due.

        Returns whether there was anything.
        """
        deferral, due = self._deferral, self._admission.due
        decided = bool(due or deferral.started or deferral.revived)
        while due or deferral.started or deferral.revived:
            while deferral.started:
                survivor, superseded = deferral.started.pop()
                for execution in superseded:
                    if execution.state is State.QUEUED:
                        self._endings.end(execution, State.DEFERRED, None, now, successor=survivor)
            while deferral.revived:
                self._revive(deferral.revived.pop(), now)
            if due:
                self._admit(due.popleft(), now)
        return decided

    def _supersede(self, older: Execution, newer: Execution) -> None:
        """It waits from now on until the newer submission starts, or is cancelled."""
        older.superseded_by = newer
        self._admission.withdraw(older)
        self._holds.drop(older)
        self._holds.unlink(older)
        # Others may count on it to compute: it is not to have an older result, should it be revived.
        older.asked = bool(older.links)
        self._admission.set_reason(older, f"superseded by {newer.id}, until that has started")

    def _revive(self, execution: Execution, now: Instant) -> None:
        """What superseded it was cancelled, perhaps together with it."""
        if execution.state is not State.QUEUED:
            return
        execution.superseded_by = None
        if execution.due_at is not None and execution.due_at > now.elapsed:
            self._admission.set_reason(execution, "delayed")
        else:
            self._admission.due.append(execution)
            self._outbox.executions[execution] = None

    # -- due -----------------------------------------------------------------------------------------------------

    def _admit(self, execution: Execution, now: Instant) -> None:
        """It is due, or something that it waited for has ended."""
        if execution.state is not State.QUEUED or execution.worker is not None or execution.ready:
            return
        if execution.hold is not None:
            self._break_cycle(execution, now)
            return
        if execution.superseded_by is not None or execution.source is not None or execution.blocked_by is not None:
            return
        if execution.due_at is not None and execution.due_at > now.elapsed:
            return  # another of its waits has ended, and its delay has not
        if self._admission.park(execution):
            return
        if not execution.asked:
            execution.asked = True
            if execution.step.cache_key is not None and self._answered_by_cache(execution, now):
                return
        if execution.step.spec.options.wait and self._holds.for_arguments(execution):
            return
        if execution.step.spawns:
            if self._placement.knows_target(execution):
                self._spawn(execution, now)
        else:
            self._admission.make_ready(execution)

    def _answered_by_cache(self, execution: Execution, now: Instant) -> bool:
        """Whether it has a result already, or will have that of another one."""
        step = execution.step
        assert step.cache_key is not None
        assert step.spec.options.cache is not None
        max_age = step.spec.options.cache.max_age
        since = -inf if max_age is None else now.wall - max_age
        lineage = self._archive.lineage(execution.workspace)
        under_way = self._sources.newest(step, lineage, since)
        recorded = self._archive.cached(lineage, step.cache_key, since)
        if under_way is not None and (recorded is None or under_way.created_at >= recorded.created_at):
            if not under_way.unfinished:
                assert under_way.outcome is not None
                older = self._is_older(execution, under_way.fingerprint)
                self._endings.hit(execution, under_way.id, under_way.outcome, now, older_code=older)
                return True
            if closed_cycle(execution, [under_way]) is None:
                self._holds.link(execution, under_way)
                return True
        if recorded is None:
            return False
        older = self._is_older(execution, recorded.fingerprint)
        self._endings.hit(execution, recorded.id, recorded.outcome, now, older_code=older)
        return True

    def _is_older(self, execution: Execution, fingerprint: bytes) -> bool:
        """Whether a result with this fingerprint was made by other code than would be run now, as far as is known."""
        spec, host = execution.step.spec, execution.host or execution.step.run.family.host
        current = b"" if host is None else self._catalogue.fingerprint(host.id, spec.module, spec.name)
        return bool(fingerprint and current) and fingerprint != current

    def _break_cycle(self, execution: Execution, now: Instant) -> None:
        """A wait that can never end is an error, not a hang.

        What waits in the cycle for a result of the cache is executed instead. An attempt after a suspension starts at
        once: it is told of the cycle when it asks again for what it was suspended for.
        """
        hold = execution.hold
        while hold is not None and not hold.over:
            cycle = self._holds.closed_cycle(hold)
            if cycle is None:
                return
            if not self._holds.unlink_one(cycle):
                if hold.any:
                    self._holds.drop(execution)
                    self._admission.due.append(execution)
                else:
                    self._endings.end(execution, State.FAILED, refusal(describe_cycle(cycle)), now)

    def _spawn(self, execution: Execution, now: Instant) -> None:
        """A workflow that was called from code becomes a run of its own, whose root is what the chain goes on with."""
        step = execution.step
        if execution.resumes and step.spawned is not None and step.spawned.root is not None:
            root = self.again(step.spawned.root, execution.workspace, now, resumes=True)
        else:
            root = self._start_run(execution, now)
        self._endings.end(execution, State.SPAWNED, None, now, successor=root)

    def _start_run(self, execution: Execution, now: Instant) -> Execution:
        step = execution.step
        options = RunOptions(workspace=execution.workspace)
        run = Run(self._archive.new_run_id(), step.run.family, execution, options, now.wall)
        run.context = step.run.context
        run.family.runs.append(run)
        step.spawned = run
        self._outbox.steps[step] = None
        self._register.adopt_run(run)
        keys = StepKeys(step.keys, cache=step.cache_key)
        root = self._register.create_step(run, None, None, step.spec, step.encoded, step.arguments, now, keys)
        run.root = root
        root.asked = True  # that was the calling step's part, as were its delay and the wait for its arguments
        self._outbox.runs[run] = None
        self._admission.make_ready(root)
        return root

    # -- again ---------------------------------------------------------------------------------------------------

    def again(self, execution: Execution, workspace: str, now: Instant, *, resumes: bool) -> Execution:
        """Execute a step again, from the start: what is unfinished of it there is cancelled."""
        step = execution.step
        run = step.run
        run.family.stuck = ""
        earlier = [one for one in step.executions if one.workspace == workspace]
        # Entered before anything is cancelled, so that the family does not settle in between.
        attempt = self._register.create_execution(step, run.family.host, now, "rerun", workspace)
        attempt.asked = True
        attempt.resumes = resumes
        self._endings.cancel([one for one in earlier if one.unfinished], now)
        if step.number == 1 and workspace == run.options.workspace:  # to another one, the run is as it was
            run.root = attempt
            run.finished_at = None
        self._outbox.runs.update(dict.fromkeys(run.family.runs))  # they may have settled before
        processes = [one.worker for one in earlier if one.worker is not None]
        leaving = next((worker for worker in processes if worker.id in run.family.leaving), None)
        if leaving is not None:
            self._admission.hold_back(attempt, leaving, 0.0, now)
        else:
            self._admission.enqueue(attempt, 0.0, now)
        return attempt
