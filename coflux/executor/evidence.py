"""How a process ended, in words."""

from __future__ import annotations

import os
import re
import signal

from coflux.executor.signals import DISCONNECTED, FAULT_MARK, OWN_FAULT
from coflux.previews import byte_size

__all__ = [
    "describe_exit",
    "innermost_frame",
    "oom_kills",
    "own_fault",
    "user_stack",
]

STACK_LIMIT = 8192  # characters of a stack that go into a message

_FRAME = r'  File "(.*)", line (\d+) in (.*)'
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BOTTOMS = tuple(f'"{os.path.join(_ENGINE, "executor", name)}"' for name in ("worker.py", "host.py"))  # these call it
_IMPORTS = ('"<frozen importlib', f'{os.sep}importlib{os.sep}__init__.py"')


def describe_exit(status: int, *, stack: str, peak_memory: int, out_of_memory: bool, fault: str = "") -> str:
    """What is known of a process that ended without an outcome.

    Args:
        status: as from `os.waitpid`.
        stack: what `faulthandler` wrote, or "".
        peak_memory: bytes, as sampled; 0 when unknown.
        out_of_memory: the kernel's count of out-of-memory kills rose while it lived.
        fault: what it said of a fault of our own, as `own_fault` found it.
    """
    code = os.waitstatus_to_exitcode(status)
    if code == OWN_FAULT and fault:
        return f"{fault}; please report it"
    peak = f", peak memory {byte_size(peak_memory)}" if peak_memory else ""
    if code == DISCONNECTED:
        text = (
            "its code closed file descriptors of the engine (os.closerange?), so no outcome could be reported; "
            f"close only those that it opened itself{peak}"
        )
    elif code >= 0:
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


def own_fault(dump: str) -> str:
    """What a worker wrote when our own code failed in it; "" if nothing."""
    return dump[dump.index(FAULT_MARK) :] if FAULT_MARK in dump else ""


def user_stack(dump: str) -> str:
    """What `faulthandler` wrote, without frames of the engine and of imports; all of it where there are no others."""
    kept: list[str] = []
    dump = dump.replace(own_fault(dump), "")
    frames = 0
    below = False  # the frames that follow, older ones, led to the user's code
    for line in dump.splitlines():
        if line.startswith('  File "'):
            below = below or any(bottom in line for bottom in _BOTTOMS)
            if below or f'"{_ENGINE}{os.sep}' in line or any(place in line for place in _IMPORTS):
                continue
            frames += 1
        elif not line:
            below = False
        elif line.startswith("Extension modules:"):
            continue
        kept.append(line)
    return "\n".join(kept).strip() if frames else dump.strip()


def innermost_frame(stack: str) -> str:
    """Where such a stack ends, outside the standard library if possible: `file:line in function`. "" for no stack."""
    frames = [found.groups() for line in stack.splitlines() if (found := re.match(_FRAME, line))]
    others = [frame for frame in frames if not frame[0].startswith(_STANDARD_LIBRARY) or "site-packages" in frame[0]]
    for file, line, function in others or frames:
        return f"{file}:{line} in {function}"
    return ""


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
