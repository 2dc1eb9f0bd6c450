"""Values across process boundaries: encoded once, exactly, with a preview for people.

A value is one of
    json      small plain data (`None`, bool, int, float, str, list, dict): the payload is JSON text that decodes to
              exactly the value;
    pickle    anything else that pickle takes (`coflux.pickling` documents the payload's layout);
    dill      what pickle cannot take, or what would only load in this process: classes and functions of `__main__`,
              closures, local classes.
What shows a secret that this process knows is never "json", which is its own preview: the payload is exact, previews
and projections hold no secret.

Handles and secrets are never part of the payload: it holds their index in `Value.references`, where the engine sees
them. The same
goes for assets; of these only the reference is sent, and their files stay in the store, into which they are copied if
the asset comes from another one.

Whoever shows a value (supervisor, command line, dashboard) uses `preview_of`, `summary_of` and `json_of`, which run
none of the user's code; `decode` is for processes that may.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from coflux import pickling
from coflux.encoded import BlobDamaged, BlobMissing, Reference, Value, json_of, preview_of, summary_of
from coflux.errors import ExecutionError
from coflux.previews import Texts, preview
from coflux.redaction import THIS_PROCESS
from coflux.secret import Secret
from coflux.unsendable import explain

if TYPE_CHECKING:
    from coflux.assets import Asset
    from coflux.handles import Execution

__all__ = [
    "INLINE_LIMIT",
    "BlobDamaged",
    "BlobMissing",
    "BlobStore",
    "Reference",
    "UnloadableValue",
    "UnsendableValue",
    "UnstoredValue",
    "Value",
    "decode",
    "encode",
    "json_of",
    "pack",
    "plain_json",
    "preview_of",
    "summary_of",
]

INLINE_LIMIT = pickling.INLINE_LIMIT

PLAIN_NODES = 64  # a plain value with more parts than this is pickled: checking it would cost more than pickling it
SMALLEST_INTEGER, LARGEST_INTEGER = -(1 << 63), (1 << 63) - 1  # what every JSON reader takes as an integer

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class UnsendableValue(ExecutionError, TypeError):
    """A value cannot leave its process. The message gives the path inside the value, the type and a remedy."""


class UnstoredValue(ExecutionError):
    """The store does not take a value: no space, no permission. The message gives the place and the reason."""


class UnloadableValue(ExecutionError):
    """A stored value cannot be loaded in this process: a class is missing here, or its own code raised."""


class BlobStore(Protocol):
    """Where payloads above `INLINE_LIMIT` live, named by the hash of their content."""

    def write(self, parts: Sequence[bytes | memoryview]) -> str:
        """Store the concatenation of `parts` and return its digest in hex.

        Atomic: a half-written blob is never visible. Writing what exists is a no-op. Raises `OSError`.
        """

    def open(self, digest: str, size: int) -> memoryview:
        """Map a blob of `size` bytes copy-on-write: changes to the view stay in this process.

        Raises `BlobMissing`, or `BlobDamaged` when the size or (on the first opening in this process) the hash differs.
        """

    def exists(self, digest: str) -> bool:
        """Whether there is a blob of this name. What is in it, nobody looks."""

    def write_pieces(self, pieces: Iterable[bytes], *, sync: bool = False) -> str:
        """As `write`, of what comes piece by piece; with `sync`, it is on the disk when this returns.

        Raises what `pieces` raises, and `OSError`; then nothing is left behind.
        """

    def pieces(self, digest: str) -> Iterator[bytes]:
        """The content of a blob, whatever its size, piece by piece.

        Raises `BlobMissing`, or `BlobDamaged` when it cannot be read or, after the last piece, when the hash differs.
        """


def encode(value: object, blobs: BlobStore, *, full_json: bool = False, name: str = "value") -> Value:
    """Encode a value that people will look at, with its preview, summary and JSON projection.

    Args:
        value: any object.
        blobs: takes the payload when it is bigger than `INLINE_LIMIT` bytes.
        full_json: project the value to JSON whatever its size, instead of up to 2,000 nodes and 64 KiB.
        name: what error messages call the value, e.g. `"result"` or a parameter's name.

    Raises:
        UnsendableValue: something in the value cannot leave this process.
        UnstoredValue: the blob cannot be written.
    """
    plain = plain_json(value)
    if plain is not None and (value is None or not THIS_PROCESS.finds(plain)):
        return Value("json", plain, len(plain))
    # Plain values do not need these, nor the modules of the many types that they know.
    from coflux.projection import project
    from coflux.summaries import summarize

    pickled = _pickle(value, name)
    projection = project(value, pickled.handles, limited=not full_json)
    indexes = {id(handle): index for index, handle in enumerate(pickled.handles) if _is_execution(handle)}
    index_of = (lambda part: indexes.get(id(part))) if indexes else None
    texts = Texts()
    line = preview(value, index_of, texts)
    return _stored(pickled, blobs, name, line, projection, summarize(value, line, texts, index_of))


def pack(value: object, blobs: BlobStore, *, name: str = "value", identify: bool = False) -> Value:
    """As `encode`, without preview, summary and projection: for values that nobody looks at.

    With `identify`, handles of executions that were submitted here refer to their ids, which may have to be asked for,
    and not to `@n`: for values that the engine does not look into.
    """
    text = plain_json(value)
    if text is not None:
        return Value("json", text, len(text))
    pickled = _pickle(value, name)
    if identify:
        for handle in pickled.handles:
            if not isinstance(handle, Secret):
                cast("Execution[Any] | Asset", handle).id  # noqa: B018  # from now on `reference()` knows it
    return _stored(pickled, blobs, name)


def decode(value: Value, blobs: BlobStore) -> object:
    """Return a new object equal to the encoded one, of the same type.

    Arrays in a blob are not copied: they are views of its mapping (copy-on-write, so they can be changed).

    Raises:
        UnloadableValue: a class cannot be found in this process, or its code raised.
        SecretForgotten: it refers to a secret that the engine does not hold any more.
        BlobMissing, BlobDamaged: the store has lost the payload.
        OSError: the blob cannot be read.
    """
    payload = value.data if value.blob is None else blobs.open(value.blob, value.size)
    if value.format == "json":
        return _decode_json(payload)
    handles = [_handle(reference, blobs) for reference in value.references]
    try:
        return pickling.load(value.format, payload, handles)
    except pickling.LoadFailed as failed:
        raise UnloadableValue(str(failed)) from failed.__cause__


def _pickle(value: object, name: str) -> pickling.Pickled:
    handle_types = _handle_types()
    try:
        return pickling.dump(value, handle_types)
    except pickling.PickleFailed as failed:
        raise UnsendableValue(explain(value, name, handle_types, failed)) from failed.__cause__


def _stored(
    pickled: pickling.Pickled,
    blobs: BlobStore,
    name: str,
    preview: str = "",
    projection: str | None = None,
    summary: str | None = None,
) -> Value:
    references = tuple([_reference(handle, blobs, name) for handle in pickled.handles])
    if pickled.size <= INLINE_LIMIT:
        data = b"".join(pickled.parts)
        return Value(pickled.format, data, pickled.size, None, references, preview, projection, summary)
    try:
        digest = blobs.write(pickled.parts)
    except OSError as error:
        raise UnstoredValue(
            f"{name} ({pickled.size:,} bytes) cannot be stored in {error.filename}: {error.strerror}"
        ) from None
    return Value(pickled.format, b"", pickled.size, digest, references, preview, projection, summary)


def _reference(handle: object, blobs: BlobStore, name: str) -> Reference:
    if not _is_asset(handle):
        try:
            return cast("Execution[Any] | Secret", handle).reference()
        except RuntimeError as error:  # of a call outside a run, of an execution that has ended, or without an engine
            raise UnsendableValue(f"{name}: {error}") from error
    asset = cast("Asset", handle)
    try:
        return asset.reference(blobs)
    except (BlobMissing, BlobDamaged) as error:
        raise UnsendableValue(f"{name}: {error}") from None
    except OSError as error:
        raise UnstoredValue(f"{name} ({asset!r}) cannot be stored in {error.filename}: {error.strerror}") from None


def plain_json(value: object) -> bytes | None:
    """JSON text for a small plain value, `None` for any other."""
    if not _is_plain(value):
        return None
    try:
        text = _encode_json(value)
    except UnicodeEncodeError:  # lone surrogates have no UTF-8 form
        return None
    return text if len(text) <= INLINE_LIMIT else None


def _is_plain(value: object) -> bool:
    """Whether JSON keeps the value exactly: plain types only, and no list or dict that occurs twice or in itself."""
    pending = [value]
    seen = set()
    for item in pending:  # grows while it is walked
        kind = type(item)
        if kind is list or kind is dict:
            container = cast("list[object] | dict[object, object]", item)
            if id(item) in seen or len(pending) + len(container) > PLAIN_NODES:
                return False
            seen.add(id(item))
            if isinstance(container, list):
                pending += container
            elif set(map(type, container)) <= _PLAIN_KEYS:
                pending += container.values()
            else:
                return False
        else:
            test = _PLAIN_SCALARS.get(kind)
            if test is None or not test(item):
                return False
    return True


_PLAIN_KEYS = frozenset({str})
_PLAIN_SCALARS: dict[type, Callable[[Any], bool]] = {
    type(None): lambda _: True,
    bool: lambda _: True,
    int: lambda number: SMALLEST_INTEGER <= number <= LARGEST_INTEGER,
    float: isfinite,
    str: lambda text: len(text) <= INLINE_LIMIT,
}


def _handle_types() -> tuple[type, ...]:
    """The types whose instances travel as references; a process that has not loaded them has none of these."""
    handles, assets = sys.modules.get("coflux.handles"), sys.modules.get("coflux.assets")
    types: tuple[type, ...] = (Secret,) if handles is None else (Secret, handles.Execution)
    if assets is None or not hasattr(assets, "Asset"):  # another thread may be loading it
        return types
    return (*types, assets.Asset)


def _is_execution(handle: object) -> bool:
    return not isinstance(handle, Secret) and not _is_asset(handle)


def _is_asset(handle: object) -> bool:
    asset = getattr(sys.modules.get("coflux.assets"), "Asset", None)
    return asset is not None and isinstance(handle, asset)


def _handle(reference: Reference, blobs: BlobStore) -> object:
    if reference.kind == "secret":
        return Secret.from_reference(reference)
    if reference.kind == "asset":
        from coflux.assets import Asset

        return Asset(reference.id, blobs)
    from coflux.handles import Execution

    return Execution.from_reference(reference)
