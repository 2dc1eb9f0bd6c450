"""How a process ended, in words."""

from __future__ import annotations

import os
import signal

__all__ = ["describe_exit", "oom_kills", "resident_memory", "user_stack"]

STACK_LIMIT = 8192  # characters of a stack that go into a message

_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BOTTOM = os.path.join(_ENGINE, "executor", "worker.py")  # the user's code is called from here


def describe_exit(status: int, *, stack: str, peak_memory: int, out_of_memory: bool) -> str:
    """What is known of a process that ended without an outcome.

    Args:
        status: as from `os.waitpid`.
        stack: what `faulthandler` wrote, or "".
        peak_memory: bytes, as sampled; 0 when unknown.
        out_of_memory: the kernel's count of out-of-memory kills rose while it lived.
    """
    code = os.waitstatus_to_exitcode(status)
    peak = f", peak memory {_size(peak_memory)}" if peak_memory else ""
    if code >= 0:
        text = f"the process ended with exit code {code} and without an outcome{peak}"
    else:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        cause = " (out of memory likely)" if -code == signal.SIGKILL and out_of_memory else ""
        text = f"the process was killed by {name}{cause}{peak}"
    if stack:
        text += f"\nIts last stack:\n{stack[:STACK_LIMIT].rstrip()}"
    return text


def user_stack(dump: str) -> str:
    """What `faulthandler` wrote, without the engine's frames; all of it where there are no others."""
    kept: list[str] = []
    frames = 0
    below = False  # the frames that follow, older ones, led to the user's code
    for line in dump.splitlines():
        if line.startswith('  File "'):
            below = below or f'"{_BOTTOM}"' in line
            if below or f'"{_ENGINE}{os.sep}' in line:
                continue
            frames += 1
        elif not line:
            below = False
        elif line.startswith("Extension modules:"):
            continue
        kept.append(line)
    return "\n".join(kept).strip() if frames else dump.strip()


def oom_kills() -> int:
    """The kernel's count of processes killed for want of memory, in any cgroup; 0 where it does not count."""
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def resident_memory(pid: int) -> int:
    """Resident bytes of a process, 0 when it is gone or cannot be asked."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _size(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB" if size < 10 << 30 else f"{size / (1 << 30):,.1f} GiB"
