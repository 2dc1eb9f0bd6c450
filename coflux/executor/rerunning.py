"""From a client's `Rerun` to another attempt: what is recorded of the run ─▶ its modules as they are now ─▶ attempt.

What has settled in the very turn in which it is asked for is not in the store before the end of that turn. So the store
is looked at only after a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from coflux.executor.administration import Refusal
from coflux.executor.core import events as ev
from coflux.executor.database import StoreError
from coflux.executor.hosts import HostState, ModuleHost
from coflux.executor.persistence import load_family
from coflux.executor.requests import Rerun, RunStarted
from coflux.executor.rows import LoadedRun, format_execution_id
from coflux.executor.starting import import_message

if TYPE_CHECKING:
    from coflux.executor.server import Session
    from coflux.executor.supervisor import Supervisor

__all__ = ["Rerunner"]


class _Attempt(NamedTuple):
    """What matters of one attempt of a step. `status` is the state's word, `goes_on` that its chain does."""

    run: str
    step: int
    number: int
    status: str
    goes_on: bool
    workspace: str


class Rerunner:
    """The requests to execute something again."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._requests: set[_Request] = set()

    def rerun(self, session: Session, message: Rerun) -> None:
        """Answered with `RunStarted`, once the attempt is recorded, or `RequestFailed`."""
        request = _Request(self._supervisor, session, message, self._requests.discard)
        self._requests.add(request)
        self._supervisor.after_commit(request.begin)

    def vanished(self, session: Session) -> None:
        """A client is gone. What it would have followed is not started."""
        for request in list(self._requests):
            if request.belongs_to(session):
                request.abandon()


class _Request:
    """One request on its way."""

    def __init__(
        self, supervisor: Supervisor, session: Session, message: Rerun, over: Callable[[_Request], None]
    ) -> None:
        self._supervisor = supervisor
        self._session = session
        self._message = message
        self._over = over
        self._abandoned = False
        self._host: ModuleHost | None = None
        self._root = ""  # the top of the run's family
        self._module = ""  # "" for code that came by value
        self._workspace = ""
        self._execution = ""  # an attempt of the step

    def belongs_to(self, session: Session) -> bool:
        return self._session is session and session.role == "foreground" and not self._message.detach

    def abandon(self) -> None:
        self._over(self)
        self._abandoned = True
        self._supervisor.generations.forget(self._host_ready)

    def _refuse(self, kind: Literal["usage", "not_found", "failed"], text: str) -> None:
        self._over(self)
        self._session.fail(self._message.request, kind, text)

    # -- what is recorded ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Look the run up, and ask for a host of its modules, as they are on disk now."""
        if self._abandoned:
            return
        try:
            context_id = self._look_up()
            context = self._supervisor.generations.stored_context(context_id)
        except Refusal as refusal:
            self._refuse(refusal.kind, str(refusal))
            return
        except StoreError as error:
            self._refuse("failed", str(error))
            return
        if context is None:
            self._refuse("failed", f"the environment that {self._root} was started in is not in the store any more")
            return
        modules = (self._module,) if self._module else ()
        try:
            self._supervisor.generations.host_for(context, modules, self._host_ready)
        except OSError as error:
            self._refuse("failed", f"{context.interpreter} cannot be started: {error.strerror}")

    def _look_up(self) -> int:
        """Find the step, check that it may be executed again, and return the id of its run's context."""
        run_id = self._message.run
        run = self._supervisor.scheduler.runs.get(run_id)
        if run is not None:
            root = run.family.root
            assert root.root is not None
            attempts = [
                _Attempt(run.id, one.step.number, one.attempt, one.state.value, False, one.workspace)
                for one in run.family.executions.values()
                if one.step.run is run
            ]
            self._root, spec, context = root.id, root.root.step.spec, root.context
            self._check(attempts, running=True)
        else:
            family = self._supervisor.store.load_family(run_id)
            if not family:
                raise Refusal("not_found", f"there is no run {run_id}; `coflux runs list` shows the runs there are")
            self._root, context = family[0].run.id, family[0].run.context
            spec = self._supervisor.spec(family[0].steps[0].target)
            self._check(_attempts_of(family), running=False)
        self._module = spec.module if spec.code is None else ""
        return context

    def _check(self, attempts: Iterable[_Attempt], *, running: bool) -> None:
        """`attempts` are the run's, and those of the runs it called if it has settled."""
        newest: dict[tuple[str, int], _Attempt] = {}
        of_step: list[_Attempt] = []
        run_id, step = self._message.run, self._message.step
        for attempt in attempts:
            key = attempt.run, attempt.step
            if key not in newest or attempt.number > newest[key].number:
                newest[key] = attempt
            if key == (run_id, step):
                of_step.append(attempt)
        if not of_step:
            remedy = f"`coflux runs inspect {run_id}` shows the steps there are"
            raise Refusal("not_found", f"there is no step {run_id}:{step}; {remedy}")
        first = min(of_step, key=lambda attempt: attempt.number)
        self._execution = format_execution_id(run_id, step, newest[run_id, step].number)
        self._check_workspace(first.workspace)
        if not self._message.resume:
            return
        if running:
            raise Refusal(
                "failed",
                f"{run_id} is unfinished: wait for its end (`coflux logs -f {run_id}`), or cancel it first"
                f" (`coflux runs cancel {run_id}`)",
            )
        if all(attempt.goes_on or attempt.status == "succeeded" for attempt in newest.values()):
            remedy = f"`coflux runs rerun {run_id}` executes it again"
            raise Refusal("failed", f"nothing to resume: {run_id} and all its steps succeeded; {remedy}")

    def _check_workspace(self, own: str) -> None:
        """A step is executed again in its own workspace, or in one that is based on that."""
        self._workspace = self._message.workspace or own
        self._supervisor.server.administration.admit(self._session, self._workspace)
        if own not in self._supervisor.store.workspaces.lineage(self._workspace):
            place = f"{self._message.run}:{self._message.step}"
            raise Refusal(
                "usage",
                f"{place} belongs to workspace {own}, which {self._workspace} is not based on: execute it again in"
                f" {own}, or in one that `coflux workspaces create NAME --base {own}` makes",
            )

    # -- its modules as they are now -----------------------------------------------------------------------------

    def _host_ready(self, host: ModuleHost) -> None:
        self._session.show_output(host)
        error = host.error_of(self._module) if host.modules else host.failure
        if error is not None:
            self._refuse("usage", import_message(error))
            return
        self._host = host
        self._supervisor.after_commit(self._execute)
        self._supervisor.wake_within(0.0)

    def _execute(self) -> None:
        if self._abandoned:
            return
        assert self._host is not None
        if self._host.state is not HostState.READY:  # it died meanwhile
            self.begin()
            return
        supervisor, message = self._supervisor, self._message
        try:
            run = load_family(supervisor.scheduler, supervisor.store, message.run)
        except StoreError as error:
            self._refuse("failed", str(error))
            return
        if run is None:
            self._refuse("not_found", f"run {message.run} was deleted meanwhile")
            return
        self._over(self)
        supervisor.generations.serve(self._host, [run.family.root.id])
        supervisor.happen(ev.RerunRequested(self._execution, self._workspace, message.resume, message.detach))
        supervisor.wake_within(0.0)  # this turn's commit is over: the next one is for this
        if self._session.role == "foreground" and not message.detach:
            self._session.own_runs[message.run] = message.step
        supervisor.after_commit(self._started)

    def _started(self) -> None:
        self._session.send(RunStarted(self._message.request, self._message.run, False))
        # Only now: the end of an attempt that was cancelled for this one is no news of it.
        self._supervisor.server.follow(self._session, self._message.run)


def _attempts_of(family: list[LoadedRun]) -> Iterable[_Attempt]:
    for loaded in family:
        for row in loaded.executions:
            yield _Attempt(row.run, row.step, row.attempt, row.status, row.next is not None, row.workspace)
