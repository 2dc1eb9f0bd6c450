"""The thread between the dashboard and the engine, with a real engine and store."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coflux.executor.requests import Sampled
from coflux.tui.link import Link
from coflux.tui.state import State
from coflux.tui.updates import CancelAsked, Disconnected, RerunAsked, RunOpened, StartAsked, Update
from tests.engine.conftest import scratch_project
from tests.engine.scratch import ScratchProject, eventually

FLOW = """
@cf.task()
def item(number):
    return number

@cf.workflow()
def many(count=100):
    for handle in [item.submit(number) for number in range(int(count))]:
        handle.result()
"""


class Watcher:
    """Takes what a link tells, as the app does."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.state = State()
        self.told: list[Update] = []

    def sees(self, what: Callable[[State], object]) -> None:
        def look() -> object:
            for update in self.link.take():
                self.told.append(update)
                self.state.take(update)
            return what(self.state)

        try:
            eventually(look, 20.0)
        except AssertionError:
            raise AssertionError(f"not among {self.told}") from None


@contextmanager
def watching(project: ScratchProject) -> Iterator[Watcher]:
    link = Link(project.project, ("flow",), (), start=True)
    link.start()
    try:
        yield Watcher(link)
    finally:
        link.close()


def test_a_run_is_started_followed_and_run_again_and_the_next_engine_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is open stays open when the engine is another one."""
    with scratch_project(tmp_path / "project") as project:
        project.write("flow", FLOW)
        monkeypatch.syspath_prepend(project.root)
        with watching(project) as watcher:
            watcher.sees(lambda state: len(state.engine.targets) == 2)
            watcher.link.ask(StartAsked("flow", "", "many", ("--count", "3")))
            watcher.sees(lambda state: state.started)
            run = watcher.state.started[0].run
            watcher.state.open_run(run)
            watcher.link.ask(RunOpened(run))
            watcher.sees(lambda state: state.run is not None and state.run.tree.counts == {"succeeded": 4})
            watcher.sees(lambda state: isinstance(state.engine.sample, Sampled))
            os.kill(project.supervisor_pid(), signal.SIGKILL)
            watcher.sees(lambda state: any(isinstance(update, Disconnected) for update in watcher.told))
            watcher.sees(lambda state: state.engine.connected)
            watcher.link.ask(RerunAsked(run, 1))
            watcher.sees(lambda state: state.run is not None and state.run.tree.counts == {"succeeded": 4})
            watcher.sees(lambda state: len(state.started) == 2)


def test_what_was_asked_before_leaving_is_still_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling when leaving: the engine hears of it, however quickly the screen is gone."""
    with scratch_project(tmp_path / "project") as project:
        project.write("flow", "@cf.workflow()\ndef held():\n    gate('never')\n")
        monkeypatch.syspath_prepend(project.root)
        runs = [project.coflux("run", "--detach", "flow/held").out.strip() for _ in range(3)]
        with watching(project) as watcher:
            watcher.sees(lambda state: state.engine.connected and len(state.runs) == 3)
            for run in runs:
                watcher.link.ask(CancelAsked(run))
        for run in runs:
            project.settled(run)
            assert project.read(run)["run"]["status"] == "cancelled"
