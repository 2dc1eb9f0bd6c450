"""`coflux completion`: the script that makes a shell complete commands, options, runs and targets."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command(epilog='For bash: eval "$(coflux completion bash)" in ~/.bashrc; likewise for the others.')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from coflux.cli.app import cli

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(cli, {}, "coflux", "_COFLUX_COMPLETE").source())
