"""A JSON form of values for people and scripts. It shows a value, but no secret that this process knows; it does not
carry the value."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from coflux.redaction import THIS_PROCESS
from coflux.secret import Secret

__all__ = ["project", "with_execution_ids", "without_secrets"]

NODE_LIMIT = 2_000
TEXT_LIMIT = 64 * 1024  # bytes
DEPTH_LIMIT = 200  # deeper JSON makes parsers give up

_KEPT = frozenset({int, bool, type(None)})
_TEXTS = frozenset({"name", "path"})  # of an asset


class _NoProjection(Exception):
    """Part of the value has no JSON form, or the value is too big."""


def project(value: object, handles: Sequence[object] = (), *, limited: bool) -> str | None:
    """JSON text for `value`, `None` when part of it has no JSON form, or when it is big and `limited`.

    The text is valid UTF-8 and strict JSON: non-finite floats are the strings "NaN", "Infinity" and "-Infinity". One of
    `handles` becomes `{"$execution": index}`; `with_execution_ids` replaces the index when the id is known. A secret
    becomes `{"$secret": name}`, with the name of its environment variable or `null`. An asset
    becomes `{"$asset": id, "name": …, "files": …, "size": …}`, an entry of one `{"$asset": id, "path": …, "size": …}`.
    Strings and keys show no secret, and no number is one.
    """
    try:
        plain = _Projector(handles, limited).plain(value, 0)
        text = _json(plain)
        if THIS_PROCESS.finds(text):  # in a string, perhaps, or what is found is the JSON around them
            text = _json(THIS_PROCESS.data(plain, exact_numbers=True))
    except Exception:  # noqa: BLE001  # _NoProjection, or the user's own code (properties, `model_dump`) raised
        return None
    return None if limited and len(text.encode()) > TEXT_LIMIT else text


def with_execution_ids(text: str, ids: Sequence[str]) -> str:
    """Replace every `{"$execution": index}` in a projection."""

    def resolve(item: dict[str, Any]) -> dict[str, Any]:
        index = item.get("$execution")
        return {"$execution": ids[index]} if type(index) is int and len(item) == 1 and index < len(ids) else item

    return _json(json.loads(text, object_hook=resolve))


def without_secrets(text: str) -> str:
    """JSON text with no secret in its texts that this process knows."""
    if not THIS_PROCESS.finds(text):
        return text
    return _json(THIS_PROCESS.data(json.loads(text, object_hook=_with_handles)))


class _Reference(dict[str, Any]):
    """In the place of a handle, an asset or a secret: no plain data, so it is left as it is."""


def _with_handles(item: dict[str, Any]) -> dict[str, Any]:
    return _Reference(item) if len(item) == 1 and type(item.get("$execution")) is int else item


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def _json(plain: object) -> str:
    text = _encode(plain)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form, but an escape
            return _encode_ascii(plain)
    return text


class _Projector:
    def __init__(self, handles: Sequence[object], limited: bool) -> None:
        self._handles = {id(handle): index for index, handle in enumerate(handles)}
        self._limited = limited
        self._left = NODE_LIMIT

    def plain(self, value: Any, depth: int) -> Any:
        """What `json` writes for `value`."""
        self._count(1)
        kind = type(value)
        if value is None or kind is bool or kind is int:
            return value
        if kind is str:
            if self._limited and len(value) > TEXT_LIMIT:
                raise _NoProjection
            return value
        if kind is float:
            return value if math.isfinite(value) else _non_finite(value)
        if depth > DEPTH_LIMIT:
            raise _NoProjection
        if isinstance(value, dict):
            return self._object(value.items(), depth)
        if isinstance(value, (set, frozenset)):
            return self._array(_sorted(value), depth)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._object(zip(value._fields, value, strict=True), depth)
        if isinstance(value, (list, tuple, deque)):
            return self._array(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return self._object([(field.name, getattr(value, field.name)) for field in fields], depth)
        return self._other(value, depth)

    def _other(self, value: Any, depth: int) -> Any:
        for kinds, convert in _SCALARS:
            if isinstance(value, kinds):
                return self.plain(convert(value), depth + 1)
        if isinstance(value, Secret):
            return _Reference({"$secret": value.variable})
        assets = sys.modules.get("coflux.assets")
        if assets is not None and isinstance(value, (assets.Asset, assets.AssetEntry)):
            fields = value.projection()
            return _Reference({**fields, **{name: THIS_PROCESS.data(fields[name]) for name in fields.keys() & _TEXTS}})
        if id(value) in self._handles:
            return _Reference({"$execution": self._handles[id(value)]})
        pydantic = sys.modules.get("pydantic")
        if pydantic is not None and isinstance(value, pydantic.BaseModel):
            return self.plain(value.model_dump(mode="json"), depth + 1)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype.kind in "biufUO":
            self._count(value.size)
            plain = value.tolist()
            if type(plain) is not type(value):  # numpy.longdouble has no Python form and returns itself
                return self.plain(plain, depth + 1)
        raise _NoProjection

    def _count(self, nodes: int) -> None:
        self._left -= nodes
        if self._limited and self._left < 0:
            raise _NoProjection

    def _array(self, items: Iterable[Any], depth: int) -> list[Any]:
        items = list(items)
        kinds = set(map(type, items))
        if kinds <= _KEPT or (kinds == {float} and all(map(math.isfinite, items))):
            self._count(len(items))
            return items
        return [self.plain(item, depth + 1) for item in items]

    def _object(self, items: Iterable[tuple[object, object]], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in items:
            name = key if type(key) is str else self._key(key, depth)
            if name in result:  # 1 and "1": one of them would be lost
                raise _NoProjection
            result[name] = self.plain(item, depth + 1)
        return result

    def _key(self, key: object, depth: int) -> str:
        plain = self.plain(key, depth + 1)
        return plain if isinstance(plain, str) else _json(plain)


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _sorted(items: Iterable[Any]) -> list[Any]:
    """In order when the items have one, else as they come."""
    try:
        return sorted(items)
    except TypeError:
        return list(items)


_SCALARS: tuple[tuple[tuple[type, ...], Callable[[Any], object]], ...] = (
    ((enum.Enum,), lambda value: value.value),
    ((str,), str.__str__),
    ((int,), int.__int__),
    ((dt.date, dt.time), lambda value: value.isoformat()),  # a datetime is a date
    ((dt.timedelta,), dt.timedelta.total_seconds),
    ((decimal.Decimal, uuid.UUID, pathlib.PurePath), str),
)
