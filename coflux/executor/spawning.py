"""Starting Python processes of our own, without the weight of `subprocess` (20 ms that every cold start would pay)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence

__all__ = ["BOOTSTRAP", "ChildProcess", "package_root", "start_foreign", "start_python"]

BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")

_Action = tuple[int, int, str, int, int] | tuple[int, int, int]


class ChildProcess:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; `None` while it runs. 0 when somebody else has waited for it."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._status = 0
            else:
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float) -> int | None:
        """Its exit code, or `None` if it still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        pause = 0.0005
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return self._status

    def kill(self) -> None:
        """End it at once, and wait for that."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(10.0)


def package_root() -> str:
    """The directory that must be on `sys.path` for `import coflux` to find this package."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start_python(
    interpreter: str,
    code: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    keep: int,
    log: str | None = None,
) -> ChildProcess:
    """Start an interpreter on `code` in a session of its own, with the descriptor `keep` and no other.

    Its standard input is empty; its output goes to the end of the file `log`, or where ours goes. Raises `OSError`.
    """
    actions: list[_Action] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    if log is not None:
        actions.append((os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
    # -P: a file in the working directory must not pass for a module of the standard library.
    command = [interpreter, "-P", "-c", f"import sys; sys.path.insert(0, {package_root()!r}); {code}", *arguments]
    return _spawn(command, environment, actions, keep)


def start_foreign(interpreter: str, role: str, environment: Mapping[str, str], *, keep: int) -> ChildProcess:
    """As `start_python`, for an interpreter with packages of its own: be a `role` on the descriptor `keep`."""
    actions: list[_Action] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    return _spawn([interpreter, BOOTSTRAP, role, str(keep)], environment, actions, keep)


def _spawn(command: list[str], environment: Mapping[str, str], actions: Sequence[_Action], keep: int) -> ChildProcess:
    os.set_inheritable(keep, True)
    try:
        return ChildProcess(os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True))
    finally:
        os.set_inheritable(keep, False)
