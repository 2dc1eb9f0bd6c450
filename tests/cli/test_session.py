"""Following a run: messages and signals in, an exit status out. A script plays the engine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from coflux.cli import exits, session
from coflux.cli.progress import Lines
from coflux.cli.result import end_of_step
from coflux.cli.session import Session
from coflux.cli.signals import listening
from coflux.cli.terminal import Output
from coflux.display.feed import Event, Feed, Key, Logged
from coflux.executor.client import Client, ConnectionLost
from coflux.executor.history import History
from coflux.executor.messages import Terminated
from coflux.executor.requests import (
    Advanced,
    CancelRun,
    FromSupervisor,
    Notice,
    Release,
    RunFinished,
    RunSettled,
    Subscribe,
    ToSupervisor,
)
from coflux.executor.series import Progress
from coflux.logs import Level
from coflux.metrics import Metric, MetricScale
from tests.cli.samples import PLAIN, TIMEOUT, Captured, Recorder, succeeded

Scripted = FromSupervisor | Callable[[], FromSupervisor | None] | Exception


class ScriptedClient:
    """Gives out its script one message at a time; `on_cancel` is what follows a request to cancel."""

    def __init__(self, *script: Scripted, on_cancel: tuple[Scripted, ...] = ()) -> None:
        self.sent: list[ToSupervisor] = []
        self._script = deque(script)
        self._on_cancel = on_cancel
        # Always readable: whoever waits for the engine goes on to the next message of the script.
        self._ours, self._theirs = socket.socketpair()
        self._theirs.send(b"x")

    def fileno(self) -> int:
        return self._ours.fileno()

    def next_request(self) -> int:
        return len(self.sent) + 1

    def send(self, message: ToSupervisor) -> None:
        self.sent.append(message)
        if isinstance(message, CancelRun):
            self._script.extendleft(reversed(self._on_cancel))

    def receive(self, timeout: float | None) -> FromSupervisor | None:
        assert timeout == 0, "the loop must never wait in here"
        if not self._script:
            return None
        step = self._script.popleft()
        if isinstance(step, Exception):
            raise step
        if callable(step):
            return step()
        return step

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class Player:
    """A session on a recorded run, with what it prints."""

    def __init__(self, recorder: Recorder, history: History, captured: Captured) -> None:
        self._history = history
        self._captured = captured
        self.finished: list[str] = []
        recorder.run()
        recorder.step(1, "nightly")
        recorder.execution(1, "running")
        recorder.commit()

    def follow(
        self,
        client: ScriptedClient,
        *,
        wait_children: bool = True,
        grace: float = 0.0,
        output: Output | None = None,
        step: int = 1,
    ) -> int:
        output = output or self._captured.output
        session = Session(
            cast(Client, client), "Rbcd", Feed(self._history, "Rbcd"), Lines(output, PLAIN), (output,), grace
        )
        if step != 1:
            session.follow_execution(f"Rbcd:{step}:2", lambda: self._status_of(step))
        with closing(client), listening() as signals:
            return session.follow(
                signals, lambda: self.finished.append(self._captured.text), wait_children=wait_children
            )

    def _status_of(self, step: int) -> str:
        end, outcome = end_of_step(self._history, "Rbcd", step)
        return "" if outcome is None else end.status


@pytest.fixture
def player(recorder: Recorder, captured: Captured, tmp_path: Path) -> Iterator[Player]:
    with closing(History.open(str(tmp_path))) as history:
        yield Player(recorder, history, captured)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize(
    ("status", "code"),
    [("succeeded", 0), ("failed", 1), ("abandoned", 1), ("cancelled", 1), ("timed_out", 124)],
)
def test_the_status_is_the_roots(player: Player, status: str, code: int) -> None:
    assert player.follow(ScriptedClient(RunFinished("Rbcd", status), RunSettled("Rbcd", status))) == code


def test_other_runs_do_not_end_the_session(player: Player) -> None:
    client = ScriptedClient(
        RunSettled("Rother", "failed"), RunFinished("Rother", "failed"), RunSettled("Rbcd", "succeeded")
    )
    assert player.follow(client) == 0
    assert client.sent == [Subscribe("Rbcd")]
    assert len(player.finished) == 1


def test_news_are_shown_before_the_result(player: Player, recorder: Recorder, captured: Captured) -> None:
    def succeed() -> None:
        recorder.execution(1, "succeeded", succeeded("1"))
        recorder.commit()

    client = ScriptedClient(
        lambda: None,
        succeed,
        Advanced(0, (("Rbcd", 1, 1),)),
        RunFinished("Rbcd", "succeeded"),
        Notice("info", "a notice"),
        RunSettled("Rbcd", "succeeded"),
    )
    player.follow(client)
    assert captured.lines == [
        "run Rbcd app.flows/nightly",
        "Rbcd:1 nightly() running",
        "Rbcd:1 nightly succeeded in 1.0s",
        "a notice",
    ]
    assert player.finished[0].endswith("succeeded in 1.0s\n")


def test_without_waiting_for_children_the_root_ends_it(player: Player) -> None:
    assert player.follow(ScriptedClient(RunFinished("Rbcd", "succeeded")), wait_children=False) == 0


def test_a_step_that_is_followed_ends_as_the_store_says(player: Player, recorder: Recorder) -> None:
    """The end of the root is no news of it, and nobody tells of its own."""

    def end() -> None:
        recorder.execution(2, "timed_out", TIMEOUT, attempt=2)
        recorder.commit()

    recorder.step(2, "load")
    recorder.execution(2, "running", attempt=2)
    recorder.commit()
    client = ScriptedClient(
        RunFinished("Rbcd", "succeeded"), end, Advanced(0, (("Rbcd", 2, 2),)), RunSettled("Rbcd", "succeeded")
    )
    assert player.follow(client, step=2) == exits.TIMED_OUT
    assert len(player.finished) == 1


def test_an_interrupt_cancels_the_step_that_is_followed_and_nothing_else(player: Player, recorder: Recorder) -> None:
    recorder.step(2, "load")
    recorder.execution(2, "running", attempt=2)
    recorder.commit()

    def end() -> FromSupervisor:
        recorder.execution(2, "cancelled", Terminated("cancelled", "it was cancelled"), attempt=2)
        recorder.commit()
        return Advanced(0, (("Rbcd", 2, 2),))

    client = ScriptedClient(interrupt, on_cancel=(end,))
    assert player.follow(client, step=2) == exits.INTERRUPTED
    assert client.sent == [Subscribe("Rbcd"), Subscribe(None), CancelRun(3, "Rbcd:2:2"), Release("Rbcd")]


def test_it_is_said_what_a_finished_run_waits_for(
    player: Player, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coflux.cli.session.WAITING_NOTICE", 0.0)
    player.follow(
        ScriptedClient(
            RunFinished("Rbcd", "succeeded"), Advanced(1, None), lambda: None, RunSettled("Rbcd", "succeeded")
        )
    )
    assert "waiting for Rbcd:1:1 nightly (running) (Ctrl-C cancels)" in captured.lines


@pytest.mark.parametrize(("signal_once", "code"), [(interrupt, exits.INTERRUPTED), (terminate, exits.TERMINATED)])
def test_a_first_signal_cancels_and_waits(
    player: Player, captured: Captured, signal_once: Callable[[], None], code: int
) -> None:
    client = ScriptedClient(signal_once, on_cancel=(Advanced(1, None), lambda: None, RunSettled("Rbcd", "cancelled")))
    assert player.follow(client) == code
    assert client.sent == [Subscribe("Rbcd"), CancelRun(2, "Rbcd")]
    assert "cancelling run Rbcd" in captured.text


def test_a_second_interrupt_kills_and_leaves(player: Player) -> None:
    client = ScriptedClient(interrupt, on_cancel=(lambda: None, interrupt))
    assert player.follow(client) == exits.INTERRUPTED
    assert client.sent == [Subscribe("Rbcd"), CancelRun(2, "Rbcd"), CancelRun(3, "Rbcd", now=True)]


def test_an_engine_that_does_not_end_the_run_is_not_waited_for(
    player: Player, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coflux.cli.session.PATIENCE", 0.0)
    assert player.follow(ScriptedClient(interrupt)) == exits.INTERRUPTED
    assert "run Rbcd has not ended yet: `coflux runs inspect Rbcd` shows why" in captured.lines


LINES = 2000


@pytest.fixture
def flooded(player: Player, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Player:
    """So much is printed that showing it takes many turns of the loop: one line each."""
    monkeypatch.setattr("coflux.cli.session.SLICE", 0.0)
    for number in range(LINES):
        recorder.log(1, Level.STDOUT, f"line {number}")
    recorder.commit()
    return player


def interrupt_the_settled() -> FromSupervisor:
    interrupt()
    return RunSettled("Rbcd", "succeeded")


def test_an_interrupt_comes_before_the_news_that_are_left(flooded: Player, captured: Captured) -> None:
    shown: list[int] = []
    client = ScriptedClient(
        interrupt, on_cancel=(lambda: shown.append(captured.text.count("line ")), RunSettled("Rbcd", "cancelled"))
    )
    assert flooded.follow(client, grace=600.0) == exits.INTERRUPTED
    assert shown[0] < 10
    assert captured.text.count("line ") == LINES
    assert flooded.finished[0].count("line ") == LINES


def test_a_second_interrupt_does_not_wait_for_the_news_that_are_left(flooded: Player, captured: Captured) -> None:
    client = ScriptedClient(interrupt, on_cancel=(lambda: None, interrupt))
    assert flooded.follow(client, grace=600.0) == exits.INTERRUPTED
    assert client.sent[-1] == CancelRun(3, "Rbcd", now=True)
    assert captured.text.count("line ") < 10


@pytest.mark.parametrize("ends", [(RunFinished("Rbcd", "succeeded"), RunSettled("Rbcd", "succeeded")), ()])
def test_everything_is_shown_before_an_end(
    flooded: Player, captured: Captured, ends: tuple[FromSupervisor, ...]
) -> None:
    """Also when the engine is lost."""
    client = ScriptedClient(*ends, ConnectionLost("end of file"))
    if ends:
        assert flooded.follow(client) == exits.SUCCEEDED
        assert [text.count("line ") for text in flooded.finished] == [LINES]
    else:
        with pytest.raises(exits.CommandError, match="lost the engine"):
            flooded.follow(client)
    assert captured.text.count("line ") == LINES


def test_an_interrupt_after_the_run_cuts_short_what_is_left_to_show(flooded: Player, captured: Captured) -> None:
    client = ScriptedClient(interrupt_the_settled)
    assert flooded.follow(client, grace=600.0) == exits.INTERRUPTED
    assert client.sent == [Subscribe("Rbcd")]
    assert captured.text.count("line ") < 10
    assert captured.lines[-1] == "the rest of the output is not shown: `coflux logs Rbcd` has it"
    assert len(flooded.finished) == 1


def test_output_that_nobody_reads_is_cut_short_when_an_interrupted_run_has_settled(
    player: Player, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coflux.cli.session.PATIENCE", 0.0)
    for number in range(LINES):
        recorder.log(1, Level.STDOUT, f"line {number} {'x' * 200}")
    recorder.commit()
    reader, writer = os.pipe()
    output = Output(writer, "utf-8")
    client = ScriptedClient(interrupt, on_cancel=(RunSettled("Rbcd", "cancelled"),))
    assert player.follow(client, grace=1.0, output=output) == exits.INTERRUPTED
    assert len(player.finished) == 1

    def write_the_rest() -> None:
        output.flush()
        os.close(writer)

    thread = threading.Thread(target=write_the_rest)
    thread.start()
    with open(reader) as file:
        lines = file.read().splitlines()
    thread.join()
    assert len(lines) < LINES
    assert lines[-1] == "the rest of the output is not shown: `coflux logs Rbcd` has it"


def test_a_run_that_never_stops_printing_does_not_delay_the_result(
    flooded: Player, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child run may go on when the root has finished: its result comes after what was printed before that."""
    take = Lines.take

    def take_and_print(display: Lines, event: Event) -> None:
        take(display, event)
        if isinstance(event, Logged):
            recorder.log(1, Level.STDOUT, "later 1")
            recorder.log(1, Level.STDOUT, "later 2")
            recorder.commit()

    monkeypatch.setattr(Lines, "take", take_and_print)
    assert flooded.follow(ScriptedClient(RunFinished("Rbcd", "succeeded")), wait_children=False) == 0
    assert flooded.finished[0].count("line ") == LINES
    assert flooded.finished[0].count("later ") == 0


def test_a_lost_engine_is_one_message(player: Player) -> None:
    with pytest.raises(exits.CommandError, match=r"lost the engine \(end of file\)") as caught:
        player.follow(ScriptedClient(ConnectionLost("end of file")))
    assert caught.value.status == exits.FAILED
    message = str(caught.value)
    assert "\n" not in message
    for promise in ("running is abandoned", "only if it has retries", "queued goes on", "`coflux logs -f Rbcd`"):
        assert promise in message


def test_an_engine_that_leaves_once_the_run_has_settled_is_not_lost(player: Player) -> None:
    """As after `coflux stop --cancel`: it has nothing more to say."""
    client = ScriptedClient(RunSettled("Rbcd", "cancelled"), ConnectionLost("end of file"))
    assert player.follow(client) == exits.FAILED
    assert len(player.finished) == 1


def test_an_engine_that_ends_without_a_word_is_not_lost_if_the_run_has_settled(
    player: Player, recorder: Recorder
) -> None:
    """The store says so."""

    def settle() -> None:
        recorder.execution(1, "succeeded", succeeded("1"))
        recorder.run(status="succeeded", settled=True)
        recorder.commit()

    assert player.follow(ScriptedClient(settle, ConnectionLost("end of file"))) == exits.SUCCEEDED
    assert len(player.finished) == 1


def test_a_hangup_leaves_the_run_to_the_engine(player: Player, captured: Captured) -> None:
    client = ScriptedClient(hang_up, RunSettled("Rbcd", "succeeded"))
    assert player.follow(client) == exits.HUNG_UP == 129
    assert client.sent == [Subscribe("Rbcd"), Release("Rbcd")]
    assert player.finished == []
    assert "run Rbcd goes on: `coflux logs -f Rbcd` follows it" in captured.text


def test_a_hangup_does_not_take_back_an_interrupt(player: Player) -> None:
    client = ScriptedClient(interrupt, on_cancel=(hang_up,))
    assert player.follow(client) == exits.INTERRUPTED
    assert client.sent == [Subscribe("Rbcd"), CancelRun(2, "Rbcd")]


def test_a_hangup_that_the_caller_ignores_stays_ignored(player: Player) -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        client = ScriptedClient(hang_up, RunSettled("Rbcd", "succeeded"))
        assert player.follow(client) == exits.SUCCEEDED
        assert client.sent == [Subscribe("Rbcd")]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_interrupt_ends_a_process_that_is_stuck() -> None:
    code = """
import os, signal, threading
from coflux.cli.signals import listening
with listening():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == exits.INTERRUPTED


def test_signals_mean_what_they_did_before_when_the_session_is_over() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with listening():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_display_that_is_redrawn_is_told_of_progress(
    player: Player, recorder: Recorder, captured: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nested or successive loops, of the one that was begun last and is not complete."""
    told: list[dict[Key, Progress]] = []
    monkeypatch.setattr(Lines, "animated", True)
    monkeypatch.setattr(Lines, "show_progress", lambda _, progress: told.append(dict(progress)))
    monkeypatch.setattr(session, "REFRESH", 0.0)

    def scale(upper: float | None) -> MetricScale:
        return MetricScale(progress=True, upper=upper)

    recorder.metric(1, 0, Metric("loaded", scale=scale(2)), [1, 2])
    recorder.metric(1, 1, Metric("batches", scale=scale(9)), [1, 2])
    recorder.metric(1, 2, Metric("epochs", scale=scale(20)), [5])
    recorder.metric(1, 3, Metric("saved", scale=scale(1)), [1])
    recorder.metric(1, 4, Metric("loss"), [1])
    recorder.commit()
    player.follow(ScriptedClient(lambda: None, lambda: None, RunSettled("Rbcd", "succeeded")))
    assert told[-1] == {("Rbcd", 1, 1): Progress(5, 20, 0.25, None, None)}
    assert captured.lines == ["run Rbcd app.flows/nightly", "Rbcd:1 nightly() running"]
