"""What fits a parameter, as data: from converters to shapes, and back without the user's classes.

A shape travels to whoever lets people type arguments. What is made of it there accepts and refuses the same as the
original, but for what the user's own constructors and validators say.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from coflux.executor.conversion.annotations import Converters
from coflux.executor.conversion.base import Converter
from coflux.executor.conversion.scalars import Scalar, scalar_rows
from coflux.executor.conversion.structures import (
    Alternatives,
    Array,
    Choice,
    Dictionary,
    Enumeration,
    Model,
    Record,
    Unsupported,
)
from coflux.executor.messages import Shape
from coflux.previews import preview

__all__ = ["annotation_of", "converter_of", "shape_of"]

DEEPEST = 8  # levels that are described, below which anything fits
MOST_MEMBERS = 500  # of an enumeration

_SCALARS = {row.cls.__name__: row.cls for row in scalar_rows("/")} | {"PurePath": Path}
_ARRAYS = {cls.__name__: cls for cls in (list, tuple, set, frozenset, collections.deque)}


def shape_of(converter: Converter, above: tuple[Converter, ...] = ()) -> Shape:
    """The shape of what a converter takes. What is inside itself, or very deep, is `anything`."""
    if converter in above or len(above) > DEEPEST:
        return Shape("anything")

    def inside(*parts: Converter) -> tuple[Shape, ...]:
        return tuple(shape_of(part, (*above, converter)) for part in parts)

    match converter:
        case Scalar(row=row):
            return Shape("scalar", row.cls.__name__)
        case Unsupported(name=name):
            return Shape("unsupported", name)
        case Choice(options=options):
            parts = inside(*(part for _, part in options))
            return Shape("literal", "", tuple(_word_for(value) for value, _ in options), parts=parts)
        case Enumeration(cls=cls) if len(cls.__members__) <= MOST_MEMBERS:
            values = tuple(_json(member.value) for member in cls.__members__.values())
            return Shape("enumeration", cls.__qualname__, tuple(cls.__members__), values)
        case Alternatives(members=members):
            return Shape("union", parts=inside(*members))
        case Array():
            return _array(converter, inside)
        case Dictionary(key=key, value=value):
            return Shape("dictionary", parts=inside(key, value))
        case Record():
            return _record_of(converter, inside)
        case Model(cls=cls):
            return Shape("model", cls.__qualname__)
        case _:
            return Shape("anything")


_Inside = Callable[..., tuple[Shape, ...]]


def _array(converter: Array, inside: _Inside) -> Shape:
    name = next((base.__name__ for base in converter.cls.__mro__ if base in _ARRAYS.values()), "list")
    if converter.rest is None:
        return Shape("tuple", name, parts=inside(*converter.first))
    return Shape("array", name, parts=inside(converter.rest))


def _record_of(converter: Record, inside: _Inside) -> Shape:
    cls, fields = converter.cls, converter.fields
    kind: Literal["keys", "fields", "record"] = "fields" if issubclass(cls, tuple) else "record"
    if hasattr(cls, "__required_keys__"):
        kind = "keys"
    needed = tuple(name for name, (_, is_required) in fields.items() if is_required)
    return Shape(kind, cls.__qualname__, tuple(fields), needed, inside(*(part for part, _ in fields.values())))


def _word_for(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    return value if isinstance(value, str) else preview(value)


def _json(value: object) -> str:
    """ "" for what has no such text."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return ""


def converter_of(shape: Shape, directory: str) -> Converter:
    """A converter that takes what fits the shape. Relative paths are taken from `directory`."""
    return Converters(directory).of(annotation_of(shape))


def annotation_of(shape: Shape) -> Any:
    """An annotation with that shape, of classes that look like the user's."""
    parts = [annotation_of(part) for part in shape.parts]
    match shape.kind:
        case "scalar":
            return _SCALARS[shape.name]
        case "unsupported":
            return type(shape.name, (), {})
        case "literal":
            converters = [Converters("/").of(part) for part in parts]
            return typing.Literal[
                tuple(one.word(name) for one, name in zip(converters, shape.names, strict=True) if _is_sayable(one))
            ]
        case "enumeration":
            members = zip(shape.names, shape.values, strict=True)
            return _named(Enum("_", [(name, json.loads(text) if text else object()) for name, text in members]), shape)
        case "union":
            return typing.Union[tuple(parts)]  # noqa: UP007 (of a number that is not known)
        case "array":
            array: Any = _ARRAYS[shape.name]
            return array[parts[0], ...] if array is tuple else array[parts[0]]
        case "tuple":
            return types.GenericAlias(tuple, tuple(parts))
        case "dictionary":
            return types.GenericAlias(dict, tuple(parts))
        case "record" | "fields" | "keys":
            return _record(shape, parts)
        case "model":
            return _named(type("_", (), {"model_validate": staticmethod(lambda value: value)}), shape)
        case _:
            return Any


def _is_sayable(converter: Converter) -> bool:
    return not isinstance(converter, Unsupported)


def _record(shape: Shape, parts: list[Any]) -> Any:
    fields = dict(zip(shape.names, parts, strict=True))
    if shape.kind == "keys":
        hints = {
            name: typing.Required[part] if name in shape.values else typing.NotRequired[part]
            for name, part in fields.items()
        }
        return _named(typing.TypedDict("_", hints), shape)  # type: ignore[operator]
    missing = [name for name in fields if name not in shape.values]
    if shape.kind == "fields":
        return _named(_named_tuple(fields, missing), shape)
    described = [(name, part, _field(name in missing)) for name, part in fields.items()]
    return _named(dataclasses.make_dataclass("_", described, kw_only=True), shape)


def _named_tuple(fields: dict[str, Any], missing: list[str]) -> Any:
    cls: Any = collections.namedtuple("_", list(fields), defaults=[None] * len(missing))  # type: ignore[misc]
    cls.__annotations__ = fields
    return cls


def _field(optional: bool) -> Any:
    return dataclasses.field(default=None) if optional else dataclasses.field()


def _named(cls: Any, shape: Shape) -> Any:
    cls.__qualname__ = shape.name
    cls.__name__ = shape.name.rpartition(".")[2]
    return cls
