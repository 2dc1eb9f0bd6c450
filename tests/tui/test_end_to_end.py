"""`coflux dev` as people have it: the command on a real terminal, with an engine of its own."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.engine.conftest import scratch_project
from tests.engine.scratch import COMMAND, ScratchProject, eventually
from tests.tui.terminal import Terminal

FLOW = r"""
import math

@cf.workflow
def greet(name="world"):
    mark("greet")
    print(f"hello {name}")
    return step(name)

@cf.task
def step(name):
    return name.upper()

@cf.workflow
def patient():
    mark("patient")
    gate("never")

@cf.task
def swallow(text):
    raise ValueError(text)

@cf.workflow
def hostile():
    bomb = "[/] [bold [@click=app.quit]X[/] \x1b[6;66;6m \x1b]0;gone\x07 \x1b]52;c;Ym9tYg==\x07"
    bomb += " \x1bPq\x1b\\ \x9b6;67m \u202e \x07"
    print(bomb)
    sys.stdout.write("y" * 1_000_000 + "\n")
    os.write(1, bomb.encode() + b"\xff\xfe \xe2\x80\n")
    cf.log_info("a value: {value}", value=bomb)
    loss = cf.Metric("loss")
    for value in (1.0, math.nan, math.inf, -math.inf, 2.0):
        loss.record(value)
    try:
        swallow(bomb)
    finally:
        mark("hostile")
        gate("hostile")
"""

# What of the bombs must not reach the terminal.
LEAKS = [b"\x1b[6;66;6m", b"\x1b]0;gone", b"\x1b]52;", b"\x1bPq", "\x9b6;67m".encode(), "\u202e".encode()]

SIZES = [
    (80, 24), (40, 8), (200, 60), (1, 1), (10, 3), (120, 40), (2, 50), (300, 2), (60, 12), (99, 30),
    (100, 30), (159, 40), (160, 50), (20, 5), (81, 7), (5, 80), (132, 43), (80, 25), (30, 10), (120, 40),
]  # fmt: skip


def dashboard(project: ScratchProject, size: tuple[int, int] = (120, 40)) -> Terminal:
    project.write("flow", FLOW)
    return Terminal([*COMMAND, "dev", "flow"], directory=project.root, size=size, environment=project.environment)


def open_tab(terminal: Terminal, title: str) -> None:
    found = re.search(rf"(\d) {title}", terminal.text())
    assert found is not None, terminal.text()
    terminal.press(found[1])


def go_home(terminal: Terminal) -> None:
    """Leave everything that is open. A pause after each escape: with a key at once it would be that key with Alt."""
    for _ in range(4):
        if "Workflows" in terminal.text():
            return
        terminal.press("escape")
        terminal.look(0.3)
    raise AssertionError(terminal.text())


def test_a_run_is_started_from_the_form_watched_run_again_another_cancelled_and_it_is_left(tmp_path: Path) -> None:
    with scratch_project(tmp_path / "project") as project, dashboard(project) as terminal:
        terminal.wait("greet", 20.0)
        terminal.press("r")
        terminal.wait("coflux run")
        terminal.press(*"Ada", "enter")
        terminal.wait("'ADA'", 20.0)
        open_tab(terminal, "Logs")
        terminal.wait("hello Ada")
        terminal.press("escape")
        terminal.look(0.3)
        terminal.press("g", "R")
        project.marked("greet", 2)
        project.settled(project.last_run())

        go_home(terminal)
        terminal.press("j", "r")
        terminal.wait("coflux run flow/patient")
        terminal.press("ctrl+r")
        project.marked("patient")
        terminal.wait("► patient()")  # the row of the tree
        terminal.press("X")
        terminal.wait("Cancel")
        terminal.press("y")
        terminal.wait("cancelled")
        assert project.settled(project.last_run())["run"]["status"] == "cancelled"

        go_home(terminal)
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.is_clean


def test_nothing_of_what_users_write_leaks_into_the_terminal_at_any_size(tmp_path: Path) -> None:
    """Markup, escape sequences, a line of 1 MB and values that are no numbers, while the window is resized. A signal
    ends it, and leaves the terminal clean."""
    with scratch_project(tmp_path / "project") as project, dashboard(project) as terminal:
        terminal.wait("hostile", 20.0)
        project.coflux("run", "--detach", "flow/hostile")
        project.marked("hostile")
        terminal.press("tab", "g")
        terminal.wait(lambda text: "hostile" in text.partition("Runs")[2])
        terminal.press("enter")
        terminal.wait("swallow")
        for number, size in enumerate(SIZES):
            terminal.press(str(number % 6 + 1), "e")
            terminal.resize(*size)
            terminal.look(0.05)
        terminal.press("escape")
        terminal.look(0.3)  # with a key at once it would be that key with Alt
        terminal.press("g")
        terminal.wait("swallow")
        for tab in "123456":
            terminal.press(tab)
            terminal.look(0.3)
        assert [leak for leak in LEAKS if leak in terminal.raw] == []
        project.open_gate("hostile")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 128 + signal.SIGTERM
        assert terminal.is_clean
        project.stop()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_tmux_is_left_as_it_was(tmp_path: Path) -> None:
    """Another terminal than ours: what we think that sequences mean, is what they do."""
    with scratch_project(tmp_path / "project") as project:
        project.write("flow", FLOW)
        name = uuid.uuid4().hex

        def tmux(*arguments: str) -> str:
            command = ["tmux", "-L", name, "-f", "/dev/null", "-u", *arguments]
            return subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=project.root, env=project.environment
            ).stdout

        script = (
            f'a=$(stty -g); "{sys.executable}" -m coflux dev flow; echo EXIT=$?;'
            ' [ "$a" = "$(stty -g)" ] && echo TTY=same; exec sleep 60'
        )
        tmux("new-session", "-d", "-x", "80", "-y", "24", script)
        try:
            eventually(lambda: "greet" in tmux("capture-pane", "-p"), 20.0, 0.05)
            assert tmux("display", "-p", "#{alternate_on}") == "1\n"
            tmux("send-keys", "q")
            eventually(lambda: "TTY=same" in tmux("capture-pane", "-p"), 10.0, 0.05)
            assert "EXIT=0" in tmux("capture-pane", "-p")
            assert tmux("display", "-p", "#{alternate_on}#{mouse_any_flag}#{cursor_flag}") == "001\n"
        finally:
            tmux("kill-server")
