"""From annotations to converters."""

from __future__ import annotations

import collections
import dataclasses
import inspect
import os
import sys
import typing
from collections import abc
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from types import FunctionType, NoneType, UnionType
from typing import Any, TypeVar

from coflux.executor.conversion.base import Converter
from coflux.executor.conversion.scalars import Scalar, scalar_rows
from coflux.executor.conversion.structures import (
    Alternatives,
    Anything,
    Array,
    Choice,
    Dictionary,
    Enumeration,
    Model,
    Record,
    Reference,
    Unsupported,
)

__all__ = ["Converters", "resolved"]

# What is made where the annotation only says what it must be able to do.
_CONCRETE: dict[Any, type] = {
    abc.Collection: list,
    abc.Iterable: list,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
    abc.MutableSequence: list,
    abc.MutableSet: set,
    abc.Sequence: list,
    abc.Set: frozenset,
    os.PathLike: PurePath,
}
# Around the type, and nothing that converting is about.
_QUALIFIERS = frozenset({typing.Annotated, typing.Final, typing.ClassVar, typing.Required, typing.NotRequired})

Arguments = tuple[Any, ...]


class Converters:
    """Makes converters. Relative paths are taken from `directory`."""

    def __init__(self, directory: str) -> None:
        self._scalars = {row.cls: (row, rank) for rank, row in enumerate(scalar_rows(directory))}
        self._aliases: dict[Any, Converter] = {}
        self._open_aliases: set[Any] = set()  # those being made now
        self._records: dict[Any, Converter] = {}
        # The first one whose test is true: a named tuple is a tuple as well.
        self._structures: tuple[tuple[Callable[[Any], bool], Callable[[Any, Arguments], Converter]], ...] = (
            (_is_typed_dict, self._record),
            (_is_model, lambda cls, arguments: Model(cls)),
            (dataclasses.is_dataclass, self._record),
            (_is_named_tuple, self._record),
            (_is_subclass_of(Enum), self._enumeration),
            (_is_subclass_of(tuple), self._tuple),
            (_is_subclass_of(list, set, frozenset, collections.deque), self._array),
            (_is_subclass_of(dict), self._dictionary),
        )

    def of(self, annotation: Any) -> Converter:
        """The converter for a resolved annotation. What is no type (`Any`, an unbound `T`, …) takes anything."""
        annotation = _bare(annotation)
        origin = typing.get_origin(annotation) or annotation
        arguments = typing.get_args(annotation)
        if type(origin).__name__ == "TypeAliasType":  # from Python 3.12 on, and of typing_extensions
            return self._alias(annotation, origin, arguments)
        if origin is typing.Union or origin is UnionType:
            return Alternatives([self.of(member) for member in arguments])
        if origin is typing.Literal:
            return Choice([(option, self.of(type(option))) for option in arguments])
        cls = _CONCRETE.get(origin, origin)
        if not isinstance(cls, type) or cls in (object, Any):  # `Any` is a class, from Python 3.11 on
            return Anything()
        for is_such, make in self._structures:
            if is_such(cls):
                return make(cls, arguments)
        for base in cls.__mro__:
            if base in self._scalars:
                return Scalar(*self._scalars[base], cls)
        return Unsupported(cls.__name__)

    def _alias(self, annotation: Any, alias: Any, arguments: Arguments) -> Converter:
        if annotation in self._aliases:
            return self._aliases[annotation]
        if annotation in self._open_aliases:
            return Reference(alias.__name__, self._aliases, annotation)
        self._open_aliases.add(annotation)
        try:
            value = alias.__value__
        except Exception:  # noqa: BLE001 (as an annotation that cannot be resolved)
            value = Any
        made = self.of(_substituted(value, dict(zip(alias.__type_params__, arguments, strict=False))))
        self._aliases[annotation] = made
        return made

    def _enumeration(self, cls: type[Enum], arguments: Arguments) -> Converter:
        kinds = dict.fromkeys(type(member.value) for member in cls)
        return Enumeration(cls, [self.of(kind) for kind in kinds])

    def _tuple(self, cls: type, arguments: Arguments) -> Converter:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return Array(cls, (), self.of(arguments[0]))
        return Array(cls, [self.of(argument) for argument in arguments], None) if arguments else self._array(cls, ())

    def _array(self, cls: type, arguments: Arguments) -> Converter:
        return Array(cls, (), self.of(arguments[0] if arguments else Any))

    def _dictionary(self, cls: type, arguments: Arguments) -> Converter:
        key, value = (self.of(argument) for argument in (arguments or (Any, Any)))
        return Dictionary(cls, key, value)

    def _record(self, cls: Any, arguments: Arguments) -> Converter:
        if (cls, arguments) not in self._records:
            self._records[cls, arguments] = Record(cls, lambda: self._fields(cls, arguments))
        return self._records[cls, arguments]

    def _fields(self, cls: Any, arguments: Arguments) -> dict[str, tuple[Converter, bool]]:
        given = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
        hints = {name: _substituted(hint, given) for name, hint in _class_hints(cls).items()}
        if _is_typed_dict(cls):
            return {name: (self.of(hint), name in _required_keys(cls)) for name, hint in hints.items()}
        return {
            parameter.name: (self.of(hints.get(parameter.name, Any)), parameter.default is parameter.empty)
            for parameter in inspect.signature(cls).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }


def _is_subclass_of(*bases: type) -> Callable[[type], bool]:
    return lambda cls: issubclass(cls, bases)


def _is_typed_dict(cls: type) -> bool:
    return hasattr(cls, "__required_keys__")  # `is_typeddict` does not know those of typing_extensions


def _is_model(cls: type) -> bool:
    return hasattr(cls, "model_validate_json") or hasattr(cls, "model_validate")


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _bare(annotation: Any) -> Any:
    """The type inside qualifiers and new types."""
    while True:
        if typing.get_origin(annotation) in _QUALIFIERS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        elif isinstance(annotation, TypeVar):
            annotation = typing.Union[annotation.__constraints__ or (annotation.__bound__ or Any,)]  # noqa: UP007
        else:
            return NoneType if annotation is None else annotation


def _substituted(annotation: Any, given: Mapping[Any, Any]) -> Any:
    """The annotation with types in place of type variables."""
    if isinstance(annotation, TypeVar):
        return given.get(annotation, annotation)
    parameters = getattr(annotation, "__parameters__", ())
    if not parameters or isinstance(annotation, type):
        return annotation
    return annotation[tuple(given.get(parameter, parameter) for parameter in parameters)]


# -- resolving --------------------------------------------------------------------------------------------------------


def resolved(annotations: Mapping[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """The annotations, with those that are text evaluated. One that cannot be (a name imported for type checkers only,
    say) is `Any`."""
    hints: dict[str, Any] = {}
    for name, annotation in annotations.items():
        holder = FunctionType(_nothing.__code__, namespace)
        holder.__annotations__ = {name: annotation}
        try:
            hints |= typing.get_type_hints(holder)
        except Exception:  # noqa: BLE001 (an annotation is code, which may raise anything)
            hints[name] = Any
    return hints


def _nothing() -> None: ...


def _class_hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except Exception:  # noqa: BLE001 (as above; then each by itself)
        hints: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            hints |= resolved(inspect.get_annotations(base), vars(sys.modules[base.__module__]))
        return hints


def _required_keys(cls: Any) -> set[str]:
    """Those of a `TypedDict`, also where its annotations are text, which `__required_keys__` does not look into."""
    required = set(cls.__required_keys__)
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 (an annotation is code, which may raise anything)
        return required
    optional = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired}
    explicit = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.Required}
    return (required | explicit) - optional
