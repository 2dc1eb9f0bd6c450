"""The values of a log entry as JSON, in which each keeps its type for people (text) and for scripts (plain data).

What JSON holds exactly, if it is small, is itself; and so is any text. Everything else is an object with the value's
preview, and its projection if it has one: `(1, 2)` is `{"$repr": "(1, 2)", "$json": [1, 2]}`, `b"x"` is
`{"$repr": "b'x'"}`. Both are those of results and arguments, with handles in the same form. Secrets that this process
knows are in none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec

from coflux.encoded import Reference, preview_with_ids
from coflux.redaction import MARK, THIS_PROCESS

__all__ = ["clip", "decode", "encode", "texts", "with_ids"]

TEXT_LIMIT = 1 << 20  # characters of a template, and of each text among the values

_TEXT = "$repr"
_DATA = "$json"

_encode_json = msgspec.json.Encoder().encode


def encode(values: Mapping[str, object]) -> tuple[bytes, tuple[Reference, ...]]:
    """A JSON object, "" for no values, and the handles that are in it by their index: see `with_ids`."""
    if not values:
        return b"", ()
    fields: dict[str, object] = {}
    encoder = None
    for name, value in values.items():
        if _is_exact(value):
            fields[_storable(name)] = value
        elif type(value) is str:
            fields[_storable(name)] = clip(value)
        else:
            encoder = encoder or _Encoder()
            fields[_storable(name)] = encoder.field(value)
    encoded = _encode_json(fields)
    if THIS_PROCESS.finds(encoded):
        from coflux.projection import without_secrets

        encoded = without_secrets(encoded.decode()).encode()
        if THIS_PROCESS.finds(encoded):  # one that is several values in a row
            encoded = _encode_json({MARK: MARK})
    return encoded, () if encoder is None else tuple(encoder.references)


def with_ids(values: bytes, ids: Sequence[str]) -> bytes:
    """Put in the ids of the handles."""
    from coflux.projection import with_execution_ids

    fields = msgspec.json.decode(values, type=dict[str, msgspec.Raw])
    for name, raw in fields.items():
        field = msgspec.json.decode(raw)
        if _is_shown(field):
            filled: dict[str, object] = {_TEXT: preview_with_ids(field[_TEXT], ids)}
            if _DATA in field:
                projection = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[_DATA]
                filled[_DATA] = msgspec.Raw(with_execution_ids(bytes(projection).decode(), ids).encode())
            fields[name] = msgspec.Raw(_encode_json(filled))
    return _encode_json(fields)


def decode(values: bytes | None) -> dict[str, Any]:
    """The values as plain data; what has no JSON form is its text."""
    return {
        name: field.get(_DATA, field[_TEXT]) if _is_shown(field) else field for name, field in _fields(values).items()
    }


def texts(values: bytes | None) -> dict[str, object]:
    """The values as they are filled into the template."""
    return {name: _Shown(field[_TEXT]) if _is_shown(field) else field for name, field in _fields(values).items()}


class _Shown:
    """A value of which only the text is left. Unlike a string, it is never put in quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class _Encoder:
    """Encodes the values of one entry, and numbers the handles that it meets."""

    def __init__(self) -> None:
        from coflux.values import plain_json  # here, since readers need none of the codecs

        self._plain_json = plain_json
        self._handles: list[object] = []
        self.references: list[Reference] = []

    def field(self, value: object) -> object:
        text = None if isinstance(value, dict) and _TEXT in value else self._plain_json(value)
        return self._shown(value) if text is None else _raw(text)

    def _shown(self, value: object) -> dict[str, object]:
        from coflux.previews import preview
        from coflux.projection import project

        shown: dict[str, object] = {_TEXT: preview(value, self._index_of)}
        projection = project(value, self._handles, limited=True)
        if projection is not None:
            shown[_DATA] = _raw(projection.encode())
        return shown

    def _index_of(self, value: object) -> int | None:
        from coflux.handles import Execution

        if not isinstance(value, Execution):
            return None
        for index, handle in enumerate(self._handles):
            if handle is value:
                return index
        try:
            self.references.append(value.reference())
        except RuntimeError:
            return None  # of a call outside a run, or of an execution that has ended
        self._handles.append(value)
        return len(self._handles) - 1


def _is_exact(value: object) -> bool:
    """Whether JSON holds it as it is: most values are such, and need none of the rest."""
    if type(value) is int:
        return -(1 << 63) <= value < 1 << 63
    return value is None or value is True or value is False or (type(value) is float and isfinite(value))


def clip(text: str) -> str:
    """`text` as it can be stored: without secrets and lone surrogates, and cut, with a marker, where it is too long."""
    text = THIS_PROCESS.text(text)
    if len(text) > TEXT_LIMIT:
        text = f"{text[:TEXT_LIMIT]} … {len(text) - TEXT_LIMIT:,} characters dropped"
    return _storable(text)


def _storable(text: str) -> str:
    """Lone surrogates have no UTF-8 form."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _raw(text: bytes) -> msgspec.Raw:
    """JSON as it is, but that lone surrogates, which JSON can only hold as escapes, become text."""
    if b"\\ud" not in text:
        return msgspec.Raw(text)
    import json

    return msgspec.Raw(_encode_json(_storable_data(json.loads(text))))


def _storable_data(data: Any) -> Any:
    if isinstance(data, str):
        return _storable(data)
    if isinstance(data, list):
        return [_storable_data(item) for item in data]
    if isinstance(data, dict):
        return {_storable(key): _storable_data(item) for key, item in data.items()}
    return data


def _fields(values: bytes | None) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(values) if values else {}
    return fields


def _is_shown(field: object) -> bool:
    return isinstance(field, dict) and _TEXT in field and field.keys() <= {_TEXT, _DATA}
