"""`coflux assets`: list, inspect and download what executions kept. Reading needs no engine.

The JSON documents have `version` (1) and `assets`. Each of these has `id`, `name`, `files` and `size`; in that of
`list` also `execution` and `created_at`, in that of `inspect` `made_by` (executions) and `entries`, each of which has
`path`, `size`, `type`, `mode` (such as `"644"`) and `blob` (for `coflux blobs get`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec

from coflux.asset_manifest import check_tree
from coflux.assets import SHOWN_ID, Asset, AssetEntry
from coflux.cli import exits
from coflux.cli.engine import open_history, resolve_id
from coflux.cli.ndjson import VERSION
from coflux.cli.options import complete_runs, json_option, project_option
from coflux.cli.result import outcome_of
from coflux.cli.streams import Streams, open_streams
from coflux.display.text import visible
from coflux.encoded import BlobDamaged, BlobMissing
from coflux.executor.blobs import FileBlobs
from coflux.executor.document import iso_time
from coflux.executor.history import History
from coflux.executor.messages import Succeeded
from coflux.executor.rows import AssetRow, format_execution_id
from coflux.globs import matching
from coflux.previews import byte_size
from coflux.project import Project
from coflux.restoring import Destination, FileThere

__all__ = ["command"]

# Ids of runs begin with a capital letter.
_ASSET_ID = re.compile(r"[0-9a-f]{1,64}")

ID_LENGTH = 64

_match_option = click.option(
    "--match", metavar="GLOB", help="Only files whose path matches: '*.csv', '**/*.csv', 'plots/**', '{a,b}/*'."
)


@click.group()
def command() -> None:
    """List, inspect and download assets: files that executions kept.

    ASSET is an asset's id, the beginning of one, or RUN[:STEP[:ATTEMPT]]: that stands for the assets in the result, or,
    where there are none, for those that were made there.
    """


# -- list -------------------------------------------------------------------------------------------------------------


@command.command("list")
@click.argument("identifier", metavar="RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@json_option
@project_option
def list_assets(project: Project, identifier: str, as_json: bool) -> None:
    """List the assets that a run, a step or an attempt has made, the oldest first."""
    streams = open_streams()
    with open_history(project) as history:
        rows = history.assets(*resolve_id(history, identifier))
    if as_json:
        streams.out.json(msgspec.json.encode({"version": VERSION, "assets": [_row_object(row) for row in rows]}))
    else:
        for row in rows:
            made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.created_at))
            execution = format_execution_id(row.run, row.step, row.attempt)
            extent = _extent(row.files, row.size)
            streams.out.line(f"{row.asset[:SHOWN_ID]}  {made}  {execution:<9}  {extent:<21}  {visible(row.name or '')}")
    streams.finish()


def _row_object(row: AssetRow) -> dict[str, object]:
    return {
        "id": row.asset,
        "name": row.name,
        "files": row.files,
        "size": row.size,
        "execution": format_execution_id(row.run, row.step, row.attempt),
        "created_at": iso_time(row.created_at),
    }


# -- inspect ----------------------------------------------------------------------------------------------------------


@command.command("inspect")
@click.argument("identifier", metavar="ASSET|RUN[:STEP[:ATTEMPT]]", shell_complete=complete_runs)
@_match_option
@json_option
@project_option
def inspect_assets(project: Project, identifier: str, match: str | None, as_json: bool) -> None:
    """Show the files of an asset."""
    streams = open_streams()
    with open_history(project) as history:
        assets = _find(history, _blobs(project), identifier)
        with _lost_is_told():
            shown = [(asset, _chosen(asset, match), history.made_by(asset.id)) for asset in assets]
    if as_json:
        objects = [_asset_object(*one) for one in shown]
        streams.out.json(msgspec.json.encode({"version": VERSION, "assets": objects}))
    else:
        for asset, entries, makers in shown:
            _print_asset(streams, asset, entries, makers)
    streams.finish()


def _asset_object(asset: Asset, entries: list[AssetEntry], makers: list[str]) -> dict[str, object]:
    name, files, size = asset.metadata
    return {
        "id": asset.id,
        "name": name,
        "files": files,
        "size": size,
        "made_by": makers,
        "entries": [
            {
                "path": entry.path,
                "size": entry.size,
                "type": entry.type,
                "mode": f"{entry.mode:03o}",
                "blob": entry.blob,
            }
            for entry in entries
        ],
    }


def _print_asset(streams: Streams, asset: Asset, entries: list[AssetEntry], makers: list[str]) -> None:
    name, files, size = asset.metadata
    streams.out.line(f"asset {asset.id}")
    origin = f", made by {', '.join(makers)}" if makers else ""
    streams.out.line(f"{f'{visible(name)}: ' if name else ''}{_extent(files, size)}{origin}")
    sizes = [byte_size(entry.size) for entry in entries]
    types = [entry.type or "" for entry in entries]
    widths = max(map(len, sizes), default=0), max(map(len, types), default=0)
    for entry, shown_size, kind in zip(entries, sizes, types, strict=True):
        streams.out.line(f"  {shown_size:>{widths[0]}}  {kind:<{widths[1]}}  {visible(entry.path)}")


# -- download ---------------------------------------------------------------------------------------------------------


@command.command("download", short_help="Write the files of assets below a directory.")
@click.argument(
    "identifiers", metavar="ASSET|RUN[:STEP[:ATTEMPT]]...", nargs=-1, required=True, shell_complete=complete_runs
)
@click.option("--to", "directory", metavar="DIRECTORY", default=".", help="Where to.  [default: here]")
@_match_option
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@project_option
def download_assets(
    project: Project, identifiers: tuple[str, ...], directory: str, match: str | None, force: bool
) -> None:
    """Write the files of assets below a directory, at their paths. Nothing is written if one is in the way."""
    if not directory:
        raise click.UsageError("--to must not be empty: . is the current directory")
    streams = open_streams()
    with open_history(project) as history, _lost_is_told():
        entries: dict[str, AssetEntry] = {}
        for identifier in identifiers:
            for asset in _find(history, _blobs(project), identifier):
                _add(entries, _chosen(asset, match))
        if not entries:
            raise exits.CommandError(f"no file of {', '.join(identifiers)} matches {match!r}", exits.NOT_FOUND)
        _write(streams, directory, entries, force)
    count = _extent(len(entries), sum(entry.size for entry in entries.values()))
    streams.err.line(f"{count} written below {visible(directory)}")
    streams.finish()


def _add(entries: dict[str, AssetEntry], more: list[AssetEntry]) -> None:
    """Take in the files of another asset, unless they would be in each other's places."""
    for entry in more:
        known = entries.setdefault(entry.path, entry)
        if known != entry:
            ids = f"{known.asset.id[:SHOWN_ID]} and {entry.asset.id[:SHOWN_ID]}"
            raise exits.CommandError(
                f"the assets {ids} have different files {entry.path!r}: download them one by one, by their ids"
            )
    try:
        check_tree(entries)
    except ValueError as error:
        raise exits.CommandError(f"{error}: download the assets one by one, by their ids") from None


def _write(streams: Streams, directory: str, entries: dict[str, AssetEntry], force: bool) -> None:
    try:
        with Destination(directory) as destination:
            for path in entries:
                destination.check(path, replace=force)
            for path, entry in entries.items():
                entry.write(destination, replace=force)
                streams.out.line(visible(path))
    except FileExistsError as error:
        hint = "; --force replaces files" if isinstance(error, FileThere) else ""
        raise exits.CommandError(f"{error.filename}: {error.strerror}{hint}", exits.FAILED) from None
    except OSError as error:
        raise exits.CommandError(f"{error.filename} cannot be written: {error.strerror}", exits.FAILED) from None


# -- finding assets ---------------------------------------------------------------------------------------------------


def _find(history: History, blobs: FileBlobs, text: str) -> list[Asset]:
    """The assets that `text` stands for."""
    if _ASSET_ID.fullmatch(text):
        return [Asset(_whole_id(history, blobs, text), blobs)]
    identifier = resolve_id(history, text)
    _, outcome = outcome_of(history, identifier)
    references = outcome.value.references if isinstance(outcome, Succeeded) else ()
    ids = [reference.id for reference in references if reference.kind == "asset"]
    ids = ids or [row.asset for row in history.assets(*identifier)]
    if not ids:
        raise exits.CommandError(f"{text} has no assets", exits.NOT_FOUND)
    return [Asset(asset, blobs) for asset in dict.fromkeys(ids)]


def _whole_id(history: History, blobs: FileBlobs, prefix: str) -> str:
    matches = history.asset_ids(prefix)
    if len(matches) > 1:
        raise exits.CommandError(
            f"{prefix!r} is the beginning of several assets: {', '.join(matches)}", exits.NOT_FOUND
        )
    if matches:
        return matches[0]
    if len(prefix) == ID_LENGTH and blobs.exists(prefix):  # one that was made outside of runs
        return prefix
    hint = "; `coflux assets list RUN` shows those of a run"
    raise exits.CommandError(f"there is no asset {prefix!r}{hint}", exits.NOT_FOUND)


def _chosen(asset: Asset, match: str | None) -> list[AssetEntry]:
    if match is None:
        return asset.entries
    try:
        return [asset[path] for path in matching([entry.path for entry in asset.entries], match)]
    except ValueError as error:
        raise exits.CommandError(f"--{error}") from None


def _blobs(project: Project) -> FileBlobs:
    return FileBlobs(project.blobs_dir)


@contextmanager
def _lost_is_told() -> Iterator[None]:
    """What the store has lost ends the command with one line."""
    try:
        yield
    except (BlobMissing, BlobDamaged) as error:
        raise exits.CommandError(str(error), exits.FAILED) from None


def _extent(files: int, size: int) -> str:
    return f"{files:,} {'file' if files == 1 else 'files'}, {byte_size(size)}"
