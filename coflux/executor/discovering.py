"""From a client's `Discover` to what its modules and files hold: imported where a run would find them.

Modules of worker groups with other interpreters are imported there, so there may be several hosts for one request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from coflux.executor.core.routing import interpreter_for
from coflux.executor.messages import Context, ModuleError
from coflux.executor.requests import Discover, Discovered
from coflux.executor.starting import importing_from
from coflux.project import ConfigError, module_of_file

if TYPE_CHECKING:
    from coflux.executor.hosts import ModuleHost
    from coflux.executor.server import Session
    from coflux.executor.supervisor import Supervisor

__all__ = ["Discovery"]


class Discovery:
    """One request on its way. It is answered with `Discovered` or `RequestFailed`."""

    def __init__(self, supervisor: Supervisor, session: Session, message: Discover) -> None:
        self._supervisor = supervisor
        self._session = session
        self._message = message
        self._errors: list[ModuleError] = []
        self._hosts: list[ModuleHost] = []  # whose imports are over, and which have been tried if that was asked for
        self._left = 0  # hosts that are still to come
        self._over = False

    def start(self) -> None:
        assert self._session.context is not None
        modules, directories = self._resolve()
        context = importing_from(self._session.context, directories)
        parts = self._by_interpreter(modules)
        self._left = len(parts)
        self._session.discoveries.add(self)
        for python, part in parts.items():
            if not self._over:
                self._import(context, python, tuple(part))

    def abandon(self) -> None:
        """The client is gone: imports that nobody else waits for are ended."""
        self._over = True
        self._supervisor.generations.forget(self._imported)

    def _resolve(self) -> tuple[list[str], list[str]]:
        """The names of all modules, and the directories that files among them are imported from."""
        modules = list(self._message.modules)
        directories: list[str] = []
        files: dict[str, str] = {}
        for file in self._message.files:
            try:
                module, entry = module_of_file(file)
            except ConfigError as error:
                self._errors.append(_misnamed(file, file, str(error)))
                continue
            if module in files:
                problem = f"{file} and {files[module]} would both be the module {module!r}: rename one"
                self._errors.append(_misnamed(module, file, problem))
                continue
            files[module] = file
            modules.append(module)
            directories.append(entry)
        return modules, directories

    def _by_interpreter(self, modules: list[str]) -> dict[str, list[str]]:
        """The modules, by the interpreter that imports them. At least one interpreter is tried."""
        groups = self._supervisor.project.settings.groups
        for group in groups:
            if group.name == self._message.group:
                return {group.python: modules}
        parts: dict[str, list[str]] = {}
        for module in modules:
            parts.setdefault(interpreter_for(groups, module), []).append(module)
        return parts or {groups[0].python: []}

    def _import(self, context: Context, python: str, modules: tuple[str, ...]) -> None:
        try:
            self._supervisor.generations.host_for(context, modules, self._imported, python)
        except OSError as error:
            self._fail(f"{python or context.interpreter} cannot be started: {error.strerror}")

    def _imported(self, host: ModuleHost) -> None:
        if self._over:
            return
        if not self._message.try_worker or host.failure is not None:
            self._tried(host)
            return
        try:
            self._supervisor.worker_starts.try_out(host, partial(self._tried, host))
        except OSError as error:
            self._fail(f"no worker process can be started: {error.strerror}")

    def _tried(self, host: ModuleHost) -> None:
        self._session.show_output(host)
        self._hosts.append(host)
        self._left -= 1
        if not self._left and not self._over:
            self._end()
            self._session.send(self._reply())

    def _fail(self, text: str) -> None:
        self._end()
        self._session.fail(self._message.request, "failed", text)

    def _end(self) -> None:
        self._over = True
        self._session.discoveries.discard(self)

    def _reply(self) -> Discovered:
        well = [host for host in self._hosts if host.failure is None]
        imported = [host.imported for host in well if host.imported is not None]
        methods = {host.start_method for host in well} if len(well) == len(self._hosts) else set()
        return Discovered(
            self._message.request,
            tuple(target for one in imported for target in one.targets),
            (*(error for host in self._hosts for error in _errors_of(host)), *self._errors),
            "spawn" if "spawn" in methods else next(iter(methods), None),
            "; ".join(dict.fromkeys(host.no_fork for host in well if host.no_fork)),
            tuple(
                shared
                for host in well
                if host.start_method == "fork" and host.imported is not None
                for shared in host.imported.shared
            ),
        )


def _errors_of(host: ModuleHost) -> list[ModuleError]:
    failure = host.failure
    if failure is None:
        return list(host.failed_modules)
    names = host.modules or (failure.module,)
    return [ModuleError(name, failure.message, failure.traceback, failure.file, failure.line) for name in names]


def _misnamed(module: str, file: str, message: str) -> ModuleError:
    """A file that could never be imported by its name."""
    return ModuleError(module, message, message + "\n", file)
