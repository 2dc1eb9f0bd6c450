"""How executions end: outcomes and what follows from them, and the cancels and timeouts that reach what is below."""

from __future__ import annotations

from collections.abc import Callable

from coflux.executor.core.admission import Admission
from coflux.executor.core.commands import Finished
from coflux.executor.core.cycles import closed_cycle
from coflux.executor.core.deferral import Deferral
from coflux.executor.core.descent import all_below, with_all_below
from coflux.executor.core.effects import Outbox
from coflux.executor.core.fleet import Fleet
from coflux.executor.core.holds import Holds
from coflux.executor.core.register import Register
from coflux.executor.core.retry import next_delay
from coflux.executor.core.slots import Slots
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import FAILURES, Execution, Instant, Run, State, Trigger
from coflux.executor.core.waiting import Waits
from coflux.executor.messages import Outcome, Terminated

__all__ = ["KEPT_RECURRENCES", "Endings"]

KEPT_RECURRENCES = 100  # attempts of a recurrent step that are kept, besides the first

_GOES_ON = frozenset({State.SUSPENDED, State.RECURRED})


class Endings:
    def __init__(
        self,
        register: Register,
        admission: Admission,
        slots: Slots,
        fleet: Fleet,
        waits: Waits,
        holds: Holds,
        deferral: Deferral,
        sources: Sources,
        outbox: Outbox,
        random: Callable[[], float],
    ) -> None:
        """
        Args:
            register: where further attempts are entered and families settle.
            admission: takes further attempts.
            slots: what ends gives its slot back, and leaves the queue.
            fleet: ends the processes of what is cancelled or timed out.
            waits: answers who waits for what ends.
            holds: what ends holds for nothing any more.
            deferral: is told what will not start.
            sources: is told what has ended.
            outbox: takes what is to be written.
            random: uniform in [0, 1), for the jitter of unlimited retries.
        """
        self._register = register
        self._admission = admission
        self._slots = slots
        self._fleet = fleet
        self._waits = waits
        self._holds = holds
        self._deferral = deferral
        self._sources = sources
        self._outbox = outbox
        self._random = random

    # -- outcomes ------------------------------------------------------------------------------------------------

    def end(
        self,
        execution: Execution,
        state: State,
        outcome: Outcome | None,
        now: Instant,
        *,
        retryable: bool = False,
        crashed: bool = False,
        successor: Execution | None = None,
    ) -> None:
        """Record an outcome, decide on a retry, and move or answer those who wait.

        Args:
            execution: the one that ends.
            state: how.
            outcome: what a waiter is told, if the chain ends here.
            now: the time.
            retryable: a failure may be followed by another attempt.
            crashed: its process ended without an outcome.
            successor: what the chain goes on with.
        """
        self._leave(execution, state, now)
        execution.finished_at = now.wall
        execution.outcome = outcome
        if successor is None and state in FAILURES and retryable:
            successor = self._plan_retry(execution, now, crashed=crashed)
        execution.successor = successor
        end = execution.end()
        if end.unfinished:
            self._waits.pass_on(execution, end)
            run = execution.step.run
            if state is State.DEFERRED and _is_root(execution, run):
                self.follow_out(run)
            self._register.check_settled(run.family)
        else:
            self._chain_ended(execution, now)
        if execution.links:
            self._resolve_links(execution, now, retryable=retryable)

    def _leave(self, execution: Execution, state: State, now: Instant) -> None:
        """It stops being unfinished, with all that this means to others."""
        queued = execution.state is State.QUEUED
        execution.transition(state)
        execution.reason = ""
        self._outbox.executions[execution] = None
        self._slots.give_back(execution)
        self._waits.leave(execution, now)
        if queued:
            self._holds.drop(execution)
            self._holds.unlink(execution)
            self._admission.withdraw(execution)
            if state is State.CANCELLED:
                self._deferral.cancelled(execution)
            elif state is not State.DEFERRED:
                self._deferral.left_queue(execution)
        self._sources.ended(execution)
        family = execution.step.run.family
        family.unfinished -= 1
        family.stuck = ""
        if execution.host is not None:
            execution.host.bound -= 1

    def follow_out(self, run: Run) -> None:
        """A run whose root was deferred to an execution of another family is not over before that is."""
        assert run.root is not None
        end = run.root.end()
        if end.unfinished and end.step.run.family is not run.family:
            end.waiters.append(run)
            run.family.awaiting += 1

    def _let_go(self, run: Run, now: Instant) -> None:
        """A run was cancelled while its root is deferred to somebody else's execution, which goes on."""
        assert run.root is not None
        waiters = run.root.end().waiters
        if run in waiters:
            waiters.remove(run)
            run.let_go = True
            run.family.awaiting -= 1
            self._announce(run, now)
            self._register.check_settled(run.family)

    def _chain_ended(self, execution: Execution, now: Instant) -> None:
        runs = self._waits.ended(execution)
        for run in runs:
            run.family.awaiting -= 1
        for run in (*runs, execution.step.run):
            if _is_root(execution, run):  # it may have another root by now: somebody asked for it again
                self._announce(run, now)
            self._register.check_settled(run.family)

    def _announce(self, run: Run, now: Instant) -> None:
        run.finished_at = now.wall
        self._outbox.runs[run] = None
        self._outbox.commands.append(Finished(run.id, run.status.value))

    # -- further attempts ----------------------------------------------------------------------------------------

    def _plan_retry(self, execution: Execution, now: Instant, *, crashed: bool) -> Execution | None:
        retries = execution.step.spec.options.retries
        delay = next_delay(retries, execution.streak, self._random(), crashed=crashed)
        if delay is None:
            return None
        successor = self._next_attempt(execution, "retry", now)
        successor.streak = execution.streak + 1
        self._let_follow(execution, successor, delay, now)
        return successor

    def suspend(self, execution: Execution, now: Instant) -> None:
        """It has unwound, or was ended, after it had asked to go on in another attempt."""
        suspension = execution.suspension
        assert suspension is not None
        self._warn_of_fresh_waits(execution)
        successor = self._next_attempt(execution, "resumption", now)
        self._holds.for_any(successor, suspension.targets)
        self._let_follow(execution, successor, suspension.due_at - now.elapsed, now)
        self.end(execution, State.SUSPENDED, None, now, successor=successor)

    def recur(self, execution: Execution, now: Instant) -> None:
        """It has returned `None`, and its target is recurrent."""
        successor = self._next_attempt(execution, "recurrence", now)
        self._let_follow(execution, successor, execution.step.spec.options.delay, now)
        self.end(execution, State.RECURRED, None, now, successor=successor)
        self._prune(execution)

    def _next_attempt(self, execution: Execution, trigger: Trigger, now: Instant) -> Execution:
        host = execution.step.run.family.host
        successor = self._register.create_execution(execution.step, host, now, trigger, execution.workspace)
        successor.asked = True
        successor.resumes = execution.resumes
        return successor

    def _let_follow(self, execution: Execution, successor: Execution, delay: float, now: Instant) -> None:
        worker = execution.worker
        if worker is not None and worker.id in execution.step.run.family.leaving:
            self._admission.hold_back(successor, worker, delay, now)
        else:
            self._admission.enqueue(successor, delay, now)

    def _warn_of_fresh_waits(self, execution: Execution) -> None:
        """Twice in a row it waits for something that it has submitted itself, and will submit again."""
        attempts = execution.step.executions
        before = attempts[attempts.index(execution) - 1]
        if before is not execution and _waits_for_fresh(execution) and _waits_for_fresh(before):
            assert execution.suspension is not None
            target = execution.suspension.targets[0].step.spec
            text = (
                f"suspended to wait for a new execution of {target.module}/{target.name}, as the attempt before was: it"
                f" may go on like that for ever. With memo=True, the next attempt finds the {target.name} that this one"
                " has submitted"
            )
            self._outbox.warnings.append((execution, text))

    def _prune(self, execution: Execution) -> None:
        """Let go of the old attempts of a recurrent step, those that were suspended or retried on the way to the next
        recurrence included. The first one stays: it is what handles point to."""
        attempts = execution.step.executions
        position = 1
        while position < len(attempts) - KEPT_RECURRENCES:
            before, old, after = attempts[position - 1 : position + 2]
            if before.successor is old and old.successor is after and self._register.prune(old):
                before.successor = after
                self._outbox.executions[before] = None
            else:
                position += 1

    # -- results from the cache ----------------------------------------------------------------------------------

    def hit(self, execution: Execution, source: str, outcome: Outcome, now: Instant, *, older_code: bool) -> None:
        """It has the result of the execution called `source`."""
        execution.cached_from = source
        execution.older_code = older_code
        self.end(execution, State.CACHED, outcome, now)

    def _resolve_links(self, source: Execution, now: Instant, *, retryable: bool) -> None:
        """What is linked to it has its result, or its failure; without either it is executed."""
        links, source.links = source.links, []
        while source.state in _GOES_ON and source.successor is not None:
            source = source.successor
        for linked in links:
            linked.source = None
            if source.unfinished and closed_cycle(linked, [source]) is None:
                self._holds.link(linked, source)
            elif source.state is State.SUCCEEDED or source.state is State.CACHED:
                assert source.outcome is not None
                self.hit(linked, source.cached_from or source.id, source.outcome, now, older_code=source.older_code)
            elif source.state is State.FAILED or source.state is State.TIMED_OUT:
                self.end(linked, source.state, source.outcome, now, retryable=retryable)
            else:
                linked.asked = source.state is not State.DEFERRED  # what it was deferred to may have other arguments
                self._admission.due.append(linked)

    # -- time and people -----------------------------------------------------------------------------------------

    def time_out(self, execution: Execution, now: Instant) -> None:
        """Its timeout is over, or the time to unwind after a suspension."""
        if execution.suspension is not None:
            self._fleet.kill(execution)
            self.suspend(execution, now)
            return
        timeout = execution.step.spec.options.timeout
        outcome = Terminated("timed_out", f"{execution.id} exceeded its timeout of {timeout:g} s")
        self._fleet.kill(execution, dump=True)
        self.end(execution, State.TIMED_OUT, outcome, now, retryable=True)
        self._cancel_all(all_below(execution), now)

    def cancel(self, roots: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        """Cancel the pending ends of these chains and everything unfinished below any of their attempts.

        `immediate` skips the grace period of their processes, also of those that have been told to end already.
        """
        self._cancel_all(with_all_below(roots), now, immediate=immediate)

    def _cancel_all(self, doomed: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        for execution in doomed:
            # Nothing below may start in between, so all are taken out of the queue before any of them ends.
            self._slots.queue.withdraw(execution)
            self._holds.unlink(execution)
        for execution in doomed:
            if execution.unfinished:
                self._cancel_one(execution, now, immediate=immediate)
                continue
            if execution.state is State.DEFERRED and execution.step.number == 1:
                self._let_go(execution.step.run, now)
            if immediate:
                self._fleet.skip_grace(execution)

    def _cancel_one(self, execution: Execution, now: Instant, *, immediate: bool) -> None:
        if execution.state is State.RUNNING:
            self._fleet.kill(execution, immediate=immediate)
        elif execution.worker is not None:
            self._fleet.take_back(execution)
        self.end(execution, State.CANCELLED, Terminated("cancelled", f"{execution.id} was cancelled"), now)


def _is_root(execution: Execution, run: Run) -> bool:
    """Whether the chain that a run shows as its own leads through this attempt."""
    root = run.root
    return root is not None and root.end() is execution.end()


def _waits_for_fresh(execution: Execution) -> bool:
    suspension = execution.suspension
    targets = () if suspension is None else suspension.targets
    return bool(targets) and all(one.step.parent is execution and one.step.memo_key is None for one in targets)
