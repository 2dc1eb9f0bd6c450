"""How the code of a suspended execution is left."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from coflux.suspension import Suspending

if TYPE_CHECKING:
    import asyncio

__all__ = ["hide_from_threads", "unwind"]

# Each once: what is cancelled as a stopped loop is closed may raise `Suspending`, too, and has to come to its end.
_stopped: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def unwind() -> NoReturn:
    """Raise `Suspending`. An event loop that is running here stops as soon as the coroutine at hand has ended."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            pass  # none is
        else:
            task = asyncio.current_task(loop)
            if task is None:  # a callback of the loop
                _stop(loop)
            else:
                task.add_done_callback(_ended)
    raise Suspending


def hide_from_threads() -> None:
    """Let threads that are left so end without a traceback, which would show our own code only."""
    shown = threading.excepthook

    def excepthook(args: threading.ExceptHookArgs, /) -> None:
        if not isinstance(args.exc_value, Suspending):
            shown(args)

    threading.excepthook = excepthook


def _ended(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # else asyncio would say that nobody has looked at it
        _stop(task.get_loop())


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if loop not in _stopped:
        _stopped.add(loop)
        loop.stop()
