"""A parent process that outlives whatever happens to the dashboard, and leaves the terminal as it was.

The dashboard itself cleans up when it is left, on signals and after its own errors; only when it is killed can it not.
The parent is forked before Textual is imported. It has nothing to do but to wait, so nothing can happen to it but to be
killed itself: then the dashboard is told to leave.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import time
from types import FrameType
from typing import Any, NoReturn

__all__ = ["guard_terminal"]

PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
CONTINUED = 0.05  # seconds in which a shell that goes on with one process goes on with the other
PATIENCE = 5.0  # seconds that the dashboard has to leave once it was told to

# What a dashboard may have switched on: an unfinished sequence, keys and mouse reported in other ways, synchronised
# pictures, pasted text in brackets, no line wrap, the alternate screen, a title, colours, a hidden cursor.
RESTORE = (
    b"\x18\x1b[<u\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1016l\x1b[?1006l\x1b[?1015l\x1b[?1003l\x1b[?1000l"
    b"\x1b[?1004l\x1b[?1049l\x1b[23;2t\x1b[0m\x1b[?25h"
)


def guard_terminal() -> None:
    """Go on in a child process. The parent waits for it, and exits with its status."""
    settings = termios.tcgetattr(0)
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until somebody handles them
    child = os.fork()
    if child:
        _watch(child, settings)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    from coflux.executor.processes import die_with_parent

    die_with_parent(parent, signal.SIGTERM)


def _watch(child: int, settings: list[Any]) -> NoReturn:
    told: list[int] = []  # the signals that it was to end for

    def pass_on(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGUSR1:
            told.append(number)
        try:
            os.kill(child, number)
        except ProcessLookupError:
            return  # it has just ended
        if number in (signal.SIGTERM, signal.SIGHUP):
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(child, signal.SIGKILL))
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # a connection to the engine is to end with the child
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the dashboard, too
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = _wait(child)
    _put_in_order(settings)
    if os.WIFSIGNALED(status):
        cause = told[0] if told else os.WTERMSIG(status)
        _clean_up(signal.Signals(cause).name)
        os._exit(128 + cause)
    os._exit(os.WEXITSTATUS(status))


def _wait(child: int) -> int:
    """Wait until the child has ended; the shell sees it stop and go on as it does."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return status
        os.kill(os.getpid(), signal.SIGSTOP)
        # The shell has told both of them to go on. Being told twice, Textual would take its own settings of the
        # terminal for those to leave behind.
        time.sleep(CONTINUED)
        continued, status = os.waitpid(child, os.WCONTINUED | os.WNOHANG)
        if not continued:
            os.kill(child, signal.SIGCONT)
        elif not os.WIFCONTINUED(status):
            return status


def _put_in_order(settings: list[Any]) -> None:
    try:
        if os.tcgetpgrp(0) == os.getpgrp() and termios.tcgetattr(0) != settings:
            termios.tcsetattr(0, termios.TCSANOW, settings)
    except (OSError, termios.error):
        pass  # the terminal is gone


def _clean_up(cause: str) -> None:
    """Do what the dashboard could not, and say why."""
    try:
        # What the terminal reported of the mouse is no input of the shell's, and it need not see the last pictures.
        termios.tcflush(0, termios.TCIOFLUSH)
        if select.select([], [2], [], 1)[1]:
            os.write(2, RESTORE + f"coflux: the dashboard was ended by {cause}; what runs goes on\n".encode())
    except (OSError, termios.error):
        pass  # the terminal is gone, too
