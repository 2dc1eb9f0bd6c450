"""How executions end: outcomes and retries, and the cancels and timeouts that reach what is below."""

from __future__ import annotations

from collections.abc import Callable

from coflux.executor.core.admission import Admission
from coflux.executor.core.commands import Finished
from coflux.executor.core.effects import Outbox
from coflux.executor.core.fleet import Fleet
from coflux.executor.core.register import Register
from coflux.executor.core.retry import next_delay
from coflux.executor.core.slots import Slots
from coflux.executor.core.state import FAILURES, Execution, Instant, State
from coflux.executor.core.waiting import Waits
from coflux.executor.messages import Outcome, Terminated

__all__ = ["Endings"]


class Endings:
    def __init__(
        self,
        register: Register,
        admission: Admission,
        slots: Slots,
        fleet: Fleet,
        waits: Waits,
        outbox: Outbox,
        random: Callable[[], float],
    ) -> None:
        """
        Args:
            register: where retries are entered and families settle.
            admission: takes retries.
            slots: what ends gives its slot back, and leaves the queue.
            fleet: ends the processes of what is cancelled or timed out.
            waits: answers who waits for what ends.
            outbox: takes what is to be written.
            random: uniform in [0, 1), for the jitter of unlimited retries.
        """
        self._register = register
        self._admission = admission
        self._slots = slots
        self._fleet = fleet
        self._waits = waits
        self._outbox = outbox
        self._random = random

    # -- outcomes ------------------------------------------------------------------------------------------------

    def end(
        self,
        execution: Execution,
        state: State,
        outcome: Outcome,
        now: Instant,
        *,
        retryable: bool = False,
        crashed: bool = False,
    ) -> None:
        """Record an outcome, decide on a retry, and move or answer those who wait."""
        execution.transition(state)
        execution.finished_at = now.wall
        execution.outcome = outcome
        execution.reason = ""
        self._outbox.executions[execution] = None
        self._slots.give_back(execution)
        self._waits.leave(execution, now)
        family = execution.step.run.family
        family.unfinished -= 1
        if execution.host is not None:
            execution.host.bound -= 1
        if state in FAILURES and retryable:
            self._plan_retry(execution, now, crashed=crashed)
        if execution.successor is not None:
            self._waits.pass_on(execution, execution.successor)
            return
        self._waits.ended(execution)
        run = execution.step.run
        if run.root is not None and run.root.step is execution.step:
            run.finished_at = now.wall
            self._outbox.runs[run] = None
            self._outbox.commands.append(Finished(run.id, state.value))
        self._register.check_settled(family)

    def _plan_retry(self, execution: Execution, now: Instant, *, crashed: bool) -> None:
        retries = execution.step.spec.options.retries
        delay = next_delay(retries, execution.streak, self._random(), crashed=crashed)
        if delay is None:
            return
        family = execution.step.run.family
        successor = self._register.create_execution(execution.step, execution.attempt + 1, family.host, now)
        successor.streak = execution.streak + 1
        execution.successor = successor
        worker = execution.worker
        if worker is not None and worker.id in family.leaving:
            self._admission.hold_back(successor, worker, delay, now)
        else:
            self._admission.enqueue(successor, delay, now)

    def time_out(self, execution: Execution, now: Instant) -> None:
        timeout = execution.step.spec.options.timeout
        outcome = Terminated("timed_out", f"{execution.id} exceeded its timeout of {timeout:g} s")
        self._fleet.kill(execution, dump=True)
        self.end(execution, State.TIMED_OUT, outcome, now, retryable=True)
        self.cancel(execution.children, now)

    # -- cancelling ----------------------------------------------------------------------------------------------

    def cancel(self, roots: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        """Cancel the pending ends of these chains and everything unfinished below any of their attempts.

        `immediate` skips the grace period of their processes, also of those that have been told to end already.
        """
        doomed = _with_all_below(roots)
        for execution in doomed:
            # Nothing below may start in between, so all are taken out of the queue before any of them ends.
            self._slots.queue.withdraw(execution)
        for execution in doomed:
            if execution.unfinished:
                self._cancel_one(execution, now, immediate=immediate)
            elif immediate:
                self._fleet.skip_grace(execution)

    def _cancel_one(self, execution: Execution, now: Instant, *, immediate: bool) -> None:
        if execution.state is State.RUNNING:
            self._fleet.kill(execution, immediate=immediate)
        elif execution.worker is not None:
            self._fleet.take_back(execution)
        self.end(execution, State.CANCELLED, Terminated("cancelled", f"{execution.id} was cancelled"), now)


def _with_all_below(roots: list[Execution]) -> list[Execution]:
    """The attempts of these chains from here on, and those of everything below any of them."""
    found: dict[Execution, None] = {}
    stack = list(roots)
    while stack:
        execution: Execution | None = stack.pop()
        while execution is not None and execution not in found:
            found[execution] = None
            stack.extend(execution.children)
            execution = execution.successor
    return list(found)
