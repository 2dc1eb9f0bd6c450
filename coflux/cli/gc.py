"""`coflux gc`: remove old runs, and what nothing needs any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click
import msgspec

from coflux.cli.engine import connect, open_history, requested
from coflux.cli.ndjson import VERSION
from coflux.cli.options import json_option, project_option
from coflux.cli.streams import open_streams
from coflux.executor.requests import Collect, Collected
from coflux.project import Project, age, size

__all__ = ["command"]

_Limit = TypeVar("_Limit")

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--older-than", metavar="AGE", help="Remove runs that ended longer ago.  [default: keep_for]")
@click.option("--max-size", metavar="SIZE", help="Remove the oldest runs above this size.  [default: keep_size]")
@json_option
@project_option
def command(project: Project, dry_run: bool, older_than: str | None, max_size: str | None, as_json: bool) -> None:
    """Remove old runs and what nothing needs any more. The engine does the same once a day.

    AGE is in seconds, or like 90d; SIZE in bytes, or like 10GB; `off` sets no limit. What is unfinished stays, and so
    does what other runs refer to.
    """
    settings = project.settings
    keep_for = settings.keep_for if older_than is None else _read(age, "--older-than", older_than)
    keep_size = settings.keep_size if max_size is None else _read(size, "--max-size", max_size)
    with open_history(project):
        pass  # where nothing is stored, no engine has to be started to find that out
    with connect(project, "command") as client:
        report = requested(client, Collect(client.next_request(), keep_for, keep_size, dry_run), Collected)
    streams = open_streams()
    if as_json:
        fields = {name: value for name, value in msgspec.structs.asdict(report).items() if name != "request"}
        streams.out.json(msgspec.json.encode({"version": VERSION, **fields}))
    else:
        for line in _lines(report):
            streams.out.line(line)
    streams.finish()


def _read(read: Callable[[object], _Limit], option: str, text: str) -> _Limit:
    try:
        return read(text)
    except ValueError as error:
        raise click.BadParameter(f"it must be {error}, not {text!r}", param_hint=option) from None


def _lines(report: Collected) -> list[str]:
    verb, size_then = ("would remove", "about ") if report.dry_run else ("removed", "")
    counts = [(report.runs, "run"), (report.rows, "row"), (report.log_entries, "log entry"), (report.blobs, "blob")]
    lines = [
        f"{verb} {', '.join(_count(number, noun) for number, noun in counts)}",
        f"{_size(report.bytes_before)} before, {size_then}{_size(report.bytes_after)} after",
    ]
    if report.recent_blobs:
        blobs = _count(report.recent_blobs, "blob")
        lines.append(
            f"{blobs} ({_size(report.recent_bytes)}) can go later: something may be about to refer to so new ones"
        )
    return lines


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _size(number: float) -> str:
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:,.1f} {_UNITS[unit]}" if unit else f"{number:,.0f} {_UNITS[unit]}"
