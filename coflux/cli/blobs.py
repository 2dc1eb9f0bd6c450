"""`coflux blobs`: contents of the store by their digests."""

from __future__ import annotations

import codecs
import os
import re

import click

from coflux.cli import exits
from coflux.cli.options import project_option
from coflux.display.text import visible
from coflux.encoded import BlobDamaged, BlobMissing
from coflux.executor.blobs import FileBlobs
from coflux.project import Project
from coflux.restoring import Destination, FileThere

__all__ = ["command"]

STDOUT = 1
_FILE_MODE = 0o666  # before the umask


@click.group()
def command() -> None:
    """Fetch stored contents by their digests."""


@command.command("get")
@click.argument("digest")
@click.option("--output", metavar="FILE", help="Where to write it.  [default: standard output]")
@click.option("--force", is_flag=True, help="Replace the file if it is there already.")
@project_option
def get_blob(project: Project, digest: str, output: str | None, force: bool) -> None:
    """Write the content with this digest (64 hexadecimal digits) to standard output, or to a file.

    `coflux assets inspect --json` shows the digests of an asset's files.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise exits.CommandError(f"{digest!r} is no digest: it has 64 hexadecimal digits, in lower case")
    blobs = FileBlobs(project.blobs_dir)
    try:
        if output is None:
            _print(blobs, digest)
        else:
            _save(blobs, digest, output, force)
    except BlobMissing:
        raise exits.CommandError(f"there is no blob {digest} in {project.blobs_dir}", exits.NOT_FOUND) from None
    except BlobDamaged as error:
        raise exits.CommandError(str(error), exits.FAILED) from None


def _print(blobs: FileBlobs, digest: str) -> None:
    """Read it twice: nothing is printed of a blob that is damaged, nor what would upset a terminal."""
    text = _is_text(blobs, digest)
    if not text and os.isatty(STDOUT):
        raise exits.CommandError("this is no text for a terminal: write it to a file with --output, or to a pipe")
    try:
        with open(STDOUT, "wb", closefd=False) as out:
            for piece in blobs.pieces(digest):
                out.write(piece)
    except BrokenPipeError:
        pass  # a reader that leaves before the end chose to


def _is_text(blobs: FileBlobs, digest: str) -> bool:
    """Whether a blob is UTF-8 without control characters, but for tabs and the ends of lines."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text = True
    for piece in blobs.pieces(digest):  # to its end, where the hash is checked
        try:
            text = text and all(map(_shows, decoder.decode(piece).replace("\r\n", "\n").split("\n")))
        except UnicodeDecodeError:
            text = False
    return text and not decoder.getstate()[0]


def _shows(line: str) -> bool:
    return visible(line) == line


def _save(blobs: FileBlobs, digest: str, output: str, force: bool) -> None:
    directory, name = os.path.split(os.path.abspath(output))
    if not blobs.exists(digest):
        raise BlobMissing  # before anything is made for it
    umask = os.umask(0)
    os.umask(umask)
    try:
        with Destination(directory) as destination:
            destination.write(name, blobs.pieces(digest), _FILE_MODE & ~umask, replace=force)
    except FileExistsError as error:
        hint = "; --force replaces files" if isinstance(error, FileThere) else ""
        raise exits.CommandError(f"{error.filename}: {error.strerror}{hint}", exits.FAILED) from None
    except OSError as error:
        raise exits.CommandError(f"{error.filename} cannot be written: {error.strerror}", exits.FAILED) from None
