"""The `coflux` command. Each command is a module of its own, imported when it is invoked."""

from __future__ import annotations

import atexit
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and exit with its status.

    Nothing is left to do then, so the interpreter is not taken apart: that would take as long as to start it.
    """
    _fill_standard_descriptors()
    from coflux.cli.ahead import start_engine

    start_engine(sys.argv[1:])
    from coflux.cli.app import run

    status = run(sys.argv[1:])
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # `None` where the caller had closed it
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more; `run` has told what there was to tell
    os._exit(status)


def _fill_standard_descriptors() -> None:
    """Open what the caller closed (`2>&-`), or a socket or database would get that number and our output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
