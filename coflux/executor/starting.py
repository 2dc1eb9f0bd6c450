"""From a client's `StartRun` to a run: find the code, find the target, read the arguments, record.

host of the module, as it is on disk now ─▶ target ─▶ words bound by its annotations, in a worker ─▶ run
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from blake3 import blake3

from coflux.encoded import Value
from coflux.executor.administration import Refusal
from coflux.executor.channel import encode
from coflux.executor.core import events as ev
from coflux.executor.core.routing import interpreter_for
from coflux.executor.database import StoreError
from coflux.executor.hosts import HostState, ModuleHost
from coflux.executor.messages import (
    ArgumentKey,
    Bind,
    BindFailed,
    Bound,
    Context,
    ModuleError,
    Ready,
    RunOptions,
    TargetSpec,
)
from coflux.executor.requests import RunStarted, StartRun
from coflux.executor.workers import WorkerProcess
from coflux.project import ConfigError, module_of_file
from coflux.task_options import RetryOptions, TaskOptions

if TYPE_CHECKING:
    from coflux.executor.server import Session
    from coflux.executor.supervisor import Supervisor

__all__ = ["RunStarter", "import_message", "importing_from"]

BIND_TIMEOUT = 60.0  # seconds that reading the arguments may take, validators of the user's included


class RunStarter:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._starts: set[_Start] = set()

    def start(self, session: Session, message: StartRun) -> None:
        """Answered with `RunStarted`, once the run is recorded, or `RequestFailed`."""
        assert session.context is not None
        try:
            self._supervisor.server.administration.admit(session, message.options.workspace)
        except Refusal as refusal:
            session.fail(message.request, refusal.kind, str(refusal))
            return
        context, module = session.context, message.module
        if message.file:
            try:
                module, entry = module_of_file(message.file)
            except ConfigError as error:
                session.fail(message.request, "usage", str(error))
                return
            context = importing_from(context, (entry,))
        start = _Start(self, session, message, context, module)
        self._starts.add(start)
        start.find_host()

    def vanished(self, session: Session) -> None:
        """A client is gone. What it would have run in the foreground is not started."""
        for start in list(self._starts):
            if start.belongs_to(session):
                start.abandon()

    def over(self, start: _Start) -> None:
        """The request was answered."""
        self._starts.discard(start)

    @property
    def supervisor(self) -> Supervisor:
        return self._supervisor


def importing_from(context: Context, directories: Iterable[str]) -> Context:
    """The context in which modules of these directories are imported from there, whatever else is on the path."""
    path = tuple(dict.fromkeys((*directories, *context.sys_path)))
    return Context(context.interpreter, path, context.environment, context.directory)


class _Start:
    """One request on its way."""

    def __init__(self, starter: RunStarter, session: Session, message: StartRun, context: Context, module: str) -> None:
        self._starter = starter
        self._supervisor = starter.supervisor
        self._session = session
        self._message = message
        self._context = context
        self._module = module
        self._host: ModuleHost | None = None
        self._spec: TargetSpec | None = None
        self._binder: WorkerProcess | None = None
        self._abandoned = False

    def _refuse(self, text: str, kind: Literal["usage", "failed"] = "usage") -> None:
        self._starter.over(self)
        self._session.fail(self._message.request, kind, text)

    def belongs_to(self, session: Session) -> bool:
        """Whether it is for the foreground of this client: nobody wants it without."""
        return self._session is session and session.role == "foreground" and not self._message.options.detach

    def abandon(self) -> None:
        """Let go of the imports and the process that it waits for."""
        self._starter.over(self)
        self._abandoned = True
        self._supervisor.generations.forget(self._host_ready)
        if self._binder is not None and self._binder.on_end is not None:
            self._binder.on_end = None
            self._binder.kill(dump=False, immediate=True)

    def find_host(self) -> None:
        """Ask for a host of the module, as it is on disk now."""
        by_value = self._message.spec is not None and self._message.spec.code is not None
        modules = () if by_value else (self._module,)
        python = interpreter_for(self._supervisor.project.settings.groups, self._module)
        try:
            self._supervisor.generations.host_for(self._context, modules, self._host_ready, python)
        except OSError as error:
            self._refuse(f"{python or self._context.interpreter} cannot be started: {error.strerror}", "failed")

    def _host_ready(self, host: ModuleHost) -> None:
        self._host = host
        self._session.show_output(host)
        error = host.error_of(self._module) if host.modules else host.failure
        if error is not None:
            self._refuse(import_message(error))
            return
        spec = self._message.spec if self._message.spec is not None else self._find(host)
        if spec is None:
            return
        self._spec = spec
        if self._message.arguments is not None:
            self._create(self._message.arguments, self._message.keys)
        elif not spec.parameters and not self._message.words and self._message.document is None:
            self._create((), ())
        else:
            self._start_binder(host)

    def _find(self, host: ModuleHost) -> TargetSpec | None:
        """The target that was asked for, or None when the client has been told why there is none."""
        assert host.imported is not None
        specs = {(info.spec.module, info.spec.name): info.spec for info in host.imported.targets}
        own = {spec.name: spec for spec in specs.values() if spec.module == self._module}
        name = self._message.name
        place = self._message.file or f"module {self._module}"
        if not name:
            workflows = [spec for spec in own.values() if spec.type == "workflow"]
            if len(workflows) == 1:
                return workflows[0]
            names = ", ".join(spec.name for spec in workflows) or "none"
            self._refuse(f"{place} has {len(workflows)} workflows ({names}): name the target, as in {place}/NAME")
            return None
        others = [one for one in host.imported.reexports if one.module == self._module]
        named = {one.attribute: specs[one.home, one.name] for one in others if (one.home, one.name) in specs} | own
        if name in named:
            return named[name]
        import difflib

        near = difflib.get_close_matches(name, named, 3, 0.5)
        if near:
            hint = f"; did you mean {' or '.join(near)}?"
        elif named:
            hint = f"; it has {', '.join(sorted(named)[:8])}"
        else:
            hint = "; it has no targets: decorate a function with @coflux.workflow()"
        self._refuse(f"{place} has no target {name!r}{hint}")
        return None

    # -- arguments -----------------------------------------------------------------------------------------------

    def _start_binder(self, host: ModuleHost) -> None:
        try:
            self._binder = binder = self._supervisor.worker_starts.start_apart(host, self._from_binder)
        except OSError as error:
            self._refuse(f"no process can be started to read the arguments: {error.strerror}", "failed")
            return
        binder.on_end = self._binder_ended
        self._supervisor.later(BIND_TIMEOUT, lambda: self._bind_timed_out(binder))

    def _from_binder(self, worker_id: int, message: Any) -> None:
        assert self._spec is not None
        assert self._binder is not None
        if self._abandoned:
            return
        spec = self._spec
        if isinstance(message, Ready):
            words, document = self._message.words, self._message.document
            directory = self._context.directory
            self._supervisor.reveal_secrets(self._binder)  # a word may be one
            self._binder.peer.send(Bind(0, spec.module, spec.name, words, document, directory))
        elif isinstance(message, Bound):
            self._binder.on_end = None
            self._create(message.arguments, message.keys)
            self._binder.retire()
        elif isinstance(message, BindFailed):
            self._binder.on_end = None
            self._refuse(message.message)
            self._binder.retire()

    def _binder_ended(self, evidence: str) -> None:
        assert self._host is not None
        assert self._binder is not None
        if self._binder.start_method == "fork" and self._host.start_method == "spawn":
            self.find_host()  # the modules bear no fork, which is known now
            return
        self._refuse(f"reading the arguments ended the process: {evidence}")

    def _bind_timed_out(self, binder: WorkerProcess) -> None:
        if binder is self._binder and binder.on_end is not None:
            binder.on_end = None
            binder.kill(dump=False, immediate=True)
            self._refuse(f"reading the arguments took longer than {BIND_TIMEOUT:g} s")

    # -- the run -------------------------------------------------------------------------------------------------

    def _create(self, arguments: tuple[Value, ...], keys: tuple[ArgumentKey | None, ...]) -> None:
        assert self._spec is not None
        assert self._host is not None
        if self._host.state is not HostState.READY:  # it died while the arguments were read
            self.find_host()
            return
        spec = overridden(self._spec, self._message.options)
        store = self._supervisor.store
        try:
            if self._answered_by_key(spec, arguments):
                return
            context_id = store.context_id(
                _fingerprint(self._context),
                self._context.interpreter,
                self._context.sys_path,
                self._context.environment,
            )
            self._supervisor.terminals.remember(context_id, self._context.environment)
            run_id = store.new_run_id()
        except StoreError as error:
            self._refuse(str(error), "failed")
            return
        self._starter.over(self)
        options = self._message.options
        encoded = encode(spec)
        event = ev.RunRequested(run_id, spec, encoded, arguments, options, context_id, self._host.id, keys)
        self._supervisor.happen(event)
        self._session.follows[run_id] = run_id
        self._session.subscriptions.follow_new(run_id)
        if self._session.role == "foreground" and not options.detach:
            self._session.own_runs[run_id] = 1
        started = RunStarted(self._message.request, run_id, False)
        self._supervisor.after_commit(lambda: self._session.send(started))

    def _answered_by_key(self, spec: TargetSpec, arguments: tuple[Value, ...]) -> bool:
        """Whether an idempotency key settles the request: with the run that has it, or with a refusal."""
        options = self._message.options
        if options.idempotency_key is None:
            return False
        found = self._supervisor.store.find_idempotent(options.workspace, options.idempotency_key)
        if found is None:
            return False
        run_id, module, name, stored = found
        if (module, name, stored) != (spec.module, spec.name, encode(arguments)):
            self._refuse(
                f"idempotency key {options.idempotency_key!r} belongs to run {run_id} of {module}/{name}, which has "
                "other arguments: use another key"
            )
            return True
        self._starter.over(self)
        self._session.send(RunStarted(self._message.request, run_id, True))
        return True


def overridden(spec: TargetSpec, options: RunOptions) -> TargetSpec:
    """The root's spec with what the client overrides."""
    changed: TaskOptions = spec.options
    if options.cache is False:
        changed = changed._replace(cache=None)
    if options.delay is not None:
        changed = changed._replace(delay=options.delay)
    if options.timeout is not None:
        changed = changed._replace(timeout=options.timeout)
    if options.retries is not None:
        changed = changed._replace(retries=_retries(changed.retries, options.retries))
    return spec if changed is spec.options else msgspec.structs.replace(spec, options=changed)


def _retries(declared: RetryOptions | None, limit: int) -> RetryOptions | None:
    if limit == 0:
        return None
    unlimited = limit < 0
    if declared is not None:
        return declared._replace(limit=None if unlimited else limit)
    return RetryOptions(None) if unlimited else RetryOptions(limit, 0.0, 0.0)


def import_message(error: ModuleError) -> str:
    """What to say of a module that does not import, with the place."""
    place = f"{error.file}:{error.line}" if error.line else error.file
    return f"module {error.module} does not import{place and f' ({place})'}\n{error.traceback.rstrip()}"


def _fingerprint(context: Context) -> str:
    """Tells contexts apart without holding what is in them, secrets above all."""
    environment = sorted(context.environment.items())
    return blake3(encode((context.interpreter, context.sys_path, environment))).hexdigest()
