"""Signals and exit codes that mean something between a worker and its supervisor."""

from __future__ import annotations

import signal

__all__ = ["DISCONNECTED", "DUMP_SIGNAL", "FAULT_MARK", "OWN_FAULT"]

DUMP_SIGNAL = int(signal.SIGRTMAX) - 3 if hasattr(signal, "SIGRTMAX") else int(signal.SIGUSR2)
"""Asks a worker for its Python stacks. `faulthandler` answers in C, so it works while the GIL is held."""

DISCONNECTED = 107
"""Exit code of a worker whose channel was closed by the code that it ran."""

OWN_FAULT = 70
"""Exit code of a worker in which our own code failed; why, its crash file says, after `FAULT_MARK`."""

FAULT_MARK = "InternalError: coflux itself went wrong"
