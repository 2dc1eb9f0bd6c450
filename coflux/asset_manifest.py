"""The list of an asset's files, which is a blob itself: its digest is the asset's id.

The same name and files always make the same bytes: files are in the order of their paths, and a list says nothing that
follows from the rest (such as the files' MIME types, which change with the version of Python).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = [
    "PERMISSIONS",
    "Manifest",
    "StoredFile",
    "blobs_of",
    "check_tree",
    "checked_path",
    "decode",
    "encode",
    "new_manifest",
]


PERMISSIONS = 0o777

_DIGEST = re.compile("[0-9a-f]{64}")


class StoredFile(Struct, frozen=True, array_like=True, gc=False):
    """A file of an asset. `path` is relative and has `/`; `blob` is the digest of its content, `size` is in bytes, and
    `mode` has the permission bits."""

    path: str
    blob: str
    size: int
    mode: int


class Manifest(Struct, frozen=True, array_like=True, gc=False):
    """`files` are in the order of their paths. `format` tells a manifest from any other blob."""

    format: Literal["coflux asset 1"]
    name: str | None
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def new_manifest(name: str | None, files: Iterable[StoredFile]) -> Manifest:
    return Manifest("coflux asset 1", name, tuple(sorted(files, key=_path_of)))


def encode(manifest: Manifest) -> bytes:
    return msgspec.msgpack.encode(manifest)


_decoder = msgspec.msgpack.Decoder(Manifest)


def decode(data: bytes) -> Manifest:
    """Raises `ValueError` when `data` is no manifest, or one that no `asset` has made.

    Anybody can put such bytes into a blob, and have it taken for an asset.
    """
    try:
        manifest = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("it is no list of an asset's files") from None
    for file in manifest.files:
        if checked_path(file.path) != file.path:
            raise ValueError(f"it holds the path {file.path!r}")
        if not _DIGEST.fullmatch(file.blob) or not 0 <= file.mode <= PERMISSIONS or file.size < 0:
            raise ValueError(f"what it says of {file.path!r} makes no sense")
    check_tree(file.path for file in manifest.files)
    return manifest


def blobs_of(data: bytes) -> set[str]:
    """The digests of the blobs that an asset's files are in, from the asset's own blob. Raises as `decode`.

    Together with the asset's id these are all the blobs that it needs.
    """
    return {file.blob for file in decode(data).files}


def checked_path(path: str) -> str:
    """`path` as it is in an asset: relative, without empty segments and `.`.

    Raises:
        ValueError: it leads out of the asset, names nothing, or is no text that could be stored.
    """
    if path.startswith("/"):
        raise ValueError(f"{path!r} is not relative: a path in an asset must be")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise ValueError(f"{path!r} leads out of the asset: a path in an asset must not have '..'")
    if not segments:
        raise ValueError(f"{path!r} is no path of a file in an asset")
    if "\0" in path:
        raise ValueError(f"{path!r} holds a null character, which no file's name can")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path!r} is not UTF-8, so it cannot be kept: rename it") from None
    return "/".join(segments)


def check_tree(paths: Iterable[str]) -> None:
    """Raise `ValueError` if one of `paths` would have to be both a file and a directory."""
    # In the order of their segments, what is below a path comes right after it.
    ordered = sorted(path.split("/") for path in paths)
    for above, below in pairwise(ordered):
        if below[: len(above)] == above:
            raise ValueError(f"{'/'.join(above)!r} is a file of the asset: there cannot be {'/'.join(below)!r} too")


def _path_of(file: StoredFile) -> str:
    return file.path
