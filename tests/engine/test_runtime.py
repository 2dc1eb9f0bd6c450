"""What an execution asks the engine for. The test plays the engine on the other end of the channel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import coflux as cf
from coflux.encoded import Value
from coflux.executor import log_values
from coflux.executor.blobs import FileBlobs
from coflux.executor.channel import Channel, decoder
from coflux.executor.messages import (
    Answer,
    ArgumentKey,
    FromWorker,
    Log,
    Submit,
    Succeeded,
    TargetSpec,
    ToWorker,
    Wait,
)
from coflux.executor.runtime import Runtime
from coflux.handles import Execution
from coflux.keys import key_of
from coflux.logs import Level, render
from coflux.target import Target

spec_decoder = decoder(TargetSpec)


class Engine:
    """The other end: what was asked, and answers to it."""

    def __init__(self, blobs: Path) -> None:
        ours, theirs = socket.socketpair()
        self.channel: Channel[FromWorker] = Channel(ours, FromWorker)
        self._theirs: Channel[ToWorker] = Channel(theirs, ToWorker)
        self._blobs = FileBlobs(str(blobs))
        self.runtime = self.execution()

    def execution(self, *, memo: bool = False) -> Runtime:
        """Another execution in the same process, of a run with this default of memo."""
        return Runtime(self._theirs, self._blobs, "Rbcd:1:1", "/project", {}, memo=memo)

    def submitted(self) -> Submit:
        """What has been asked since the last call, which is one submission."""
        [message] = self.asked()
        assert isinstance(message, Submit)
        return message

    def asked(self) -> list[FromWorker]:
        """What has been asked since the last call."""
        self.channel.fill(wait=False)
        return list(self.channel.pending())

    def close(self) -> None:
        self.channel.close()
        self._theirs.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    engine.close()


def number(value: int) -> Succeeded:
    return Succeeded(Value("json", str(value).encode(), 1))


def handle(index: int) -> Execution[int]:
    return Execution(module="flow", target="square", number=index)


Ask = Callable[[Runtime, Execution[int]], Any]

WAYS: list[Ask] = [
    lambda runtime, one: runtime.result(one),
    lambda runtime, one: runtime.poll(one, None, None),
    lambda runtime, one: runtime.poll(one, 5.0, None),
    lambda runtime, one: asyncio.run(runtime.result_async(one)),
]


@pytest.mark.parametrize("ask", WAYS, ids=["result", "poll", "poll with a timeout", "await"])
def test_an_outcome_that_was_sent_ahead_is_not_asked_for(engine: Engine, ask: Ask) -> None:
    engine.channel.send(Answer(1, 0, number(10), more=((2, number(20)), (3, number(30)))))
    assert engine.runtime.result(handle(1)) == 10
    assert engine.asked() == [Wait(1, ("@1",), None)]
    assert (ask(engine.runtime, handle(3)), ask(engine.runtime, handle(2))) == (30, 20)
    assert engine.asked() == []


# -- select -----------------------------------------------------------------------------------------------------------


def test_select_asks_once_and_keeps_the_winner_s_outcome(engine: Engine) -> None:
    engine.channel.send(Answer(1, 1, number(20)))
    handles = [handle(1), handle(2), handle(3)]
    assert engine.runtime.select(handles) == 1
    assert engine.asked() == [Wait(1, ("@1", "@2", "@3"), None)]
    assert engine.runtime.result(handles[1]) == 20
    assert engine.asked() == []


def test_the_first_of_the_handles_wins_unasked_if_its_outcome_was_sent_ahead(engine: Engine) -> None:
    engine.channel.send(Answer(1, 0, number(10), more=((2, number(20)), (3, number(30)))))
    assert engine.runtime.result(handle(1)) == 10
    engine.asked()
    assert engine.runtime.select([handle(3), handle(4)]) == 0
    assert engine.asked() == []
    # The fourth may have ended, too, and comes first.
    engine.channel.send(Answer(2, 0, number(40)))
    assert engine.runtime.select([handle(4), handle(3)]) == 0
    assert engine.asked() == [Wait(2, ("@4", "@3"), None)]
    assert [engine.runtime.result(handle(index)) for index in (2, 3, 4)] == [20, 30, 40]
    assert engine.asked() == []


def test_select_of_handles_that_all_close_a_cycle_is_refused(engine: Engine) -> None:
    engine.channel.send(Answer(1, -1, None, "it would wait for itself"))
    with pytest.raises(cf.ExecutionError, match="it would wait for itself"):
        engine.runtime.select([handle(1), handle(2)])


# -- keys of arguments ------------------------------------------------------------------------------------------------


def function(user: Any, page: Any = 1, *, options: Any = None) -> None:
    pass


def key(value: object, *references: str) -> ArgumentKey:
    return ArgumentKey(key_of(value).digest, references)


ARGUMENTS = ("ada", 2, {"a", "b"})
KEYS = tuple(key(value) for value in ARGUMENTS)


@pytest.mark.parametrize(
    ("target", "needed"),
    [
        (cf.task(memo=True)(function), "012"),
        (cf.task(memo="page")(function), "1"),
        (cf.task(cache=True)(function), "012"),
        (cf.task(cache=cf.Cache(params="options, user"))(function), "02"),
        (cf.task(defer=True)(function), "012"),
        (cf.task(defer=cf.Defer("user"))(function), "0"),
        (cf.task(defer=cf.Defer("user"), memo="page")(function), "01"),
        (cf.task()(function).with_cache(60), "012"),
        (cf.task(cache=True)(function).with_cache(False), ""),
        (cf.task(cache=cf.Cache(params=[]))(function), ""),
        (cf.task(retries=3, wait=True, delay=1, timeout=5)(function), ""),
        (cf.workflow(memo=True)(function), ""),  # of its own run's steps
        (cf.workflow()(function).with_memo(True), "012"),
        (cf.stub("other", type="workflow", memo=["user"])(function), "0"),
    ],
)
def test_arguments_that_an_option_looks_at_have_keys(engine: Engine, target: Target[..., Any], needed: str) -> None:
    for _ in range(2):
        engine.runtime.submit(target, ARGUMENTS, None)
        expected = tuple(KEYS[index] if str(index) in needed else None for index in range(3)) if needed else ()
        assert engine.submitted().keys == expected


@pytest.mark.parametrize(
    ("target", "keyed"),
    [
        (cf.task()(function), True),
        (cf.workflow()(function), True),
        (cf.stub("other")(function), True),
        (cf.task(memo=False)(function), False),
        (cf.task(memo=True)(function).with_memo(False), False),
    ],
)
def test_the_run_s_default_of_memo_counts_where_a_target_says_nothing(
    engine: Engine, target: Target[..., Any], keyed: bool
) -> None:
    engine.execution(memo=True).submit(target, ARGUMENTS, None)
    assert engine.submitted().keys == (KEYS if keyed else ())


def test_handles_in_an_argument_are_the_references_of_its_key(engine: Engine) -> None:
    received: Execution[int] = Execution("Rbcd:7:1", module="flow", target="square")
    engine.runtime.submit(cf.task(memo="user")(function), ([handle(2), {"x": received}], handle(1), None), None)
    [user, page, options] = engine.submitted().keys
    assert user == key([handle(2), {"x": received}], "@2", "Rbcd:7:1")
    assert (page, options) == (None, None)


def test_an_argument_without_a_key_is_warned_of_once_for_each_target(engine: Engine) -> None:
    load, other = (
        cf.task(memo=True, cache=cf.Cache(params="user"))(function),
        cf.task(name="other", cache=True)(function),
    )
    unkeyable = (lambda: 1, "dill sends a local function, but it has no content")
    for target, arguments in [
        (load, (unkeyable, 1, None)),
        (load, (unkeyable, 1, unkeyable)),
        (other, (unkeyable, 1, None)),
    ]:
        engine.runtime.submit(target, arguments, None)
    messages = engine.asked()
    keys = [message.keys for message in messages if isinstance(message, Submit)]
    assert [[one is not None for one in each] for each in keys] == [
        [False, True, True],
        [False, True, False],
        [False, True, True],
    ]
    entries = [message for message in messages if isinstance(message, Log)]
    assert {entry.level for entry in entries} == {Level.WARNING}
    texts = [render(entry.template, log_values.decode(entry.values)) for entry in entries]
    start = (
        "argument {} of tests.engine.test_runtime/{} cannot be keyed, so it runs without {}: {}[0]: function cannot be"
    )
    assert [text.partition(" keyed: ")[0] for text in texts] == [
        start.format("user", "function", "memo/cache", "user"),
        start.format("options", "function", "memo", "options"),
        start.format("user", "other", "cache", "user"),
    ]


# -- what is sent of a target -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "run_memo", "memo", "overrides"),
    [
        (cf.workflow(memo=True)(function), True, None, ()),
        (cf.workflow(memo=True)(function).with_memo(False), True, False, ("memo",)),
        (cf.workflow(memo=True)(function).with_timeout(5).with_memo(["user"]), True, ("user",), ("memo", "timeout")),
        (cf.workflow()(function), False, None, ()),
        (cf.task(memo=True)(function), False, True, ()),
        (cf.task()(function).with_requires({"gpu": True}).with_delay(1), False, None, ("delay", "requires")),
    ],
)
def test_memo_of_a_workflow_is_its_run_s_and_what_is_set_at_the_call_its_step_s(
    engine: Engine, target: Target[..., Any], run_memo: bool, memo: Any, overrides: tuple[str, ...]
) -> None:
    engine.runtime.submit(target, ARGUMENTS, None)
    spec = spec_decoder.decode(engine.submitted().target)
    assert (spec.run_memo, spec.options.memo, spec.overrides, spec.stub) == (run_memo, memo, overrides, False)


@pytest.mark.parametrize("kind", ["workflow", "task"])
def test_memo_of_a_stub_is_about_the_step_whatever_the_target_is(engine: Engine, kind: Any) -> None:
    engine.runtime.submit(cf.stub("other", type=kind, memo=True)(function), ARGUMENTS, None)
    spec = spec_decoder.decode(engine.submitted().target)
    assert (spec.module, spec.type, spec.stub) == ("other", kind, True)
    assert (spec.run_memo, spec.options.memo) == (False, True)


@pytest.mark.parametrize("option", ["cache", "wait", "recurrent", "defer", "memo"])
def test_no_option_is_refused(engine: Engine, option: str) -> None:
    options: dict[str, Any] = {option: True}
    engine.runtime.submit(cf.task(**options)(function), ARGUMENTS, None)
    spec = spec_decoder.decode(engine.submitted().target)
    assert getattr(spec.options, option)
