"""Submissions: what an execution submits becomes a step, unless there is an equal one that answers it."""

from __future__ import annotations

from coflux.executor.core.descent import awaited_failure, has_failed, newest_chain
from coflux.executor.core.effects import Outbox, Shared
from coflux.executor.core.entrance import Entrance
from coflux.executor.core.events import Submitted
from coflux.executor.core.handles import with_ids
from coflux.executor.core.placement import Placement
from coflux.executor.core.register import Register
from coflux.executor.core.state import Execution, Instant, StepKeys
from coflux.executor.core.step_keys import step_keys

__all__ = ["Submissions"]


class Submissions:
    def __init__(self, register: Register, placement: Placement, entrance: Entrance, outbox: Outbox) -> None:
        """
        Args:
            register: where steps are entered, and found again.
            placement: looks up what stubs stand for.
            entrance: takes what was entered.
            outbox: takes what is to be written.
        """
        self._register = register
        self._placement = placement
        self._entrance = entrance
        self._outbox = outbox

    def submit(self, parent: Execution, event: Submitted, now: Instant) -> None:
        """Enter what `parent` submits, or give it the handle of what it equals."""
        run = parent.step.run
        keys = step_keys(event.spec, event.keys, run.memo, parent.submissions)
        shared = None
        if event.earlier:
            shared = self._resumed(parent, event, keys, now)
        elif keys.memo is not None:
            shared = awaited_failure(parent, keys.memo)
            if shared is None:
                shared = self._register.shareable(run, keys.memo, parent.workspace)
        if shared is not None:
            self._share(parent, shared, event)
            return
        arguments = with_ids(event.arguments, parent)
        child = self._register.create_step(run, parent, event.group, event.spec, event.encoded, arguments, now, keys)
        parent.submissions.append(child)
        parent.children.append(child)
        if event.spec.stub:
            self._placement.resolve(child)
        self._entrance.enter(child, event.spec.options.delay, now)

    def _resumed(self, parent: Execution, event: Submitted, keys: StepKeys, now: Instant) -> Execution | None:
        """What answers a submission that equals one of an earlier attempt: that one, unless it has failed, else another
        attempt at it, as the code would have it now. `None` if there is no such submission."""
        earlier = self._register.find(event.earlier)
        if earlier is None:
            return None
        head = newest_chain(earlier.step, parent.workspace)
        if not has_failed(head.end()):
            return head
        self._register.renew_step(head.step, event.spec, event.encoded, keys)
        return self._entrance.again(head, parent.workspace, now, resumes=True)

    def _share(self, parent: Execution, shared: Execution, event: Submitted) -> None:
        """The submission makes no step: `parent` gets the handle of an existing one."""
        parent.submissions.append(shared)
        self._register.share(parent, shared)
        self._outbox.shared.append(Shared(parent, len(parent.submissions), shared, event.group))
