"""The worker: runs one execution at a time, and says whether it may run another.

    Execute ──> decode the arguments ──> call the function, captured ──> encode the outcome ──> Returned

Whatever the user's code does, one `Returned` follows, or the process's death, which its parent sees.
"""

from __future__ import annotations

import contextvars
import faulthandler
import gc
import importlib
import os
import socket
import sys
from collections.abc import Callable
from traceback import walk_tb
from types import CoroutineType
from typing import Any, NamedTuple

import msgspec

from coflux import backend, secret, values
from coflux.encoded import Value
from coflux.errors import ExecutionError
from coflux.executor import standard_logging
from coflux.executor.argument_keys import argument_keys, key_plan
from coflux.executor.blobs import FileBlobs
from coflux.executor.capture import STDERR, STDOUT, NoInput, flush_c_buffers, install_streams, write_c_lines
from coflux.executor.channel import Channel, ChannelBroken, ChannelClosed, decoder
from coflux.executor.cleanliness import Baseline, WorkingDirectory, tell
from coflux.executor.environment import watch_environment
from coflux.executor.fingerprints import fingerprint, remember
from coflux.executor.importing import ImportRecorder
from coflux.executor.manifest import encoded_arguments
from coflux.executor.messages import (
    Bind,
    BindFailed,
    Bound,
    Configure,
    Execute,
    Failed,
    KeepSecret,
    Outcome,
    Ready,
    Retire,
    Returned,
    RevealSecrets,
    SecretKept,
    ShowTerminal,
    Succeeded,
    TargetSpec,
    ToWorker,
)
from coflux.executor.metering import Meter
from coflux.executor.processes import become_subreaper, die_with_parent
from coflux.executor.runtime import Runtime, wait_closed
from coflux.executor.signals import DISCONNECTED, DUMP_SIGNAL, FAULT_MARK, OWN_FAULT
from coflux.executor.unwinding import hide_from_threads
from coflux.failures import capture
from coflux.previews import message_of, one_line
from coflux.redaction import THIS_PROCESS, learn_environment
from coflux.target import Target, registry

__all__ = ["SpawnArguments", "forget_crashes", "main", "main_spawned", "record_crashes"]

_spec_decoder = decoder(TargetSpec)


class SpawnArguments(msgspec.Struct, frozen=True):
    """What a worker that is a fresh interpreter has to be told."""

    configuration: Configure
    descriptors: tuple[int, ...]
    modules: tuple[str, ...]
    parent: int


class TargetNotFound(Exception):
    """No module has the target that was submitted."""


class ArgumentForgotten(Exception):
    """An argument holds a secret that is gone for good: no other attempt could find it either."""


class _Found(NamedTuple):
    """A submitted target and the function that is it in this process."""

    spec: TargetSpec
    target: Target[..., Any]
    fingerprint: bytes


_DISREGARDED = Succeeded(Value("json", b"null", 4))  # of a suspended execution, whose outcome does not count


class Worker:
    def __init__(
        self, channel: Channel[ToWorker], configuration: Configure, recorder: ImportRecorder, crash: int
    ) -> None:
        self._channel = channel
        self._configuration = configuration
        self._recorder = recorder
        self._blobs = FileBlobs(configuration.blobs)
        self._targets: dict[bytes, _Found] = {}
        self._kept_secrets: dict[str, str] = {}  # their ids, by value
        self._baseline = Baseline(crash)
        self._directory = WorkingDirectory(configuration.scratch)
        self._meter = Meter()

    def serve(self) -> None:
        """Run what comes, until told to leave or until the supervisor is gone."""
        hide_from_threads()
        watch_environment()
        self._channel.send(Ready(os.getpid()))
        self._prepare()
        while True:
            message = wait_closed(self._channel)
            if message is None:
                return
            if isinstance(message, Execute):
                self._channel.send(self._execute(message))
                self._prepare()
            elif isinstance(message, RevealSecrets):
                secret.recall(message.secrets)
            elif isinstance(message, ShowTerminal):
                self._baseline.describe_terminal(message.variables)
            elif isinstance(message, Bind):
                self._channel.send(self._bind(message))
            elif isinstance(message, Retire):
                self._directory.remove()
                return

    # -- one execution -------------------------------------------------------------------------------------------

    def _execute(self, message: Execute) -> Returned:
        install_streams()
        sys.stdin = NoInput()
        runtime = Runtime(
            self._channel,
            self._blobs,
            message.execution,
            self._configuration.project,
            self._kept_secrets,
            memo=message.memo,
            earlier=message.earlier,
        )
        backend.install(runtime)
        standard_logging.record_into(runtime)
        try:
            outcome, retryable = contextvars.Context().run(self._outcome, message, runtime)
        finally:
            backend.install(None)
            standard_logging.record_into(None)
            runtime.finish()
        unclean = self._clean_up(runtime)
        found = self._targets.get(message.target)
        version = b"" if found is None else found.fingerprint
        news, usage = self._recorder.take_news(), self._meter.of_execution()
        return Returned(message.execution, outcome, retryable, unclean, usage, news, version)

    def _clean_up(self, runtime: Runtime) -> str:
        """Leave nothing to the next execution; return why this process must not run another, or ""."""
        try:
            self._flush()
            unclean = self._baseline.restore()
            self._directory.leave(runtime.stored)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the execution's outcome must get out)
            return _tell_fault(error)
        return unclean

    def _prepare(self) -> None:
        """What the next execution finds. Done before it comes: the supervisor is busy with the outcome of the last."""
        self._directory.prepare()
        self._meter.begin()
        # What is imported later seeds itself.
        if (python_random := sys.modules.get("random")) is not None:
            python_random.seed(int.from_bytes(os.urandom(16), "little"))
        if (numpy_random := sys.modules.get("numpy.random")) is not None:
            numpy_random.seed()

    def _outcome(self, message: Execute, runtime: Runtime) -> tuple[Outcome, bool]:
        """Run it. Failures of decoding, finding and encoding are the step's failures, like its own."""
        retryable = True
        try:
            self._enter_directory()
            spec, target, _ = self._find(message.target)
            try:
                decoded = self._decoded(message.arguments)
                positional, keyword = _call_arguments(target, decoded)
                del decoded
                result = _call(target.fn, positional, keyword)
            except ArgumentForgotten:
                raise
            except BaseException as error:
                if runtime.suspended:
                    return _DISREGARDED, False
                self._explain_missing_file(error)
                retryable = False  # as it stays if the retry filter itself raises
                retryable = self._should_retry(spec, target, error)
                raise
            del positional, keyword
            if runtime.suspended:
                return _DISREGARDED, False
            return Succeeded(self._encoded(result, full_json=message.root)), True
        except (TargetNotFound, ArgumentForgotten) as error:  # without a traceback: it would only show our own code
            return Failed(capture(ExecutionError(str(error)), self._blobs)), False
        except (values.UnsendableValue, values.UnstoredValue) as error:
            return Failed(
                capture(ExecutionError(str(error)).with_traceback(error.__traceback__), self._blobs)
            ), retryable
        except BaseException as error:  # noqa: BLE001 (sys.exit() and the like are failures of the step)
            return Failed(capture(error, self._blobs)), retryable

    def _decoded(self, arguments: tuple[Value, ...]) -> list[object]:
        try:
            return [values.decode(value, self._blobs) for value in arguments]
        except secret.SecretForgotten as error:
            raise ArgumentForgotten(f"an argument cannot be had: {error}") from None

    def _encoded(self, result: object, *, full_json: bool) -> Value:
        try:
            return values.encode(result, self._blobs, full_json=full_json, name="result")
        except values.UnstoredValue as error:
            raise values.UnstoredValue(f"the {error}") from None

    def _enter_directory(self) -> None:
        try:
            self._directory.enter()
        except OSError as error:
            raise ExecutionError(
                f"no working directory can be made in {self._configuration.scratch}: {error.strerror}"
            ) from None

    def _explain_missing_file(self, error: BaseException) -> None:
        """A relative path leads into the execution's own directory: say so where the project has such a file."""
        if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
            path = os.path.join(self._configuration.project, error.filename)
            if not os.path.isabs(error.filename) and os.path.exists(path):
                error.add_note(
                    f"{error.filename!r} is in the project, but executions have a working directory of their own: "
                    f"open coflux.project_dir() / {error.filename!r}"
                )

    def _should_retry(self, spec: TargetSpec, target: Target[..., Any], error: BaseException) -> bool:
        """Ask the retry filter. One that raises is reported along with the error, and there is no retry."""
        if spec.options.retries is None:
            return True  # others may wait for its result, as their source for the cache, and have retries
        when = target.when if spec.when is None else values.decode(spec.when, self._blobs)
        if when is None:
            return True
        try:
            return bool(when(error))  # type: ignore[operator]
        except BaseException as problem:
            problem.add_note(f"raised by the retry filter (Retries.when) of {spec.module}/{spec.name}")
            raise problem from error

    def _find(self, encoded: bytes) -> _Found:
        found = self._targets.get(encoded)
        if found is None:
            spec: TargetSpec = _spec_decoder.decode(encoded)
            target: Any = _imported(spec) if spec.code is None else values.decode(spec.code, self._blobs)
            if target.type != spec.type:
                raise TargetNotFound(f"{spec.module}/{spec.name} is a {target.type}, not a {spec.type}")
            if len(self._targets) > 1000:  # call sites that make variants without end
                self._targets.clear()
            found = self._targets[encoded] = _Found(spec, target, fingerprint(target))
        return found

    def _flush(self) -> None:
        for stream in {sys.stdout, sys.stderr} - {STDOUT, STDERR, None}:
            try:
                stream.flush()
            except Exception:  # noqa: BLE001 (the user's own stream, closed or broken: nothing is left to flush)
                pass
        STDOUT.flush_all()
        STDERR.flush_all()
        flush_c_buffers()

    # -- the command line's words --------------------------------------------------------------------------------

    def _bind(self, message: Bind) -> Bound | BindFailed:
        from coflux.executor import arguments as words

        try:
            target = _imported_by_name(message.module, message.name)
            bound = words.bind(target, message.words, message.document, message.directory)
            with secret.keeping(self._keep_secret):  # one may be a parameter's default
                encoded = encoded_arguments(target, bound, self._blobs)
                keys = argument_keys(key_plan(target, run_memo=False), target, bound)
        except (words.ArgumentError, TargetNotFound, values.UnsendableValue, values.UnstoredValue) as error:
            return BindFailed(message.request, THIS_PROCESS.text(str(error)))
        except BaseException as error:  # noqa: BLE001 (a validator of the user's may raise anything)
            text = f"the arguments could not be read: {type(error).__name__}: {error}"
            return BindFailed(message.request, THIS_PROCESS.text(text))
        finally:
            self._flush()
        return Bound(message.request, encoded, keys)

    def _keep_secret(self, value: str) -> str:
        self._channel.send(KeepSecret(0, value))
        reply = self._channel.receive()
        assert isinstance(reply, SecretKept)
        return reply.id


def _call_arguments(target: Target[..., Any], decoded: list[object]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        return target.call_arguments(decoded)
    except TypeError as error:  # the code has changed since; what led here is ours alone
        raise ExecutionError(str(error)) from None


def _call(fn: Callable[..., Any], positional: tuple[Any, ...], keyword: dict[str, Any]) -> Any:
    result = fn(*positional, **keyword)
    if isinstance(result, CoroutineType):
        import asyncio

        return asyncio.run(result)
    return result


def _imported(spec: TargetSpec) -> Target[..., Any]:
    return _imported_by_name(spec.module, spec.name)


def _imported_by_name(module: str, name: str) -> Target[..., Any]:
    target = registry.get((module, name))
    if target is None and module not in sys.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
                raise TargetNotFound(f"there is no module {module!r} (for the target {module}/{name})") from None
            raise
        target = registry.get((module, name))
    if target is None:
        names = [known for home, known in registry if home == module]
        import difflib

        near = difflib.get_close_matches(name, names, 3, 0.5) or sorted(names)[:5]
        hint = f"; it has {', '.join(near)}" if near else "; it has no targets at all"
        raise TargetNotFound(f"module {module} has no target {name!r}{hint}")
    return target


def _fault(error: BaseException) -> str:
    """An exception of our own code in one line, with all that is needed to find it."""
    frames = [f"{os.path.basename(frame.f_code.co_filename)}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return one_line(f"{type(error).__name__}: {message_of(error)} (at {', '.join(frames)})")


def _tell_fault(error: BaseException) -> str:
    """Say in the execution's log what went wrong after its end, in one line. Returns the reason."""
    try:
        tell(f"could not clean up after this execution, so its process is replaced: {_fault(error)}")
    except OSError:
        pass  # standard error is closed
    return "it could not be cleaned up"


def main(configuration: Configure, recorder: ImportRecorder, descriptors: list[int], parent: int) -> None:
    """Be a worker on these descriptors: channel, stdout, stderr, crash file. Ends the process."""
    control, stdout, stderr, crash = descriptors
    try:
        _become_worker(configuration, stdout, stderr, crash, parent)
        channel: Channel[ToWorker] = Channel(socket.socket(fileno=control), ToWorker)
        Worker(channel, configuration, recorder, crash).serve()
    except ChannelBroken:
        os._exit(DISCONNECTED)
    except ChannelClosed:
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 (the supervisor must get to know of it, whatever it is)
        _leave_evidence(crash, error)
        os._exit(OWN_FAULT)
    _run_exit_handlers()
    os._exit(0)


def _leave_evidence(crash: int, error: BaseException) -> None:
    """What the supervisor says of this process's end."""
    try:
        os.write(crash, f"\n{FAULT_MARK} in a worker: {_fault(error)}".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the user's code has closed it: the exit code is left


def record_crashes(crash: int) -> None:
    """Let this process, or one that is forked from it, write its last stacks to the descriptor `crash`."""
    faulthandler.enable(crash, all_threads=True)
    faulthandler.register(DUMP_SIGNAL, crash, all_threads=True, chain=False)


def forget_crashes() -> None:
    """Undo `record_crashes`: the descriptor is about to be closed."""
    faulthandler.disable()
    faulthandler.unregister(DUMP_SIGNAL)


def _become_worker(configuration: Configure, stdout: int, stderr: int, crash: int, parent: int) -> None:
    die_with_parent(parent)
    become_subreaper()
    os.setpgid(0, 0)
    gc.enable()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    record_crashes(crash)
    from coflux.executor.host import restore_descriptor_limit

    restore_descriptor_limit(configuration.descriptor_limit)


def _run_exit_handlers() -> None:
    """What `sys.exit` would run: `atexit` handlers. The supervisor's patience bounds it."""
    import atexit

    install_streams()
    try:
        atexit._run_exitfuncs()
    finally:
        STDOUT.flush_all()
        STDERR.flush_all()


def main_spawned(arguments: str) -> None:
    """Be a worker that is a fresh interpreter: import the modules, then serve as a forked one does."""
    start = msgspec.json.decode(arguments, type=SpawnArguments)
    record_crashes(start.descriptors[-1])
    sys.path[:] = start.configuration.sys_path
    os.chdir(start.configuration.project)
    write_c_lines()
    standard_logging.prepare()
    install_streams()
    recorder = ImportRecorder()
    recorder.install()
    recorder.import_all(start.modules)
    learn_environment()
    STDOUT.flush_all()
    STDERR.flush_all()
    remember(registry.values())  # before an execution changes what their names mean
    # By its real name: this file runs as `__main__`, and its classes would exist twice.
    module = importlib.import_module("coflux.executor.worker")
    module.main(start.configuration, recorder, list(start.descriptors), start.parent)


if __name__ == "__main__":
    main_spawned(sys.argv[1])
