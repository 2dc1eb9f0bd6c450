"""`coflux run`: start a run, show its progress, print its result."""

from __future__ import annotations

import click

from coflux.cli.following import Form, following_options, form_of
from coflux.cli.options import complete_targets, project_option, requirements, retries, seconds, workspace_option
from coflux.cli.targets import Target, parse_target
from coflux.cli.terminal import is_interactive
from coflux.project import Project

__all__ = ["command"]


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
@following_options
@click.option("--delay", metavar="DURATION", callback=seconds, help="Start after that time: seconds, or like 1h30m.")
@click.option("--retries", metavar="NUMBER", callback=retries, help="Retry the target so often, or 'unlimited'.")
@click.option("--timeout", metavar="DURATION", callback=seconds, help="Stop an attempt of the target after that time.")
@click.option("--concurrency", metavar="NUMBER", type=click.IntRange(min=1), help="Executions of this run at a time.")
@click.option("--idempotency-key", metavar="KEY", help="Start no second run with this key.")
@click.option("--memo/--no-memo", default=None, help="Whether equal calls within the run share one step, by default.")
@click.option("--no-cache", is_flag=True, help="Execute the target even if its result is in the cache.")
@click.option(
    "--requires",
    metavar="TAG[=VALUE]",
    multiple=True,
    callback=requirements,
    help="What a worker group has to provide, in place of what the target says. Repeat it for more tags, or for other"
    " values of one.",
)
@click.option("--no-requires", is_flag=True, help="Run where anything is provided, whatever the target says.")
@workspace_option("Where the run belongs, with its cached results.")
@project_option
def command(
    target: str,
    words: tuple[str, ...],
    document: bytes | None,
    project: Project,
    delay: float | None,
    retries: int | None,
    timeout: float | None,
    concurrency: int | None,
    idempotency_key: str | None,
    memo: bool | None,
    no_cache: bool,
    requires: dict[str, bool | list[str]] | None,
    no_requires: bool,
    workspace: str,
    **form_options: bool,
) -> int:
    """Run a workflow or task. On a terminal the dashboard shows it, and leaving that prints the result; elsewhere, or
    with --no-ui, progress goes to stderr and only the result to stdout."""
    form: Form = form_of(**form_options)
    if requires and no_requires:
        raise click.UsageError("--requires and --no-requires exclude each other")
    parsed: Target = parse_target(target)
    from coflux.cli import foreground
    from coflux.executor.messages import RunOptions

    options = RunOptions(
        memo=memo,
        cache=False if no_cache else None,
        delay=delay,
        retries=retries,
        timeout=timeout,
        requires={} if no_requires else requires,
        concurrency=concurrency,
        idempotency_key=idempotency_key,
        workspace=workspace,
        detach=form.detach,
    )
    request = foreground.Request(parsed, words, document, options)
    if form.opens_dashboard and is_interactive():
        return foreground.run_in_dashboard(project, request)
    return foreground.run(project, request, form)
