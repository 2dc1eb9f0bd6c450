"""What values of well-known libraries consist of, for their keys: the parts that make two of them equal.

What only tells how a value came about is left out: memory order, the blocks of a frame, filled caches, fields that were
set to their defaults, the unused parts of a buffer. (Pickles hold these, so two pickles of equal values may differ.)

No library is imported for this: a class of one is only there when the library is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

__all__ = ["Decompose", "Raw", "decomposer", "derived_names"]

# Arrays of these kinds are what their bytes are. Others hold objects, fields with gaps between them, or addresses.
_PLAIN_KINDS = frozenset("biufcmMSU")
_PADDED_TYPES = frozenset("gG")  # long doubles: 10 bytes that count and 6 that do not, on most machines
_LONGEST_MANTISSA = 3  # times that of a double
_BUFFERED_ITEMS = 1 << 16  # are copied into C order at a time

Parts = tuple[object, ...]
Decompose = Callable[[Any], Parts]


class Raw(NamedTuple):
    """Bytes that are hashed from where they lie, in pieces. Only ever the last part: it has no length of its own."""

    chunks: Iterable[Any]  # objects with the buffer protocol, contiguous and of bytes


def decomposer(cls: type) -> Decompose | None:
    """What takes instances of `cls` apart, `None` where the general way (how pickle would rebuild them) is right."""
    for base in cls.__mro__:
        find = _LIBRARIES.get(base.__module__.partition(".")[0])
        decompose = None if find is None else find(cls)
        if decompose is not None:
            return decompose
    return None


def derived_names(cls: type) -> frozenset[str]:
    """The attributes that are computed of others when first asked for: whether they are there does not count."""
    if not cls.__dictoffset__:
        return frozenset()  # no instance has a place for them
    members = [item for base in cls.__mro__ for item in vars(base).items()]
    return frozenset([name for name, member in members if isinstance(member, cached_property)])


# -- standard library -------------------------------------------------------------------------------------------------


def _pathlib(cls: type) -> Decompose | None:
    from pathlib import PurePath

    return (lambda path: (cls, str(path))) if issubclass(cls, PurePath) else None


def _uuid(cls: type) -> Decompose | None:
    from uuid import UUID

    return (lambda uuid: (cls, uuid.int)) if issubclass(cls, UUID) else None


# -- pydantic ---------------------------------------------------------------------------------------------------------


def _pydantic(cls: type) -> Decompose | None:
    from pydantic import BaseModel

    if not issubclass(cls, BaseModel):
        return None
    derived = derived_names(cls)

    def decompose(model: BaseModel) -> Parts:
        """As pydantic compares models: which fields were given does not count, values do."""
        state = dict(model.__getstate__())
        del state["__pydantic_fields_set__"]
        state["__dict__"] = {name: value for name, value in state["__dict__"].items() if name not in derived}
        return cls, state

    return decompose


# -- numpy ------------------------------------------------------------------------------------------------------------


def _numpy(cls: Any) -> Decompose | None:
    import numpy as np

    if issubclass(cls, np.generic):
        return lambda scalar: (cls, *_array_parts(np.asarray(scalar)))
    if not issubclass(cls, np.ndarray):
        return None
    if cls.__reduce__ is np.ndarray.__reduce__:
        return lambda array: (cls, *_array_parts(array.view(np.ndarray)))
    if issubclass(cls, np.ma.MaskedArray):
        # What lies below the mask is arbitrary.
        return lambda array: (cls, np.ma.getmaskarray(array), array.filled(), array.fill_value, array.hardmask)
    return None


def _array_parts(array: Any) -> Parts:
    """Type and shape, then the content in C order, whatever the order in memory."""
    dtype = array.dtype
    if dtype.kind in _PLAIN_KINDS:
        content = _long_doubles(array) if dtype.char in _PADDED_TYPES else (Raw(_chunks(array)),)
        return dtype.str, array.shape, *content
    if dtype.names is not None:
        return dtype, array.shape, *[array[name] for name in dtype.names]
    if dtype.kind == "V":
        return dtype, array.shape, Raw(_chunks(array))
    return dtype, array.shape, array.ravel().tolist()


def _chunks(array: Any) -> Iterator[Any]:
    """The bytes of the items in C order. Only what lies in another order, or with gaps, is copied: a bit at a time."""
    import numpy as np

    if array.nbytes == 0:
        return
    options: Any = {
        "flags": ["external_loop", "buffered"],
        "op_flags": [["readonly", "contig"]],
        "order": "C",
        "buffersize": _BUFFERED_ITEMS,
    }
    chunk: Any
    for chunk in np.nditer(array, **options):
        yield chunk.view(np.uint8)


def _long_doubles(array: Any) -> list[object]:
    """The numbers as sums of doubles, times powers of two."""
    import numpy as np

    if array.dtype.kind == "c":
        return [*_long_doubles(array.real), *_long_doubles(array.imag)]
    parts: list[object] = []
    with np.errstate(all="ignore"):
        rest, exponents = np.frexp(array)
        for _ in range(_LONGEST_MANTISSA):
            parts.append(rest.astype("f8"))
            rest = rest - parts[-1]
    return [exponents, *parts]


# -- pandas -----------------------------------------------------------------------------------------------------------


def _pandas(cls: type) -> Decompose | None:
    import pandas as pd  # type: ignore[import-untyped]

    if issubclass(cls, pd.DataFrame):
        return _frame_parts
    if issubclass(cls, pd.Series):
        return lambda series: (*_labelled_parts(series), series.array)
    if issubclass(cls, pd.Index):
        return _index_parts
    if issubclass(cls, pd.api.extensions.ExtensionArray):
        return _extension_array_parts
    return None


def _frame_parts(frame: Any) -> Parts:
    return *_labelled_parts(frame), frame.columns, *[column.array for _, column in frame.items()]


def _labelled_parts(data: Any) -> Parts:
    """What frames and series have in common. (`_metadata` is pandas' interface for subclasses' own attributes.)"""
    own = {name: getattr(data, name, None) for name in data._metadata}
    return type(data), own, data.attrs, data.flags.allows_duplicate_labels, data.index


def _index_parts(index: Any) -> Parts:
    import pandas as pd

    names = list(index.names)
    if isinstance(index, pd.RangeIndex):
        return type(index), names, index.start, index.stop, index.step
    if isinstance(index, pd.MultiIndex):
        return type(index), names, *[index.get_level_values(level) for level in range(index.nlevels)]
    return type(index), names, getattr(index, "freqstr", None), index.array


def _extension_array_parts(array: Any) -> Parts:
    import pandas as pd

    cls, dtype = type(array), array.dtype
    if cls is pd.arrays.NumpyExtensionArray:
        return cls, array.to_numpy()
    if isinstance(array, pd.Categorical):
        return cls, array.ordered, array.categories, array.codes
    if isinstance(array, (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray, pd.arrays.PeriodArray)):
        return cls, str(dtype), array.view("i8")
    plain = getattr(dtype, "numpy_dtype", None)
    if plain is not None and plain.kind in "biuf":
        # What lies below a missing value is arbitrary.
        return cls, str(dtype), array.isna(), array.to_numpy(dtype=plain, na_value=plain.type(0))
    return cls, str(dtype), array.to_numpy(dtype=object)


_LIBRARIES: dict[str, Callable[[type], Decompose | None]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "pathlib": _pathlib,
    "pydantic": _pydantic,
    "uuid": _uuid,
}
