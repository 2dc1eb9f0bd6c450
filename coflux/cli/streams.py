"""The standard streams of this process, for commands that write more than a few lines."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple, TextIO

from coflux.cli import exits
from coflux.cli.terminal import Output, Terminal, terminal_of

__all__ = ["Streams", "open_streams"]


class Streams(NamedTuple):
    out: Output
    err: Output
    out_terminal: Terminal
    err_terminal: Terminal

    def flush(self) -> None:
        """Wait until the readers have everything, or are gone."""
        self.err.flush()
        self.out.flush()

    def finish(self) -> None:
        """As `flush`, and raise `CommandError` when what was asked for could not be written. A reader that has left
        chose to."""
        self.flush()
        problem = self.out.failure()
        if problem:
            raise exits.CommandError(f"cannot write to standard output: {problem}", exits.FAILED)


def open_streams() -> Streams:
    # A stream that was closed by the caller is None here; its descriptor leads to /dev/null by now.
    out, err = _encoding(sys.stdout), _encoding(sys.stderr)
    return Streams(Output(1, out), Output(2, err), terminal_of(1, out, os.environ), terminal_of(2, err, os.environ))


def _encoding(stream: TextIO | None) -> str:
    return stream.encoding if stream is not None else "utf-8"
