"""The command group: names and one-line helps here, everything else in the command's module."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from coflux.cli import exits
from coflux.project import ConfigError

__all__ = ["COMMANDS", "cli", "run"]

COMMANDS = {
    "dev": "Watch and start runs in an interactive terminal.",
    "run": "Run a workflow or task and print its result.",
    "runs": "List, inspect, repeat, cancel and delete runs.",
    "logs": "Show the log and output of a run, a step or an execution.",
    "metrics": "Show the metrics of a run, a step or an execution.",
    "assets": "List, inspect and download assets.",
    "blobs": "Fetch stored contents by their digests.",
    "queue": "Show what is queued, and why it does not run yet.",
    "why": "Show why a step was executed, or was not.",
    "cache": "Forget cached results.",
    "workspaces": "Keep runs and cached results apart.",
    "gc": "Remove old runs and what nothing needs any more.",
    "discover": "List the workflows and tasks of modules or files.",
    "doctor": "Check that coflux can work here, and say what to do where it cannot.",
    "attach": "Open the interactive terminal on a running engine.",
    "stop": "Stop the project's engine.",
    "completion": "Print the shell's completion script.",
}


class LazyGroup(click.Group):
    """Imports a command's module when it is invoked; `coflux --help` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"coflux.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise exits.CommandError(f"there is no command {args[0]!r}{did_you_mean(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for the nearest of `known`, or "". The dashes of options make them no nearer."""
    from difflib import get_close_matches

    names = {name.lstrip("-"): name for name in known}
    matches = get_close_matches(word.lstrip("-"), names, n=1)
    return f"; did you mean {names[matches[0]]!r}?" if matches else ""


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from coflux import __version__

        click.echo(f"coflux {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show it.")
def cli() -> None:
    """Run plain decorated Python functions as durable, observable workflows on this machine."""


def run(arguments: Sequence[str], program: str = "coflux") -> int:
    """Run one command line and return its exit status. Every expected failure is one message on stderr."""
    for word in arguments:
        try:
            word.encode()
        except UnicodeEncodeError:
            return _fail(f"the argument {word.encode('utf-8', 'backslashreplace').decode()} is not UTF-8", exits.USAGE)
    try:
        status: Any = cli.main(list(arguments), prog_name=program, standalone_mode=False)
        if sys.stdout is not None:  # None when the caller closed it
            sys.stdout.flush()
        return status if isinstance(status, int) else exits.SUCCEEDED
    except exits.CommandError as error:
        return _fail(str(error), error.status)
    except ConfigError as error:
        return _fail(str(error), exits.USAGE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except click.NoSuchOption as error:
        hint = did_you_mean(error.option_name, error.possibilities or ())
        return _fail(f"there is no option {error.option_name!r}{hint}", exits.USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), exits.USAGE)
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        return _stdout_failed(error)


def _fail(message: str, status: int) -> int:
    from coflux.display.text import visible

    text = "\n".join(visible(line) for line in message.splitlines())
    try:
        click.echo(f"coflux: {text}", err=True)
    except OSError:
        pass  # stderr is gone: the status still tells
    return status


def _stdout_failed(error: OSError) -> int:
    """Nobody reads any more (`| head`), or the disk is full: only the latter is worth a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter's last flush would fail again
    if error.errno == errno.EPIPE:
        return exits.SUCCEEDED
    return _fail(f"cannot write to standard output: {error.strerror}", exits.FAILED)
