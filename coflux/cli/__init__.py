"""The `coflux` command. Each command is a module of its own, imported when it is invoked."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process, and exit with its status."""
    _fill_standard_descriptors()
    from coflux.cli.ahead import start_engine

    start_engine(sys.argv[1:])
    from coflux.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _fill_standard_descriptors() -> None:
    """Open what the caller closed (`2>&-`), or a socket or database would get that number and our output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
