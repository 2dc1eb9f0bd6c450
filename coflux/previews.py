"""One line that shows a value, whatever its size, depth and `__repr__`, but no secret that this process knows."""

from __future__ import annotations

import collections
import dataclasses
import enum
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from coflux.redaction import THIS_PROCESS

__all__ = [
    "MAPPINGS",
    "SEQUENCES",
    "Texts",
    "array_text",
    "byte_size",
    "class_name",
    "fields_of",
    "message_of",
    "one_line",
    "preview",
    "type_name",
    "with_execution_ids",
]

PREVIEW_LIMIT = 200  # characters
DEPTH_LIMIT = 20
BLOB_BYTES = 32  # that are shown of one that is longer than a preview
SIZED_COLUMNS = 100  # of a data frame, up to which each is asked for its size

_FIRST_MARK = 0xF0000  # private-use characters, each for a handle's id
_MARKS = 0xFFFE  # that many

# Types of these packages with a shape are shown by type, dtype, shape and size: their repr may compute or copy a lot.
_ARRAY_PACKAGES = frozenset(
    {"cupy", "dask", "geopandas", "jax", "jaxlib", "numpy", "pandas", "polars", "pyarrow", "scipy", "tensorflow"}
    | {"torch", "xarray"}
)
_GENERATED_REPR_FILES = frozenset({collections.__file__, dataclasses.__file__, reprlib.__file__})
SEQUENCES: dict[object, tuple[str, str]] = {
    list.__repr__: ("[", "]"),
    tuple.__repr__: ("(", ")"),
    set.__repr__: ("{", "}"),
    frozenset.__repr__: ("{", "}"),
    collections.deque.__repr__: ("[", "]"),
}
MAPPINGS = frozenset(
    {
        dict.__repr__,
        collections.OrderedDict.__repr__,
        collections.defaultdict.__repr__,
        collections.Counter.__repr__,
    }
)
_NUMBERS = frozenset({type(None), bool, int, float, complex})
_UNNAMED = frozenset({list, tuple, set, dict})  # shown by their brackets alone


class Texts:
    """What the user's own `__repr__` returned for the parts of one value, so that none is called twice."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[object, str]] = {}  # with the object, so that no id is used again

    def get(self, value: object) -> str | None:
        """What `value` said of itself, `None` if it was not asked."""
        known = self._by_id.get(id(value))
        return None if known is None else known[1]

    def of(self, value: object) -> str:
        """`repr(value)`, or a placeholder where that fails."""
        text = self.get(value)
        if text is None:
            try:
                text = repr(value)
            except Exception as error:  # noqa: BLE001  # the user's `__repr__`
                text = _unspeakable(value, error)
            self._by_id[id(value)] = value, text
        return text


def preview(value: object, index_of: Callable[[object], int | None] | None = None, texts: Texts | None = None) -> str:
    """At most 200 printable characters: a bounded `repr`.

    `index_of` tells the index of a handle whose id comes later, and `None` for anything else. Such a handle has one
    private-use character in the place of its id, until `with_execution_ids` puts it there. `texts` keeps what parts of
    the value were asked for.
    """
    writer = _Writer(index_of, Texts() if texts is None else texts)
    try:
        writer.write(value, 0)
    except _Full:
        return _clip(THIS_PROCESS.text("".join(writer.pieces)[: PREVIEW_LIMIT - 1], cut=1) + "…")
    return _clip(THIS_PROCESS.text("".join(writer.pieces)))


def with_execution_ids(text: str, ids: Sequence[str]) -> str:
    """Put the ids of handles into a preview. It stays as short."""
    if text.isprintable():
        return text  # there are none: what does not print is escaped in a preview
    first = chr(_FIRST_MARK)
    return _clip("".join([character if character < first else ids[ord(character) - _FIRST_MARK] for character in text]))


def _clip(text: str) -> str:
    return text if len(text) <= PREVIEW_LIMIT else text[: PREVIEW_LIMIT - 1] + "…"


def one_line(text: str) -> str:
    """Escape everything that does not print, line ends and terminal controls among it."""
    if text.isprintable():
        return text
    return "".join([character if character.isprintable() else repr(character)[1:-1] for character in text])


def type_name(value: object) -> str:
    """The qualified name of the value's class, without `builtins`."""
    return class_name(type(value))


def class_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def message_of(error: BaseException | None) -> str:
    """`str(error)`, or a placeholder when the exception cannot even say what it is."""
    try:
        return str.__str__(str(error))
    except BaseException as failure:  # noqa: BLE001  # a failure is being reported: it must get out
        return f"<{type_name(error)} object, str failed: {type(failure).__name__}>"


class _Full(Exception):
    """The preview has as many characters as it may."""


class _Writer:
    def __init__(self, index_of: Callable[[object], int | None] | None, texts: Texts) -> None:
        self.pieces: list[str] = []
        self._texts = texts
        self._index_of = index_of
        self._left = PREVIEW_LIMIT
        self._open: set[int] = set()  # ids of the containers being written, to stop at recursion

    def put(self, text: str) -> None:
        self.pieces.append(one_line(text[: self._left + 1]))
        self._left -= len(self.pieces[-1])
        if self._left < 0:
            raise _Full

    def write(self, value: object, depth: int) -> None:
        if type(value) in _NUMBERS and (type(value) is not int or value.bit_length() < 64):
            self.put(repr(value))
            return
        if id(value) in self._open or depth > DEPTH_LIMIT:
            self.put("...")
            return
        self._open.add(id(value))
        try:
            index = None if self._index_of is None else self._index_of(value)
            if index is None or index >= _MARKS:
                self._write(value, depth)
            else:
                self._write_handle(value, index)
        except _Full:
            raise
        except Exception as error:  # noqa: BLE001  # the user's properties
            self.put(_unspeakable(value, error))
        finally:
            self._open.discard(id(value))

    def _write(self, value: Any, depth: int) -> None:
        cls = type(value)
        own_repr: object = cls.__repr__
        if own_repr in SEQUENCES:
            self._sequence(value, *SEQUENCES[own_repr], depth)
        elif own_repr in MAPPINGS:
            self._mapping(value, depth)
        elif own_repr is str.__repr__:
            self.put(repr(str.__getitem__(value, slice(self._left))))
        elif own_repr is bytes.__repr__ or own_repr is bytearray.__repr__:
            if len(value) > PREVIEW_LIMIT:
                self.put(f"<{cls.__name__}, {byte_size(len(value))}: {bytes(value[:BLOB_BYTES])!r}…>")
            else:
                self.put(repr(value))
        elif own_repr is int.__repr__ and int.bit_length(value) > 4 * PREVIEW_LIMIT:
            self.put(f"<int of {value.bit_length()} bits>")
        elif isinstance(value, enum.Enum):
            self.put(f"{cls.__name__}.{value.name}")
        elif (shape := array_text(value)) is not None:
            self.put(shape)
        elif (fields := fields_of(value)) is not None:
            self._fields(cls.__qualname__, fields, depth)
        elif own_repr is object.__repr__:
            self.put(f"<{class_name(cls)} object>")
        elif isinstance(value, (FunctionType, MethodType, BuiltinFunctionType)):
            self.put(f"<function {value.__qualname__}>")
        else:
            self.put(self._texts.of(value))

    def _write_handle(self, handle: Any, index: int) -> None:
        self.put("<Execution ")
        self.pieces.append(chr(_FIRST_MARK + index))
        self._left -= 1
        self.put(f" of {handle.module}/{handle.target}>")

    def _sequence(self, value: Iterable[object], opening: str, closing: str, depth: int) -> None:
        cls = type(value)
        named = cls not in _UNNAMED
        items = list(islice(value, PREVIEW_LIMIT))
        if not items and isinstance(value, (set, frozenset)):
            self.put(f"{cls.__name__}()")
            return
        self.put(f"{cls.__name__}({opening}" if named else opening)
        for index, item in enumerate(items):
            if index:
                self.put(", ")
            self.write(item, depth + 1)
        self.put("," if len(items) == 1 and isinstance(value, tuple) else "")
        self.put(f"{closing})" if named else closing)

    def _mapping(self, value: dict[object, object], depth: int) -> None:
        named = type(value) not in _UNNAMED
        self.put(f"{type(value).__name__}({{" if named else "{")
        for index, (key, item) in enumerate(islice(value.items(), PREVIEW_LIMIT)):
            if index:
                self.put(", ")
            self.write(key, depth + 1)
            self.put(": ")
            self.write(item, depth + 1)
        self.put("})" if named else "}")

    def _fields(self, name: str, fields: Iterable[tuple[str, object]], depth: int) -> None:
        self.put(f"{name}(")
        for index, (field, item) in enumerate(fields):
            self.put(f", {field}=" if index else f"{field}=")
            self.write(item, depth + 1)
        self.put(")")


def array_text(value: Any) -> str | None:
    """`ndarray float64 (512, 512) 2 MiB` for an array or a data frame, `None` for others (numpy's scalars too)."""
    cls = type(value)
    if not any(base.__module__.partition(".")[0] in _ARRAY_PACKAGES for base in cls.__mro__):
        return None
    shape = getattr(value, "shape", None)
    if shape is None or any(base.__name__ == "generic" for base in cls.__mro__):
        return None
    dtype = getattr(value, "dtype", None)
    size = _array_size(value, shape)
    parts = [cls.__name__, "" if dtype is None else str(dtype), str(tuple(shape)), byte_size(size) if size else ""]
    return " ".join([part for part in parts if part])


def _array_size(value: Any, shape: Sequence[int]) -> int:
    """Bytes, without those of Python objects that it refers to; 0 where that is not known, or not cheap to know."""
    size: object = getattr(value, "nbytes", None)
    if size is None and hasattr(value, "memory_usage") and len(shape) > 1 and shape[1] <= SIZED_COLUMNS:
        size = int(value.memory_usage(index=False).sum())
    elif size is None and hasattr(value, "estimated_size"):
        size = value.estimated_size()
    return size if type(size) is int else 0


def byte_size(size: int) -> str:
    """`12 bytes`, `1.5 KiB`, `256 MiB`."""
    if size < 1024:
        return f"{size} {'byte' if size == 1 else 'bytes'}"
    amount = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1000 or unit == "TiB":
            break
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:,.0f} {unit}"


def _unspeakable(value: object, error: Exception) -> str:
    return f"<{type(value).__qualname__} object, repr failed: {type(error).__name__}>"


def fields_of(value: Any) -> Iterator[tuple[str, object]] | None:
    """Names and values of a data class, named tuple or pydantic model whose repr is the generated one."""
    cls = type(value)
    written_in = getattr(getattr(cls.__repr__, "__code__", None), "co_filename", None)
    if written_in in _GENERATED_REPR_FILES:
        if dataclasses.is_dataclass(value):
            return ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return iter([(field, getattr(value, field)) for field in value._fields])
    if getattr(cls.__repr__, "__module__", None) == "pydantic.main":
        fields: dict[str, object] = vars(value)
        return iter(fields.items())
    return None
