"""`coflux run`: start a run, show its progress, print its result."""

from __future__ import annotations

import click
from click.core import ParameterSource

from coflux.cli.options import complete_targets, json_option, project_option, retries, seconds
from coflux.cli.targets import Target, parse_target
from coflux.project import Project

__all__ = ["command"]


def _not_yet(ctx: click.Context, parameter: click.Parameter, value: object) -> object:
    """Refuse an option that the engine has no use for yet, rather than let it do nothing."""
    given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    if given and value != "default":
        raise click.UsageError(f"{'/'.join((*parameter.opts, *parameter.secondary_opts))} is not available yet")
    return value


def _read_document(ctx: click.Context, parameter: click.Parameter, text: str | None) -> bytes | None:
    """The JSON document that `--args` leads to."""
    if text is None:
        return None
    try:
        if text == "-":
            with open(0, "rb", closefd=False) as file:
                document = file.read()
        elif text.startswith("@"):
            with open(text[1:], "rb") as file:
                document = file.read()
        else:
            raise click.BadParameter("write @FILE, or - for standard input", ctx, parameter)
    except OSError as error:
        raise click.BadParameter(f"cannot read {text[1:]}: {error.strerror}", ctx, parameter) from None
    import json

    try:
        arguments = json.loads(document)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", ctx, parameter) from None
    if not isinstance(arguments, dict | list):
        raise click.BadParameter("must be a JSON object (by name) or array (by position)", ctx, parameter)
    return document


@click.command(
    context_settings={"allow_interspersed_args": False},  # what follows TARGET belongs to the target
    epilog="TARGET is module/name, path/to/file.py/name, or a file.py with a single workflow. ARGS are the target's"
    " own: by position, or as --name VALUE or name=VALUE; after -- all are by position. Exit status: 0 succeeded,"
    " 1 failed or cancelled by another, 2 wrong usage, 124 timed out, 129 hung up (the run goes on),"
    " 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("target", metavar="TARGET", shell_complete=complete_targets)
@click.argument("words", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--args", "document", metavar="@FILE|-", callback=_read_document, help="Take arguments from JSON.")
@click.option("--detach", is_flag=True, help="Print the run's id and leave it running.")
@click.option("--no-ui", is_flag=True, help="Show progress here, not the dashboard.")
@click.option("--raw", is_flag=True, help="Print a text result as it is, not as JSON.")
@json_option
@click.option("--events", is_flag=True, help="Print what happens as NDJSON, as it happens.")
@click.option("--no-wait-children", is_flag=True, help="Return when the target itself has finished.")
@click.option("--delay", metavar="DURATION", callback=seconds, help="Start after that time: seconds, or like 1h30m.")
@click.option("--retries", metavar="NUMBER", callback=retries, help="Retry the target so often, or 'unlimited'.")
@click.option("--timeout", metavar="DURATION", callback=seconds, help="Stop an attempt of the target after that time.")
@click.option("--concurrency", metavar="NUMBER", type=click.IntRange(min=1), help="Executions of this run at a time.")
@click.option("--idempotency-key", metavar="KEY", help="Start no second run with this key.")
@click.option("--memo/--no-memo", default=None, callback=_not_yet, hidden=True)
@click.option("--no-cache", is_flag=True, callback=_not_yet, hidden=True)
@click.option("--requires", metavar="TAG=VALUE", multiple=True, callback=_not_yet, hidden=True)
@click.option("--workspace", metavar="NAME", default="default", callback=_not_yet, hidden=True)
@project_option
def command(
    target: str,
    words: tuple[str, ...],
    document: bytes | None,
    project: Project,
    detach: bool,
    raw: bool,
    as_json: bool,
    events: bool,
    no_wait_children: bool,
    delay: float | None,
    retries: int | None,
    timeout: float | None,
    concurrency: int | None,
    idempotency_key: str | None,
    **_: object,
) -> int:
    """Run a workflow or task: progress on stderr, only the result on stdout."""
    if as_json + events + raw > 1:
        raise click.UsageError("--json, --events and --raw exclude each other")
    if detach and (events or no_wait_children):
        raise click.UsageError("--detach waits for nothing: leave out --events and --no-wait-children")
    parsed: Target = parse_target(target)
    from coflux.cli import foreground
    from coflux.executor.messages import RunOptions

    options = RunOptions(
        delay=delay,
        retries=retries,
        timeout=timeout,
        concurrency=concurrency,
        idempotency_key=idempotency_key,
        detach=detach,
    )
    form = foreground.Form(as_json=as_json, events=events, raw=raw, wait_children=not no_wait_children)
    request = foreground.Request(parsed, words, document, options)
    return foreground.start(project, request, form)
