"""The types that are made of others, and those that take anything or nothing."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from itertools import chain, islice, repeat
from types import NoneType
from typing import Any

from coflux.executor.conversion.base import Converter, Misfit, called, parse_json
from coflux.executor.conversion.scalars import Scalar
from coflux.previews import preview

__all__ = [
    "Alternatives",
    "Anything",
    "Array",
    "Choice",
    "Dictionary",
    "Enumeration",
    "Model",
    "Record",
    "Reference",
    "Unsupported",
]


class Anything(Converter):
    """No annotation: JSON where the word is JSON, else the word itself."""

    rank = sys.maxsize
    is_scalar = True

    def word(self, text: str) -> Any:
        try:
            return parse_json(text, _refuse_constant)
        except Misfit as misfit:
            if isinstance(misfit.__cause__, json.JSONDecodeError):
                return text
            raise

    def json(self, value: Any) -> Any:
        return value


def _refuse_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


class Unsupported(Converter):
    """A type without a text form: executions, arrays, functions, …"""

    def __init__(self, name: str) -> None:
        self.name = name
        self.expected = f"of type {name} (which cannot be given on the command line)"

    def word(self, text: str) -> Any:
        raise self.misfit(text)

    def json(self, value: Any) -> Any:
        raise self.misfit(value)


# -- one of several ---------------------------------------------------------------------------------------------------


class Choice(Converter):
    """A `Literal`: its values, each with the converter of its type."""

    is_scalar = True

    def __init__(self, options: Sequence[tuple[Any, Converter]]) -> None:
        names = [preview(value) for value, _ in options]
        self.expected = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
        self.options = options

    def word(self, text: str) -> Any:
        return self._pick(text, lambda converter: converter.word(text))

    def json(self, value: Any) -> Any:
        return self._pick(value, lambda converter: converter.json(value))

    def _pick(self, source: object, read: Callable[[Converter], Any]) -> Any:
        for option, converter in self.options:
            try:
                if read(converter) == option:
                    return option
            except Misfit:
                continue
        raise self.misfit(source)


class Enumeration(Converter):
    """By name or value. `converters` are those of the types that the values have."""

    is_scalar = True

    def __init__(self, cls: type[Enum], converters: Sequence[Converter]) -> None:
        names = list(cls.__members__)
        self.expected = f"one of {', '.join(names[:20])}{', …' if len(names) > 20 else ''}"
        self.cls = cls
        self._converters = converters

    def word(self, text: str) -> Any:
        return self._pick(text, lambda converter: converter.word(text))

    def json(self, value: Any) -> Any:
        return self._pick(value, lambda converter: converter.json(value))

    def _pick(self, source: Any, read: Callable[[Converter], Any]) -> Any:
        if isinstance(source, str) and source in self.cls.__members__:
            return self.cls[source]
        for converter in self._converters:
            try:
                return self.cls(read(converter))
            except (Misfit, ValueError):
                continue
        raise self.misfit(source)


class Alternatives(Converter):
    """The first member that takes the value."""

    def __init__(self, members: Iterable[Converter]) -> None:
        self.members = sorted(members, key=lambda member: member.rank)
        some = [member for member in self.members if not _is(member, NoneType)]
        # `none` may be somebody's name.
        self._word_members = some if all(_is(member, str) for member in some) else self.members
        nothing = [member for member in self.members if _is(member, NoneType)]
        self.expected = " or ".join(member.expected for member in [*some, *nothing])
        self.rank = max(member.rank for member in self.members)
        self.is_scalar = all(member.is_scalar for member in self.members)
        self.is_flag = bool(some) and all(member.is_flag for member in some)
        self.takes_many = any(member.takes_many for member in some)

    def word(self, text: str) -> Any:
        members = self._word_members
        if not _is_array_text(text):  # an array of one or more is what the word means if it means nothing else
            members = sorted(members, key=lambda member: member.takes_many)
        return self._first(members, text, lambda member: member.word(text))

    def words(self, texts: Sequence[str]) -> Any:
        if len(texts) == 1:
            return self.word(texts[0])
        arrays = [member for member in self.members if member.takes_many]
        return self._first(arrays, texts, lambda member: member.words(texts))

    def json(self, value: Any) -> Any:
        return self._first(self.members, value, lambda member: member.json(value))

    def _first(self, members: Iterable[Converter], source: object, read: Callable[[Converter], Any]) -> Any:
        nearest: Misfit | None = None
        for member in members:
            try:
                return read(member)
            except Misfit as misfit:
                if misfit.is_near and nearest is None:
                    nearest = misfit
        raise nearest or self.misfit(source)


def _is(converter: Converter, cls: type) -> bool:
    return isinstance(converter, Scalar) and converter.row.cls is cls


class Reference(Converter):
    """A `type` alias inside its own definition."""

    def __init__(self, name: str, known: Mapping[Any, Converter], alias: Any) -> None:
        self.expected = name
        self._known = known
        self._alias = alias

    def json(self, value: Any) -> Any:
        return self._known[self._alias].json(value)


# -- containers -------------------------------------------------------------------------------------------------------


def _is_array_text(text: str) -> bool:
    return text.lstrip().startswith("[")


class Array(Converter):
    """Lists, sets and tuples: a JSON array, or the elements with commas between them. `rest=None`: no more elements."""

    takes_many = True

    def __init__(self, cls: type, first: Sequence[Converter], rest: Converter | None) -> None:
        self.expected = f"a {cls.__name__}" if rest is not None else f"a {cls.__name__} of {len(first)}"
        self.cls = cls
        self.first = first
        self.rest = rest

    def word(self, text: str) -> Any:
        return self.words([text])

    def words(self, texts: Sequence[str]) -> Any:
        values: list[Any] = []
        for text in texts:
            if _is_array_text(text):
                self._add(values, parse_json(text, expected=self.expected), of_json=True)
            else:
                self._add(values, self._split(text), of_json=False)
        return self._made(values, texts[0] if len(texts) == 1 else texts)

    def json(self, value: Any) -> Any:
        if type(value) is not list:
            raise self.misfit(value)
        values: list[Any] = []
        self._add(values, value, of_json=True)
        return self._made(values, value)

    def _split(self, text: str) -> list[str]:
        """The elements in a word that is no JSON array."""
        elements = self.first if self.rest is None else [self.rest]
        if not all(element.is_scalar for element in elements):
            return [text]
        if any(isinstance(element, Anything) and element.word(text) is not text for element in elements):
            return [text]  # JSON, whose commas are its own
        return [piece.strip() for piece in text.split(",")] if text.strip() else []

    def _add(self, values: list[Any], items: Iterable[Any], *, of_json: bool) -> None:
        elements = islice(chain(self.first, repeat(self.rest or Anything())), len(values), None)
        try:
            for element, item in zip(elements, items, strict=False):
                values.append(element.json(item) if of_json else element.word(item))
        except Misfit as misfit:
            raise misfit.inside(f"[{len(values)}]") from None

    def _made(self, values: list[Any], source: object) -> Any:
        if self.rest is None and len(values) != len(self.first):
            raise Misfit(f"{preview(source)} does not have {len(self.first)} elements, but {len(values)}")
        return values if self.cls is list else called(values, self.cls, values)


class Dictionary(Converter):
    """A JSON object. `key` reads its keys, which are text in JSON; one without a type is that text: `"5"`, not 5."""

    def __init__(self, cls: type, key: Converter, value: Converter) -> None:
        self.expected = "a JSON object" if cls is dict else f"a JSON object for {cls.__name__}"
        self.cls = cls
        self.key = key
        self.value = value

    def json(self, value: Any) -> Any:
        if type(value) is not dict:
            raise self.misfit(value)
        result: dict[Any, Any] = {}
        for text, item in value.items():
            try:
                key = text if isinstance(self.key, Anything) else self.key.word(text)
                if key in result:
                    raise Misfit(f"{preview(text)} is a key that is there already")
                result[key] = self.value.json(item)
            except Misfit as misfit:
                raise misfit.inside(f"[{preview(text)}]") from None
        return result if self.cls is dict else called(result, self.cls, result)


class Record(Converter):
    """A JSON object with certain keys: `cls` is called with them by name."""

    def __init__(self, cls: type, find_fields: Callable[[], dict[str, tuple[Converter, bool]]]) -> None:
        self.expected = f"a JSON object for {cls.__name__}"
        self.cls = cls
        self._find_fields = find_fields

    @cached_property
    def fields(self) -> dict[str, tuple[Converter, bool]]:
        """Converters by field, and whether the field is required. Found late, as records may contain themselves."""
        return self._find_fields()

    def json(self, value: Any) -> Any:
        if type(value) is not dict:
            raise self.misfit(value)
        result: dict[str, Any] = {}
        for name, item in value.items():
            if name not in self.fields:
                near = difflib.get_close_matches(name[:100], self.fields, 1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.fields) or 'none'}"
                raise Misfit(f"{self.cls.__name__} has no field {preview(name)} ({hint})")
            try:
                result[name] = self.fields[name][0].json(item)
            except Misfit as misfit:
                raise misfit.inside(f".{name}") from None
        for name, (_, is_required) in self.fields.items():
            if is_required and name not in result:
                raise Misfit(f"{preview(value)} has no {name!r}, which {self.cls.__name__} needs")
        return called(result, self.cls, **result)


class Model(Converter):
    """A pydantic model, or anything else with its `model_validate` or `model_validate_json`."""

    def __init__(self, cls: Any) -> None:
        self.expected = f"JSON for {cls.__name__}"
        self.cls = cls

    def word(self, text: str) -> Any:
        value = parse_json(text, expected=self.expected)
        return self._validated(value, text)

    def json(self, value: Any) -> Any:
        return self._validated(value, json.dumps(value))

    def _validated(self, value: Any, text: str) -> Any:
        if not hasattr(self.cls, "model_validate_json"):
            return called(value, self.cls.model_validate, value)
        # Not `model_validate`: a strict model takes a date's text from JSON only.
        return called(value, self.cls.model_validate_json, text)
