"""Values and failures as data: what messages carry and the store keeps.

Apart from the codecs (`coflux.values`, `coflux.failures`), which those who only pass data on should not have to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = [
    "BlobDamaged",
    "BlobMissing",
    "Failure",
    "Frame",
    "Reference",
    "Value",
    "is_none",
    "json_of",
    "preview_of",
    "summary_of",
]


class Reference(Struct, frozen=True, array_like=True, gc=False):
    """A handle, an asset or a secret inside a value, kept beside the bytes so that the engine sees it at any depth.

    `id` is an execution id, or `@n` for the n-th submission of the encoding execution (the supervisor replaces it); of
    an asset it is the digest of the blob that lists its files (see `coflux.assets`). For a secret see `coflux.secret`.
    """

    kind: Literal["execution", "asset", "secret"]
    id: str
    module: str = ""
    target: str = ""


class Value(Struct, frozen=True, array_like=True, gc=False):
    """An encoded value.

    `format` is "json" when the payload is JSON text that decodes to exactly the value (small plain values), "pickle"
    (protocol 5) or "dill". The payload is `data`, or the blob named `blob` when `data` is empty. `size` is the
    payload's size in bytes. `preview` is a one-line repr of at most 200 characters, made where the value lived. `json`
    is a JSON projection of the value as text, `None` when there is none or it is `data` itself (format "json"). In both
    the handle of an execution is its index in `references` (`preview_of` and `json_of` fill in the id).

    `summary` is for people who want more than one line, where there is more to see: of a frame its columns and first
    rows, of an array its first elements. At most 25 lines and 4 KiB, made where the value lived; `None` where the
    preview shows everything, and where the value can be had from `data`, in format "json".
    """

    format: Literal["json", "pickle", "dill"]
    data: bytes
    size: int
    blob: str | None = None
    references: tuple[Reference, ...] = ()
    preview: str = ""
    json: str | None = None
    summary: str | None = None


class Frame(Struct, frozen=True, array_like=True, gc=False):
    file: str
    line: int
    function: str
    source: str


class Failure(Struct, frozen=True, array_like=True, gc=False):
    """An exception that user code raised, as data.

    `type` is the qualified class name (`module.qualname`), `message` is `str(exception)`, `traceback` the full text
    with causes, contexts, notes and group members, engine frames hidden; `frames` are the user's frames of the
    outermost exception, innermost last. `exception` is the recipe for rebuilding it (see `rebuild`), or None.
    """

    type: str
    message: str
    traceback: str
    frames: tuple[Frame, ...] = ()
    exception: bytes | None = None


class BlobMissing(Exception):
    """A value's blob is not in the store."""


class BlobDamaged(Exception):
    """A value's blob is not what was written: its size or its hash differs."""


def is_none(value: Value) -> bool:
    """Whether it is `None`."""
    return value.format == "json" and value.data == b"null"


def preview_of(value: Value) -> str:
    """One line of at most 200 characters that shows the value."""
    if value.format == "json":
        from coflux.previews import preview

        return preview(msgspec.json.decode(value.data))
    return preview_with_ids(value.preview, [reference.id for reference in value.references])


def summary_of(value: Value) -> str | None:
    """Some lines that show more of the value than its preview: at most 25 of 120 columns, of printable text and in
    4 KiB. `None` where the preview shows everything."""
    if value.format == "json":
        from coflux.previews import Texts, preview
        from coflux.summaries import summarize

        plain, texts = msgspec.json.decode(value.data), Texts()
        return summarize(plain, preview(plain, None, texts), texts)
    if value.summary is None or not value.references:
        return value.summary
    ids = [reference.id for reference in value.references]
    return "\n".join([preview_with_ids(line, ids) for line in value.summary.split("\n")])


def preview_with_ids(text: str, ids: Sequence[str]) -> str:
    """Put the ids of handles into a preview that was made before they were known."""
    from coflux.previews import with_execution_ids

    return with_execution_ids(text, ids) if ids else text


def json_of(value: Value) -> str | None:
    """The value as JSON text for scripts and people, `None` when it has no such form or is too big.

    A handle is `{"$execution": id}`, an asset `{"$asset": id, "name": …, "files": …, "size": …}`.
    """
    if value.format == "json":
        return value.data.decode()
    if value.json is None or not value.references:
        return value.json
    from coflux.projection import with_execution_ids

    return with_execution_ids(value.json, [reference.id for reference in value.references])
