"""When two values are the same, and where they differ. Not a test module: workflows import it, too."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import functools
import math
import operator
import struct
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pydantic

from tests.values.value_kinds import Temperatures

__all__ = ["difference"]


def difference(left: Any, right: Any) -> str:
    """Where two values differ and how, "" if they are the same: of one type at every level, equal to the bit, so that
    NaN is the same as NaN and -0.0 is not 0.0, in the same order, with the same parts occurring twice."""
    return _Comparison().difference(left, right, "value")


class _Comparison:
    def __init__(self) -> None:
        self._seen: dict[int, int] = {}  # objects of the left, and those of the right that stand in their places
        self._kept: list[object] = []  # so that no id is used again

    def difference(self, left: Any, right: Any, path: str) -> str:
        if type(left) is not type(right):
            return f"{path}: {type(left)} is not {type(right)}"
        if left is right:
            return ""
        if id(left) in self._seen:
            return "" if self._seen[id(left)] == id(right) else f"{path}: it was one object, and is two"
        if type(left) not in _WITHOUT_IDENTITY:
            self._seen[id(left)] = id(right)
            self._kept += (left, right)
        if isinstance(left, np.ndarray) and left.dtype == object == right.dtype and left.shape == right.shape:
            return self.difference(left.tolist(), right.tolist(), path)
        for kinds, parts_of in _PARTS:
            if isinstance(left, kinds):
                return self._compare_parts(parts_of(left), parts_of(right), path)
        if (problem := _library_difference(left, right)) is not None:
            return f"{path}: {problem}" if problem else ""
        if _has_no_equality(left) or dataclasses.is_dataclass(left):
            return self._compare_parts(_state(left), _state(right), path)
        return "" if left == right else f"{path}: {left!r} is not {right!r}"

    def _compare_parts(self, left: list[tuple[str, Any]], right: list[tuple[str, Any]], path: str) -> str:
        if [name for name, _ in left] != [name for name, _ in right]:
            return f"{path}: has {[name for name, _ in left]}, not {[name for name, _ in right]}"
        for (name, part), (_, other) in zip(left, right, strict=True):
            if problem := self.difference(part, other, f"{path}.{name}"):
                return problem
        return ""


_WITHOUT_IDENTITY = frozenset({int, float, complex, str, bytes, tuple, frozenset, bool})


def _has_no_equality(value: object) -> bool:
    equality: object = type(value).__eq__
    return equality is object.__eq__


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(str(index), part) for index, part in enumerate(value)] + _attributes(value)


def _entries(value: Any) -> list[tuple[str, Any]]:
    factory = [("factory", value.default_factory)] if isinstance(value, collections.defaultdict) else []
    pairs = [(f"{index} key", key) for index, key in enumerate(value)]
    return factory + pairs + [(f"{index}", part) for index, part in enumerate(value.values())] + _attributes(value)


def _attributes(value: Any) -> list[tuple[str, Any]]:
    return list(getattr(value, "__dict__", {}).items())


def _slots(value: Any) -> list[tuple[str, Any]]:
    return [
        (name, getattr(value, name))
        for cls in type(value).__mro__
        for name, member in vars(cls).items()
        if isinstance(member, types.MemberDescriptorType) and hasattr(value, name)
    ]


def _state(value: Any) -> list[tuple[str, Any]]:
    return _slots(value) + _attributes(value)


def _float_parts(value: float) -> list[tuple[str, Any]]:
    return [("bits", "NaN" if math.isnan(value) else struct.pack("d", value))]


def _exception_parts(value: Any) -> list[tuple[str, Any]]:
    members = [("members", list(value.exceptions))] if isinstance(value, BaseExceptionGroup) else []
    return [("args", value.args), *members, *_attributes(value)]


def _model_parts(value: Any) -> list[tuple[str, Any]]:
    names = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
    return _attributes(value) + [(name, getattr(value, name, None)) for name in names]


def _array_difference(left: Any, right: Any) -> str:
    """Of `left`, which was sent, and `right`. Views that are not dense come back as arrays of their own."""
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return f"{left.dtype} {left.shape} is not {right.dtype} {right.shape}"
    if _is_dense(left) and _is_dense(right):
        for flag in ("c_contiguous", "f_contiguous", "writeable"):
            if getattr(left.flags, flag) != getattr(right.flags, flag):
                return f"{flag} was changed"
    return "" if _content(left) == _content(right) else f"{left!r} is not {right!r}"


def _content(value: Any) -> object:
    if value.dtype.char in "gGTO" or value.dtype.hasobject:  # pointers, and padding
        return repr(value.tolist())
    return np.ascontiguousarray(value).tobytes()


def _is_dense(value: Any) -> bool:
    return bool(value.flags.c_contiguous or value.flags.f_contiguous)


def _masked_parts(value: Any) -> list[tuple[str, Any]]:
    return [("data", value.data), ("mask", np.ma.getmaskarray(value)), ("fill", value.fill_value)]


def _partial_parts(value: Any) -> list[tuple[str, Any]]:
    return [("func", value.func), ("args", value.args), ("keywords", value.keywords), *_attributes(value)]


_PARTS: tuple[tuple[Any, Callable[[Any], list[tuple[str, Any]]]], ...] = (
    (float, _float_parts),
    (complex, lambda value: [("real", value.real), ("imaginary", value.imag)]),
    (decimal.Decimal, lambda value: [("digits", value.as_tuple())]),
    (dt.datetime, lambda value: [("text", value.isoformat()), ("fold", value.fold), ("zone", value.tzinfo)]),
    (dt.time, lambda value: [("text", value.isoformat()), ("fold", value.fold), ("zone", value.tzinfo)]),
    ((list, tuple, collections.deque), _items),
    (dict, _entries),
    (np.ma.MaskedArray, _masked_parts),
    (Temperatures, lambda value: [("unit", value.unit), ("array", value.view(np.ndarray))]),
    (np.void, lambda value: [("dtype", value.dtype), ("items", value.item())]),
    (np.generic, lambda value: [("dtype", value.dtype), ("bytes", value.tobytes())]),
    (np.random.Generator, lambda value: [("state", value.bit_generator.state)]),
    (pydantic.BaseModel, _model_parts),
    (BaseException, _exception_parts),
    (functools.partial, _partial_parts),
    ((operator.itemgetter, operator.attrgetter), lambda value: [("recipe", value.__reduce__()[1])]),
    (types.BuiltinMethodType, lambda value: [("name", value.__name__), ("object", value.__self__)]),
    (types.SimpleNamespace, _attributes),
    (decimal.Context, lambda value: [("text", repr(value))]),
)


def _library_difference(left: Any, right: Any) -> str | None:
    """As its library sees it; `None` for what is of none of them."""
    if isinstance(left, np.ndarray):
        return _array_difference(left, right)
    package = type(left).__module__.partition(".")[0]
    if package == "pandas":
        return _pandas_difference(left, right)
    if package == "polars":
        return _polars_difference(left, right)
    if package == "torch" and hasattr(left, "requires_grad"):
        traits = [(tensor.dtype, tensor.stride(), tensor.requires_grad) for tensor in (left, right)]
        return "" if traits[0] == traits[1] and left.equal(right) else f"{left!r} is not {right!r}"
    return None


def _pandas_difference(left: Any, right: Any) -> str | None:
    try:
        if isinstance(left, pd.DataFrame):
            assert left.attrs == right.attrs
            pd.testing.assert_frame_equal(left, right, check_exact=True)
        elif isinstance(left, pd.Series):
            assert left.attrs == right.attrs
            pd.testing.assert_series_equal(left, right, check_exact=True)
        elif isinstance(left, pd.Index):
            pd.testing.assert_index_equal(left, right, exact=True)
            assert getattr(left, "freq", None) == getattr(right, "freq", None)
        elif isinstance(left, pd.Categorical):
            assert left.dtype == right.dtype
            assert left.codes.tolist() == right.codes.tolist()
        else:
            return None
    except AssertionError as error:
        return str(error) or "attributes differ"
    return ""


def _polars_difference(left: Any, right: Any) -> str | None:
    if isinstance(left, pl.LazyFrame):
        left, right = left.collect(), right.collect()
    if isinstance(left, pl.Expr):
        return "" if left.meta.eq(right) else f"{left} is not {right}"
    if isinstance(left, (pl.DataFrame, pl.Series)):
        schema = left.schema == right.schema if isinstance(left, pl.DataFrame) else left.dtype == right.dtype
        return "" if schema and left.equals(right) else f"{left} is not {right}"
    return None
