"""The worker's `Backend`: what the API calls inside an execution.

There is no thread of ours in a worker. Whoever waits for a reply reads the channel, hands the replies of others to
them, and passes the reading on when its own has come; an event loop that waits reads when the channel is readable.

Once the execution is suspended, nothing but log entries is sent any more: whoever asks for something is unwound.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from coflux import values
from coflux.executor import log_values
from coflux.executor.argument_keys import KeyPlan, argument_keys, key_plan
from coflux.executor.channel import Channel, ChannelClosed, encode
from coflux.executor.manifest import encoded_arguments, submitted_spec
from coflux.executor.messages import (
    Answer,
    ArgumentKey,
    Cancel,
    EarlierChild,
    Failed,
    Identified,
    Identify,
    KeepAsset,
    KeepSecret,
    Log,
    OpenGroup,
    Outcome,
    RevealSecrets,
    SecretKept,
    Submit,
    Succeeded,
    Suspend,
    ToWorker,
    Wait,
)
from coflux.executor.metric_recorder import MetricRecorder
from coflux.executor.trees import FileState, file_state
from coflux.executor.unwinding import unwind
from coflux.failures import rebuild, terminated_error
from coflux.handles import Execution
from coflux.logs import Level
from coflux.redaction import THIS_PROCESS
from coflux.secret import recall
from coflux.suspension import wait_limit

if TYPE_CHECKING:
    import asyncio

    from coflux.executor.resumption import EarlierChildren
    from coflux.metrics import Metric
    from coflux.target import Target
    from coflux.values import BlobStore

__all__ = ["Runtime", "decode_outcome"]

_DROPPED_POINT = (
    "metric {metric}: a point was dropped, since its x ({at}) does not come after the one before; so are others like it"
)
_UNKEYABLE = "argument {argument} of {target} cannot be keyed, so it runs without {options}: {reason}"


_Reply = Answer | Identified | SecretKept


class _Pending:
    """A request and its reply, once there."""

    __slots__ = ("future", "loop", "reply")

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None = None, future: asyncio.Future[Any] | None = None
    ) -> None:
        self.reply: _Reply | None = None
        self.loop = loop
        self.future = future


class Runtime:
    """The engine as seen from one execution. Created anew for each; the channel is the process's."""

    def __init__(
        self,
        channel: Channel[ToWorker],
        blobs: BlobStore,
        execution: str,
        project: str,
        kept_secrets: dict[str, str],
        *,
        memo: bool = False,
        earlier: tuple[EarlierChild, ...] | None = None,
    ) -> None:
        """`memo` and `earlier` are those of `Execute`. `kept_secrets` are the ids of the secrets that this process has
        had kept."""
        self._channel = channel
        self._blobs = blobs
        self._execution = execution
        self._project = project
        self._kept_secrets = kept_secrets
        self._memo = memo
        self._earlier = None if earlier is None else self._earlier_children(earlier)
        self._pid = os.getpid()
        self._started = time.monotonic()
        self._submissions = 0
        self._groups = 0
        self._requests = 0
        self._specs: dict[int, tuple[Target[..., Any], bytes, KeyPlan]] = {}
        self._unkeyable: set[tuple[str, str]] = set()  # what has been warned of
        self._recorder: MetricRecorder | None = None  # until something is recorded
        self._suspended = False
        self.stored: set[FileState] = set()  # files whose content is in the store
        self._send_lock = threading.RLock()
        self._unsent: list[Log] = []  # entries that were made while this very thread was sending
        self._send_locked: Callable[[object], None] = channel.send
        self._replies = threading.Condition()
        self._reading = False  # a thread is in the blocking read
        self._pending: dict[int, _Pending] = {}
        self._ahead: dict[str, Outcome] = {}  # outcomes that came before they were asked for, by handle
        self._loop_waits = 0

    # -- the Backend protocol ------------------------------------------------------------------------------------

    def execution_id(self) -> str:
        return self._execution

    def project_dir(self) -> str:
        return self._project

    def submit(self, target: Target[..., Any], arguments: Sequence[object], group: int | None) -> Execution[Any]:
        self._enter()
        _, spec, plan = self._specs.get(id(target)) or self._prepare(target)
        encoded = encoded_arguments(target, arguments, self._blobs)
        keys = self._keys(plan, target, arguments) if plan else ()
        earlier = self._earlier.take(target, arguments, encoded) if self._earlier is not None else ""
        with self._send_lock:
            self._submissions += 1
            self._send_locked(Submit(self._submissions, spec, encoded, group, keys, earlier))
            number = self._submissions
        return Execution(module=target.module, target=target.name, number=number)

    def identify(self, handle: Execution[Any]) -> str:
        self._enter()
        number = handle.number
        assert number is not None  # a handle with an id is not asked about
        return self._identify(number)

    def result(self, handle: Execution[Any]) -> Any:
        self._enter()
        token = handle.reference().id
        return self._value(self._sent_ahead(token) or self._first((token,)))

    async def result_async(self, handle: Execution[Any]) -> Any:
        self._enter()
        token = handle.reference().id
        answer = self._sent_ahead(token)
        if answer is None:
            limit = wait_limit()
            reply = await self._ask_async(lambda request: Wait(request, (token,), limit, limit is not None))
            answer = self._in_time(reply, (token,))
        return self._value(answer)

    def poll(self, handle: Execution[Any], timeout: float | None, default: Any) -> Any:
        self._enter()
        token = handle.reference().id
        reply = self._sent_ahead(token) or self._ask(lambda request: Wait(request, (token,), timeout or 0.0))
        assert isinstance(reply, Answer)
        if reply.index < 0 and not reply.error:
            return default
        return self._value(reply)

    def select(self, handles: Sequence[Execution[Any]]) -> int:
        self._enter()
        tokens = tuple([handle.reference().id for handle in handles])
        if tokens[0] in self._ahead:
            return 0
        answer = self._first(tokens)
        outcome = self._outcome(answer)
        self._ahead[tokens[answer.index]] = outcome  # for its `result()`
        return answer.index

    def suspend(self, delay: float, until: float | None) -> NoReturn:
        self._enter()
        self._suspend(Suspend(delay, until))

    def cancel(self, handles: Sequence[Execution[Any]]) -> None:
        self._enter()
        if handles:
            self._send(Cancel(tuple(handle.reference().id for handle in handles)))

    def open_group(self, name: str | None, parent: int | None) -> int:
        self._enter()
        name = None if name is None else THIS_PROCESS.text(name)
        with self._send_lock:
            number = self._groups
            self._groups += 1
            self._send_locked(OpenGroup(number, name, parent))
        return number

    def log(self, level: int, template: str | None, values: dict[str, object]) -> None:
        self._check_process()
        self._record(time.time(), level, template, values, None)

    # -- log entries ---------------------------------------------------------------------------------------------

    def log_record(self, at: float, level: int, text: str, values: dict[str, object], logger: str) -> None:
        """Record what was logged with the standard library: `text` is no template."""
        self._record(at, level, text, values, logger)

    def _record(self, at: float, level: int, text: str | None, values: dict[str, object], logger: str | None) -> None:
        encoded, references = log_values.encode(values)
        logger = None if logger is None else THIS_PROCESS.text(logger)
        entry = Log(at, level, None if text is None else log_values.clip(text), encoded, references, logger)
        if self._send_lock._is_owned():  # type: ignore[attr-defined]  # as `threading.Condition` asks
            self._unsent.append(entry)  # a signal handler logs, or a finalizer, in the middle of another message
            return
        with self._send_lock:
            self._send_unsent()
            self._channel.send(entry)

    def _send_unsent(self) -> None:
        while self._unsent:
            self._channel.send(self._unsent.pop(0))

    # -- metrics -------------------------------------------------------------------------------------------------

    def record_metric(self, metric: Metric, value: float, at: float | None) -> None:
        self._check_process()
        recorder = self._recorder or self._new_recorder()
        recorder.record(metric, value, at)

    def _new_recorder(self) -> MetricRecorder:
        with self._send_lock:
            if self._recorder is None:  # another thread was not quicker
                self._recorder = MetricRecorder(self._started, self._send_recorded, self._warn_of_dropped_point)
            return self._recorder

    def _send_recorded(self, message: object) -> None:
        with self._send_lock:
            self._channel.send(message)

    def _warn_of_dropped_point(self, metric: str, at: float) -> None:
        self.log(Level.WARNING, _DROPPED_POINT, {"metric": metric, "at": at})

    def finish(self) -> None:
        """The execution's code has ended: send what it has recorded and not sent yet."""
        if os.getpid() != self._pid:
            return
        if self._recorder is not None:
            self._recorder.end()
        if self._unsent:
            with self._send_lock:
                self._send_unsent()

    def blobs(self) -> BlobStore:
        self._enter()
        return self._blobs

    def keep_asset(self, asset: str, name: str | None, files: int, size: int, blobs: Sequence[str]) -> None:
        self._enter()
        self._send(KeepAsset(asset, name, files, size, tuple(blobs)))

    def file_stored(self, status: os.stat_result) -> None:
        self.stored.add(file_state(status))

    def keep_secret(self, value: str) -> str:
        self._enter()
        known = self._kept_secrets.get(value)
        if known is None:
            reply = self._ask(lambda request: KeepSecret(request, value))
            assert isinstance(reply, SecretKept)
            known = self._kept_secrets[value] = reply.id
        return known

    def hide(self, value: str) -> None:
        # No call of the API: neither a forked child nor what unwinds after a suspension must fail by it.
        if os.getpid() == self._pid and not self._suspended:
            self.keep_secret(value)

    # -- submissions ---------------------------------------------------------------------------------------------

    def _prepare(self, target: Target[..., Any]) -> tuple[Target[..., Any], bytes, KeyPlan]:
        """The target, what is sent of it, and which of its arguments need keys."""
        prepared = target, encode(submitted_spec(target, self._blobs)), key_plan(target, run_memo=self._memo)
        if not target.overrides:  # copies of `with_*` are often made per call: keeping them would grow without end
            self._specs[id(target)] = prepared
        return prepared

    def _keys(
        self, plan: KeyPlan, target: Target[..., Any], arguments: Sequence[object]
    ) -> tuple[ArgumentKey | None, ...]:
        """The keys of the arguments. Of one that has none, the execution's log says so, once."""
        place = f"{target.module}/{target.name}"

        def warn(parameter: str, options: tuple[str, ...], reason: str) -> None:
            if (place, parameter) not in self._unkeyable:
                self._unkeyable.add((place, parameter))
                values: dict[str, object] = {
                    "argument": parameter,
                    "target": place,
                    "options": "/".join(options),
                    "reason": reason,
                }
                self.log(Level.WARNING, _UNKEYABLE, values)

        return argument_keys(plan, target, arguments, warn)

    def _earlier_children(self, children: tuple[EarlierChild, ...]) -> EarlierChildren:
        from coflux.executor.resumption import EarlierChildren

        return EarlierChildren(children, self._blobs, self._identify)

    def _identify(self, number: int) -> str:
        reply = self._ask(lambda request: Identify(request, number))
        assert isinstance(reply, Identified)
        return reply.execution

    # -- suspension ----------------------------------------------------------------------------------------------

    @property
    def suspended(self) -> bool:
        """Whether the execution goes on in another attempt: what its code does or returns does not count."""
        return self._suspended

    def _suspend(self, message: Suspend) -> NoReturn:
        with self._send_lock:
            # Before it is known there: an answer to another thread may come at once.
            send, self._send_locked = self._send_locked, _refuse
            self._suspended = True
            send(message)
        with self._replies:
            self._replies.notify_all()
        unwind()

    def _enter(self) -> None:
        """Raise where the engine must not be asked for anything."""
        self._check_process()
        if self._suspended:
            unwind()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this is a forked child of an execution: only the execution's own process can call coflux"
            )

    # -- requests and replies ------------------------------------------------------------------------------------

    def _send(self, message: object) -> None:
        with self._send_lock:
            self._send_locked(message)

    def _first(self, tokens: tuple[str, ...]) -> Answer:
        """Wait for the first of these handles to end, or, after the time that `suspense` allows, suspend."""
        limit = wait_limit()
        return self._in_time(self._ask(lambda request: Wait(request, tokens, limit, limit is not None)), tokens)

    def _in_time(self, reply: _Reply, tokens: tuple[str, ...]) -> Answer:
        assert isinstance(reply, Answer)
        if reply.index < 0 and not reply.error:
            self._suspend(Suspend(handles=tokens))
        return reply

    def _register(self, pending: _Pending) -> int:
        with self._replies:
            self._requests += 1
            self._pending[self._requests] = pending
            return self._requests

    def _ask(self, message: Callable[[int], object]) -> _Reply:
        pending = _Pending()
        self._send(message(self._register(pending)))
        while True:
            with self._replies:
                while pending.reply is None and self._reading and not self._suspended:
                    self._replies.wait()
                if self._suspended:
                    unwind()
                if pending.reply is not None:
                    return pending.reply
                self._reading = True
            try:
                self._channel.fill()
            finally:
                with self._replies:
                    self._reading = False
                    self._deliver()
                    self._replies.notify_all()

    async def _ask_async(self, message: Callable[[int], object]) -> _Reply:
        import asyncio

        loop = asyncio.get_running_loop()
        pending = _Pending(loop, loop.create_future())
        assert pending.future is not None
        request = self._register(pending)
        self._send(message(request))
        if not self._loop_waits:
            loop.add_reader(self._channel.fileno(), self._channel_readable)
        self._loop_waits += 1
        try:
            reply: _Reply = await pending.future
        finally:
            self._loop_waits -= 1
            if not self._loop_waits:
                loop.remove_reader(self._channel.fileno())
        if self._suspended:
            unwind()
        return reply

    def _channel_readable(self) -> None:
        with self._replies:
            if self._reading:
                return  # that thread will deliver
            self._channel.fill(wait=False)
            self._deliver()
            self._replies.notify_all()

    def _deliver(self) -> None:
        for reply in self._channel.pending():
            if isinstance(reply, RevealSecrets):
                recall(reply.secrets)
                continue
            assert isinstance(reply, _Reply)  # nothing else is sent to a busy worker
            pending = self._pending.pop(reply.request, None)
            if pending is None:
                continue  # whoever asked has been cancelled
            if isinstance(reply, Answer) and reply.more:
                self._ahead.update((f"@{number}", outcome) for number, outcome in reply.more)
            pending.reply = reply
            if pending.loop is not None and pending.future is not None:
                pending.loop.call_soon_threadsafe(_settle, pending.future, reply)

    def _sent_ahead(self, token: str) -> Answer | None:
        """The answer to a wait for this handle, if its outcome has come before it was asked for."""
        outcome = self._ahead.pop(token, None)
        return None if outcome is None else Answer(0, 0, outcome)

    def _value(self, answer: Answer) -> Any:
        return decode_outcome(self._outcome(answer), self._blobs)

    def _outcome(self, answer: Answer) -> Outcome:
        if answer.error:
            from coflux.errors import ExecutionError

            raise ExecutionError(answer.error)
        assert answer.outcome is not None
        return answer.outcome


def decode_outcome(outcome: Outcome, blobs: BlobStore) -> Any:
    """The value of an outcome, or its error raised."""
    if isinstance(outcome, Succeeded):
        return values.decode(outcome.value, blobs)
    if isinstance(outcome, Failed):
        raise rebuild(outcome.failure, blobs)
    raise terminated_error(outcome.kind, outcome.message)


def _refuse(message: object) -> NoReturn:
    unwind()


def _settle(future: asyncio.Future[Any], reply: _Reply) -> None:
    if not future.done():
        future.set_result(reply)


def wait_closed(channel: Channel[ToWorker]) -> ToWorker | None:
    """The next message, `None` when the supervisor is gone."""
    try:
        return channel.receive()
    except ChannelClosed:
        return None
