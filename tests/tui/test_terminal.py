"""The dashboard on a real terminal, with a real engine: what the command does around it, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import psutil
import pytest

from tests.engine.conftest import held_project, shared  # noqa: F401
from tests.engine.scratch import ScratchProject, eventually

FLOW = """
@cf.task()
def part(number):
    if number == 3:
        raise ValueError("three")
    return number

@cf.workflow()
def main(count: int = 2):
    return {"sum": sum(part(number) for number in range(count))}

@cf.workflow()
def held():
    mark("held")
    gate("open", 60)
    return "through"
"""
ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, project: ScratchProject, *words: str, **environment: str) -> None:
        self.command = pexpect.spawn(
            sys.executable,
            ["-m", "coflux", *words],
            cwd=str(project.root),
            env={
                **project.environment,
                "TERM": "xterm-256color",
                "XDG_CONFIG_HOME": str(project.temporary),
                **environment,
            },
            dimensions=(30, 100),
            encoding="utf-8",
            codec_errors="replace",
            timeout=30,
        )
        self._settings = termios.tcgetattr(self.command.child_fd)
        self.shown = ""

    def sees(self, text: str) -> None:
        self.command.expect_exact(text)
        self.shown += str(self.command.before) + str(self.command.after)

    def press(self, keys: str) -> None:
        self.command.send(keys)

    @property
    def dashboard(self) -> int:
        """The process that draws; the command itself guards the terminal."""
        assert self.command.pid is not None
        [child] = eventually(psutil.Process(self.command.pid).children)
        return int(child.pid)

    def ends(self, *, dashboard: bool = True) -> tuple[int, str]:
        """Its exit status, and what it left on the normal screen. The terminal is as it was."""
        self.shown += str(self.command.read())
        settings = termios.tcgetattr(self.command.child_fd)
        self.command.close()
        assert settings == self._settings
        last = self.shown.rpartition(NORMAL)[2] if dashboard else self.shown
        assert ALTERNATE not in last
        if dashboard:
            assert self.shown.rindex("\x1b[?25h") > self.shown.rindex("\x1b[?25l")
            for mode in (1000, 1003, 1006, 2004):  # the mouse, and pasted text in brackets
                assert self.shown.rfind(f"\x1b[?{mode}l") > self.shown.rfind(f"\x1b[?{mode}h")
        assert self.command.exitstatus is not None
        return self.command.exitstatus, last


@pytest.fixture
def project(shared: ScratchProject) -> ScratchProject:  # noqa: F811
    shared.write("flow", FLOW)
    return shared


@contextmanager
def opened(project: ScratchProject, *words: str, **environment: str) -> Iterator[Screen]:
    """The dashboard, once it shows what there is."""
    screen = Screen(project, *words, **environment)
    try:
        screen.sees("count: int = 2")
        yield screen
    finally:
        screen.command.close(force=True)


def test_however_the_dashboard_ends_the_terminal_is_as_it_was(project: ScratchProject) -> None:
    """K: left, interrupted, told to end, and killed."""
    with opened(project, "dev", "flow") as screen:
        screen.press("q")
        assert screen.ends()[0] == 0
    with opened(project, "attach") as screen:
        screen.press("\x03")
        screen.sees("again to leave")
        screen.press("\x03")
        assert screen.ends()[0] == 130
    for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        with opened(project, "dev", "flow") as screen:
            assert screen.command.pid is not None
            os.kill(screen.command.pid, number)
            assert screen.ends()[0] == status
    with opened(project, "dev", "flow") as screen:
        os.kill(screen.dashboard, signal.SIGKILL)
        status, last = screen.ends()
        assert (status, "ended by SIGKILL" in last) == (137, True)


def test_a_job_of_continuous_integration_gets_the_dashboard_only_when_it_asks(project: ScratchProject) -> None:
    """BEHAVIOUR 11.1, of one that was given a terminal."""
    status, shown = Screen(project, "run", "flow/main", CI="true").ends(dashboard=False)
    assert (status, '{"sum":1}' in shown) == (0, True)
    with opened(project, "dev", "flow", CI="true") as screen:
        screen.press("q")
        assert screen.ends()[0] == 0


def test_a_dashboard_whose_guard_is_killed_leaves_too(project: ScratchProject) -> None:
    with opened(project, "dev", "flow") as screen:
        dashboard = screen.dashboard
        assert screen.command.pid is not None
        os.kill(screen.command.pid, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(dashboard), 20.0)


def test_it_is_suspended_and_goes_on(project: ScratchProject) -> None:
    with opened(project, "dev", "flow") as screen:
        screen.press("\x1a")
        screen.sees(NORMAL)
        assert screen.command.pid is not None
        guard = psutil.Process(screen.command.pid)
        eventually(lambda: guard.status() == psutil.STATUS_STOPPED, 20.0)
        os.killpg(screen.command.pid, signal.SIGCONT)  # as the shell's `fg` does
        screen.sees(ALTERNATE)
        screen.sees("count: int = 2")
        os.kill(screen.dashboard, signal.SIGUSR1)
        log = Path(project.project.data_dir) / "dashboard.log"
        eventually(lambda: "most recent call first" in log.read_text(), 20.0)
        screen.press("q")
        assert screen.ends()[0] == 0


def test_coflux_run_shows_its_run_then_prints_the_result(project: ScratchProject) -> None:
    """BEHAVIOUR 11: the same result and exit status as without the dashboard."""
    screen = Screen(project, "run", "flow/main")
    screen.sees("q leaves")
    screen.press("q")
    status, last = screen.ends()
    assert (status, last.splitlines()[-1]) == (0, '{"sum":1}')
    assert "succeeded in" in last
    screen = Screen(project, "run", "flow/main", "4")
    screen.sees("q leaves")
    screen.press("q")
    status, last = screen.ends()
    assert status == 1
    assert "failed: ValueError: three" in last


def test_a_command_line_that_is_wrong_opens_no_dashboard(project: ScratchProject) -> None:
    for words, problem in ((("flow/nothing",), "nothing"), (("flow/main", "x"), "count")):
        status, shown = Screen(project, "run", *words).ends(dashboard=False)
        assert (status, problem in shown) == (2, True)
    status, shown = Screen(project, "run", "--json", "flow/main").ends(dashboard=False)
    assert (status, '"version":1' in shown) == (0, True)
    status, shown = Screen(project, "run", "--no-ui", "flow/main").ends(dashboard=False)
    assert (status, '{"sum":1}' in shown) == (0, True)


def test_leaving_coflux_run_before_the_end_leaves_it_running_or_cancels_it(project: ScratchProject) -> None:
    screen = Screen(project, "run", "flow/held")
    project.marked("held")
    screen.sees("held(")
    screen.press("q")
    screen.sees("leave it running")
    screen.press("d")
    status, last = screen.ends()
    [run] = re.findall("run (R[a-zA-Z0-9]+) goes on", last)
    assert (status, f"`coflux attach {run}` shows it" in last) == (0, True)
    screen = Screen(project, "attach", run)
    screen.sees("held(")
    assert screen.command.pid is not None
    os.kill(screen.dashboard, signal.SIGKILL)  # which cancels nothing
    assert screen.ends()[0] == 137
    assert project.read(run)["run"]["status"] == "running"
    project.coflux("runs", "cancel", run)

    project.clear()
    screen = Screen(project, "run", "flow/held")
    project.marked("held")
    screen.sees("held(")
    screen.press("\x03")
    screen.sees("to cancel R")
    screen.press("\x03")
    status, last = screen.ends()
    assert (status, "cancelled" in last) == (130, True)
